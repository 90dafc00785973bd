"""The conductor's end of a worker: start it, ask it, stop it while others have their turn."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from sardonyx.bench.contender import Contender
from sardonyx.core.errors import EPFail
from sardonyx.core.knobs import QUIET, overridden

TAIL = 2000


def _python(source: str) -> list[str]:
    """The interpreter, with a folder of modules that come before all others."""
    return ["env", f"PYTHONPATH={source}", sys.executable, "-P"] if source else [sys.executable]


class Process:
    """A worker process that is stopped whenever it is not asked something.

    A stopped process cannot spin: the worker threads of a runtime that wait busily after a run take
    no core from the next contender. Use as a context manager; leaving it ends the process.
    """

    def __init__(self, contender: Contender, timeout: float = 900.0) -> None:
        self.contender = contender
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._child = subprocess.Popen(
            [*_python(contender.source), "-m", "sardonyx.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; safe to call twice."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._child.wait()
        self._errors.close()

    def create(self, threads: int, pool: str, environment: Mapping[str, str]) -> dict[str, Any]:
        """Bring the contender to life; the parts' times in seconds."""
        return self.ask(
            "create",
            factory=self.contender.factory,
            imports=list(self.contender.imports),
            options=dict(self.contender.options),
            environment={**QUIET, **overridden(), **environment, **self.contender.environment},
            threads=threads,
            pool=pool,
        )

    def ask(self, action: str, **parts: Any) -> dict[str, Any]:
        """One request and its reply; EPFail when the worker fails, dies or takes too long."""
        pipe = self._child.stdin
        assert pipe is not None
        self._signal(signal.SIGCONT)
        try:
            pipe.write(json.dumps({"do": action, **parts}).encode() + b"\n")
            pipe.flush()
        except OSError:
            raise self._died(action) from None
        reply: dict[str, Any] = json.loads(self._line(action))
        self._signal(signal.SIGSTOP)
        if "error" in reply:
            raise self._failed(reply["error"])
        return reply

    def _signal(self, number: signal.Signals) -> None:
        if self._child.poll() is None:
            self._child.send_signal(number)

    def _line(self, action: str) -> bytes:
        pipe = self._child.stdout
        assert pipe is not None
        until = time.monotonic() + self.timeout
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise EPFail(
                    "E0741",
                    f"contender `{self.contender.label}` gave no answer to `{action}`",
                    wanted=f"an answer within {self.timeout:g} s",
                )
            more = os.read(pipe.fileno(), 1 << 16)
            if not more:
                raise self._died(action)
            self._buffer += more
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _died(self, action: str) -> EPFail:
        status = self._child.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - TAIL))
        tail = self._errors.read().decode("utf-8", "replace").strip()
        return EPFail(
            "E0742",
            f"contender `{self.contender.label}` died in `{action}` with status {status}",
            given=tail or None,
        )

    def _failed(self, error: Mapping[str, Any]) -> EPFail:
        code = f"{error['code']} " if "code" in error else ""
        return EPFail(
            "E0743",
            f"contender `{self.contender.label}` failed: {code}{error['type']}: {error['message']}",
            hint=error.get("hint"),
        )

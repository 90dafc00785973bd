"""The command line called in this process, or in one of its own with its memory watched."""

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sardonyx.cli.main import run

SOURCE = Path(__file__).parent.parent.parent / "src"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Standard output as JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Stream(io.TextIOWrapper):
    """A text stream in memory that has a `buffer`, as the standard ones have."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        """Everything written, binary parts replaced."""
        raw = self.buffer.getvalue()  # type: ignore[attr-defined]
        return str(raw.decode("utf-8", "replace"))


def sardonyx(*args: object) -> Said:
    """`sardonyx ARGS` in this process."""
    out, err = Stream(), Stream()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(a) for a in args])
    return Said(code, out.text(), err.text())


@dataclass(frozen=True)
class Watched(Said):
    """The same of a process of its own, with its seconds and its peak bytes."""

    seconds: float
    peak: int


GUARD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from sardonyx.cli.main import run
code = run(sys.argv[1:])
sys.stdout.flush()
from sardonyx.bench.worker import resident
print(f"\\npeak={resident('VmHWM')}", file=sys.stderr)
sys.exit(code)
"""


def watched(*args: object, timeout: float = 60, **variables: str) -> Watched:
    """`sardonyx ARGS` in a process that cannot take much memory."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE), **variables}
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", GUARD, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
        check=False,
    )
    err, _, peak = done.stderr.rpartition("\npeak=")
    size = int(peak) if peak.strip().isdecimal() else resource.RLIM_INFINITY
    return Watched(done.returncode, done.stdout, err, time.monotonic() - start, size)

"""What a session did and when, as a Chrome trace (chrome://tracing, Perfetto).

Events have the names and arguments of ONNX Runtime's profiles, whose readers look for the category
`Node`, `op_name` and `provider`; a step that several nodes became has the names of all.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sardonyx.providers.base import Step


class Profile:
    """The events of one session, written as `<prefix>_<time>.json` once, one a line."""

    def __init__(self, prefix: str, provider: str) -> None:
        now = datetime.now().astimezone()
        self.path = f"{prefix}_{now:%Y-%m-%d_%H-%M-%S}.json"
        self.provider = provider
        self.start = time.monotonic_ns()
        self._events: list[dict[str, Any]] = []
        self._written = False

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """An event of the session from here to the end of the block."""
        start = time.monotonic_ns()
        try:
            yield
        finally:
            self._add("Session", name, start, time.monotonic_ns(), {})

    def step(self, step: Step, start: int, end: int) -> None:
        """A step of a run, in nanoseconds of the monotonic clock."""
        args = {
            "op_name": step.op,
            "provider": self.provider,
            "node_name": step.nodes[0] if step.nodes else "",
            "nodes": list(step.nodes),
            "step": step.kind,
        }
        self._add("Node", f"{args['node_name']}_kernel_time", start, end, args)

    def _add(self, kind: str, name: str, start: int, end: int, args: dict[str, Any]) -> None:
        self._events.append(
            {
                "cat": kind,
                "pid": os.getpid(),
                "tid": threading.get_native_id(),
                "dur": (end - start) / 1e3,
                "ts": (start - self.start) / 1e3,
                "ph": "X",
                "name": name,
                "args": args,
            }
        )

    def write(self) -> str:
        """Writes the file, unless it is written; its path."""
        if not self._written:
            self._written = True
            lines = ",\n".join(map(json.dumps, self._events))
            Path(self.path).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        return self.path

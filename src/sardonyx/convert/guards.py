"""What PyTorch's tracing took for granted about sizes, and the user's line that made it do so."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from linecache import getline
from types import FrameType

from sardonyx.graph.origin import is_framework, is_installed

LOGGER = "torch.fx.experimental.symbolic_shapes"
_CREATED = re.compile(r"create_symbol (\w+) = \d+ for L\[.*?(\w+)'?\]\.size\(\)\[(\d+)\]")
_ADDED = re.compile(r"(?:eval|runtime_assert) (.+?) \[guard added\]")


@dataclass(frozen=True)
class Guard:
    """A condition on traced sizes, such as `s77 <= 4`, and where the user's code asked for it."""

    condition: str
    source: str


class Guards(logging.Handler):
    """Collects the conditions that the tracer logs while it runs the user's code."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.sizes: dict[str, tuple[str, int]] = {}
        self.found: list[Guard] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one line of the tracer's log."""
        text = record.getMessage()
        created = _CREATED.search(text)
        if created:
            self.sizes[created.group(1)] = created.group(2), int(created.group(3))
        added = _ADDED.search(text)
        source = None if added is None else _caller()
        if added and source:
            self.found.append(Guard(added.group(1), source))

    def about(self, axes: set[tuple[str, int]]) -> list[Guard]:
        """The conditions on these (input, axis) pairs, each line once."""
        names = {name for name, place in self.sizes.items() if place in axes}
        found = {g.source: g for g in self.found if names & set(re.findall(r"\w+", g.condition))}
        return list(found.values())


def _caller() -> str | None:
    """The innermost frame that is the user's own, of those that the export has called."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not _is_ours(frame):
        path = frame.f_code.co_filename
        if not (is_framework(path) or is_installed(path)):
            code = getline(path, frame.f_lineno).strip()
            return f"{path}:{frame.f_lineno} in {frame.f_code.co_name}: {code}"
        frame = frame.f_back
    return None


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("sardonyx.")


@contextmanager
def watched() -> Iterator[Guards]:
    """Collects while the block runs; the tracer's own output is held back."""
    logger = logging.getLogger(LOGGER)
    handler = Guards()
    kept = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.handlers, level, logger.propagate = kept
        logger.setLevel(level)

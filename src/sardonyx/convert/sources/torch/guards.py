"""What PyTorch's tracing took for granted about sizes, and the user's line that made it do so."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from linecache import getline
from types import FrameType

from sardonyx.convert.source import Fixed
from sardonyx.graph.origin import is_framework, is_installed

LOGGER = "torch.fx.experimental.symbolic_shapes"
_CREATED = re.compile(r"create_symbol (\w+) = \d+ for L(\S*?)\.size\(\)\[(\d+)\]")
_PART = re.compile(r"\w+")
_WORD = _PART
_ADDED = re.compile(r"(?:eval|runtime_assert) (.+?) \[guard added\]")


class Guards(logging.Handler):
    """Collects the conditions that the tracer logs while it runs the user's code."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.sizes: dict[str, tuple[str, int]] = {}
        self.found: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one line of the tracer's log."""
        text = record.getMessage()
        created = _CREATED.search(text)
        if created:
            self.sizes[created.group(1)] = created.group(2), int(created.group(3))
        added = _ADDED.search(text)
        source = None if added is None else _caller()
        if added and source:
            self.found.append((added.group(1), source))

    def fixed(self, names: Sequence[str]) -> list[Fixed]:
        """The conditions on the sizes of these inputs in forward()'s order, each line once."""
        found: dict[str, Fixed] = {}
        for condition, source in self.found:
            places = [self.sizes[word] for word in _WORD.findall(condition) if word in self.sizes]
            axes = frozenset((_named(name, names), axis) for name, axis in places)
            found[source] = Fixed(condition, source, axes)
        return list(found.values())


def _named(path: str, names: Sequence[str]) -> str:
    """The input that the tracer calls `['batch']['ids']`: the one whose name has these parts."""
    parts = _PART.findall(path)
    for name in names:
        if name.split(".")[-len(parts) :] == parts or parts[-len(name.split(".")) :] == name.split(
            "."
        ):
            return name
    return ".".join(parts)


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

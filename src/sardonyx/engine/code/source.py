"""The digest of our own source as far as something is made by it: what a cache's key must hold.

Reading the source takes longer than many a start, so digests are remembered beside what they are
keys of, by where every file lies, how long it is and when it was last written to.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from sardonyx.engine.code import cache

_ROOT = Path(__file__).parents[3]
_PACKAGE = "sardonyx"
_IMPORT = re.compile(
    r"^\s*(?:from (sardonyx[\w.]*) import (\([^)]*\)|[^\n]*)|import (sardonyx[\w.]+))", re.MULTILINE
)
_DIGEST = re.compile(rb"[0-9a-f]{64}")
# A file this young may be written to once more without its times telling; they move in steps of a
# hundredth of a second, on some file systems of two seconds.
_YOUNG = 3_000_000_000


class Tree:
    """The modules of the package `sardonyx` in the folder `root`, and their files' states."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, str] = {}
        self.state = hashlib.sha256(os.fsencode(root))
        self._newest = 0
        for path, found in _sources(str(root / _PACKAGE)):
            name = path[len(str(root)) + 1 : -len(".py")].replace(os.sep, ".")
            self.files[name.removesuffix(".__init__")] = path
            times = found.st_mtime_ns, found.st_ctime_ns
            self.state.update(f"\n{name} {found.st_size} {found.st_ino} {times}".encode())
            self._newest = max(self._newest, *times)

    @property
    def settled(self) -> bool:
        """Whether every change from now on must show in the state."""
        return time.time_ns() - self._newest > _YOUNG

    def key(self, roots: tuple[str, ...]) -> str:
        """Where the digest of these modules is remembered while no file changes."""
        found = self.state.copy()
        found.update(repr(roots).encode())
        return found.hexdigest()


def _sources(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as rows:
        for row in sorted(rows, key=lambda row: row.name):
            if row.name.endswith(".py"):
                yield row.path, row.stat()
            elif row.name != "__pycache__" and row.is_dir():
                yield from _sources(row.path)


@functools.lru_cache
def _tree(root: Path) -> Tree:
    return Tree(root)


@functools.lru_cache
def digest(*roots: str, root: Path = _ROOT) -> str:
    """The digest of these modules and of all of ours that they import, directly or not.

    `root` is the folder that holds the package `sardonyx`.
    """
    tree = _tree(root)
    store, key = cache.default("sources"), tree.key(roots)
    kept = store.get(key) if store is not None else None
    if kept is not None and _DIGEST.fullmatch(kept):
        return kept.decode()
    found = hashlib.sha256()
    for name, text in sorted(closure(roots, root).items()):
        found.update(f"{name}\n".encode() + text)
    if store is not None and tree.settled:
        store.put(key, found.hexdigest().encode())
    return found.hexdigest()


def closure(roots: tuple[str, ...], root: Path = _ROOT) -> dict[str, bytes]:
    """The source of modules and of what they import, by name, read from the files' import lines.

    A package that imports by name (its `__init__` uses importlib) may import all it holds.
    LookupError for a module that is not there: a key without it would hold true for ever.
    """
    tree = _tree(root)
    for name in roots:
        if name not in tree.files:
            raise LookupError(f"no module `{name}`")
    found: dict[str, bytes] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in found or name not in tree.files:
            continue
        found[name] = Path(tree.files[name]).read_bytes()
        text = found[name].decode()
        pending += _imported(text)
        if tree.files[name].endswith("__init__.py") and "importlib" in text:
            pending += [held for held in tree.files if held.startswith(f"{name}.")]
    return found


def _imported(text: str) -> list[str]:
    """Names that may be modules: what is imported from a package may be one of its modules."""
    names = []
    for match in _IMPORT.finditer(text):
        home = match[1] or match[3]
        names += [home, *(f"{home}.{x}" for x in re.findall(r"\w+", match[2] or ""))]
    return [name for name in names if name != _PACKAGE]

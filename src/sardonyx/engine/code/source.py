"""The digest of our own source as far as something is made by it: what a cache's key must hold."""

from __future__ import annotations

import functools
import hashlib
import re
from importlib import resources
from pathlib import Path

_ROOT = Path(str(resources.files("sardonyx"))).parent
_IMPORT = re.compile(
    r"^\s*(?:from (sardonyx[\w.]*) import (\([^)]*\)|[^\n]*)|import (sardonyx[\w.]+))", re.MULTILINE
)


@functools.lru_cache
def digest(*roots: str, root: Path = _ROOT) -> str:
    """The digest of these modules and of all of ours that they import, directly or not.

    `root` is the folder that holds the package `sardonyx`.
    """
    found = hashlib.sha256()
    for name, text in sorted(closure(roots, root).items()):
        found.update(f"{name}\n".encode() + text)
    return found.hexdigest()


def closure(roots: tuple[str, ...], root: Path = _ROOT) -> dict[str, bytes]:
    """The source of modules and of what they import, by name, read from the files' import lines.

    A package that imports by name (its `__init__` uses importlib) may import all it holds.
    LookupError for a module that is not there: a key without it would hold true for ever.
    """
    for name in roots:
        if _file(root, name) is None:
            raise LookupError(f"no module `{name}`")
    found: dict[str, bytes] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        file = _file(root, name)
        if name in found or file is None:
            continue
        found[name] = file.read_bytes()
        text = found[name].decode()
        pending += _imported(text)
        if file.name == "__init__.py" and "importlib" in text:
            pending += _held(root, file.parent)
    return found


def _file(root: Path, name: str) -> Path | None:
    place = root.joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _imported(text: str) -> list[str]:
    """Names that may be modules: what is imported from a package may be one of its modules."""
    names = []
    for match in _IMPORT.finditer(text):
        home = match[1] or match[3]
        names += [home, *(f"{home}.{x}" for x in re.findall(r"\w+", match[2] or ""))]
    return [name for name in names if name != "sardonyx"]


def _held(root: Path, folder: Path) -> list[str]:
    files = folder.rglob("*.py")
    names = (".".join(f.relative_to(root).with_suffix("").parts) for f in files)
    return [name.removesuffix(".__init__") for name in names]

"""The folder that a demo leaves behind, complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sardonyx.core.errors import UsageError

REPORT = "report.html"


@contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when all went well, and else goes away.

    UsageError (E0931) where `target` is no earlier demo's folder, or cannot be made.
    """
    _check(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as problem:
        raise UsageError(
            "E0931", f"cannot make the folder `{target}`: {problem.strerror}", file=str(target)
        ) from problem
    try:
        yield made
        made.chmod(0o755)
        _exchange(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        return
    folder = target.is_dir() and not target.is_symlink()
    if folder and ((target / REPORT).is_file() or not any(target.iterdir())):
        return
    raise UsageError(
        "E0931",
        f"`{target}` is there already, and is no demo's folder",
        file=str(target),
        hint="name another one with -o",
    )


def _exchange(made: Path, target: Path) -> None:
    """Puts the new folder in place; the old one is away for a moment, and removed at the end."""
    old = made / "replaced"
    if target.exists():
        target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(target / old.name, ignore_errors=True)

"""`net.py:build`: the user's own Python file, and the object in it that is or makes the model."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from sardonyx.core.errors import ConvertError, NoSuchFile, UsageError


def load_object(place: str) -> Any:
    """What `file.py:name` or `package.module:name` names, called when it is a plain function.

    This runs the user's code. Raises UsageError, NoSuchFile, ConvertError (E0601) when the code
    itself fails.
    """
    where, colon, name = place.rpartition(":")
    if not colon or not name.isidentifier():
        raise UsageError(
            "E0912", f"`{place}` does not name a model", wanted="file.py:name or package.module:name"
        )
    try:
        module = _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        found = getattr(module, name)
        return found() if _is_builder(found) else found
    except (UsageError, NoSuchFile):
        raise
    except AttributeError as problem:
        raise ConvertError(
            "E0601", f"`{where}` has no `{name}`: {problem}", file=where,
            hint="name a module, or a function without arguments that returns one",
        ) from problem  # fmt: skip
    except Exception as problem:
        raise ConvertError(
            "E0601", f"`{place}` failed: {type(problem).__name__}: {problem}", file=where
        ) from problem


def _is_builder(found: Any) -> bool:
    return callable(found) and (isinstance(found, type) or hasattr(found, "__code__"))


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise NoSuchFile("E0101", f"there is no file `{path}`", file=str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module

"""`net.py:build`: the user's own Python file, and the object in it that is or makes the model."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from sardonyx.core.errors import ConvertError, NoSuchFile, UsageError
from sardonyx.graph.origin import innermost

_SPREAD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_PLACE = re.compile(r".+\.py:[^:/\\]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_place(text: str) -> bool:
    """Whether a text names an object of a Python file or module rather than a model file."""
    return _PLACE.fullmatch(text) is not None


def load_object(place: str) -> Any:
    """What `file.py:name` or `package.module:name` names, called when it is a function or class of
    no arguments.

    This runs the user's code. Raises UsageError (E0912) for another form, NoSuchFile, and
    ConvertError (E0601) with the user's own line when the code fails.
    """
    where, colon, name = place.rpartition(":")
    if not colon or not name.isidentifier():
        raise UsageError(
            "E0912",
            f"`{place}` does not name a model",
            wanted="file.py:name or package.module:name",
        )
    try:
        module = _module(where)
        if not hasattr(module, name):
            raise ConvertError(
                "E0601",
                f"`{where}` has no `{name}`",
                file=where,
                hint="name a module, or a function without arguments that returns one",
            )
        found = getattr(module, name)
        return found() if _is_builder(found) else found
    except (ConvertError, UsageError, NoSuchFile):
        raise
    except Exception as problem:
        raise ConvertError(
            "E0601",
            f"`{place}` failed: {type(problem).__name__}: {problem}",
            file=where,
            source=origin(problem),
        ) from problem


def origin(problem: BaseException) -> str | None:
    """The user's own line in which an exception arose, else the innermost outside the framework."""
    return innermost("".join(traceback.format_tb(problem.__traceback__)))


def _is_builder(found: Any) -> bool:
    """Whether it is a function or class that needs no arguments."""
    if not (isinstance(found, type) or inspect.isfunction(found)):
        return False
    try:
        wanted = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return isinstance(found, type)
    return all(p.default is not p.empty or p.kind in _SPREAD for p in wanted)


def _module(where: str) -> Any:
    return _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)


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
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    finally:
        sys.path.remove(folder)
    return module

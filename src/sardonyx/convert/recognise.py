"""Whose model something is: an object, a file, a folder, or a place such as `net.py:build`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sardonyx.convert.isolated import Remote, interpreter, serve
from sardonyx.convert.place import is_place, load_object
from sardonyx.convert.source import Framework, Request, Source
from sardonyx.core.errors import ConvertError, NoSuchFile, UsageError

_HEAD = 4096
_FOLDER = Path(__file__).parent / "sources"
# The controls that need no exporter: `convert` sees to them.
EVERY = frozenset({"opset", "parameters", "output_names"})


@functools.cache
def frameworks() -> tuple[Framework, ...]:
    """Every framework of `convert.sources`, by the name of its file."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(_FOLDER)]))
    modules = [importlib.import_module(f"sardonyx.convert.sources.{name}") for name in names]
    return tuple(m.FRAMEWORK for m in modules)


def source_of(
    model: Any,
    request: Request,
    *,
    trust: bool = False,
    in_process: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> Source:
    """A model with the inputs asked for: an object of a framework, a place, or the path of a file.

    Files and places of a framework with an `environment` are opened in an interpreter that has it,
    unless `in_process`; `told` hears what takes long. UsageError (E0912) for text that names no
    model, NoSuchFile, ConvertError for what is of no framework or lacks packages (E0607), cannot be
    loaded (E0601), runs code when loaded (E0610, unless trusted), has no such environment (E0611),
    or takes no such controls (E0612).
    """
    if not isinstance(model, str | os.PathLike):
        return _made(owner(model), model, request)
    text = os.fspath(model)
    if is_place(text):
        return _of_place(text, request, trust, in_process, told)
    framework = owner_of_file(Path(text))
    _check_trust(framework, Path(text), trust)
    if framework.environment and not in_process:
        return Remote(interpreter(framework, told), text, request, trust)
    _check_packages(framework)
    found = framework.load(Path(text))
    return _made(owner(found) if framework.pickled else framework, found, request)


def _of_place(
    place: str, request: Request, trust: bool, in_process: bool, told: Callable[[str], None]
) -> Source:
    """Loaded here where what it imports is here, else where its framework is."""
    try:
        found = load_object(place)
    except ConvertError as error:
        lacking = getattr(error.__cause__, "name", None)
        framework = next((f for f in frameworks() if f.environment and lacking in f.packages), None)
        if in_process or framework is None or not isinstance(error.__cause__, ImportError):
            raise
        return Remote(interpreter(framework, told), place, request, trust)
    return _made(owner(found), found, request)


def serve_source() -> None:
    """Opens and answers for a source in an interpreter of its own."""
    serve(lambda where, request, trust: source_of(where, request, trust=trust, in_process=True))


def owner(model: object) -> Framework:
    """The framework that an object in memory is of; ConvertError (E0607)."""
    found = next((f for f in frameworks() if f.match(model)), None)
    if found is None:
        raise ConvertError(
            "E0607",
            f"nothing here converts {type(model).__module__}.{type(model).__qualname__}",
            wanted=f"a model of {', '.join(f.name for f in frameworks())}, or a function that "
            "returns one",
        )
    return found


def owner_of_file(path: Path) -> Framework:
    """The framework that wrote a file or folder; NoSuchFile, UsageError (E0912)."""
    if not path.exists():
        if any(path.suffix in f.suffixes for f in frameworks()):
            raise NoSuchFile("E0101", f"there is no file `{path}`", file=str(path))
        raise _no_model(str(path))
    head = b"" if path.is_dir() else _head(path)
    found = next((f for f in frameworks() if f.match_file(path, head)), None)
    if found is None:
        raise _no_model(str(path))
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _no_model(text: str) -> UsageError:
    known = sorted({suffix for f in frameworks() for suffix in f.suffixes})
    return UsageError(
        "E0912",
        f"`{text}` does not name a model",
        wanted="file.py:name or package.module:name"
        + (f", or a file such as {', '.join(known)}" if known else ""),
    )


def _check_trust(framework: Framework, path: Path, trust: bool) -> None:
    if framework.is_program(path) and not trust:
        raise ConvertError(
            "E0610",
            f"`{path}` runs code when it is loaded",
            file=str(path),
            hint="--trust loads it all the same, if you know who made it",
        )


def _made(framework: Framework, model: Any, request: Request) -> Source:
    _check_packages(framework)
    known = framework.controls | EVERY
    odd = [name for name in request.controls.given() if name not in known]
    if odd:
        raise UsageError(
            "E0612",
            f"{framework.name} models have no control `{odd[0]}`",
            wanted=", ".join(sorted(known)),
        )
    return framework.source(model, request)


def _check_packages(framework: Framework) -> None:
    absent = [name for name in framework.packages if importlib.util.find_spec(name) is None]
    if absent:
        raise ConvertError(
            "E0607",
            f"packages for {framework.name} are missing: {', '.join(absent)}",
            hint=f"pip install 'sardonyx[{framework.extra}]'" if framework.extra else None,
        )

"""Runs an unchanged Python program that imports onnxruntime, as `python PROGRAM …` would."""

from __future__ import annotations

import atexit
import builtins
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from sardonyx.core.errors import NoSuchFile, UsageError
from sardonyx.core.escape import dumps
from sardonyx.dropin.face import install
from sardonyx.dropin.record import Record

Start = Callable[[dict[str, Any]], None]


def execute(
    program: Sequence[str],
    report: Path | None = None,
    *,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Runs `PROGRAM …`, `-m MODULE …` or `-c CODE …` with Sardonyx as onnxruntime; the exit code.

    What the program does is its own: arguments, streams, tracebacks, SystemExit and interrupts. At
    the end of the process a report goes to stderr, unless `quiet`, with all host steps where
    `verbose`, or as JSON to a file. Raises UsageError (E0901) without a program, NoSuchFile (E0101)
    for a file that cannot be read.
    """
    start = _start(program)
    record = Record()
    install(record.miss)
    record.watch()
    atexit.register(_tell, record, report, None if quiet else verbose)
    main = types.ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
    try:
        start(vars(main))
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a program ends with is its own
        error.__traceback__ = _own(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _start(program: Sequence[str]) -> Start:
    """Sets sys.argv and the import path as Python does; a function that runs the program."""
    match [*program]:
        case ["-c", code, *arguments]:
            sys.argv[:] = ["-c", *arguments]
            _search("")
            return lambda scope: exec(compile(code, "<string>", "exec"), scope)  # noqa: S102
        case ["-m", name, *arguments]:
            sys.argv[:] = ["-m", *arguments]
            _search(str(Path.cwd()))
            return lambda scope: _run_module(name, scope)
        case [path, *_] if not path.startswith("-"):
            return _start_file(path, program)
        case _:
            raise UsageError(
                "E0901", "there is no program to run", wanted="PROGRAM …, -m MODULE … or -c CODE …"
            )


def _start_file(path: str, program: Sequence[str]) -> Start:
    sys.argv[:] = [*program]
    place = Path(path)
    packed = PathFinder.find_spec("__main__", [path])  # a folder or an archive with a `__main__`
    if packed is not None:
        _search(path)
        return lambda scope: _run(packed, scope)
    try:
        with io.open_code(str(place.absolute())) as stream:
            source = stream.read()
    except OSError as problem:
        said = f"the file cannot be read: {problem.strerror}"
        raise NoSuchFile("E0101", said, file=path) from None
    _search(str(place.resolve().parent))

    def run(scope: dict[str, Any]) -> None:
        scope.update(__file__=str(place), __cached__=None, __spec__=None)
        exec(compile(source, str(place), "exec"), scope)  # noqa: S102

    return run


def _search(folder: str) -> None:
    """Looks for modules in the program's folder first, where Python would."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _run_module(name: str, scope: dict[str, Any]) -> None:
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    if spec is None:
        raise ImportError(f"No module named {name}")
    sys.argv[0] = spec.origin or name
    _run(spec, scope)


def _run(spec: ModuleSpec, scope: dict[str, Any]) -> None:
    """Runs the code that a loader has for a module."""
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name)
    if code is None:
        raise ImportError(f"No code object available for {spec.name}")
    scope.update(
        __file__=spec.origin, __spec__=spec, __package__=spec.parent, __loader__=spec.loader
    )
    exec(code, scope)  # noqa: S102


def _own(error: BaseException) -> types.TracebackType | None:
    """The traceback from the program's first line on."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename == __file__:
        place = place.tb_next
    return place


def _tell(record: Record, report: Path | None, every: bool | None) -> None:
    if report is not None:
        report.write_text(dumps({"schema": 1, **record.to_dict()}) + "\n", encoding="utf-8")
    elif every is not None:
        sys.stderr.write(record.text(every) + "\n")

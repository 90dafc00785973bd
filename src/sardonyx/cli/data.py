"""What commands read and write: models and arrays, by path or `-` for the standard streams."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sardonyx.cli.output import Output, note_model
from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument, NoSuchFile, UsageError
from sardonyx.core.near import near
from sardonyx.formats import load, save, to_bytes
from sardonyx.formats.arrays import SUFFIXES, read_arrays, typed, write_arrays
from sardonyx.graph.ir import Graph
from sardonyx.session.feeds import unknown_input

STREAM = "-"


def open_model(path: str) -> Graph:
    """The model of a file, or of standard input for `-`; a missing file suggests a near one."""
    note_model(path)
    if path == STREAM:
        return load(sys.stdin.buffer)
    try:
        return load(path)
    except NoSuchFile as error:
        raise error.locate(hint=_near(Path(path))) from None


def _near(path: Path) -> str | None:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return None
    others = [n for n in names if n != path.name]
    return near(path.name, others, f"`{path.parent / '{}'}`")


def save_model(graph: Graph, path: str, out: Output, external: bool | None = None) -> None:
    """Writes a model to a file, or to standard output for `-`; `external` as in `formats.save`."""
    if path != STREAM:
        save(graph, path, external_data=external)
        out.note(f"wrote {path}")
        return
    if sys.stdout.isatty():
        raise UsageError("E0914", "a model is not written to a terminal", hint="-o net.onnx")
    sys.stdout.buffer.write(to_bytes(graph))
    sys.stdout.buffer.flush()


def check_target(path: str, out: Output) -> None:
    """Refuses what cannot be written before work begins; `-` takes standard output."""
    if path == STREAM:
        out.stdout_taken = True
        return
    target = Path(path)
    if target.is_dir():
        raise NoSuchFile("E0103", f"`{path}` is a folder", file=path)
    if not target.absolute().parent.is_dir():
        raise NoSuchFile("E0103", f"there is no folder `{target.parent}`", file=path)


def read_inputs(items: Sequence[str], graph: Graph) -> dict[str, Array]:
    """Feeds from `name=file` items; `file` alone is the only input, or an .npz of all of them."""
    feeds: dict[str, Array] = {}
    kinds = {v.name: v.dtype for v in graph.inputs}
    for item in items:
        for name, x in _item(item, graph).items():
            try:
                feeds[name] = typed(x, kinds.get(name))
            except InvalidArgument as error:
                raise error.locate(tensor=name) from None
    return feeds


def _item(item: str, graph: Graph) -> dict[str, Array]:
    name, equals, path = item.partition("=")
    if not equals:
        return _named(read_arrays(Path(item)), graph)
    if not name or not path or not path.endswith(SUFFIXES):
        at = len(name) + 1 if name else 0
        said = f"an input looks like x=x.npy\n    {item}\n    {' ' * at}^"
        hint = "shapes belong to convert; here random inputs take --dim N=4"
        raise UsageError("E0915", said, hint=hint if "x" in path else None)
    known = [v.name for v in graph.inputs]
    if name not in known:
        raise unknown_input(name, known)
    found = read_arrays(Path(path))
    if name not in found and len(found) != 1:
        held = ", ".join(found)
        raise InvalidArgument("E0209", f"`{path}` has no array `{name}`", given=held, file=path)
    return {name: found.get(name, next(iter(found.values())))}


def _named(found: Mapping[str, Array], graph: Graph) -> dict[str, Array]:
    inputs = [v.name for v in graph.inputs if v.const is None]
    if len(found) == 1 and len(inputs) == 1:
        return {inputs[0]: next(iter(found.values()))}
    return dict(found)


def parse_count(text: str) -> int:
    """A whole number of at least 1; UsageError."""
    if not text.isdecimal() or int(text) < 1:
        raise UsageError("E0901", f"`{text}` is no whole number of at least 1")
    return int(text)


__all__ = [
    "check_target",
    "open_model",
    "parse_count",
    "read_arrays",
    "read_inputs",
    "save_model",
    "write_arrays",
]

"""Arrays between files and commands: .npy, .npz and .json in, .npy and .npz out."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.core.errors import InvalidArgument, NoSuchFile, UsageError
from sardonyx.graph.ir import Graph

Array = np.ndarray[Any, Any]


def read_inputs(items: Sequence[str], graph: Graph) -> dict[str, Array]:
    """Feeds from `name=file` items; `file` alone is the only input, or an .npz of all of them."""
    feeds: dict[str, Array] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals:
            feeds.update(_named(read_arrays(Path(name)), graph))
            continue
        found = read_arrays(Path(path))
        feeds[name] = found.get(name, next(iter(found.values())))
    return {name: _typed(graph, name, x) for name, x in feeds.items()}


def _named(found: Mapping[str, Array], graph: Graph) -> dict[str, Array]:
    inputs = [v.name for v in graph.inputs if v.const is None]
    if len(found) == 1 and len(inputs) == 1:
        return {inputs[0]: next(iter(found.values()))}
    return dict(found)


def _typed(graph: Graph, name: str, x: Array) -> Array:
    """Numbers read from JSON take the dtype that the model wants; other arrays stay as they are."""
    for v in graph.inputs:
        if v.name == name and v.dtype is not None and isinstance(x, _FromJson):
            return np.asarray(x).astype(v.dtype.numpy)
    return x


class _FromJson(np.ndarray[Any, Any]):
    """An array whose dtype is only how JSON spells numbers."""


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file by name; an .npy has one, named after the file. No pickle is read."""
    if not path.is_file():
        raise NoSuchFile("E0101", f"there is no file `{path}`", file=str(path))
    try:
        if path.suffix == ".json":
            return _json(path)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {path.stem: found}
        with found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError) as problem:
        raise InvalidArgument(
            "E0209", f"cannot read arrays from `{path}`: {problem}", file=str(path),
            hint="a .npy, .npz or .json file without Python objects is wanted",
        ) from problem  # fmt: skip


def _json(path: Path) -> dict[str, Array]:
    loaded = json.loads(path.read_text(encoding="utf-8"))
    items = loaded if isinstance(loaded, dict) else {path.stem: loaded}
    return {name: np.asarray(x).view(_FromJson) for name, x in items.items()}


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes one array as .npy or several as .npz, whole or not at all."""
    if path.suffix not in (".npy", ".npz"):
        raise UsageError("E0914", f"cannot write arrays to `{path}`", wanted=".npy or .npz")
    if path.suffix == ".npy" and len(arrays) != 1:
        raise UsageError("E0914", f"{len(arrays)} outputs do not fit one .npy", hint="use .npz")
    with whole_file(path) as beside:
        with beside.open("wb") as stream:
            if path.suffix == ".npy":
                np.save(stream, next(iter(arrays.values())), allow_pickle=False)
            else:
                np.savez(stream, allow_pickle=False, **{n: np.asarray(x) for n, x in arrays.items()})


class whole_file:  # noqa: N801 - reads as a function
    """A path beside the target to write to; it takes the target's place when all went well."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        try:
            handle, name = tempfile.mkstemp(
                dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".part"
            )
        except OSError as problem:
            raise InvalidArgument(
                "E0125", f"cannot write `{self._path}`: {problem.strerror}", file=str(self._path)
            ) from problem
        os.close(handle)
        self._beside = Path(name)
        return self._beside

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._beside.chmod(0o644)
            self._beside.replace(self._path)
        else:
            self._beside.unlink(missing_ok=True)

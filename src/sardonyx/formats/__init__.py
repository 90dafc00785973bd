"""Model files to graphs and back: one module, one format, each with `match`, `load`, `save`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sardonyx.core.errors import InvalidArgument, NoSuchFile, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.formats import onnx as onnx_format
from sardonyx.formats.files import read_model
from sardonyx.formats.stored import Stored
from sardonyx.graph.ir import Graph

# Bytes from which a format is told.
_HEAD = 64


class Readable(Protocol):
    """A binary file object."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""


class Serializable(Protocol):
    """An onnx.ModelProto, or whatever else gives its bytes in the same way."""

    def SerializeToString(self) -> bytes:  # noqa: N802
        """The encoded message."""


Loadable: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | Serializable"
)

Content: TypeAlias = "bytes | memoryview | Stored"

__all__ = ["load", "save", "to_bytes", "to_proto"]


class Format(Protocol):
    """A module that reads and writes one format."""

    @property
    def SUFFIXES(self) -> Sequence[str]:  # noqa: N802
        """The endings of its files' names."""

    def match(self, head: bytes | memoryview, /) -> bool:
        """Whether bytes that begin so may be of this format."""

    def load(
        self, source: Content, limits: Limits, *, folder: Path | None, model: Path | None
    ) -> Graph:
        """The graph of a file's content; `model` is the file, `folder` where others lie."""

    def save(
        self, graph: Graph, path: str | os.PathLike[str], external: bool | int | None, /
    ) -> None:
        """Writes a graph; nothing half-written is ever seen at `path`."""


# The first whose `match` holds reads a model; the one of its suffix writes it, ONNX any other.
FORMATS: tuple[Format, ...] = (onnx_format,)


def load(
    source: Loadable,
    limits: Limits | None = None,
    *,
    base_dir: str | os.PathLike[str] | None = None,
) -> Graph:
    """The graph of a model: a path, bytes, a binary file object or an onnx.ModelProto.

    External data are looked for beside the file, or in `base_dir`. Large weights stay in their file
    until they are used. Errors as `formats.onnx.load`, and NoSuchFile for an unreadable path.
    """
    budget = limits or Limits.current()
    if isinstance(source, str | os.PathLike):
        return _load_path(Path(source), budget, base_dir)
    data = _bytes_of(source, budget)
    folder = Path(base_dir) if base_dir is not None else None
    return _load_content(data, budget, folder, None)


def _load_path(path: Path, limits: Limits, base_dir: str | os.PathLike[str] | None) -> Graph:
    folder = Path(base_dir) if base_dir is not None else path.parent
    try:
        graph = _load_content(read_model(path, limits), limits, folder, path)
    except SardonyxError as problem:
        raise problem.locate(file=str(path)) from None
    graph.source = str(path)
    return graph


def _load_content(data: Content, limits: Limits, folder: Path | None, model: Path | None) -> Graph:
    head = data.read(0, min(_HEAD, data.size)) if isinstance(data, Stored) else data[:_HEAD]
    for one in FORMATS:
        if one.match(head):
            return one.load(data, limits, folder=folder, model=model)
    raise onnx_format.explain_mismatch(head)


def _bytes_of(source: Any, limits: Limits) -> bytes | memoryview:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source) if isinstance(source, bytearray) else source
    if hasattr(source, "SerializeToString"):
        data: bytes = source.SerializeToString()
        return data
    if hasattr(source, "read"):
        most = -1 if limits.file_bytes is None else limits.file_bytes + 1
        found = source.read(most)
        if isinstance(found, bytes):
            return found
    raise InvalidArgument(
        "E0104",
        "a model cannot be loaded from this",
        given=type(source).__name__,
        wanted="a path, bytes, a binary file object or an onnx.ModelProto",
    )


def save(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    external_data: bool | int | None = None,
    data_file: str | None = None,
) -> None:
    """Write the model to `path`, as ONNX unless its suffix is another format's.

    Nothing half-written is ever seen there.

    `external_data`: None leaves each tensor inside or outside as it came, True moves tensors of
    1 KiB and more to `<path>.data`, a number those of that many bytes, False keeps all inside.
    `data_file` is another name for that file, beside a model that is then ONNX.
    NoSuchFile (E0103) when the target cannot be written, LimitExceeded (E0105) beyond 2 GiB.
    """
    suffix = Path(path).suffix
    writer = next((one for one in FORMATS if suffix in one.SUFFIXES), onnx_format)
    try:
        if data_file is None:
            writer.save(graph, path, external_data)
        else:
            onnx_format.save(graph, path, external_data, data_file)
    except NoSuchFile as problem:
        raise problem.locate(file=os.fspath(path)) from None


def to_bytes(graph: Graph) -> bytes:
    """The model as the bytes of an ONNX file with all data inside."""
    return onnx_format.to_bytes(graph)


def to_proto(graph: Graph) -> Any:
    """The model as an onnx.ModelProto; InvalidArgument (E0106) where `onnx` is not installed."""
    try:
        import onnx
    except ImportError:
        raise InvalidArgument(
            "E0106", "an onnx.ModelProto needs the package onnx", hint="pip install onnx"
        ) from None
    return onnx.ModelProto.FromString(to_bytes(graph))

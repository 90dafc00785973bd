"""The ONNX format: `match` knows it by its bytes, `load` reads a graph, `save` writes one."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sardonyx.core.errors import InvalidProtobuf, LimitExceeded, NoSuchFile
from sardonyx.core.limits import Limits
from sardonyx.formats.encode import Chunk, chunks, plain
from sardonyx.formats.files import Folder, replacing, safe_parts
from sardonyx.formats.message import Message, find_all
from sardonyx.formats.onnx_read import GraphExtra, ModelExtra, read_model
from sardonyx.formats.onnx_tensor import EXTERNAL, resolve
from sardonyx.formats.onnx_type import denotations, dims_of
from sardonyx.formats.onnx_write import write_model, write_pairs
from sardonyx.formats.skeleton import Skeleton
from sardonyx.formats.stored import Stored
from sardonyx.formats.wire import decode, entries
from sardonyx.graph.ir import Graph, Value

# Bytes of a protobuf message: its own limit.
LARGEST = (1 << 31) - 1
# Bytes from which a tensor goes to the external file, as the onnx package does.
THRESHOLD = 1024
# A page, so that what is mapped can be used where it lies.
_ALIGNMENT = 4096
# Smaller tensors stand close together: aligned, they would double the file.
_ALIGNED_FROM = 1 << 16
SUFFIXES = (".onnx",)
_SUFFIX = ".data"
_OTHERS = (
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (0, b"PK\x03\x04", "a zip archive, as PyTorch's checkpoints and .npz files are"),
    (0, b"\x80\x02", "a Python pickle"),
    (0, b"\x80\x04", "a Python pickle"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes"),
    (0, b"\x1f\x8b", "gzip data; decompress it first"),
    (0, b"GGUF", "a GGUF model"),
    (4, b"ORTM", "ONNX Runtime's own ORT format; use the .onnx file it was made from"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"<", "a web page or XML"),
    (0, b"{", "JSON"),
)


@dataclass(frozen=True)
class ModelInfo:
    """What a model says about itself."""

    ir_version: int
    producer_name: str
    producer_version: str
    domain: str
    model_version: int
    doc: str
    graph_doc: str


def match(head: bytes | memoryview) -> bool:
    """Whether the bytes may begin an ONNX model: the first tag is one of ModelProto's."""
    return len(head) > 0 and any(
        bytes(head[: len(tag)]) == tag
        for tag in (
            number.to_bytes((number.bit_length() + 7) // 8, "little")
            for number in entries("ModelProto")
        )
    )


def explain_mismatch(head: bytes | memoryview) -> InvalidProtobuf:
    """The exception for bytes that `match` refused, naming the format where it is a known one."""
    if not len(head):
        return InvalidProtobuf("E0102", "the file is empty")
    for offset, magic, name in _OTHERS:
        if bytes(head[offset : offset + len(magic)]) == magic:
            return InvalidProtobuf("E0102", f"this is no ONNX model but {name}")
    return InvalidProtobuf("E0102", "this is no ONNX model: it begins with other bytes")


def load(
    source: bytes | memoryview | Stored,
    limits: Limits,
    *,
    folder: Path | None = None,
    model: Path | None = None,
) -> Graph:
    """The graph of an encoded ModelProto; `folder` is where its external data lie.

    InvalidProtobuf, InvalidGraph, ExternalDataError or LimitExceeded when it cannot be read.
    """
    kept = Skeleton(source) if isinstance(source, Stored) else None
    data = source if kept is None else kept.data
    assert not isinstance(data, Stored)
    limits.check_file(len(data))
    home = Folder(folder, model, limits) if folder is not None else None
    with _collector_paused():
        message = decode("ModelProto", data, limits)
        if kept is not None:
            kept.settle(message)
        resolve(message, home, limits)
        try:
            return read_model(message, limits)
        except RecursionError:
            raise LimitExceeded(
                "E0502", "graphs are nested too deep", hint="flatten the nested graphs"
            ) from None


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Without searches for cycles, which cost half the time where millions of objects are made."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def info(graph: Graph) -> ModelInfo:
    """What the model of a main graph says about itself; empty where it came from no file."""
    extra = graph.extra
    model = extra.model if isinstance(extra, ModelExtra) else Message("ModelProto")
    return ModelInfo(
        model.number("ir_version"),
        model.text("producer_name"),
        model.text("producer_version"),
        model.text("domain"),
        model.number("model_version"),
        model.text("doc_string"),
        graph.doc,
    )


def declared_dims(graph: Graph) -> dict[str, list[int | str | None]]:
    """The dims of a main graph's inputs and outputs as its file has them; None says nothing."""
    extra = graph.extra
    if not isinstance(extra, GraphExtra):
        return {}
    told = [info.message for _, info in (*extra.inputs, *extra.outputs)]
    return {m.text("name"): dims for m in told if (dims := dims_of(m)) is not None}


def denoted(graph: Graph) -> Iterator[tuple[Value, int, str]]:
    """Each input, axis and word of a main graph where the file says what a dim stands for."""
    extra = graph.extra
    for value, info in extra.inputs if isinstance(extra, GraphExtra) else ():
        for axis, word in enumerate(denotations(info.message)):
            if word:
                yield value, axis, word


def to_bytes(graph: Graph) -> bytes:
    """The encoded ModelProto with all data inside; LimitExceeded (E0105) beyond 2 GiB."""
    message = _inlined(write_model(graph))
    return b"".join(map(plain, _bounded(chunks(message))))


def save(
    graph: Graph,
    path: str | os.PathLike[str],
    external: bool | int | None = None,
    data_file: str | None = None,
) -> None:
    """Write the graph to `path`, and where asked its large tensors to `<path>.data` beside it.

    `external` True (or a number of bytes) moves tensors of at least 1 KiB (that many bytes) out,
    False keeps all data inside, None leaves each tensor as it came. `data_file` is another name
    for that file. ExternalDataError (E0120) for one that leads elsewhere.
    """
    message = write_model(graph)
    name = _data_name(Path(path).name, data_file)
    tensors = list(find_all(message, "TensorProto"))
    outside = {id(t): t for t in tensors if _goes_out(t, external)}
    inside = {id(t): _stored_inside(t) for t in tensors if _is_external(t) and id(t) not in outside}
    layout, placed = _lay_out(list(outside.values()), name)
    encoded = _bounded(chunks(_rewritten(message, {**inside, **placed})))
    with contextlib.ExitStack() as both:
        # Either may hold data that are still read from the file it replaces: the data file takes
        # its place first, when both are written.
        whole = both.enter_context(replacing(path))
        if layout:
            _write_data(both.enter_context(replacing(Path(path).with_name(name))), layout)
        whole.writelines(map(plain, encoded))


def _data_name(model: str, asked: str | None) -> str:
    if asked is None:
        return model + _SUFFIX
    if safe_parts(asked)[1:] or asked == model:
        raise NoSuchFile("E0103", "the data lie in another file beside the model", given=asked)
    return asked


def _bounded(pieces: list[Chunk]) -> list[Chunk]:
    size = sum(map(len, pieces))
    if size > LARGEST:
        raise LimitExceeded(
            "E0105",
            f"the model has {size} bytes, and a protobuf file at most {LARGEST}",
            hint="save with external_data=True",
        )
    return pieces


def _is_external(tensor: Message) -> bool:
    return tensor.number("data_location") == EXTERNAL


def _goes_out(tensor: Message, external: bool | int | None) -> bool:
    if external is None or external is False:
        return external is None and _is_external(tensor)
    least = THRESHOLD if external is True else external
    if _is_external(tensor):
        return tensor.source is not None and tensor.source.length >= least
    return len(tensor.fields.get("raw_data", b"")) >= max(least, 1)


def _inlined(message: Message) -> Message:
    """The model with every external tensor's data inside."""
    outside = [t for t in find_all(message, "TensorProto") if _is_external(t)]
    return _rewritten(message, {id(t): _stored_inside(t) for t in outside})


def _stored_inside(tensor: Message) -> Message:
    inside = Message("TensorProto", dict(tensor.fields))
    inside.put("external_data", None)
    inside.put("data_location", None)
    inside.fields["raw_data"] = tensor.source
    return inside


Layout = list[tuple[int, Message]]


def _lay_out(tensors: list[Message], name: str) -> tuple[Layout, dict[int, Message]]:
    """Where each tensor's data stand in the data file, and the tensors that say so."""
    layout: Layout = []
    placed: dict[int, Message] = {}
    end = 0
    for tensor in tensors:
        length = _length(tensor)
        if length >= _ALIGNED_FROM:
            end += -end % _ALIGNMENT
        layout.append((end, tensor))
        moved = Message("TensorProto", dict(tensor.fields))
        moved.put("raw_data", None)
        pairs = {"location": name, "offset": str(end), "length": str(length)}
        moved.put("external_data", write_pairs(pairs))
        moved.put("data_location", EXTERNAL)
        placed[id(tensor)] = moved
        end += length
    return layout, placed


def _length(tensor: Message) -> int:
    if _is_external(tensor):
        length: int = tensor.source.length
        return length
    return len(tensor.fields["raw_data"])


def _write_data(file: BinaryIO, layout: Layout) -> None:
    end = 0
    for offset, tensor in layout:
        file.write(bytes(offset - end))
        data = plain(tensor.source if _is_external(tensor) else tensor.fields["raw_data"])
        file.write(data)
        end = offset + len(data)


def _rewritten(message: Message, placed: dict[int, Message]) -> Message:
    """The message with tensors replaced, by identity; what holds none of them is shared."""
    if not placed:
        return message
    holders = _holders(message, placed)
    fresh: dict[int, Message] = dict(placed)
    for holder in reversed(holders):
        copy = holder.copy()
        for name, value in holder.fields.items():
            if isinstance(value, Message):
                copy.fields[name] = fresh.get(id(value), value)
            elif isinstance(value, list) and value and isinstance(value[0], Message):
                copy.fields[name] = [fresh.get(id(m), m) for m in value]
        fresh[id(holder)] = copy
    return fresh[id(message)]


def _holders(message: Message, placed: dict[int, Message]) -> list[Message]:
    """The messages on the way to tensors, each before those that it holds."""
    found: list[Message] = []
    stack = [message]
    while stack:
        here = stack.pop()
        if here.kind == "TensorProto" or id(here) in placed:
            continue
        found.append(here)
        held = here.fields.values()
        lists = (v if isinstance(v, list) else [v] for v in held)
        stack.extend(m for m in itertools.chain.from_iterable(lists) if isinstance(m, Message))
    return found

"""TensorProto and SparseTensorProto to constant tensors and back; external data by way of Folder.

`resolve` looks at every tensor that the tables allow a model to hold and gives those with external
data their `source`, vetted. Reading a tensor afterwards never looks at a path again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType, unpack
from sardonyx.core.errors import ExternalDataError, InvalidProtobuf, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.formats.files import Folder, safe_parts
from sardonyx.formats.message import Message, find_all
from sardonyx.formats.packed import Packed
from sardonyx.formats.stored import LARGE, Piece, Stored

EXTERNAL = 1
_KEYS = frozenset({"location", "offset", "length", "checksum"})
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_HOLDERS = {
    DType.FLOAT32: "float_data",
    DType.COMPLEX64: "float_data",
    DType.FLOAT64: "double_data",
    DType.COMPLEX128: "double_data",
    DType.INT64: "int64_data",
    DType.UINT32: "uint64_data",
    DType.UINT64: "uint64_data",
    DType.STRING: "string_data",
}


@dataclass(frozen=True)
class Segment:
    """A piece of an external file; `folder` is None for a model that came without one."""

    folder: Folder | None
    location: str
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length

    def read(self) -> bytes | memoryview:
        """The bytes, in memory of their own; ExternalDataError where they cannot be had."""
        return self._home().read(self.location, self.offset, self.length)

    def map(self) -> tuple[memoryview, Stored] | None:
        """The bytes where they lie, and their file; None where only `read` is safe."""
        if self.length < LARGE:
            return None
        return Piece(self._home().stored(self.location), self.offset, self.length).map()

    def _home(self) -> Folder:
        if self.folder is None:
            raise ExternalDataError(
                "E0124",
                f"the external data at `{self.location}` cannot be found: the model came "
                "without a folder",
                hint="load the model from its path, or pass base_dir=",
            )
        return self.folder


@dataclass(frozen=True)
class _Typed:
    """Elements in one of TensorProto's typed fields."""

    dtype: DType
    count: int
    run: Packed

    def read(self) -> Array:
        """The elements as an array."""
        numbers = self.run.numpy()
        if self.dtype.is_packed and self.dtype.bits != 6:
            return unpack(numbers.astype(np.uint8), self.dtype, self.count)
        if self.run.kind == "int32" and not self.dtype.is_int:
            width = np.dtype(f"u{self.dtype.numpy.itemsize}")
            if self.dtype.is_bool:
                return numbers.astype(np.bool_)
            return numbers.astype(width).view(self.dtype.numpy)
        if self.dtype.is_complex:
            return numbers.view(self.dtype.numpy)
        return numbers.astype(self.dtype.numpy, copy=False)


def resolve(root: Message, folder: Folder | None, limits: Limits) -> None:
    """Give every external tensor in `root`, wherever it lies, its vetted `source`."""
    for tensor in find_all(root, "TensorProto"):
        if tensor.number("data_location") == EXTERNAL:
            try:
                tensor.source = _segment(tensor, folder, limits)
            except SardonyxError as problem:
                raise problem.locate(tensor=tensor.text("name")) from None


def _segment(tensor: Message, folder: Folder | None, limits: Limits) -> Segment:
    entries: dict[str, str] = {}
    for pair in tensor.children("external_data"):
        key = pair.text("key")
        if key in entries and key in _KEYS:
            raise InvalidProtobuf("E0122", f"the external data name `{key}` twice")
        entries[key] = pair.text("value")
    location = entries.get("location", "")
    safe_parts(location)
    if any(tensor.has(name) for name in (*_TYPED, "raw_data")):
        raise InvalidProtobuf("E0113", "a tensor is stored both here and in an external file")
    dtype = DType.from_onnx(tensor.number("data_type"))
    if dtype.is_string:
        raise InvalidProtobuf("E0122", "strings cannot be stored in external data")
    needed = dtype.nbytes(_count(tensor, dtype, limits))
    offset = _whole(entries, "offset", 0)
    length = _whole(entries, "length", needed)
    if length != needed:
        raise InvalidProtobuf(
            "E0123",
            "the length of the external data does not fit the tensor's type and dims",
            given=f"{length} bytes",
            wanted=f"{needed} bytes",
        )
    segment = Segment(folder, location, offset, length)
    if folder is not None:
        _look(folder, segment)
    return segment


def _look(folder: Folder, segment: Segment) -> None:
    """Refuse what is unsafe or out of bounds now; a missing file only when it is needed."""
    try:
        size = folder.size(segment.location)
    except ExternalDataError as problem:
        if problem.code == "E0125":
            return
        raise
    if segment.length > size or segment.offset > size - segment.length:
        folder.read(segment.location, segment.offset, segment.length)


def _whole(entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InvalidProtobuf(
            "E0122", f"the {key} of external data is no whole number", given=text[:80]
        )
    return int(text)


def _count(tensor: Message, dtype: DType, limits: Limits) -> int:
    dims = tensor.numbers("dims")
    if any(dim < 0 for dim in dims):
        raise InvalidProtobuf("E0110", "a stored tensor has a negative dim", given=dims)
    return limits.check_tensor(dtype, dims, tensor.text("name"))


def read_tensor(message: Message, limits: Limits) -> Tensor:
    """The constant tensor of a TensorProto that `resolve` has seen; InvalidProtobuf if damaged."""
    name = message.text("name")
    try:
        dtype = DType.from_onnx(message.number("data_type"))
        count = _count(message, dtype, limits)
        source = message.source or _inline(message, dtype, count)
        return Tensor(dtype, message.numbers("dims"), source, name=name, origin=message)
    except InvalidProtobuf as problem:
        raise problem.locate(tensor=name) from None


def _inline(message: Message, dtype: DType, count: int) -> Any:
    """The elements stored in the message itself, checked against their number."""
    held = [name for name in (*_TYPED, "raw_data") if message.has(name)]
    if message.has("segment") or len(held) > 1:
        raise InvalidProtobuf("E0113", "a stored tensor has more than one source", given=held)
    holder = _HOLDERS.get(dtype, "int32_data")
    if not held:
        if count:
            raise _misfit("no elements", dtype, message)
        return np.empty(0, dtype.numpy)
    if held == ["raw_data"]:
        return message.fields["raw_data"]
    if held != [holder]:
        raise InvalidProtobuf("E0113", f"{dtype} elements are not stored in {held[0]}")
    stored = message.fields[holder]
    if len(stored) != _stored(dtype, count):
        raise _misfit(f"{len(stored)} in {holder}", dtype, message)
    if dtype.is_string:
        return _texts(stored)
    return _Typed(dtype, count, stored)


def _stored(dtype: DType, count: int) -> int:
    """The entries that a typed field has for `count` elements."""
    if dtype.is_complex:
        return 2 * count
    if dtype.is_packed and dtype.bits != 6:
        return dtype.nbytes(count)
    return count


def _misfit(found: str, dtype: DType, message: Message) -> InvalidProtobuf:
    return InvalidProtobuf(
        "E0111",
        "the stored elements do not fit the tensor's type and dims",
        given=found,
        wanted=f"{dtype}{message.numbers('dims')}",
    )


def _texts(stored: list[bytes]) -> Array:
    texts = np.empty(len(stored), object)
    texts[:] = [item.decode("utf-8", "surrogateescape") for item in stored]
    return texts


def read_sparse(message: Message, limits: Limits) -> SparseTensor:
    """The sparse tensor of a SparseTensorProto; InvalidProtobuf when a part is missing."""
    values, indices = message.child("values"), message.child("indices")
    if values is None or indices is None:
        raise InvalidProtobuf("E0111", "a sparse tensor lacks its values or its indices")
    tensor = read_tensor(values, limits)
    dims = message.numbers("dims")
    limits.check_rank(len(dims), tensor.name)
    return SparseTensor(tensor, read_tensor(indices, limits), tuple(dims), message)


def write_tensor(tensor: Tensor) -> Message:
    """The TensorProto of a tensor; as it was read where it came from one."""
    if isinstance(tensor.origin, Message):
        if tensor.origin.text("name") == tensor.name:
            return tensor.origin
        renamed = tensor.origin.copy()
        renamed.put("name", tensor.name)
        return renamed
    message = Message("TensorProto")
    message.put("dims", list(tensor.shape))
    message.put("data_type", tensor.dtype.value)
    message.put("name", tensor.name or None)
    if tensor.dtype.is_string:
        texts = [str(text) for text in tensor.numpy().reshape(-1)]
        message.put("string_data", [text.encode("utf-8", "surrogateescape") for text in texts])
    else:
        message.put("raw_data", tensor.packed())
    return message


def write_sparse(tensor: SparseTensor) -> Message:
    """The SparseTensorProto of a sparse tensor."""
    if isinstance(tensor.origin, Message):
        return tensor.origin
    message = Message("SparseTensorProto")
    message.put("values", write_tensor(tensor.values))
    message.put("indices", write_tensor(tensor.indices))
    message.put("dims", list(tensor.dims))
    return message

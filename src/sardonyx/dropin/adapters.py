"""Adapters (LoRA): files of named tensors that take the place of inputs' defaults for a run.

The file is a FlatBuffer: a table of three numbers and a vector of parameters, each a table of its
name, its dims, the number of its type, and its bytes, which begin at a multiple of eight.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidProtobuf, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.formats.files import replacing, unreadable
from sardonyx.session.value import OrtValue

_MARK = b"TORT"
_FORMAT = 1
_VTABLE = 8


class AdapterFormat:
    """The content of an adapter's file."""

    def __init__(self, adapter: AdapterFormat | None = None) -> None:
        held = (_FORMAT, 0, 0) if adapter is None else adapter._versions
        self._versions: tuple[int, int, int] = held
        self.parameters: dict[str, OrtValue] = {} if adapter is None else adapter.parameters

    @staticmethod
    def read_adapter(file_path: str | os.PathLike[str]) -> AdapterFormat:
        """The content of a file; NoSuchFile, InvalidProtobuf (E0258) where it is no adapter's."""
        made = AdapterFormat()
        name = os.fspath(file_path)
        try:
            Limits.current().check_file(Path(name).stat().st_size, name)
            data = Path(name).read_bytes()
        except OSError as problem:
            raise unreadable(name, problem) from None
        try:
            made._versions, made.parameters = _read(data)
        except (struct.error, ValueError, OverflowError, SardonyxError) as problem:
            said = f"the file holds no adapter: {problem}"
            raise InvalidProtobuf("E0258", said, file=name) from None
        return made

    def export_adapter(self, file_path: str | os.PathLike[str]) -> None:
        """Writes the file."""
        arrays = {name: value.numpy() for name, value in self.parameters.items()}
        with replacing(file_path) as stream:
            stream.write(_written(self._versions, arrays))

    def get_format_version(self) -> int:
        """The version of the file's form."""
        return self._versions[0]

    def set_adapter_version(self, adapter_version: int) -> None:
        """Sets a number of the user's own."""
        self._versions = (self._versions[0], adapter_version, self._versions[2])

    def get_adapter_version(self) -> int:
        """A number of the user's own."""
        return self._versions[1]

    def set_model_version(self, model_version: int) -> None:
        """Sets which version of the model it is for."""
        self._versions = (*self._versions[:2], model_version)

    def get_model_version(self) -> int:
        """Which version of the model it is for."""
        return self._versions[2]

    format_version = property(get_format_version)
    adapter_version = property(get_adapter_version, set_adapter_version)
    model_version = property(get_model_version, set_model_version)

    def set_parameters(self, params: Mapping[str, OrtValue]) -> None:
        """Sets the tensors by name."""
        self.parameters = dict(params)

    def get_parameters(self) -> dict[str, OrtValue]:
        """The tensors by name."""
        return self.parameters


class LoraAdapter:
    """An adapter to be switched on for a run, by `RunOptions.add_active_adapter`."""

    def __init__(self) -> None:
        self.parameters: dict[str, OrtValue] = {}

    def Load(self, file_path: str | os.PathLike[str]) -> None:  # noqa: N802 - ONNX Runtime's name
        """Takes the tensors of a file in, as `AdapterFormat.read_adapter`."""
        self.parameters = AdapterFormat.read_adapter(file_path).parameters


def _written(versions: tuple[int, int, int], arrays: Mapping[str, Array]) -> bytes:
    """All tables have four fields of four bytes, so that one description serves them."""
    data = bytearray(struct.pack("<I4s6H", 0, _MARK, 12, 20, 4, 8, 12, 16))

    def table(*fields: int) -> int:
        data.extend(struct.pack("<i4i", len(data) - _VTABLE, *fields))
        return len(data) - 20

    def point(at: int) -> None:
        struct.pack_into("<I", data, at, len(data) - at)

    def vector(at: int, count: int, content: bytes, width: int = 8) -> None:
        data.extend(bytes(-(len(data) + 4) % width))
        point(at)
        data.extend(struct.pack("<I", count) + content)
        data.extend(bytes(-len(data) % 4))

    struct.pack_into("<I", data, 0, len(data))
    vector(table(*versions, 0) + 16, len(arrays), bytes(4 * len(arrays)), 4)
    slots = range(len(data) - 4 * len(arrays), len(data), 4)
    for slot, (name, array) in zip(slots, arrays.items(), strict=True):
        point(slot)
        made = table(0, 0, DType.from_numpy(array.dtype).value, 0)
        vector(made + 4, len(name.encode()), name.encode() + b"\0", 4)
        vector(made + 8, array.ndim, np.array(array.shape, "<i8").tobytes())
        vector(made + 16, array.nbytes, np.ascontiguousarray(array).tobytes())
    return bytes(data)


def _read(data: bytes) -> tuple[tuple[int, int, int], dict[str, OrtValue]]:
    if data[4:8] != _MARK:
        raise ValueError("it begins otherwise")
    root = _unsigned(data, 0)
    versions = [_number(data, root, k) for k in range(3)]
    start, count = _vector(data, root, 3, 4)
    found = {}
    for at in range(start, start + 4 * count, 4):
        table = at + _unsigned(data, at)
        name = bytes(_items(data, table, 0, 1)).decode()
        dims = np.frombuffer(_items(data, table, 1, 8), "<i8")
        dtype = DType.from_onnx(_number(data, table, 2)).numpy
        content = np.frombuffer(_items(data, table, 3, 1), dtype)
        found[name] = OrtValue(content.reshape(dims).copy())
    return (versions[0], versions[1], versions[2]), found


def _unsigned(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, k: int) -> int:
    """Where a field is, 0 where the table leaves it out."""
    (back,) = struct.unpack_from("<i", data, table)
    size = struct.unpack_from("<H", data, table - back)[0]
    if 4 + 2 * k >= size:
        return 0
    (place,) = struct.unpack_from("<H", data, table - back + 4 + 2 * k)
    return table + place if place else 0


def _number(data: bytes, table: int, k: int) -> int:
    at = _field(data, table, k)
    return int(struct.unpack_from("<i", data, at)[0]) if at else 0


def _vector(data: bytes, table: int, k: int, width: int) -> tuple[int, int]:
    """Where the items of a vector begin and how many there are, all of them within the file."""
    at = _field(data, table, k)
    if not at:
        return 0, 0
    at += _unsigned(data, at)
    count = _unsigned(data, at)
    if at + 4 + count * width > len(data):
        raise ValueError("it ends too early")
    return at + 4, count


def _items(data: bytes, table: int, k: int, width: int) -> memoryview:
    start, count = _vector(data, table, k, width)
    return memoryview(data)[start : start + count * width]

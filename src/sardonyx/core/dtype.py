"""The 28 ONNX data types, their numpy forms, and the packing of those narrower than a byte.

Packed form is little-endian and least significant bits first, as in `TensorProto.raw_data`: two
4-bit, four 2-bit elements to a byte, four 6-bit elements to three bytes. Unpacked form is a numpy
array with one element per item (`ml_dtypes` for the types numpy lacks). Text is `object` arrays of
`str`.
"""

from __future__ import annotations

import enum
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from sardonyx.core.errors import InvalidArgument, InvalidProtobuf

Array: TypeAlias = np.ndarray[Any, Any]


class DType(enum.Enum):
    """An element type; the value is the number of `TensorProto.DataType`."""

    FLOAT32 = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    FLOAT64 = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20
    UINT4 = 21
    INT4 = 22
    FLOAT4E2M1 = 23
    FLOAT8E8M0 = 24
    UINT2 = 25
    INT2 = 26
    FLOAT6E2M3 = 27
    FLOAT6E3M2 = 28

    numpy: np.dtype[Any]
    bits: int
    is_float: bool
    is_int: bool
    is_signed: bool
    is_bool: bool
    is_string: bool
    is_complex: bool

    def __str__(self) -> str:
        return self.name.lower()

    def nbytes(self, count: int) -> int:
        """Bytes that `count` elements occupy when packed; strings have no fixed size."""
        if self.is_string:
            raise InvalidArgument("E0112", "strings have no fixed size in bytes")
        return (count * self.bits + 7) // 8

    @property
    def is_packed(self) -> bool:
        """Whether an element is narrower than a byte."""
        return self.bits < 8 and not self.is_string

    @classmethod
    def from_onnx(cls, number: int) -> DType:
        """The type with that `TensorProto.DataType` number; InvalidProtobuf when there is none."""
        found = _BY_NUMBER.get(number)
        if found is None:
            raise InvalidProtobuf("E0112", f"{number} is not the number of an ONNX data type")
        return found

    @classmethod
    def from_numpy(cls, dtype: Any) -> DType:
        """The type of a numpy dtype (strings and objects are STRING); InvalidArgument if none."""
        wanted = np.dtype(dtype)
        found = _BY_NUMPY.get(wanted.newbyteorder("="))
        if found is None and wanted.kind in "USTO":
            return cls.STRING
        if found is None:
            raise InvalidArgument("E0112", f"numpy's {wanted} has no ONNX data type")
        return found

    @classmethod
    def parse(cls, name: str) -> DType:
        """The type whose `str` is `name`, ONNX's own spellings (`float`, `double`) included."""
        found = _BY_NAME.get(name.lower())
        if found is None:
            raise InvalidArgument("E0112", f"`{name}` is not an ONNX data type")
        return found


_PROPERTIES: dict[DType, tuple[Any, int, str]] = {
    DType.FLOAT32: (np.float32, 32, "f"),
    DType.UINT8: (np.uint8, 8, "u"),
    DType.INT8: (np.int8, 8, "i"),
    DType.UINT16: (np.uint16, 16, "u"),
    DType.INT16: (np.int16, 16, "i"),
    DType.INT32: (np.int32, 32, "i"),
    DType.INT64: (np.int64, 64, "i"),
    DType.STRING: (np.object_, 0, "s"),
    DType.BOOL: (np.bool_, 8, "b"),
    DType.FLOAT16: (np.float16, 16, "f"),
    DType.FLOAT64: (np.float64, 64, "f"),
    DType.UINT32: (np.uint32, 32, "u"),
    DType.UINT64: (np.uint64, 64, "u"),
    DType.COMPLEX64: (np.complex64, 64, "c"),
    DType.COMPLEX128: (np.complex128, 128, "c"),
    DType.BFLOAT16: (ml_dtypes.bfloat16, 16, "f"),
    DType.FLOAT8E4M3FN: (ml_dtypes.float8_e4m3fn, 8, "f"),
    DType.FLOAT8E4M3FNUZ: (ml_dtypes.float8_e4m3fnuz, 8, "f"),
    DType.FLOAT8E5M2: (ml_dtypes.float8_e5m2, 8, "f"),
    DType.FLOAT8E5M2FNUZ: (ml_dtypes.float8_e5m2fnuz, 8, "f"),
    DType.UINT4: (ml_dtypes.uint4, 4, "u"),
    DType.INT4: (ml_dtypes.int4, 4, "i"),
    DType.FLOAT4E2M1: (ml_dtypes.float4_e2m1fn, 4, "f"),
    DType.FLOAT8E8M0: (ml_dtypes.float8_e8m0fnu, 8, "f"),
    DType.UINT2: (ml_dtypes.uint2, 2, "u"),
    DType.INT2: (ml_dtypes.int2, 2, "i"),
    DType.FLOAT6E2M3: (ml_dtypes.float6_e2m3fn, 6, "f"),
    DType.FLOAT6E3M2: (ml_dtypes.float6_e3m2fn, 6, "f"),
}

for _dtype, (_numpy, _bits, _kind) in _PROPERTIES.items():
    _dtype.numpy = np.dtype(_numpy)
    _dtype.bits = _bits
    _dtype.is_float = _kind == "f"
    _dtype.is_int = _kind in "iu"
    _dtype.is_signed = _kind in "ifc" and _dtype is not DType.FLOAT8E8M0
    _dtype.is_bool = _kind == "b"
    _dtype.is_string = _kind == "s"
    _dtype.is_complex = _kind == "c"

_BY_NUMBER = {d.value: d for d in DType}
_BY_NUMPY = {d.numpy: d for d in DType}
_BY_NAME = {str(d): d for d in DType} | {"float": DType.FLOAT32, "double": DType.FLOAT64}


def pack(array: Array, dtype: DType) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The elements of `array` (of `dtype.numpy`), packed into a flat array of bytes."""
    flat = np.ascontiguousarray(array, dtype.numpy).reshape(-1)
    if not dtype.is_packed:
        return flat.view(np.uint8)
    codes = flat.view(np.uint8) & np.uint8((1 << dtype.bits) - 1)
    group, width = (4, 3) if dtype.bits == 6 else (8 // dtype.bits, 1)
    codes = np.pad(codes, (0, -codes.size % group)).reshape(-1, group)
    if dtype.bits == 6:
        packed = np.empty((len(codes), width), np.uint8)
        packed[:, 0] = codes[:, 0] | codes[:, 1] << 6
        packed[:, 1] = codes[:, 1] >> 2 | codes[:, 2] << 4
        packed[:, 2] = codes[:, 2] >> 4 | codes[:, 3] << 2
    else:
        shifts = np.arange(0, 8, dtype.bits, dtype=np.uint8)
        packed = np.bitwise_or.reduce(codes << shifts, axis=1, keepdims=True)
    return packed.reshape(-1)[: dtype.nbytes(flat.size)]


def unpack(data: Any, dtype: DType, count: int) -> Array:
    """`count` elements out of the packed bytes `data`; zero-copy for types of whole bytes.

    InvalidProtobuf when `data` does not hold exactly that many.
    """
    raw = np.frombuffer(data, np.uint8)
    if raw.size != dtype.nbytes(count):
        raise InvalidProtobuf(
            "E0111", f"{count} {dtype} elements need {dtype.nbytes(count)} bytes, not {raw.size}"
        )
    if not dtype.is_packed:
        return raw.view(dtype.numpy) if raw.size else np.empty(0, dtype.numpy)
    if dtype.bits == 6:
        raw = np.pad(raw, (0, -raw.size % 3)).reshape(-1, 3)
        low, middle, high = raw[:, 0], raw[:, 1], raw[:, 2]
        columns = [low, low >> 6 | middle << 2, middle >> 4 | high << 4, high >> 2]
        codes = np.stack(columns, axis=1)
    else:
        codes = raw[:, None] >> np.arange(0, 8, dtype.bits, dtype=np.uint8)
    codes = (codes & np.uint8((1 << dtype.bits) - 1)).reshape(-1)[:count]
    return codes.view(dtype.numpy)

"""Anything that holds numbers, as a numpy array: without a copy where that is possible."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument

_CPU = 1
_PLAIN = {0: "i", 1: "u", 2: "f", 5: "c"}
_NARROW = {
    4: DType.BFLOAT16,
    10: DType.FLOAT8E4M3FN,
    11: DType.FLOAT8E4M3FNUZ,
    12: DType.FLOAT8E5M2,
    13: DType.FLOAT8E5M2FNUZ,
    14: DType.FLOAT8E8M0,
}


def as_array(x: Any) -> Array:
    """An array over anything with `__array_interface__`, `__array__` or `__dlpack__`, or a list.

    InvalidArgument (E0233) with the object's own words where it refuses.
    """
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    try:
        return _converted(x)
    except Exception as problem:
        raise InvalidArgument(
            "E0233",
            f"an input cannot be read as an array: {problem}",
            given=type(x).__name__,
            hint="pass a numpy array, or x.detach() where x needs a gradient",
        ) from problem


def _converted(x: Any) -> Array:
    if hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__"):
        device = x.__dlpack_device__()[0]
        if int(device) == _CPU:
            return from_dlpack(x)
    return np.asarray(x)


def from_dlpack(x: Any) -> Array:
    """An array over the memory of a DLPack producer or capsule on the CPU; bfloat16, float8 too."""
    x = x if hasattr(x, "__dlpack__") else _Capsule(x)
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError):
        return _narrow(x)


class _Capsule:
    """A producer of the one capsule it is given."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU, 0


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


class _Owner:
    """Memory for numpy: keeps the capsule, and with it the producer's memory, alive."""

    def __init__(self, capsule: Any, interface: dict[str, Any]) -> None:
        self._capsule = capsule
        self.__array_interface__ = interface


def _narrow(x: Any) -> Array:
    """The elements of a DLPack tensor of a type that numpy itself does not know."""
    capsule = x.__dlpack__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = (ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p])
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor"))
    dtype = _NARROW.get(tensor.dtype.code)
    if dtype is None or tensor.dtype.lanes != 1 or tensor.dtype.bits != dtype.bits:
        kind = _PLAIN.get(tensor.dtype.code, f"code {tensor.dtype.code}")
        raise TypeError(f"DLPack type {kind}{tensor.dtype.bits} is not supported")
    shape = tuple(tensor.shape[: tensor.ndim])
    size = dtype.numpy.itemsize
    strides = tuple(s * size for s in tensor.strides[: tensor.ndim]) if tensor.strides else None
    start = (tensor.data or 0) + tensor.offset
    interface = {
        "version": 3,
        "shape": shape,
        "strides": strides,
        "typestr": f"<u{size}",
        "data": (start, True),
    }
    return np.asarray(_Owner(capsule, interface)).view(dtype.numpy)

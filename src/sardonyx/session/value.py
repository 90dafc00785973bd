"""OrtValue: a tensor or sequence that sessions take and give, by ONNX Runtime's interface."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.graph.ir import Type, tensor_type
from sardonyx.session.arrays import as_array, from_dlpack
from sardonyx.session.describe import type_name


def check_device(name: str) -> None:
    """InvalidArgument (E0208) for any device but the CPU."""
    if name.lower() != "cpu":
        raise InvalidArgument("E0208", f"there is no device `{name}` here", wanted="cpu")


def element_dtype(element: Any) -> DType:
    """The type that a numpy dtype, an ONNX type number or ONNX Runtime's spelling names."""
    if isinstance(element, int):
        return DType.from_onnx(element)
    if isinstance(element, str) and element.startswith("tensor("):
        return DType.parse(element[len("tensor(") : -1])
    return DType.from_numpy(element)


def array_at(pointer: int, element: Any, shape: Sequence[int]) -> Array:
    """An array over memory that the caller vouches for, as C interfaces hand it over."""
    dtype = element_dtype(element).numpy
    size = math.prod(shape) * dtype.itemsize
    raw = (ctypes.c_uint8 * size).from_address(pointer)
    found: Array = np.ctypeslib.as_array(raw).view(dtype).reshape(tuple(shape))
    return found


class OrtValue:
    """A tensor, a sequence (list of arrays) or an absent optional (None), in CPU memory."""

    def __init__(self, value: Any) -> None:
        plain = value is None or isinstance(value, list)
        self._value: Any = value if plain else as_array(value)

    @classmethod
    def ortvalue_from_numpy(cls, array: Array, device: str = "cpu", device_id: int = 0) -> OrtValue:
        """A value over an array; `device` must be cpu."""
        del device_id
        check_device(device)
        return cls(array)

    @classmethod
    def ortvalue_from_numpy_with_onnx_type(cls, data: Array, onnx_element_type: int) -> OrtValue:
        """A value over an array whose bytes are elements of another type of the same width."""
        return cls(data.view(DType.from_onnx(onnx_element_type).numpy))

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape: Sequence[int], element_type: Any, device: str = "cpu", device_id: int = 0
    ) -> OrtValue:
        """A value of zeros, to be written to."""
        del device_id
        check_device(device)
        return cls(np.zeros(tuple(shape), element_dtype(element_type).numpy))

    @classmethod
    def from_dlpack(cls, data: Any) -> OrtValue:
        """A value over the memory of a DLPack producer."""
        return cls(from_dlpack(data))

    @property
    def content(self) -> Any:
        """The array, the list of arrays, or None."""
        return self._value

    def numpy(self) -> Any:
        """The array."""
        return self._value

    def has_value(self) -> bool:
        """Whether it is not an absent optional."""
        return self._value is not None

    def is_tensor(self) -> bool:
        """Whether it is a tensor."""
        return isinstance(self._value, np.ndarray)

    def is_tensor_sequence(self) -> bool:
        """Whether it is a sequence of tensors."""
        return isinstance(self._value, list)

    def is_sparse_tensor(self) -> bool:
        """Always False: outputs are dense."""
        return False

    def shape(self) -> list[int]:
        """The dims."""
        return list(self._tensor().shape)

    def data_type(self) -> str:
        """The type in ONNX Runtime's spelling, such as `tensor(float)`."""
        if isinstance(self._value, list):
            inner = OrtValue(self._value[0]).data_type() if self._value else "undefined"
            return f"seq({inner})"
        return type_name(tensor_type(self._dtype(), ()))

    def element_type(self) -> int:
        """The type's number in `TensorProto.DataType`."""
        number: int = self._dtype().value
        return number

    def tensor_size_in_bytes(self) -> int:
        """The bytes of the elements."""
        return self._tensor().nbytes

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self._tensor().ctypes.data)

    def device_name(self) -> str:
        """Always cpu."""
        return "cpu"

    def update_inplace(self, data: Any) -> None:
        """Overwrites the elements; shape and type stay."""
        new = as_array(data)
        mine = self._tensor()
        if new.shape != mine.shape or new.dtype != mine.dtype:
            raise InvalidArgument(
                "E0205",
                "a value keeps its shape and type",
                given=Type(DType.from_numpy(new.dtype)).with_shape(new.shape),
                wanted=Type(self._dtype()).with_shape(mine.shape),
            )
        np.copyto(mine, new)

    def _tensor(self) -> Array:
        if not isinstance(self._value, np.ndarray):
            raise InvalidArgument("E0233", "the value is no tensor", given=type(self._value))
        return self._value

    def _dtype(self) -> DType:
        return DType.from_numpy(self._tensor().dtype)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._tensor().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._tensor().__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._tensor(), dtype=dtype, copy=copy)

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


def check_device(device: Any) -> None:
    """InvalidArgument (E0208) for any device but the CPU, a name or an OrtDevice."""
    if device != "cpu":
        from sardonyx.session.devices import check_device as check  # noqa: PLC0415 - rarely needed

        check(device)


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
    """A tensor, a sequence (list of arrays), a SparseTensor or an absent optional (None), in CPU
    memory; of another OrtValue, the same content. The other arguments have no meaning here.
    """

    def __init__(self, ortvalue: Any, numpy_obj: Any = None, session: Any = None) -> None:
        del numpy_obj, session
        value = ortvalue.content if isinstance(ortvalue, OrtValue) else ortvalue
        plain = value is None or isinstance(value, list) or hasattr(value, "dense_shape")
        self._value: Any = value if plain else as_array(value)

    @classmethod
    def ortvalue_from_numpy(
        cls, numpy_obj: Array, /, device_type: Any = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        """A value over an array; the device must be the CPU."""
        del device_id, vendor_id
        check_device(device_type)
        return cls(numpy_obj)

    @classmethod
    def ortvalue_from_numpy_with_onnx_type(cls, data: Array, /, onnx_element_type: int) -> OrtValue:
        """A value over an array whose bytes are elements of another type of the same width."""
        wanted = DType.from_onnx(onnx_element_type).numpy
        if wanted.itemsize != data.dtype.itemsize:
            raise InvalidArgument(
                "E0203", "the elements have another width", given=data.dtype, wanted=wanted
            )
        return cls(data.view(wanted))

    @classmethod
    def ortvalue_from_shape_and_type(
        cls,
        shape: Sequence[int],
        element_type: Any,
        device_type: Any = "cpu",
        device_id: int = 0,
        vendor_id: int = -1,
        memory_info: Any = None,
    ) -> OrtValue:
        """A value of zeros, to be written to; `memory_info` is the CPU's, which all memory is."""
        del device_id, vendor_id
        if memory_info is None:
            check_device(device_type)
        return cls(np.zeros(tuple(shape), element_dtype(element_type).numpy))

    ortvalue_from_shape_and_onnx_type = ortvalue_from_shape_and_type

    @classmethod
    def ort_value_from_sparse_tensor(cls, sparse_tensor: Any) -> OrtValue:
        """A value that holds a SparseTensor."""
        return cls(sparse_tensor)

    @classmethod
    def from_dlpack(cls, data: Any, /, is_bool_tensor: bool = False) -> OrtValue:
        """A value over the memory of a DLPack producer, or of its capsule."""
        array = from_dlpack(data)
        return cls(array.view(bool) if is_bool_tensor else array)

    @property
    def content(self) -> Any:
        """The array, the list of arrays, or None."""
        return self._value

    def numpy(self) -> Any:
        """The array, or the list of arrays."""
        return self._value

    def as_sparse_tensor(self) -> Any:
        """The SparseTensor; InvalidArgument (E0233) where it holds something else."""
        if not self.is_sparse_tensor():
            raise InvalidArgument("E0233", "the value is no sparse tensor", given=type(self._value))
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
        """Whether it is a SparseTensor."""
        return hasattr(self._value, "dense_shape")

    def shape(self) -> list[int]:
        """The dims."""
        if self.is_sparse_tensor():
            return [int(d) for d in self._value.dense_shape()]
        return list(self._tensor().shape)

    def data_type(self) -> str:
        """The type in ONNX Runtime's spelling, such as `tensor(float)`."""
        if isinstance(self._value, list):
            inner = OrtValue(self._value[0]).data_type() if self._value else "undefined"
            return f"seq({inner})"
        if self.is_sparse_tensor():
            return str(self._value.data_type())
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
        """Overwrites the elements by an array's or a value's; shape and type stay."""
        new = as_array(data.content if isinstance(data, OrtValue) else data)
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

    def to_dlpack(self) -> Any:
        """A DLPack capsule over the elements, or over a copy where they may not be written to."""
        return self.__dlpack__()

    @property
    def _ortvalue(self) -> OrtValue:
        """The value below ONNX Runtime's class of this name: here there is none."""
        return self

    def _get_c_value(self) -> OrtValue:
        return self

    def __dlpack__(self, *, stream: Any = None, **kwargs: Any) -> Any:
        array = self._tensor()
        shared = array if array.flags.writeable or kwargs else array.copy()
        return shared.__dlpack__(stream=stream, **kwargs)

    def __dlpack_device__(self) -> Any:
        return self._tensor().__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._tensor(), dtype=dtype, copy=copy)


class OrtValueVector(list[OrtValue]):
    """A list of values with the names of ONNX Runtime's vector of them."""

    def push_back(self, value: Any, is_bool_tensor: bool = False) -> None:
        """Appends a value, or what a DLPack producer or capsule holds."""
        held = isinstance(value, OrtValue)
        self.append(value if held else OrtValue.from_dlpack(value, is_bool_tensor))

    def reserve(self, count: int) -> None:
        """Accepted; lists grow by themselves."""

    def shrink_to_fit(self) -> None:
        """Accepted; lists fit."""

    def element_type_at(self, idx: int) -> int:
        """The number of the type of a value's elements."""
        return self[idx].element_type()

    def bool_tensor_indices(self) -> list[int]:
        """Which values are of bool."""
        return [n for n, v in enumerate(self) if v.data_type() == "tensor(bool)"]

    def dlpack_at(self, idx: int) -> Any:
        """A DLPack capsule over a value."""
        return self[idx].to_dlpack()

    def to_dlpacks(self, to_tensor: Any = None) -> list[Any]:
        """DLPack capsules over all values, or what `to_tensor` makes of each."""
        capsules = [v.to_dlpack() for v in self]
        return capsules if to_tensor is None else [to_tensor(c) for c in capsules]

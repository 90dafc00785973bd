"""Sparse tensors by ONNX Runtime's interface: values and their places, in CPU memory."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.session.devices import OrtDevice, check_device


class OrtSparseFormat(enum.IntEnum):
    """How the places of the values are written down."""

    ORT_SPARSE_UNDEFINED = 0
    ORT_SPARSE_COO = 1
    ORT_SPARSE_CSRC = 2
    ORT_SPARSE_BLOCK_SPARSE = 4


class SparseCooView:
    """The places of the values in COO format."""

    def __init__(self, indices: Array) -> None:
        self._indices = indices

    def indices(self) -> Array:
        """One linear index a value, or one row of coordinates a value."""
        return self._indices


class SparseBlockSparseView(SparseCooView):
    """The places of the blocks."""


class SparseCsrView:
    """The places of the values in CSR format."""

    def __init__(self, inner: Array, outer: Array) -> None:
        self._inner, self._outer = inner, outer

    def inner(self) -> Array:
        """The column of each value."""
        return self._inner

    def outer(self) -> Array:
        """Where each row begins among the values, and their number."""
        return self._outer


class SparseTensor:
    """Values of a tensor that is 0 elsewhere; made by `sparse_coo_from_numpy` and its siblings."""

    def __init__(self, sparse_tensor: SparseTensor) -> None:
        if not isinstance(sparse_tensor, SparseTensor):
            raise InvalidArgument("E0233", "no sparse tensor", given=type(sparse_tensor).__name__)
        self._shape: Array = sparse_tensor._shape
        self._values: Array = sparse_tensor._values
        self._format: OrtSparseFormat = sparse_tensor._format
        self._places: tuple[Array, ...] = sparse_tensor._places

    @classmethod
    def _of(cls, kind: OrtSparseFormat, shape: Any, values: Any, places: Any) -> SparseTensor:
        made = cls.__new__(cls)
        made._shape = np.asarray(shape, np.int64)
        made._values = _kept(values)
        made._format = kind
        made._places = tuple(map(_kept, places))
        return made

    @classmethod
    def sparse_coo_from_numpy(
        cls, dense_shape: Any, values: Array, coo_indices: Array, ort_device: OrtDevice
    ) -> SparseTensor:
        """In COO format: one linear index a value, or its coordinates. InvalidArgument (E0205)."""
        check_device(ort_device)
        count, rank = len(values), len(dense_shape)
        if np.size(coo_indices) not in (count, count * rank):
            raise _unfit("indices", np.shape(coo_indices), f"[{count}] or [{count},{rank}]")
        return cls._of(OrtSparseFormat.ORT_SPARSE_COO, dense_shape, values, (coo_indices,))

    @classmethod
    def sparse_csr_from_numpy(
        cls,
        dense_shape: Any,
        values: Array,
        inner_indices: Array,
        outer_indices: Array,
        ort_device: OrtDevice,
    ) -> SparseTensor:
        """In CSR format: the column of each value, each row's begin. InvalidArgument (E0205)."""
        check_device(ort_device)
        if len(inner_indices) != len(values) or len(outer_indices) != dense_shape[0] + 1:
            given = f"{len(inner_indices)} and {len(outer_indices)}"
            raise _unfit("columns and rows", given, f"{len(values)} and {dense_shape[0] + 1}")
        places = inner_indices, outer_indices
        return cls._of(OrtSparseFormat.ORT_SPARSE_CSRC, dense_shape, values, places)

    @classmethod
    def blocksparse_from_numpy(
        cls, dense_shape: Any, values: Array, indices: Array, ort_device: OrtDevice
    ) -> SparseTensor:
        """In blocks: the place of each."""
        check_device(ort_device)
        return cls._of(OrtSparseFormat.ORT_SPARSE_BLOCK_SPARSE, dense_shape, values, (indices,))

    def values(self) -> Array:
        """The values."""
        return self._values

    def as_coo_view(self) -> SparseCooView:
        """Its places; InvalidArgument (E0257) in another format."""
        return SparseCooView(*self._held(OrtSparseFormat.ORT_SPARSE_COO))

    def as_csrc_view(self) -> SparseCsrView:
        """Its places; InvalidArgument (E0257) in another format."""
        return SparseCsrView(*self._held(OrtSparseFormat.ORT_SPARSE_CSRC))

    def as_blocksparse_view(self) -> SparseBlockSparseView:
        """Its places; InvalidArgument (E0257) in another format."""
        return SparseBlockSparseView(*self._held(OrtSparseFormat.ORT_SPARSE_BLOCK_SPARSE))

    get_coo_data, get_csrc_data = as_coo_view, as_csrc_view
    get_blocksparse_data = as_blocksparse_view

    def _held(self, kind: OrtSparseFormat) -> tuple[Array, ...]:
        if self._format is not kind:
            raise InvalidArgument(
                "E0257", "the sparse tensor has another format", given=self._format.name,
                wanted=kind.name,
            )  # fmt: skip
        return self._places

    def to_cuda(self, ort_device: OrtDevice) -> SparseTensor:
        """InvalidArgument (E0208): there is no such device here."""
        check_device(ort_device)
        return self

    def format(self) -> OrtSparseFormat:
        """How its places are written down."""
        return self._format

    def dense_shape(self) -> Array:
        """The dims of the whole tensor."""
        return self._shape

    def data_type(self) -> str:
        """The type in ONNX Runtime's spelling, such as `sparse_tensor(float)`."""
        from sardonyx.session.value import OrtValue  # noqa: PLC0415 - that knows this module

        return f"sparse_{OrtValue(self._values).data_type()}"

    def device_name(self) -> str:
        """Always cpu."""
        return "cpu"

    def _get_c_tensor(self) -> SparseTensor:
        return self


def _kept(values: Any) -> Array:
    """A view that cannot be written to."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _unfit(what: str, given: object, wanted: object) -> InvalidArgument:
    return InvalidArgument("E0205", f"the {what} do not fit the values", given=given, wanted=wanted)

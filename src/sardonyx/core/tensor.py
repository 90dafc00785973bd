"""Constant tensors: a type, a static shape, and elements that stay where they are until used.

Elements come from an array, from packed bytes, or from a `Deferred` that fetches them on first use
(typed protobuf fields, a piece of a file, which may be fetched again or mapped). A `Tensor` never
changes once made; `origin` is the payload of the format it came from, kept so that an untouched
tensor is written back exactly as it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from sardonyx.core.dtype import Array, DType, pack, unpack
from sardonyx.core.errors import InvalidProtobuf
from sardonyx.core.limits import Limits

# Elements whose bytes, up to 16 each, a signed 64-bit number still counts.
_ADDRESSABLE = 1 << 59
Buffer: TypeAlias = "bytes | memoryview"


class Deferred(Protocol):
    """Where elements are fetched from on first use."""

    def read(self) -> Array | Buffer:
        """The elements, as an array of the tensor's dtype or as packed bytes."""


class File(Protocol):
    """A file whose own pages are in use."""

    def map(self) -> memoryview | None:
        """The whole file; None where only a copy is safe."""

    def check(self) -> None:
        """ExternalDataError where it was written to: ask after each use of what `map` gave."""


@runtime_checkable
class Stored(Deferred, Protocol):
    """A source in a file, which can be read again."""

    def map(self) -> tuple[memoryview, File] | None:
        """The packed bytes where they lie, and their file; None where only `read` is safe."""


class Tensor:
    """`shape` (whole numbers) elements of `dtype`, row-major; read-only.

    InvalidProtobuf when a dim is negative or the data do not fit the shape; for a `Deferred` that
    is found out when it is read.
    """

    __slots__ = ("_array", "_source", "count", "dtype", "name", "origin", "shape")

    def __init__(
        self,
        dtype: DType,
        shape: Sequence[int],
        source: Array | Buffer | Deferred,
        *,
        name: str = "",
        origin: object = None,
    ) -> None:
        self.dtype = dtype
        self.shape = tuple(int(dim) for dim in shape)
        self.name = name
        self.origin = origin
        self.count = _count(self.shape, name)
        self._array: Array | None = None
        self._source: Array | Buffer | Deferred | None = source
        if isinstance(source, np.ndarray):
            self._array = self._adopt(source)
            self._source = None
        elif isinstance(source, bytes | memoryview):
            self._check_bytes(source)

    @classmethod
    def of(cls, array: Any, dtype: DType | None = None, name: str = "") -> Tensor:
        """A tensor of anything numpy takes as an array; `dtype` says what to convert it to."""
        plain = np.asarray(array)
        kind = dtype or DType.from_numpy(plain.dtype)
        return cls(kind, plain.shape, _converted(plain, kind), name=name)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed elements; for strings, of their UTF-8 text."""
        if self.dtype.is_string:
            return sum(len(text.encode("utf-8", "surrogateescape")) for text in self.numpy().flat)
        return self.dtype.nbytes(self.count)

    @property
    def is_loaded(self) -> bool:
        """Whether the elements have been fetched into an array."""
        return self._array is not None

    def numpy(self) -> Array:
        """The elements as a read-only array of `dtype.numpy`, zero-copy where the form allows."""
        if self._array is None:
            found = self._fetch()
            if not isinstance(found, np.ndarray):
                self._check_bytes(found)
                found = unpack(found, self.dtype, self.count)
            self._array = self._adopt(found)
        return self._array

    def packed(self) -> memoryview:
        """The elements as packed little-endian bytes; InvalidProtobuf for strings."""
        if self.dtype.is_string:
            raise InvalidProtobuf("E0112", "strings have no packed form", tensor=self.name)
        if self._array is None:
            found = self._fetch()
            if not isinstance(found, np.ndarray):
                self._check_bytes(found)
                return memoryview(found).cast("B").toreadonly()
        return pack(self.numpy(), self.dtype).data.toreadonly()

    def mapped(self) -> tuple[Array, File] | None:
        """The elements as they lie in their file; None where only `numpy` is safe."""
        source = self._source
        if self._array is not None or not isinstance(source, Stored) or self.dtype.is_packed:
            return None
        found = source.map()
        if found is None:
            return None
        self._check_bytes(found[0])
        return self._adopt(unpack(found[0], self.dtype, self.count)), found[1]

    def release(self) -> None:
        """Forgets the elements where they can be fetched from a file again."""
        if isinstance(self._source, Stored):
            self._array = None

    def renamed(self, name: str) -> Tensor:
        """The same elements under another name; nothing is copied or fetched."""
        other = Tensor.__new__(Tensor)
        for slot in self.__slots__:
            setattr(other, slot, getattr(self, slot))
        other.name = name
        return other

    def __repr__(self) -> str:
        dims = ",".join(map(str, self.shape))
        return f"Tensor({self.name!r}, {self.dtype}[{dims}])"

    def _fetch(self) -> Array | Buffer:
        source = self._source
        if source is None or isinstance(source, bytes | memoryview | np.ndarray):
            assert source is not None
            return source
        return source.read()

    def _adopt(self, array: Array) -> Array:
        if array.dtype != self.dtype.numpy or array.size != self.count:
            raise InvalidProtobuf(
                "E0111",
                "the elements do not fit the tensor's type and dims",
                tensor=self.name,
                given=f"{array.dtype}{list(array.shape)}",
                wanted=f"{self.dtype}{list(self.shape)}",
            )
        view = array.reshape(self.shape).view()
        view.flags.writeable = False
        return view

    def _check_bytes(self, data: Buffer) -> None:
        size = memoryview(data).nbytes
        if self.dtype.is_string or size != self.dtype.nbytes(self.count):
            raise InvalidProtobuf(
                "E0111",
                "the stored bytes do not fit the tensor's type and dims",
                tensor=self.name,
                given=f"{size} bytes",
                wanted=f"{self.dtype}{list(self.shape)}",
            )


@dataclass(frozen=True)
class SparseTensor:
    """A tensor of `dims` that is zero but for `values` (NNZ of them) at `indices`.

    `indices` are int64[NNZ] (row-major positions) or int64[NNZ, rank]. `origin` as for Tensor.
    """

    values: Tensor
    indices: Tensor
    dims: tuple[int, ...]
    origin: object = None

    @property
    def name(self) -> str:
        """The name of its values is the name of the whole."""
        return self.values.name

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.values.dtype

    def numpy(self, limits: Limits | None = None) -> Array:
        """The dense array; InvalidProtobuf when an index lies outside or the shapes disagree."""
        count = _count(self.dims, self.name)
        (limits or Limits.current()).check_memory(count * self.dtype.numpy.itemsize, self.name)
        values, at = self.values.numpy(), self.indices.numpy().astype(np.int64, copy=False)
        by_axis = at.ndim == 2 and at.shape[1] == len(self.dims)
        ends = np.array(self.dims if by_axis else [count], np.int64)
        fits = (by_axis or at.ndim == 1) and values.shape == at.shape[:1]
        if not fits or not bool(np.all((at >= 0) & (at < ends))):
            raise InvalidProtobuf(
                "E0111", "the indices of the sparse tensor do not fit its dims", tensor=self.name
            )
        if by_axis:
            at = at @ np.array(_strides(self.dims), np.int64)
        dense = np.zeros(count, values.dtype)
        if self.dtype.is_string:
            dense[:] = ""
        dense[at] = values
        return dense.reshape(self.dims)


def _count(shape: Sequence[int], name: str) -> int:
    """The element count; refused where the dims, even beside a 0, cannot be addressed."""
    count = extent = 1
    for dim in shape:
        if dim < 0:
            raise InvalidProtobuf(
                "E0110", f"a tensor has the negative dim {dim}", tensor=name, given=list(shape)
            )
        count *= dim
        extent *= max(dim, 1)
    if extent >= _ADDRESSABLE:
        raise InvalidProtobuf(
            "E0110", "a tensor has too many elements", tensor=name, given=list(shape)
        )
    return count


def _strides(dims: tuple[int, ...]) -> list[int]:
    steps: list[int] = []
    step = 1
    for dim in reversed(dims):
        steps.append(step)
        step *= dim
    return steps[::-1]


def _converted(array: Array, dtype: DType) -> Array:
    if not dtype.is_string:
        return np.ascontiguousarray(array, dtype.numpy).reshape(array.shape)
    texts = [
        x.decode("utf-8", "surrogateescape") if isinstance(x, bytes) else str(x)
        for x in array.reshape(-1).tolist()
    ]
    result = np.empty(len(texts), object)
    result[:] = texts
    return result.reshape(array.shape)

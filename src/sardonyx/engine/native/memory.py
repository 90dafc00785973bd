"""Memory that native code sees: aligned arenas, weights, views of addresses."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import File, Tensor
from sardonyx.engine.native import guard
from sardonyx.graph.ir import Value

# The size of a huge page of x86-64 and of 64-bit ARM with pages of 4 KiB.
_HUGE = 2 << 20
_ALIGNMENT = 64


def aligned(size: int) -> Array:
    """Fresh zeroed bytes aligned to a cache line; large ones ask for huge pages."""
    if size >= _HUGE:
        memory = _mapped(size + _HUGE)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        whole = np.frombuffer(memory, np.uint8)
        start = -address(whole) % _HUGE
    else:
        whole = np.zeros(size + _ALIGNMENT, np.uint8)
        start = -address(whole) % _ALIGNMENT
    return whole[start : start + size]


def _mapped(size: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError) as problem:
        said = f"the system does not give {size} bytes of memory"
        raise LimitExceeded("E0506", said, hint="feed a smaller batch") from problem


def address(array: Array) -> int:
    """Where the array's first element lies."""
    return int(array.__array_interface__["data"][0])


def view(where: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array over memory that somebody else keeps alive."""
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.empty(shape, dtype)
    raw = (ctypes.c_char * (count * dtype.itemsize)).from_address(where)
    flat: Array = np.frombuffer(memoryview(raw).cast("B"), np.uint8)
    return flat.view(dtype).reshape(shape)


def contiguous(array: Array) -> Array:
    """The array, or a row-major copy of it; unlike numpy's, it keeps a scalar a scalar."""
    return array if array.flags.c_contiguous else array.copy(order="C")


def ordered(array: Array, layout: Sequence[int] | None) -> Array:
    """The array, or a copy, with its memory in a layout's order of axes; row-major for None."""
    if layout is None:
        return contiguous(array)
    return contiguous(array.transpose(layout)).transpose(np.argsort(layout))


def logical(
    shape: Sequence[int], layout: Sequence[int] | None, make: Callable[[tuple[int, ...]], Array]
) -> Array:
    """What `make` gives for the dims as memory has them, with its axes as subscripts have them."""
    if layout is None:
        return make(tuple(shape))
    return make(tuple(shape[axis] for axis in layout)).transpose(np.argsort(layout))


class Weights:
    """The addresses of constant values: initializers as loaded, and what load time packed.

    Initializers of which kernels read the file's own elements stay mapped: `check` after a run.
    """

    def __init__(self) -> None:
        self._made: dict[Value, Array] = {}
        self._loaded: dict[Value, Array] = {}
        self._files: dict[File, guard.Range] = {}

    def allocate(self, v: Value, size: int, limits: Limits) -> None:
        """Reserves memory for a constant that a load-time step writes."""
        limits.check_memory(size, v.name)
        self._made[v] = aligned(size)

    def address(self, v: Value) -> int:
        """Where a constant value lies, its data mapped or read on first use."""
        made = self._made.get(v)
        return address(self.array(v) if made is None else made)

    def array(self, v: Value) -> Array:
        """A constant as a contiguous array."""
        if v in self._made:
            shape = v.type.static_shape
            assert shape is not None
            assert v.type.dtype is not None
            return view(address(self._made[v]), shape, v.type.dtype.numpy)
        found = self._loaded.get(v)
        if found is None:
            found = self._loaded[v] = self._load(v)
        return found

    def _load(self, v: Value) -> Array:
        assert v.const is not None
        if not isinstance(v.const, Tensor):
            return v.const.numpy()
        found = v.const.mapped()
        if found is not None and self._watch(found[1]):
            return found[0]
        array = contiguous(v.const.numpy())
        v.const.release()
        return array

    def _watch(self, file: File) -> bool:
        """Whether a mapped file that is cut short will end in an error."""
        whole = file.map()
        if file not in self._files and whole is not None:
            watched = guard.watch(address(np.frombuffer(whole, np.uint8)), len(whole))
            if watched is not None:
                self._files[file] = watched
        return file in self._files

    def has(self, v: Value) -> bool:
        """Whether the value is constant here."""
        return v in self._made or v.const is not None

    def settle(self) -> None:
        """Forgets the arrays read so far, once they are unchanged; those needed come again."""
        self.check()
        self._loaded.clear()
        self._files.clear()

    def check(self) -> None:
        """ExternalDataError (E0126) where the file of a mapped constant was changed."""
        for file, watched in self._files.items():
            watched.check()
            file.check()

    @property
    def nbytes(self) -> int:
        """The bytes of packed constants."""
        return sum(a.nbytes for a in self._made.values())

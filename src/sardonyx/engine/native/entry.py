"""A program bound to one set of shapes as a function of arrays that C code calls without detour.

    entry = Entry(runner.job_of(steps, count, table), arguments)
    entry.call(x, y)         None: it ran; NotImplemented: an array is not what was bound

The function reads numpy's array structs where this build of Python and numpy has the expected
layout (`layout_holds`), else the same checks are made in Python.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.engine.native import executor
from sardonyx.engine.native.executor import Job
from sardonyx.engine.native.memory import address
from sardonyx.engine.native.threads import hall

_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400
_FASTCALL = 0x80
_FIELDS = {"type": 8, "data": 16, "ndim": 24, "dims": 32, "descr": 56, "flags": 64}


@dataclass(frozen=True)
class Argument:
    """What one array of a call must be: C-contiguous, aligned, of exactly this shape and dtype.

    Its data pointer goes to `slot` of the program's table. An `out` array must be writeable.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slot: int
    out: bool = False


class _Method(ctypes.Structure):
    """`PyMethodDef`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Entry:
    """A job (see `Runner.job_of`), callable with the arrays of `arguments` in order.

    `call(*arrays)` gives None when the program ran, NotImplemented when an array differs from its
    argument (take the slow path then), False when the run was stopped: `job.ended` says by what.
    One call at a time, good as long as this object and the job's runner live.
    """

    def __init__(self, job: Job, arguments: Sequence[Argument]) -> None:
        self.job, self.arguments = job, tuple(arguments)
        self._kept: list[Any] = []
        self.call: Callable[..., Any] = self._native() if layout_holds() else self._python

    def stop(self) -> None:
        """End the run in progress at its next step."""
        self.job.stopped = executor.STOPPED

    def _native(self) -> Callable[..., Any]:
        plan = bytearray(
            struct.pack(
                "7q",
                hall().address,
                ctypes.addressof(self.job),
                len(self.arguments),
                id(np.ndarray),
                id(None),
                id(NotImplemented),
                id(False),
            )
        )
        for a in self.arguments:
            dims = np.array(a.shape, np.int64)
            self._kept += [dims, a.dtype]
            plan += struct.pack(
                "5q",
                id(a.dtype),
                len(a.shape),
                address(dims),
                a.slot,
                _CONTIGUOUS | _ALIGNED | (_WRITEABLE if a.out else 0),
            )
        memory = (ctypes.c_char * len(plan)).from_buffer(plan)
        method = _Method(b"call", hall().call, _FASTCALL, None)
        self._kept += [memory, method]
        return _function(method, ctypes.addressof(memory))

    def _python(self, *arrays: Any) -> Any:
        if len(arrays) != len(self.arguments):
            return NotImplemented
        for array, wanted in zip(arrays, self.arguments, strict=True):
            if type(array) is not np.ndarray or not _fits(array, wanted):
                return NotImplemented
        for array, wanted in zip(arrays, self.arguments, strict=True):
            slot = ctypes.c_int64.from_address(self.job.table + 8 * wanted.slot)
            slot.value = address(array)
        return False if hall().launch(self.job) else None


def _fits(array: Array, wanted: Argument) -> bool:
    flags = array.flags
    return (
        array.shape == wanted.shape
        and array.dtype is wanted.dtype
        and flags.c_contiguous
        and flags.aligned
        and (flags.writeable or not wanted.out)
    )


def _function(method: _Method, plan: int) -> Callable[..., Any]:
    api = ctypes.pythonapi
    pointer, thing = ctypes.c_void_p, ctypes.py_object
    capsule = ctypes.PYFUNCTYPE(thing, pointer, pointer, pointer)(("PyCapsule_New", api))
    make = ctypes.PYFUNCTYPE(thing, pointer, thing, pointer)(("PyCFunction_NewEx", api))
    made: Callable[..., Any] = make(ctypes.addressof(method), capsule(plan, None, None), None)
    return made


@functools.cache
def layout_holds() -> bool:
    """Whether array structs look here as `executor.text` reads them; tried on real arrays."""
    plain = sys.implementation.name == "cpython" and struct.calcsize("P") == 8
    if not plain or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    frozen: Array = np.zeros((3, 5), np.float32)
    frozen.flags.writeable = False
    strided: Array = np.ones((2, 1, 7), np.int8)[:, :, ::2]
    return all(map(_looks_right, (frozen, strided, np.array(1.5))))


def _looks_right(array: Array) -> bool:
    def word(at: int, kind: Any) -> int:
        return int(kind.from_address(id(array) + at).value or 0)

    dims = word(_FIELDS["dims"], ctypes.c_void_p)
    shape = [ctypes.c_int64.from_address(dims + 8 * i).value for i in range(array.ndim)]
    flags = word(_FIELDS["flags"], ctypes.c_int)
    return (
        word(_FIELDS["type"], ctypes.c_void_p) == id(np.ndarray)
        and word(_FIELDS["data"], ctypes.c_void_p) == address(array)
        and word(_FIELDS["ndim"], ctypes.c_int) == array.ndim
        and tuple(shape) == array.shape
        and word(_FIELDS["descr"], ctypes.c_void_p) == id(array.dtype)
        and bool(flags & _CONTIGUOUS) == array.flags.c_contiguous
        and bool(flags & _ALIGNED) == array.flags.aligned
        and bool(flags & _WRITEABLE) == array.flags.writeable
    )

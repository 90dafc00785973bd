"""Calling scheduled kernels natively, one thread after another."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import evaluate, number
from sardonyx.engine.code.jit import Jit
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target

_SIGNATURE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)


def aligned(count: int, dtype: Any) -> Array:
    """Zeroed elements at a 64-byte address."""
    size = count * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype)


class Call:
    """One kernel bound to its arrays and symbols; calling it runs every thread in turn."""

    def __init__(
        self,
        jit: Jit,
        kernel: Kernel,
        arrays: Sequence[Array],
        symbols: Sequence[int],
        threads: int = 1,
    ) -> None:
        self.threads = threads
        (address,) = jit.functions([kernel])
        self._function = _SIGNATURE(address)
        count = len(arrays)
        self._halt = ctypes.c_int64()
        pointers = [ctypes.addressof(self._halt), *(a.ctypes.data for a in arrays)]
        self._table = (ctypes.c_void_p * len(pointers))(*pointers)
        self._ids = (ctypes.c_int32 * max(1, count))(*range(count))
        self._symbols = (ctypes.c_int64 * max(1, len(symbols)))(*symbols)
        self._scratch = aligned(_scratch_bytes(kernel), np.uint8)
        self._keep = (jit, list(arrays))
        self.arguments = (
            ctypes.addressof(self._table) + 8,
            ctypes.addressof(self._ids),
            ctypes.addressof(self._symbols),
            self._scratch.ctypes.data,
        )

    def __call__(self) -> None:
        for thread in range(self.threads):
            self._function(*self.arguments, thread, self.threads)


def _scratch_bytes(kernel: Kernel) -> int:
    total = 0
    for b in kernel.scratch:
        size = number(b.size)
        assert size is not None
        total += -(-size * b.dtype.bits // 8 // 64) * 64
    return total + 64


def prepared(
    jit: Jit,
    raw: Kernel,
    made: Scheduled,
    arrays: Sequence[Array],
    symbols: Sequence[int],
    threads: int = 1,
) -> tuple[list[Call], Call]:
    """The packing calls of a schedule and its main call, on the arrays of the raw kernel."""
    env = dict(zip(raw.symbols, symbols, strict=True))
    everything, packs = list(arrays), []
    for p in made.packed:
        room = aligned(evaluate(p.count, env), p.dtype.numpy)
        sources = [room, *(arrays[n] for n in p.sources)]
        packs.append(Call(jit, p.kernel, sources, symbols, threads))
        everything.append(room)
    kept = range(len(everything)) if made.params is None else made.params
    main = Call(jit, made.kernel, [everything[n] for n in kept], symbols, threads)
    return packs, main


@lru_cache
def _jit(target: Target) -> Jit:
    return Jit(target)


def run(
    target: Target,
    raw: Kernel,
    made: Scheduled,
    arrays: Sequence[Array],
    symbols: Sequence[int],
    threads: int = 1,
) -> Array:
    """Runs a schedule on the raw kernel's arrays; the output (array 0), written in place."""
    packs, main = prepared(_jit(target), raw, made, arrays, symbols, threads)
    for call in packs:
        call()
    main()
    return arrays[0]

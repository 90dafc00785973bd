"""Runs one kernel as machine code, and evaluates expressions with numpy to compare with."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, number, walk
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.engine.emit.kernel import emit
from sardonyx.loops import target
from sardonyx.loops.ir import Buffer, For, Kernel, LoopKind, Stmt
from sardonyx.loops.target import Target

_serial = itertools.count()
_linkers: dict[str, Linker] = {}


def levels() -> list[str]:
    """The instruction set levels that this machine can run."""
    features, out = target.machine_features(), []
    for level in ("generic", "avx2", "avx512", "neon"):
        needed = {"avx2": "avx2", "avx512": "avx512bw", "neon": "neon"}.get(level)
        if needed is None or needed in features:
            out.append(level)
    return out


def machine(level: str) -> Target:
    """The target of a level on this machine."""
    return target.make(level, target.machine_features())


class Native:
    """A kernel compiled for a level; call it with flat arrays and the values of the symbols."""

    def __init__(self, kernel: Kernel, level: str) -> None:
        made = machine(level)
        linker = _linkers.setdefault(level, Linker(made, None))
        name = f"k_{level}_{next(_serial)}"
        self.kernel = kernel
        self.text = emit(kernel, made, name)
        (address,) = linker.load([Unit(name, name, lambda: self.text)])
        kinds = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 2
        self._function = ctypes.CFUNCTYPE(None, *kinds)(address)

    def __call__(
        self,
        arrays: Sequence[Array],
        symbols: Sequence[int] = (),
        threads: int = 1,
        halted: bool = False,
    ) -> None:
        halt = np.array([halted], np.int64)
        table = np.array([halt.ctypes.data, *(a.ctypes.data for a in arrays)], np.int64)[1:]
        ids = np.arange(len(arrays) + 1, dtype=np.int32)
        values = np.array([*symbols, 0], np.int64)
        size = sum(-(-(number(b.size) or 0) * 8 // 64) * 64 for b in self.kernel.scratch)
        memory = np.zeros(size + 64, np.uint8)
        scratch = memory.ctypes.data + -memory.ctypes.data % 64
        for thread in range(threads):
            pointers = (table.ctypes.data, ids.ctypes.data, values.ctypes.data, scratch)
            self._function(*pointers, thread, threads)


def guarded(values: Any, dtype: DType) -> Array:
    """A copy of an array that ends where the next page may not be touched."""
    import mmap

    flat = np.ascontiguousarray(values, dtype.numpy).reshape(-1)
    page = mmap.PAGESIZE
    room = -(-max(1, flat.nbytes) // page) * page
    area = mmap.mmap(-1, room + page)
    libc = ctypes.CDLL(None, use_errno=True)
    whole = np.frombuffer(area, np.uint8)
    start = whole.ctypes.data + room
    assert libc.mprotect(ctypes.c_void_p(start), page, 0) == 0
    place = whole[room - flat.nbytes : room].view(dtype.numpy)
    place[:] = flat
    return place


def run(
    level: str,
    body: Sequence[Stmt],
    inputs: Sequence[tuple[DType, Expr | int, Any]],
    out: tuple[DType, Expr | int, int],
    symbols: dict[Expr, int] | None = None,
    scratch: Sequence[Buffer] = (),
    threads: int = 1,
) -> Array:
    """The output buffer, which stands after the inputs.

    Inputs are (dtype, declared size, values), the output (dtype,
    declared size, elements).
    """
    given = symbols or {}
    params = [Buffer(i, d, const(s)) for i, (d, s, _) in enumerate(inputs)]
    params.append(Buffer(len(inputs), out[0], const(out[1]), "out"))
    made = Kernel(tuple(params), tuple(given), tuple(body), const(1), tuple(scratch))
    result = guarded(np.zeros(out[2], out[0].numpy), out[0])
    native = Native(made, level)
    native([*(guarded(v, d) for d, _, v in inputs), result], list(given.values()), threads)
    return result


def nest(loops: Sequence[tuple[Expr, LoopKind]], body: Sequence[Stmt]) -> tuple[Stmt, ...]:
    """Loops of these variables and kinds around statements."""
    for v, kind in reversed(loops):
        body = [For(v, tuple(body), kind)]
    return tuple(body)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "bitand": np.bitwise_and,
    "bitor": np.bitwise_or,
    "bitxor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "pow": np.power,
    "floordiv": np.floor_divide,
    "mod": np.mod,
    "fmod": np.fmod,
    "div": np.divide,
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "sign": np.sign,
    "not": np.logical_not,
    "bitnot": np.bitwise_not,
    "isnan": np.isnan,
    "isinf": np.isinf,
}


def evaluate(e: Expr, env: Mapping[Expr, Any], arrays: Sequence[Array]) -> Any:
    """An expression over broadcast numpy arrays of its variables; both sides of a choice run."""
    memo: dict[Expr, Any] = dict(env)
    for x in walk(e):
        if x not in memo and x.op != "var":
            memo[x] = _one(x, [memo[a] for a in x.args], arrays)
    return memo[e]


def _one(x: Expr, args: list[Any], arrays: Sequence[Array]) -> Any:
    kind = x.dtype.numpy
    if x.op == "const":
        return np.array(x.arg, kind)
    if x.op == "load":
        source = arrays[x.arg]
        inside = np.clip(args[0], 0, max(0, source.size - 1))
        return source[inside] if source.size else np.zeros(np.shape(inside), kind)
    with np.errstate(all="ignore"):
        if x.op == "where":
            return np.where(*args)
        if x.op == "cast":
            return np.asarray(args[0]).astype(kind)
        if x.op in _UNARY:
            return np.asarray(_UNARY[x.op](args[0])).astype(kind)
        out = args[0]
        for other in args[1:]:
            out = _BINARY[x.op](out, other)
        return np.asarray(out).astype(kind)

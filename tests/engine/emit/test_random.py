"""Random kernels: machine code against the interpreter of the loop language."""

from __future__ import annotations

import random

import numpy as np
import pytest

from engine.machine import Native, guarded, levels, machine
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    eq,
    load,
    maximum,
    minimum,
    name_of,
    scalar,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Buffer, Fold, FoldKind, For, If, Kernel, Let, Stmt, Store
from sardonyx.loops.vector.rewrite import vectorise

F32, F64, I32, I64 = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64)
TYPES = (
    F32,
    F32,
    F32,
    F64,
    I32,
    I64,
    DType.INT8,
    DType.UINT8,
    DType.UINT16,
    DType.BOOL,
    DType.FLOAT16,
    DType.BFLOAT16,
)
M, N = symbol("m", 0), symbol("n", 0)
SIZES = {"full": M * N, "row": N, "column": M, "few": const(5)}
CASES = 16


class Maker:
    """Draws one kernel: inputs of several types and shapes, folds, lets, choices, stores."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.inputs: list[tuple[DType, str]] = []
        self.scalars: list[Expr] = []
        self.count = 0

    def fresh(self, extent: Expr | int) -> Expr:
        self.count += 1
        return var(f"v{self.count}", extent)

    def buffer(self, dtype: DType) -> tuple[int, str]:
        known = [(k, s) for k, (d, s) in enumerate(self.inputs) if d is dtype]
        if known and self.draw.random() < 0.6:
            return self.draw.choice(known)
        self.inputs.append((dtype, self.draw.choice(list(SIZES))))
        return len(self.inputs) - 1, self.inputs[-1][1]

    def load(self, dtype: DType, i: Expr, j: Expr, loops: list[Expr]) -> Expr:
        number, shape = self.buffer(dtype)
        size = SIZES[shape]
        exact = {"full": i * N + j, "row": j, "column": i}
        ranged = bool(j.args) and j.args[0] is N
        if shape in exact and ranged and self.draw.random() < 0.6:
            return load(number, [exact[shape]], dtype)
        step = self.draw.choice([-2, -1, 1, 1, 2, 3])
        at = self.draw.choice([i, j, j, *loops]) * step + self.draw.randint(-3, 3)
        if self.draw.random() < 0.3:
            at = at // self.draw.choice([2, 3, 4]) + self.draw.choice([i, j]) % 3
        holds = (const(0) <= at) & (at < size)
        if self.draw.random() < 0.3:
            at = minimum(maximum(at, 0), maximum(size, 1) - 1)
            holds = const(0) < size
        return where(holds, load(number, [at], dtype), const(1, dtype))

    def expr(self, dtype: DType, depth: int, i: Expr, j: Expr, loops: list[Expr]) -> Expr:
        draw, again = self.draw, (i, j, loops)
        known = [s for s in self.scalars if s.dtype is dtype]
        if known and draw.random() < 0.3:
            return draw.choice(known)
        if depth == 0:
            return (
                self.load(dtype, *again)
                if draw.random() < 0.8
                else const(draw.randint(0, 3), dtype)
            )
        kind = draw.random()
        if kind < 0.15:
            source = draw.choice(TYPES)
            return cast(self.expr(source, depth - 1, *again), dtype)
        if kind < 0.35:
            condition = self.condition(depth - 1, *again)
            a, b = (self.expr(dtype, depth - 1, *again) for _ in range(2))
            return where(condition, a, b)
        a, b = (self.expr(dtype, depth - 1, *again) for _ in range(2))
        if dtype.is_bool:
            return binary(draw.choice(["and", "or", "xor"]), a, b)
        ops = ["add", "sub", "mul", "min", "max"]
        if dtype.is_int:
            ops += ["floordiv", "mod", "truncdiv"]
        if dtype is F32 and kind < 0.5:
            return unary(draw.choice(["abs", "neg", "floor", "round", "sign"]), a)
        return binary(draw.choice(ops), a, b)

    def condition(self, depth: int, i: Expr, j: Expr, loops: list[Expr]) -> Expr:
        kind = self.draw.random()
        if kind < 0.3:
            return eq(i % 2, 0)
        if kind < 0.5:
            return j < i + self.draw.randint(-2, 9)
        dtype = self.draw.choice([F32, I32, DType.UINT8])
        sides = [self.expr(dtype, max(0, depth - 1), i, j, loops) for _ in range(2)]
        return binary(self.draw.choice(["lt", "le", "eq", "ne"]), *sides)

    def fold(self, i: Expr, j: Expr, in_lanes: bool) -> Fold:
        dtype = self.draw.choice([F32, I32, DType.UINT8])
        extents: list[Expr | int] = [3, M, N, 7]
        loops = [self.fresh(self.draw.choice(extents)) for _ in range(self.draw.randint(1, 2))]
        op = self.draw.choice(["max", "min"] if dtype is F32 else ["add", "max", "min"])
        kind: FoldKind = "serial" if in_lanes else self.draw.choice(["serial", "vector"])
        value = self.expr(dtype, 2, i, j if in_lanes else loops[-1], loops)
        self.count += 1
        return Fold(scalar(f"f{self.count}", dtype), op, tuple(loops), value, kind)

    def kernel(self) -> Kernel:
        draw = self.draw
        i, j = self.fresh(M), self.fresh(N)
        before: list[Stmt] = []
        for _ in range(draw.randint(0, 2)):
            first = self.fold(i, const(0), in_lanes=False)
            before.append(first)
            self.scalars.append(first.var)
        body: list[Stmt] = []
        if draw.random() < 0.5:
            inside = self.fold(i, j, in_lanes=True)
            body.append(inside)
            self.scalars.append(inside.var)
        if draw.random() < 0.5:
            value = self.expr(F32, 2, i, j, [])
            self.scalars.append(scalar("let", F32))
            body.append(Let(self.scalars[-1], value))
        dtype = draw.choice(TYPES)
        value = self.expr(dtype, 3, i, j, [])
        out = len(self.inputs)
        body.append(Store(out, i * N + j, value))
        inner: Stmt = For(j, tuple(body), draw.choice(["vector", "vector", "serial"]))
        if draw.random() < 0.2:
            inner = If(i < M - 1, (inner,))
        rows = For(i, (*before, inner), draw.choice(["parallel", "serial"]))
        params = [Buffer(k, d, SIZES[s]) for k, (d, s) in enumerate(self.inputs)]
        params.append(Buffer(out, dtype, M * N, "out"))
        return Kernel(tuple(params), (M, N), (rows,), M * N)


def numbers(rng: np.random.Generator, dtype: DType, count: int) -> Array:
    if dtype.is_bool:
        return rng.integers(0, 2, count).astype(np.bool_)
    if dtype.is_float:
        quarters: Array = np.asarray(rng.integers(-40, 40, count) / 4, dtype.numpy)
        return quarters
    low, high = (-9, 9) if dtype.is_signed else (0, 20)
    return np.asarray(rng.integers(low, high, count).astype(dtype.numpy))


def same(got: Array, want: Array, dtype: DType) -> None:
    if dtype in (DType.FLOAT16, DType.BFLOAT16):
        got, want = got.astype(np.float32), want.astype(np.float32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("seed", range(CASES))
def test_random_kernels(seed: int, level: str, rng: np.random.Generator) -> None:
    kernel = Maker(seed).kernel()
    check(kernel)
    native, lanes = Native(kernel, level), vectorise(kernel, machine(level))
    check(lanes)
    for m, n in ((0, 3), (3, 0), (1, 1), (2, 5), (3, 17), (1, 33)):
        values = {M: m, N: n}
        arrays: list[Array] = []
        for b in kernel.params:
            size = {"m": m, "n": n}
            count = _size(b.size, size)
            arrays.append(
                numbers(rng, b.dtype, count) if b.role == "in" else np.zeros(count, b.dtype.numpy)
            )
        want = [a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            interpret(kernel, want, values)
        got = [a.copy() for a in arrays]
        with np.errstate(all="ignore"):
            interpret(lanes, got, values, threads=2)
        same(got[-1], want[-1], kernel.params[-1].dtype)
        held = [guarded(a, b.dtype) for a, b in zip(arrays, kernel.params, strict=True)]
        native(held, [m, n], threads=2)
        same(held[-1], want[-1], kernel.params[-1].dtype)


def _size(e: Expr, values: dict[str, int]) -> int:
    if e.op == "const":
        return int(e.arg)
    if e.op == "var":
        return values[name_of(e)]
    out = 1
    for a in e.args:
        out *= _size(a, values)
    return out

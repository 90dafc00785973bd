"""Random kernels: machine code at every level against the interpreter, element by element."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from engine.machine import Native, levels
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    load,
    minimum,
    scalar,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Buffer, Fold, For, If, Kernel, Let, LoopKind, Stmt, Store
from sardonyx.loops.text import canonical, to_text

FLOATS = [DType.FLOAT32, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16]
SIGNED = [DType.INT8, DType.INT16, DType.INT32, DType.INT64]
UNSIGNED = [DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64]
KINDS = [*FLOATS, *SIGNED, *UNSIGNED, DType.BOOL]
N = symbol("n")

ARITHMETIC = ("add", "sub", "mul", "min", "max", "div")
WHOLE = (*ARITHMETIC, "floordiv", "mod", "bitand", "bitor", "bitxor", "shl", "shr")
ROUNDING = ("neg", "abs", "sqrt", "floor", "ceil", "round", "trunc", "sign")
COMPARING = ("lt", "le", "eq", "ne")
LOGIC = ("and", "or", "xor")
SIGNS = ("neg", "abs", "sign")


class Maker:
    """Random expressions over inputs read at a loop variable; exact operations only."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.choose = self.random.choice
        self.at = var("i", N)
        self.inputs = [self.choose(KINDS) for _ in range(3)]
        self.scalars: list[Expr] = []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def value(self, kind: DType, depth: int) -> Expr:
        if depth == 0:
            return self.leaf(kind)
        form = self.random.randrange(6)
        if form == 0:
            inner = self.value(self.choose(KINDS), depth - 1)
            return cast(inner, kind)
        if form == 1:
            test = self.value(DType.BOOL, depth - 1)
            return where(test, *self.two(kind, depth))
        if kind.is_bool:
            return self.truth(depth)
        if form == 2:
            ops = ROUNDING if kind.is_float else SIGNS
            inner = self.value(kind, depth - 1)
            return unary(self.choose(ops), inner)
        op = self.choose(ARITHMETIC if kind.is_float else WHOLE)
        return binary(op, *self.two(kind, depth))

    def two(self, kind: DType, depth: int) -> tuple[Expr, Expr]:
        first = self.value(kind, depth - 1)
        return first, self.value(kind, depth - 1)

    def truth(self, depth: int) -> Expr:
        kind = self.choose(KINDS)
        ops = LOGIC if kind.is_bool else COMPARING
        return binary(self.choose(ops), *self.two(kind, depth))

    def leaf(self, kind: DType) -> Expr:
        known = [s for s in self.scalars if s.dtype is kind]
        if known and self.chance(0.5):
            return self.choose(known)
        if self.chance(0.2):
            number = self.random.randrange(0, 5)
            return const(number / 2 if kind.is_float else number, kind)
        return cast(self.read(), kind)

    def read(self) -> Expr:
        number = self.random.randrange(3)
        kind = self.inputs[number]
        places = [self.at, self.at // 2, N - 1 - self.at, minimum(self.at + 3, N - 1), self.at - 2]
        place = self.choose(places)
        found = load(number, [place], kind)
        if place is not places[-1]:
            return found
        return where(self.at > 1, found, load(number, [0], kind))


def elementwise(seed: int) -> Kernel:
    make = Maker(seed)
    out = make.choose(KINDS)
    named = scalar("t", make.choose(KINDS))
    first = Let(named, make.value(named.dtype, 2))
    make.scalars.append(named)
    put = Store(3, make.at, make.value(out, 3))
    body: list[Stmt] = [first, put]
    kind: LoopKind = make.choose(("serial", "vector", "parallel"))
    if make.chance(0.3) and kind != "vector":
        test = make.value(DType.BOOL, 1)
        again = Store(3, make.at, make.value(out, 1))
        branch = If(test, (again,))
        body.append(branch)
    loop = For(make.at, tuple(body), kind)
    return closed(make, out, loop)


def reducing(seed: int) -> Kernel:
    make = Maker(seed)
    row = var("r", 5)
    out = make.choose([*SIGNED, *UNSIGNED])
    total = scalar("t", out)
    fold = Fold(
        var=total,
        op=make.choose(("add", "min", "max", "mul")),
        vars=(make.at,),
        value=make.value(out, 2),
        kind=make.choose(("serial", "vector")),
    )
    put = Store(3, minimum(row, N - 1), total)
    return closed(make, out, For(row, (fold, put), "parallel"))


def closed(make: Maker, out: DType, body: Stmt) -> Kernel:
    inputs = [Buffer(n, kind, N) for n, kind in enumerate(make.inputs)]
    return Kernel(params=(*inputs, Buffer(3, out, N, "out")), symbols=(N,), body=(body,), work=N)


def data(kind: DType, count: int, rng: np.random.Generator) -> Array:
    if kind.is_bool:
        return rng.integers(0, 2, count).astype(bool)
    if kind.is_float:
        return (rng.standard_normal(count) * 8).astype(kind.numpy)
    low = -20 if kind.is_signed else 0
    return rng.integers(low, 100, count).astype(kind.numpy)


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("form", [elementwise, reducing])
@pytest.mark.parametrize("seed", range(0, 32, 8))
def test_machine_code_means_what_the_interpreter_says(
    level: str, form: Callable[[int], Kernel], seed: int, rng: np.random.Generator
) -> None:
    for one in range(seed, seed + 8):
        kernel = canonical(form(one))
        check(kernel)
        compare(kernel, level, rng)


def compare(kernel: Kernel, level: str, rng: np.random.Generator) -> None:
    native = Native(kernel, level)
    for count in (1, 7, 37):
        arrays = [data(b.dtype, count, rng) for b in kernel.params]
        copies = [a.copy() for a in arrays]
        interpret(kernel, arrays, [count], threads=2)
        native(copies, [count], threads=2)
        np.testing.assert_array_equal(
            plain(copies[-1]), plain(arrays[-1]), err_msg=f"{count} elements\n{to_text(kernel)}"
        )


def plain(array: Array) -> Array:
    """An array whose NaN numpy recognises."""
    narrow = array.dtype == DType.BFLOAT16.numpy
    return array.astype(np.float32) if narrow else array

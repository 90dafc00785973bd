"""Kernels as machine code against numpy, at every level that the machine can run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.machine import Native, evaluate, guarded, levels
from sardonyx.core import scalar
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, load, symbol, unary, var
from sardonyx.loops.ir import Buffer, For, Kernel, LoopKind, Stmt, Store

F32, F64, I32, I64 = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64)
NUMBERS = (
    F32,
    F64,
    DType.INT8,
    DType.INT16,
    I32,
    I64,
    DType.UINT8,
    DType.UINT16,
    DType.UINT32,
    DType.UINT64,
)
HALVES = (DType.FLOAT16, DType.BFLOAT16)

pytestmark = pytest.mark.parametrize("level", levels())
N = symbol("n", 0)


def kernel(
    inputs: Sequence[DType], out: DType, body: Sequence[Stmt], size: Expr = N, **more: Any
) -> Kernel:
    """Inputs 0.. and one output after them, each of `size` elements."""
    params = [Buffer(i, d, size) for i, d in enumerate(inputs)]
    params.append(Buffer(len(inputs), out, size, "out"))
    return Kernel(tuple(params), (N,), tuple(body), size, **more)


def numbers(rng: np.random.Generator, dtype: DType, count: int) -> Array:
    if dtype.is_bool:
        return rng.integers(0, 2, count).astype(np.bool_)
    if dtype.is_float:
        values = rng.standard_normal(count) * 10.0 ** rng.uniform(-2, 2, count)
        return values.astype(dtype.numpy)
    low, high = (-100, 100) if dtype.is_signed else (0, 200)
    return rng.integers(low, high, count).astype(dtype.numpy)


def elementwise(
    level: str, inputs: Sequence[Array], dtypes: Sequence[DType], e: Expr, i: Expr, kind: LoopKind
) -> Array:
    count = inputs[0].size
    store = Store(len(inputs), i, e)
    run = Native(kernel(dtypes, e.dtype, [For(i, (store,), kind)]), level)
    out = guarded(np.zeros(count, e.dtype.numpy), e.dtype)
    run([*(guarded(a, d) for a, d in zip(inputs, dtypes, strict=True)), out], [count])
    return out


@pytest.mark.parametrize("dtype", [*NUMBERS, *HALVES, DType.BOOL], ids=str)
def test_every_tail_of_a_copy(level: str, dtype: DType, rng: np.random.Generator) -> None:
    i = var("i", N)
    run = Native(
        kernel([dtype], dtype, [For(i, (Store(1, i, load(0, [i], dtype)),), "vector")]), level
    )
    for count in [*range(70), 127, 128, 129, 130]:
        x = numbers(rng, dtype, count)
        out = guarded(np.zeros(count, dtype.numpy), dtype)
        run([guarded(x, dtype), out], [count])
        np.testing.assert_array_equal(out, x)


_FLOAT_OPS = ("add", "sub", "mul", "div", "min", "max", "lt", "le", "eq", "ne", "floordiv")
_INT_OPS = (
    "add",
    "sub",
    "mul",
    "min",
    "max",
    "lt",
    "le",
    "eq",
    "ne",
    "floordiv",
    "mod",
    "fmod",
    "bitand",
    "bitor",
    "bitxor",
)


@pytest.mark.parametrize("kind", ["vector", "serial"])
@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_binary_operations(
    level: str, dtype: DType, kind: LoopKind, rng: np.random.Generator
) -> None:
    i, count = var("i", N), 53
    a, b = numbers(rng, dtype, count), numbers(rng, dtype, count)
    b[:6], a[:3] = 0, 0
    for op in _FLOAT_OPS if dtype.is_float else _INT_OPS:
        e = binary(op, load(0, [i], dtype), load(1, [i], dtype))
        out = elementwise(level, [a, b], [dtype, dtype], e, i, kind)
        want = evaluate(e, {i: np.arange(count)}, [a, b])
        np.testing.assert_array_equal(out, want, err_msg=op)


def test_division_never_traps(level: str) -> None:
    i = var("i", N)
    for dtype in (DType.INT8, DType.INT16, I32, I64):
        low = np.iinfo(dtype.numpy).min
        a = np.array([low, low, low, 7, -7, 0, 5, -5] * 5, dtype.numpy)
        b = np.array([-1, 0, 1, 0, 0, 0, -1, 3] * 5, dtype.numpy)
        for op, want in (
            ("truncdiv", [low, 0, low, 0, 0, 0, -5, -1]),
            ("floordiv", [low, 0, low, 0, 0, 0, -5, -2]),
            ("mod", [0, 0, 0, 0, 0, 0, 0, 1]),
            ("fmod", [0, 0, 0, 0, 0, 0, 0, -2]),
        ):
            e = binary(op, load(0, [i], dtype), load(1, [i], dtype))
            out = elementwise(level, [a, b], [dtype, dtype], e, i, "vector")
            np.testing.assert_array_equal(out, np.array(want * 5, dtype.numpy), err_msg=op)


def test_division_over_the_whole_range(level: str, rng: np.random.Generator) -> None:
    i, count = var("i", N), 4000
    for dtype in (I32, DType.UINT32, DType.INT16, DType.UINT16):
        info, kind = np.iinfo(dtype.numpy), dtype.numpy
        a = rng.integers(info.min, info.max, count, kind, endpoint=True)
        b = rng.integers(1, 50, count).astype(kind)
        b[::2] = rng.integers(1, info.max, count // 2, kind)
        a[::3] = (a[::3] // b[::3]) * b[::3]
        a[1::3] = (a[1::3] // b[1::3]) * b[1::3] - kind.type(1)
        for op in ("floordiv", "mod"):
            e = binary(op, load(0, [i], dtype), load(1, [i], dtype))
            out = elementwise(level, [a, b], [dtype, dtype], e, i, "vector")
            want = a // b if op == "floordiv" else a % b
            np.testing.assert_array_equal(out, want)


def test_subscripts_divide_exactly(level: str) -> None:
    i, start = var("i", 64), symbol("start")
    for divisor in (3, 7, 10, 49, 112, 12544):
        at = start + i
        for e in (at // divisor, at % divisor):
            body = (For(i, (Store(0, i, e),), "vector"),)
            params = (Buffer(0, I64, const(64), "out"),)
            native = Native(Kernel(params, (start,), body, N), level)
            for first in (1, 10**6 * divisor - 30, (1 << 50) // divisor * divisor - 31):
                out = np.zeros(64, np.int64)
                native([out], [first])
                k = first + np.arange(64)
                want = k // divisor if e.op != "mod" else k % divisor
                np.testing.assert_array_equal(out, want)


def test_shifts_beyond_the_width_give_nothing(level: str) -> None:
    i = var("i", N)
    for dtype in (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64):
        bits = dtype.bits
        a = np.array([1, 3, 255, 77] * 9, dtype.numpy)
        b = np.array([0, 1, bits - 1, bits, bits + 3, 200] * 6, dtype.numpy)
        for op in ("shl", "shr"):
            e = binary(op, load(0, [i], dtype), load(1, [i], dtype))
            out = elementwise(level, [a, b], [dtype, dtype], e, i, "vector")
            moved = [
                (int(x) << int(y) if op == "shl" else int(x) >> int(y)) % (1 << bits)
                for x, y in zip(a, b, strict=True)
            ]
            np.testing.assert_array_equal(out, np.array(moved, dtype.numpy))


def test_integer_powers(level: str) -> None:
    i = var("i", N)
    for dtype in (I32, I64, DType.UINT8):
        a = np.array([0, 1, 2, 3, 7, 1, 10, 2] * 4, dtype.numpy)
        b = np.array([0, 9, 5, 4, 2, 0, 3, 7] * 4, dtype.numpy)
        e = binary("pow", load(0, [i], dtype), load(1, [i], dtype))
        out = elementwise(level, [a, b], [dtype, dtype], e, i, "vector")
        np.testing.assert_array_equal(out, a**b)
    a = np.array([2, 1, -1, -1, 0, -3], np.int32)
    b = np.array([-1, -5, -3, -2, -1, -2], np.int32)
    e = binary("pow", load(0, [i], I32), load(1, [i], I32))
    out = elementwise(level, [a, b], [I32, I32], e, i, "vector")
    np.testing.assert_array_equal(out, [0, 1, -1, 1, 0, 0])


@pytest.mark.parametrize("dtype", [F32, F64, DType.INT8, I32, I64, DType.UINT16], ids=str)
def test_unary_operations(level: str, dtype: DType, rng: np.random.Generator) -> None:
    i, count = var("i", N), 39
    a = numbers(rng, dtype, count)
    ops = ["abs", "sign", "floor", "ceil", "round", "trunc", "isnan", "isinf"]
    if dtype.is_float:
        a[:8] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 1.5, -2.5]
        ops += ["neg", "sqrt"]
    else:
        ops += ["bitnot", *(["neg"] if dtype.is_signed else [])]
    for op in ops:
        e = unary(op, load(0, [i], dtype))
        out = elementwise(level, [a], [dtype], e, i, "vector")
        want = evaluate(e, {i: np.arange(count)}, [a])
        np.testing.assert_array_equal(out, want, err_msg=op)
        if dtype.is_float and op in ("floor", "ceil", "round", "trunc", "neg"):
            np.testing.assert_array_equal(np.signbit(out)[3:], np.signbit(want)[3:], err_msg=op)


def test_minimum_and_maximum_keep_nan(level: str) -> None:
    i = var("i", N)
    a = np.array([1, np.nan, np.nan, np.inf, -np.inf, 3] * 6, np.float32)
    b = np.array([np.nan, 1, np.nan, np.nan, 2, np.inf] * 6, np.float32)
    for op in ("min", "max"):
        e = binary(op, load(0, [i], F32), load(1, [i], F32))
        for kind in ("vector", "serial"):
            out = elementwise(level, [a, b], [F32, F32], e, i, kind)
            np.testing.assert_array_equal(out, evaluate(e, {i: np.arange(36)}, [a, b]))


@pytest.mark.parametrize("source", [*NUMBERS, *HALVES, DType.BOOL], ids=str)
def test_casts(level: str, source: DType, rng: np.random.Generator) -> None:
    i, count = var("i", N), 45
    a = numbers(rng, source, count)
    for to in (*NUMBERS, *HALVES, DType.BOOL):
        x = a
        if source.is_float and to.is_int:
            x = np.clip(a.astype(np.float64), 0 if not to.is_signed else -120, 120)
            x = x.astype(source.numpy)
        for kind in ("vector", "serial"):
            e = cast(load(0, [i], source), to)
            out = elementwise(level, [x], [source], e, i, kind)
            with np.errstate(all="ignore"):
                want = x.astype(to.numpy)
            np.testing.assert_array_equal(out, want, err_msg=f"{source} to {to}")


def test_floats_beyond_the_integers(level: str) -> None:
    i = var("i", N)
    wholes = (DType.INT8, DType.UINT8, I32, I64, DType.UINT32, DType.UINT64)
    for source, to in itertools.product((F32, F64), wholes):
        a = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3.9, -0.9] * 5, source.numpy)
        out = elementwise(level, [a], [source], cast(load(0, [i], source), to), i, "vector")
        want = np.array([scalar.truncated(float(v), to) for v in a], to.numpy)
        np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_all_halves(level: str, dtype: DType) -> None:
    i, bits = var("i", N), np.arange(65536, dtype=np.uint16)
    x = bits.view(dtype.numpy)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32)
    out = elementwise(level, [x], [dtype], cast(load(0, [i], dtype), F32), i, "vector")
    np.testing.assert_array_equal(out.view(np.uint32) | 0x400000, wide.view(np.uint32) | 0x400000)
    # Between every two neighbours: the halfway point and its own neighbours, in float32.
    finite = wide[np.isfinite(wide)]
    half = np.concatenate([finite, finite * 1.0001, finite + (finite - np.roll(finite, 1)) / 2])
    probes = np.concatenate([half, np.nextafter(half, np.inf), np.nextafter(half, -np.inf)])
    with np.errstate(all="ignore"):
        want = probes.astype(dtype.numpy)
    for kind in ("vector", "serial"):
        out = elementwise(level, [probes], [F32], cast(load(0, [i], F32), dtype), i, kind)
        np.testing.assert_array_equal(out.view(np.uint16), want.view(np.uint16))


def test_arithmetic_on_halves_rounds_once(level: str, rng: np.random.Generator) -> None:
    i, count = var("i", N), 200
    for dtype in HALVES:
        a, b = (numbers(rng, dtype, count) for _ in range(2))
        for op in ("add", "mul", "div", "max", "lt"):
            e = binary(op, load(0, [i], dtype), load(1, [i], dtype))
            out = elementwise(level, [a, b], [dtype, dtype], e, i, "vector")
            want = evaluate(e, {i: np.arange(count)}, [a, b])
            np.testing.assert_array_equal(out, want)

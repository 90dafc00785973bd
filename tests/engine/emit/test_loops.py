"""Subscripts and choices as machine code, against numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from engine.machine import evaluate, levels, nest, run
from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, const, eq, load, symbol, unary, var, where
from sardonyx.loops.ir import For, Store

F32, F64, I32, I64, U8 = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64, DType.UINT8)
BOOL = DType.BOOL

pytestmark = pytest.mark.parametrize("level", levels())
M, N, S = (symbol(name, 0) for name in "mns")


# Subscripts


def test_broadcasts(level: str, rng: np.random.Generator) -> None:
    for rows, cols in itertools.product((0, 1, 3), (0, 1, 5, 16, 37)):
        i, j = var("i", M), var("j", N)
        x, row, col = (rng.standard_normal(k).astype(np.float32) for k in (rows * cols, cols, rows))
        e = load(0, [i * N + j], F32) * load(1, [j], F32) + load(2, [i], F32)
        out = run(
            level,
            nest([(i, "serial"), (j, "vector")], [Store(3, i * N + j, e)]),
            [(F32, M * N, x), (F32, N, row), (F32, M, col)],
            (F32, M * N, x.size),
            {M: rows, N: cols},
        )
        want = x.reshape(rows, cols) * row + col[:, None]
        np.testing.assert_array_equal(out, want.reshape(-1))


@pytest.mark.parametrize("dtype", [F32, U8, F64], ids=str)
def test_strides(level: str, dtype: DType, rng: np.random.Generator) -> None:
    for step, count in itertools.product((-1, 2, 3, -4), (1, 7, 16, 35)):
        i = var("i", N)
        size = abs(step) * count
        x = rng.integers(0, 100, size).astype(dtype.numpy)
        index = i * step if step > 0 else i * step + (N * -step - 1)
        body = [For(i, (Store(1, i, load(0, [index], dtype)),), "vector")]
        sizes = [(dtype, N * abs(step), x)]
        out = run(level, body, sizes, (dtype, N, count), {N: count})
        want = x[::step][:count]
        np.testing.assert_array_equal(out, want)
        back = [For(i, (Store(1, index, load(0, [i], dtype)),), "vector")]
        out = run(level, back, [(dtype, N, x[:count])], (dtype, N * abs(step), size), {N: count})
        np.testing.assert_array_equal(out[::step][:count], x[:count])


def test_transposes_by_symbolic_strides(level: str, rng: np.random.Generator) -> None:
    for rows, cols in itertools.product((1, 4, 19), (1, 16, 33)):
        i, j = var("i", M), var("j", N)
        x = rng.standard_normal(rows * cols).astype(np.float32)
        given = {M: rows, N: cols}
        read = [Store(1, j * M + i, load(0, [i * N + j], F32))]
        for lane in (((i, "serial"), (j, "vector")), ((j, "serial"), (i, "vector"))):
            out = run(level, nest(lane, read), [(F32, M * N, x)], (F32, M * N, x.size), given)
            np.testing.assert_array_equal(out, x.reshape(rows, cols).T.reshape(-1))


def test_gathers_and_divided_subscripts(level: str, rng: np.random.Generator) -> None:
    for count in (0, 1, 15, 16, 50):
        i = var("i", N)
        x = rng.standard_normal(20).astype(np.float32)
        for kind in (I64, I32):
            picks = rng.integers(0, 20, count).astype(kind.numpy)
            index = cast(load(1, [i], kind), I64)
            body = [For(i, (Store(2, i, load(0, [index], F32)),), "vector")]
            inputs: list[Any] = [(F32, 20, x), (kind, N, picks)]
            out = run(level, body, inputs, (F32, N, count), {N: count})
            np.testing.assert_array_equal(out, x[picks])
        body = [For(i, (Store(1, i, load(0, [(i // 7) * 7 + (i * 3) % 7], F32)),), "vector")]
        y = rng.standard_normal(count + 7).astype(np.float32)
        out = run(level, body, [(F32, N + 7, y)], (F32, N, count), {N: count})
        k = np.arange(count)
        np.testing.assert_array_equal(out, y[k // 7 * 7 + k * 3 % 7])


def test_scatters(level: str, rng: np.random.Generator) -> None:
    for count in (0, 1, 16, 41):
        i, x = (var("i", N), rng.standard_normal(count).astype(np.float32))
        order = rng.permutation(count).astype(np.int64)
        body = [For(i, (Store(2, load(1, [i], I64), load(0, [i], F32)),), "vector")]
        out = run(level, body, [(F32, N, x), (I64, N, order)], (F32, N, count), {N: count})
        np.testing.assert_array_equal(out[order], x)


# Choices


def test_padding_reads_nothing_outside(level: str, rng: np.random.Generator) -> None:
    for count, before in itertools.product((0, 1, 5, 16, 40), (0, 1, 3)):
        i = var("i", N + 2 * before)
        x = rng.standard_normal(count).astype(np.float32)
        at = i - before
        holds = (const(0) <= at) & (at < N)
        e = where(holds, unary("exp", load(0, [at], F32)), const(-1.0, F32))
        body = [For(i, (Store(1, i, e),), "vector")]
        total = count + 2 * before
        out = run(level, body, [(F32, N, x)], (F32, N + 2 * before, total), {N: count})
        want = np.pad(np.exp(x), before, constant_values=-1)
        np.testing.assert_allclose(out, want, rtol=3e-7)


def test_the_side_not_chosen_is_not_read(level: str, rng: np.random.Generator) -> None:
    i, x = var("i", N), rng.standard_normal(37).astype(np.float32)
    none = np.zeros(0, np.float32)
    other = load(1, [i * 5 + 3], F32) + load(1, [const(9)], F32)
    for condition in (const(1) <= S, load(0, [i], F32) <= const(9.0, F32)):
        for kind in ("vector", "serial"):
            e = where(condition, load(0, [i], F32) * 2.0, other)
            body = [For(i, (Store(2, i, e),), kind)]
            inputs = [(F32, N, x), (F32, S, none)]
            out = run(level, body, inputs, (F32, N, 37), {N: 37, S: 2})
            np.testing.assert_array_equal(out, x * 2)


def test_choices_within_choices(level: str, rng: np.random.Generator) -> None:
    i = var("i", N)
    for count in (0, 3, 16, 50):
        x = rng.standard_normal(count).astype(np.float32)
        half = load(0, [i // 2], F32)
        inner = where(i < N // 2, load(0, [i * 2], F32), half)
        e = where(half < const(0.0, F32), where(i < 1, half, load(0, [i - 1], F32)), inner)
        body = [For(i, (Store(1, i, e),), "vector")]
        out = run(level, body, [(F32, N, x)], (F32, N, count), {N: count})
        want = evaluate(e, {i: np.arange(count), N: count}, [x]) if count else x
        np.testing.assert_array_equal(out, want)


def test_concatenation_by_nested_choices(level: str, rng: np.random.Generator) -> None:
    parts = [rng.standard_normal(k).astype(np.float32) for k in (3, 20, 0, 17)]
    i = var("i", 40)
    e: Expr = load(3, [i - 23], F32)
    starts = (0, 3, 23)
    for k in (2, 1, 0):
        e = where(i < starts[k] + parts[k].size, load(k, [i - starts[k]], F32), e)
    inputs = [(F32, p.size, p) for p in parts]
    out = run(level, [For(i, (Store(4, i, e),), "vector")], inputs, (F32, 40, 40))
    np.testing.assert_array_equal(out, np.concatenate(parts))


def test_long_chains_of_choices(level: str) -> None:
    count, i, j = 300, var("i", 900), var("j", 3)
    whole, rows = (load(count - 1, [i - 897], F32), load(count - 1, [j], F32))
    k = var("k", count)
    for part in reversed(range(count - 1)):
        whole = where(i < 3 * (part + 1), load(part, [i - 3 * part], F32), whole)
        rows = where(k <= part, load(part, [j], F32), rows)
    parts = [np.full(3, part, np.float32) for part in range(count)]
    inputs = [(F32, 3, part) for part in parts]
    out = run(level, nest([(i, "vector")], [Store(count, i, whole)]), inputs, (F32, 900, 900))
    np.testing.assert_array_equal(out, np.concatenate(parts))
    body = nest([(k, "serial"), (j, "vector")], [Store(count, k * 3 + j, rows)])
    out = run(level, body, inputs, (F32, 900, 900))
    np.testing.assert_array_equal(out, np.concatenate(parts))


def test_masks_of_positions(level: str) -> None:
    i, j = var("i", M), var("j", N)
    e = where(j <= i, cast(i * 10 + j, F32), const(float("-inf"), F32))
    body = nest([(i, "serial"), (j, "vector")], [Store(0, i * N + j, e)])
    out = run(level, body, [], (F32, M * N, 6 * 21), {M: 6, N: 21})
    a, b = np.mgrid[:6, :21]
    np.testing.assert_array_equal(out.reshape(6, 21), np.where(b <= a, a * 10 + b, -np.inf))


def test_whether_a_position_is_this_one_as_a_number(level: str) -> None:
    i = var("i", const(5))
    value = cast(eq(i, 3), DType.INT64) * 7 + cast(i < 2, DType.INT64)
    out = run(level, nest([(i, "vector")], [Store(0, i, value)]), [], (DType.INT64, 5, 5))
    np.testing.assert_array_equal(out, [1, 1, 0, 7, 0])

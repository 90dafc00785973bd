"""Reductions, whole kernels and the forms of loops as machine code, against numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from engine.machine import Native, guarded, levels, nest, run
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import (
    Expr,
    cast,
    const,
    eq,
    load,
    maximum,
    scalar,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.engine.emit.kernel import emit
from sardonyx.loops.ir import Buffer, Fold, FoldKind, For, If, Kernel, Let, LoopKind, Stmt, Store
from sardonyx.loops.target import make

F32, F64, I32, I64, U8 = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64, DType.UINT8)
BOOL = DType.BOOL

pytestmark = pytest.mark.parametrize("level", levels())
M, N, S = (symbol(name, 0) for name in "mns")
KINDS: tuple[FoldKind, ...] = ("vector", "serial")
Case = tuple[list[tuple[Expr, LoopKind]], tuple[Expr, ...], Expr, FoldKind, Array]


# Reductions

_FOLDS: dict[str, Any] = {"add": np.sum, "mul": np.prod, "min": np.min, "max": np.max}
_START = {"add": 0, "mul": 1, "min": np.inf, "max": -np.inf}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", list(_FOLDS))
def test_folds_of_every_length(
    level: str, op: str, kind: FoldKind, rng: np.random.Generator
) -> None:
    for dtype in (F32, I32):
        k, acc = var("k", N), scalar("a", dtype)
        body: list[Stmt] = [Fold(acc, op, (k,), load(0, [k], dtype), kind), Store(1, const(0), acc)]
        params = (Buffer(0, dtype, N), Buffer(1, dtype, const(1), "out"))
        native = Native(Kernel(params, (N,), tuple(body), N), level)
        long = [] if op == "mul" else [4099, 17_411]
        for count in [*range(37), 63, 64, 65, 127, 129, 200, *long]:
            x = rng.uniform(0.5, 2.0, count) if dtype is F32 else rng.integers(-9, 9, count)
            x, out = x.astype(dtype.numpy), np.zeros(1, dtype.numpy)
            native([guarded(x, dtype), out], [count])
            if count or dtype is F32:
                want = np.array(_FOLDS[op](x) if count else _START[op], dtype.numpy)
                np.testing.assert_allclose(out[0], want, rtol=2e-5 if dtype is F32 else 0)


@pytest.mark.parametrize("count", [1, 5, 16, 33, 64, 100, 128, 768])
def test_folds_of_known_length(level: str, count: int, rng: np.random.Generator) -> None:
    k, acc, x = (var("k", count), scalar("a", F32), rng.standard_normal(count).astype(np.float32))
    for kind in KINDS:
        body: list[Stmt] = [Fold(acc, "add", (k,), load(0, [k], F32) * load(0, [k], F32), kind)]
        out = run(level, [*body, Store(1, const(0), acc)], [(F32, count, x)], (F32, 1, 1))
        np.testing.assert_allclose(out[0], np.sum(x.astype(np.float64) ** 2), rtol=1e-5)


def test_folds_over_each_axis(level: str, rng: np.random.Generator) -> None:
    a, b, c = (symbol(name) for name in "abc")
    i, j, k = var("i", a), var("j", b), var("k", c)
    acc = scalar("t", F32)
    e = load(0, [(i * b + j) * c + k], F32)
    for shape in ((2, 3, 40), (3, 17, 5), (1, 1, 1)):
        x = rng.standard_normal(np.prod(shape)).astype(np.float32)
        cube = x.reshape(shape)
        given = dict(zip((a, b, c), shape, strict=True))
        cases: list[Case] = [
            ([(i, "serial"), (j, "serial")], (k,), i * b + j, "vector", cube.sum(2)),
            ([(i, "serial"), (k, "vector")], (j,), i * c + k, "serial", cube.sum(1)),
            ([(j, "serial"), (k, "vector")], (i,), j * c + k, "serial", cube.sum(0)),
            ([(j, "serial")], (i, k), j, "vector", cube.sum((0, 2))),
            ([(k, "vector")], (i, j), k, "serial", cube.sum((0, 1))),
            ([], (i, j, k), const(0), "vector", cube.sum().reshape(1)),
        ]
        for loops, vars_, at, kind, want in cases:
            body = nest(loops, [Fold(acc, "add", vars_, e, kind), Store(1, at, acc)])
            out = run(level, body, [(F32, a * b * c, x)], (F32, a * b * c, want.size), given)
            np.testing.assert_allclose(out, want.reshape(-1), rtol=1e-5, atol=1e-5)


def test_folds_over_nothing(level: str) -> None:
    k, acc, empty = (var("k", N), scalar("a", F32), np.zeros(0, np.float32))
    for kind, size in itertools.product(KINDS, (0,)):
        value = load(0, [k], F32) + load(1, [const(0)], F32)
        body: list[Stmt] = [Fold(acc, "max", (k,), value, kind), Store(2, const(0), acc)]
        inputs = [(F32, N, empty), (F32, N, empty)]
        assert run(level, body, inputs, (F32, 1, 1), {N: size})[0] == -np.inf


def test_folds_of_narrow_and_boolean_types(level: str, rng: np.random.Generator) -> None:
    for count in (1, 31, 64, 65, 300):
        k, x = var("k", N), rng.integers(0, 200, count).astype(np.uint8)
        small, total, any_, all_ = (
            scalar("m", U8),
            scalar("t", I32),
            scalar("o", BOOL),
            scalar("a", BOOL),
        )
        at = load(0, [k], U8)
        big = const(180, U8) < at
        body: list[Stmt] = [
            Fold(small, "max", (k,), at, "vector"),
            Fold(total, "add", (k,), cast(at, I32), "vector"),
            Fold(any_, "or", (k,), big, "vector"),
            Fold(all_, "and", (k,), big, "vector"),
            Store(1, const(0), cast(small, I32)),
            Store(1, const(1), total),
            Store(1, const(2), cast(any_, I32)),
            Store(1, const(3), cast(all_, I32)),
        ]
        out = run(level, body, [(U8, N, x)], (I32, 4, 4), {N: count})
        big_x = x > 180
        want = [x.max(), x.sum(dtype=np.int32), big_x.any(), big_x.all()]
        np.testing.assert_array_equal(out, np.array(want, np.int32))


def test_maximum_of_a_fold_keeps_nan(level: str, rng: np.random.Generator) -> None:
    k, acc = var("k", N), scalar("a", F32)
    for count, at in ((40, 0), (40, 39), (100, 17), (200, 130)):
        x = rng.standard_normal(count).astype(np.float32)
        x[at] = np.nan
        for op, kind in itertools.product(("max", "min"), KINDS):
            body: list[Stmt] = [
                Fold(acc, op, (k,), load(0, [k], F32), kind),
                Store(1, const(0), acc),
            ]
            assert np.isnan(run(level, body, [(F32, N, x)], (F32, 1, 1), {N: count})[0])


def test_windows(level: str, rng: np.random.Generator) -> None:
    """Average pooling with padding: a guarded two-dimensional fold in every lane."""
    h, w = symbol("h"), symbol("w")
    i, j, p, q = var("i", h), var("j", w), var("p", 3), var("q", 3)
    y, x = i + p - 1, j + q - 1
    inside = (const(0) <= y) & (y < h) & (const(0) <= x) & (x < w)
    value = where(inside, load(0, [y * w + x], F32), const(0.0, F32))
    acc = scalar("a", F32)
    body = nest(
        [(i, "serial"), (j, "vector")], [Fold(acc, "add", (p, q), value), Store(1, i * w + j, acc)]
    )
    for rows, cols in ((1, 1), (4, 16), (3, 35)):
        image = rng.standard_normal((rows, cols)).astype(np.float32)
        inputs = [(F32, h * w, image.reshape(-1))]
        out = run(level, body, inputs, (F32, h * w, image.size), {h: rows, w: cols})
        padded = np.pad(image, 1)
        want = sum(padded[a : a + rows, b : b + cols] for a in range(3) for b in range(3))
        np.testing.assert_allclose(out.reshape(rows, cols), want, rtol=1e-5, atol=1e-5)


# Whole kernels


def softmax(rows: Expr, cols: Expr | int, kind: LoopKind = "serial") -> tuple[Stmt, ...]:
    i, j = var("i", rows), var("j", cols)
    k1, k2 = var("k", cols), var("l", cols)
    top, total = scalar("m", F32), scalar("t", F32)
    at = i * cols
    return (
        For(
            i,
            (
                Fold(top, "max", (k1,), load(0, [at + k1], F32), "vector"),
                Fold(total, "add", (k2,), unary("exp", load(0, [at + k2], F32) - top), "vector"),
                For(
                    j,
                    (Store(1, at + j, unary("exp", load(0, [at + j], F32) - top) / total),),
                    "vector",
                ),
            ),
            kind,
        ),
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_softmax_in_parallel(level: str, threads: int, rng: np.random.Generator) -> None:
    for rows, cols in ((1, 1), (2, 5), (7, 100), (5, 768)):
        x = rng.standard_normal((rows, cols)).astype(np.float32) * 3
        body = softmax(M, N, "parallel")
        inputs = [(F32, M * N, x.reshape(-1))]
        out = run(level, body, inputs, (F32, M * N, x.size), {M: rows, N: cols}, threads=threads)
        grown = np.exp(x - x.max(1, keepdims=True))
        np.testing.assert_allclose(
            out.reshape(rows, cols), grown / grown.sum(1, keepdims=True), rtol=2e-6
        )


def test_scratch_is_read_back_after_it_is_written(level: str, rng: np.random.Generator) -> None:
    i, j, k = var("i", M), var("j", 40), var("k", 40)
    acc = scalar("a", F32)
    out_value = load(2, [j], F32) + acc * load(3, [const(0)], F32)
    scratch = [
        Buffer(2, F32, const(40), "out", "thread"),
        Buffer(3, F32, const(1), "out", "thread"),
    ]
    body = nest(
        [(i, "parallel")],
        [
            For(j, (Store(2, j, load(0, [i * 40 + j], F32) * 2.0),), "vector"),
            Store(3, const(0), load(2, [const(0)], F32)),
            Store(3, const(0), load(3, [const(0)], F32) + load(2, [const(1)], F32)),
            Fold(acc, "add", (k,), load(2, [k], F32), "vector"),
            For(j, (Store(1, i * 40 + j, out_value),), "vector"),
        ],
    )
    x = rng.standard_normal((6, 40)).astype(np.float32)
    out = run(
        level, body, [(F32, M * 40, x.reshape(-1))], (F32, M * 40, x.size), {M: 6}, scratch, 2
    )
    y = x * 2
    want = y + y.sum(1, keepdims=True) * (y[:, :1] + y[:, 1:2])
    np.testing.assert_allclose(out.reshape(6, 40), want, rtol=1e-5, atol=1e-4)


def test_a_serial_loop_carries_values_through_memory(level: str) -> None:
    i = var("i", N)
    before = load(0, [maximum(i, 1) - 1], F32)
    body = [For(i, (Store(0, i, where(i < 1, const(1.0, F32), before * 2.0)),))]
    out = run(level, body, [], (F32, N, 20), {N: 20})
    np.testing.assert_array_equal(out, 2.0 ** np.arange(20))


def test_lets_branches_and_unrolled_loops(level: str, rng: np.random.Generator) -> None:
    i, j, u = var("i", M), var("j", N), var("u", 3)
    t = scalar("t", F32)
    x = rng.standard_normal((5, 21)).astype(np.float32)
    body = nest(
        [(i, "serial")],
        [
            If(
                eq(i % 2, 0),
                nest(
                    [(j, "vector")],
                    [Let(t, load(0, [i * N + j], F32) + 1.0), Store(1, i * N + j, t * t)],
                ),
                nest([(u, "unroll"), (j, "vector")], [Store(1, i * N + j, cast(u * 10 + j, F32))]),
            )
        ],
    )
    out = run(level, body, [(F32, M * N, x.reshape(-1))], (F32, M * N, 105), {M: 5, N: 21})
    want = (x + 1) ** 2
    want[1::2] = 20 + np.arange(21)
    np.testing.assert_allclose(out.reshape(5, 21), want, rtol=1e-6)


def test_a_name_given_again_has_its_new_value(level: str) -> None:
    i, j, t = var("i", M), var("j", 20), scalar("t", F32)
    before = load(2, [const(0)], F32)
    body = nest(
        [(i, "serial")],
        [
            Store(2, const(0), cast(i, F32)),
            For(j, (Let(t, before), Store(2, const(0), t + 1.0), Store(1, i * 20 + j, t * 2.0))),
            Let(t, before + 5.0),
            Store(0, i, t * 2.0),
        ],
    )
    params = (
        Buffer(0, F32, M, "out"),
        Buffer(1, F32, M * 20, "out"),
        Buffer(2, F32, const(1), "out"),
    )
    first, rows, memory = (np.zeros(n, np.float32) for n in (3, 60, 1))
    Native(Kernel(params, (M,), body, M), level)([first, rows, memory], [3])
    trips = np.arange(3)[:, None]
    np.testing.assert_array_equal(rows.reshape(3, 20), (trips + np.arange(20)) * 2)
    np.testing.assert_array_equal(first, (np.arange(3) + 25) * 2)


def test_an_empty_loop_runs_nothing_that_left_it(level: str) -> None:
    i, j, none = var("i", M), var("j", N), np.zeros(0, np.float32)
    e = load(0, [j], F32) + load(0, [i], F32) + load(0, [const(5)], F32)
    body = nest([(i, "serial"), (j, "vector")], [Store(1, i * N + j, e)])
    for sizes in ((0, 0), (3, 0), (0, 3)):
        run(level, body, [(F32, M, none)], (F32, M * N, 0), dict(zip((M, N), sizes, strict=True)))


def test_unknown_things_are_refused(level: str) -> None:
    target, i = make(level), var("i", 4)
    params = (Buffer(0, F32, const(4)), Buffer(1, F32, const(4), "out"))
    for body in (
        Store(1, const(0), scalar("free", F32)),
        Store(7, const(0), const(1.0, F32)),
        Store(1, const(0), load(9, [const(0)], F32)),
        Store(1, const(0), const(1, I32)),
        For(i, (Store(1, const(0), load(0, [i], F64)),)),
    ):
        with pytest.raises(CompileError):
            emit(Kernel(params, (), (body,), const(1)), target, "k")

"""Loop nests without a template: where their lanes go, and that reductions mean what they did."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.agree import LEVELS, machine
from kernels.native import run
from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    const,
    load,
    maximum,
    minimum,
    name_of,
    product,
    reduce,
    symbol,
    unary,
    var,
    where,
)
from sardonyx.kernels.pick import schedule
from sardonyx.loops.build import Closed, pointwise
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Fold, For, statements
from sardonyx.loops.target import make
from sardonyx.loops.text import canonical, from_text, to_text
from sardonyx.loops.vector.rewrite import vectorise

F32 = DType.FLOAT32
MEANING: dict[str, Any] = {"add": np.sum, "max": np.max, "min": np.min}
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


def reduction(op: str, dims: list[int], axes: set[int], order: list[int], dtype: DType) -> Closed:
    """Kept axes in order; the tensor lies in memory with its axes in an order of their own."""
    strides = [0] * len(dims)
    step = 1
    for n in reversed(order):
        strides[n], step = step, step * dims[n]
    kept = {n: var(f"o{n}", dims[n]) for n in range(len(dims)) if n not in axes}

    def element(at: dict[int, Expr], rest: list[int]) -> Expr:
        if rest:
            return reduce(op, dims[rest[0]], lambda k: element({**at, rest[0]: k}, rest[1:]))
        place = functools.reduce(lambda a, n: a + at[n] * strides[n], at, const(0))
        return load("x", [place], dtype)

    value = element(dict(kept), sorted(axes))
    index = functools.reduce(lambda a, n: a * dims[n] + kept[n], kept, const(0))
    count = int(np.prod([dims[n] for n in kept], dtype=np.int64))
    sizes = {"x": (dtype, const(step)), "y": (dtype, const(count))}
    return pointwise("y", list(kept.values()), index, value, sizes)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(SIZES, st.data())
@pytest.mark.parametrize("level", LEVELS)
def test_reductions_over_any_axes_in_any_layout(
    level: str, dims: list[int], data: st.DataObject
) -> None:
    axes = data.draw(st.sets(st.integers(0, len(dims) - 1), min_size=1))
    order = data.draw(st.permutations(range(len(dims))))
    op, dtype = data.draw(st.sampled_from(["add", "max", "min"])), DType.INT32
    closed = reduction(op, dims, axes, list(order), dtype)
    x = np.random.default_rng(0).integers(-99, 99, dims).astype(np.int32)
    flat = np.ascontiguousarray(x.transpose(order)).reshape(-1)
    wanted = MEANING[op](x, axis=tuple(axes)).reshape(-1)
    target = machine(level)
    made = schedule(closed.kernel, target or make(level))
    check(made.kernel)
    lanes = vectorise(made.kernel, make(level))
    check(lanes)
    got = np.full(wanted.size, 7, np.int32)
    if flat.size < 3000:
        interpret(lanes, [got, flat], ())
        np.testing.assert_array_equal(got, wanted)
    if target is not None:
        found = run(target, closed.kernel, made, [np.full_like(got, 7), flat], ())
        np.testing.assert_array_equal(found, wanted)


KINDS = (DType.FLOAT32, DType.FLOAT64, DType.INT8, DType.FLOAT16, DType.BOOL, DType.INT64)
ENDS = st.sampled_from([1, 3, 4, 7, 8, 16, 17, 21, 32, 40, 67])


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists(ENDS, min_size=2, max_size=4), st.data())
@pytest.mark.parametrize("level", LEVELS)
def test_any_order_of_axes_of_any_type(level: str, dims: list[int], data: st.DataObject) -> None:
    order, dtype = data.draw(st.permutations(range(len(dims)))), data.draw(st.sampled_from(KINDS))
    named = data.draw(st.sets(st.integers(0, len(dims) - 1)))
    sizes = [symbol(f"d{n}") if n in named else const(d) for n, d in enumerate(dims)]
    strides = {n: product(sizes[m] for m in order[k + 1 :]) for k, n in enumerate(order)}
    index = [var(f"o{n}", d) for n, d in enumerate(sizes)]
    straight = functools.reduce(lambda a, n: a * sizes[n] + index[n], range(len(dims)), const(0))
    crosswise = functools.reduce(lambda a, n: a + index[n] * strides[n], order, const(0))
    count = product(sizes)
    value = load("x", [crosswise], dtype)
    if dtype.is_int:
        value = value + load("y", [straight], dtype) * load("x", [crosswise], dtype)
    kept = dict.fromkeys("zxy", (dtype, count))
    closed = pointwise("z", index, straight, value, kept)
    rng = np.random.default_rng(len(dims))
    x, y = (rng.integers(0, 2 if dtype.is_bool else 9, dims).astype(dtype.numpy) for _ in range(2))
    flat = np.ascontiguousarray(x.transpose(order)).reshape(-1)
    wanted = (x + y * x if dtype.is_int else x).reshape(-1)
    by_key = {"z": np.zeros_like(wanted), "x": flat, "y": y.reshape(-1)}
    arrays = [by_key[key] for key in closed.params]
    symbols = [dims[int(name_of(s)[1:])] for s in closed.symbols]
    target = machine(level)
    made = schedule(closed.kernel, target or make(level))
    lanes = vectorise(made.kernel, make(level))
    for stage in (made.kernel, lanes):
        check(stage)
        assert from_text(to_text(canonical(stage))) == canonical(stage)
    if flat.size < 2000:
        interpret(lanes, arrays, symbols)
        np.testing.assert_array_equal(arrays[0], wanted)
    if target is not None:
        arrays[0] = np.zeros_like(wanted)
        np.testing.assert_array_equal(run(target, closed.kernel, made, arrays, symbols, 2), wanted)


def test_blocks_are_turned_where_memory_lies_crosswise() -> None:
    i, j = var("i", 64), var("j", 48)
    sizes = {key: (F32, const(64 * 48)) for key in "zx"}
    closed = pointwise("z", [i, j], i * 48 + j, load("x", [j * 64 + i], F32), sizes)
    kernel = schedule(closed.kernel, make("avx2")).kernel
    assert [s.kind for s in statements(kernel.body) if isinstance(s, For)] == [
        "parallel", "turn", "vector",
    ]  # fmt: skip
    lanes = to_text(canonical(vectorise(kernel, make("avx2"))))
    assert lanes.count("turn.") == 8
    assert "by" not in lanes


@pytest.mark.parametrize(
    ("dims", "axes", "folds", "loops"),
    [
        ([64, 100], {1}, ["vector"], ["parallel"]),
        ([100, 64], {0}, ["serial"], ["vector"]),
        ([8, 16, 16], {1, 2}, ["vector"], ["parallel"]),
        ([30, 40], {0, 1}, ["vector"], []),
        ([64, 3], {1}, ["serial"], ["vector"]),
        ([6, 100, 64], {1}, ["serial"], ["parallel", "vector"]),
    ],
)  # fmt: skip
def test_lanes_go_along_memory(
    dims: list[int], axes: set[int], folds: list[str], loops: list[str]
) -> None:
    closed = reduction("add", dims, axes, list(range(len(dims))), F32)
    inside = list(statements(schedule(closed.kernel, make("avx2")).kernel.body))
    found = [s for s in inside if isinstance(s, Fold)]
    assert [s.kind for s in found] == folds
    assert [len(s.vars) for s in found] == [1] * len(found)
    assert [s.kind for s in inside if isinstance(s, For)] == loops


def softmax_like(axis: int, dims: tuple[int, int]) -> Closed:
    i, j = (var(f"o{n}", d) for n, d in enumerate(dims))

    def element(k: Expr) -> Expr:
        at = (k, j) if axis == 0 else (i, k)
        return load("x", [at[0] * dims[1] + at[1]], F32)

    here = (i, j)[axis]
    top = reduce("max", dims[axis], element)
    total = reduce("add", dims[axis], lambda k: unary("exp", element(k) - top))
    value = unary("exp", element(here) - top) * (const(1.0, F32) / total)
    count = const(dims[0] * dims[1])
    return pointwise("y", [i, j], i * dims[1] + j, value, {"x": (F32, count), "y": (F32, count)})


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dims", [(7, 40), (33, 5), (70, 130)])
def test_what_is_dear_is_computed_once(level: str, axis: int, dims: tuple[int, int]) -> None:
    closed = softmax_like(axis, dims)
    target = machine(level)
    made = schedule(closed.kernel, target or make(level))
    check(made.kernel)
    assert to_text(canonical(made.kernel)).count("exp(") == 1
    x = np.random.default_rng(0).standard_normal(dims).astype(np.float32)
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    wanted = (e / e.sum(axis, keepdims=True)).reshape(-1)
    arrays = [np.zeros(x.size, np.float32), x.reshape(-1)]
    if x.size < 300:
        interpret(vectorise(made.kernel, make(level)), arrays, ())
        np.testing.assert_allclose(arrays[0], wanted, 1e-5)
    if target is not None:
        found = run(target, closed.kernel, made, [np.zeros_like(arrays[0]), arrays[1]], (), 2)
        np.testing.assert_allclose(found, wanted, 1e-5)


@pytest.mark.parametrize("ends", [(64, 130), (100, 164, 300), (3, 130), (64, 64 + 128, 1000)])
def test_choices_by_the_subscript_cut_the_loop(ends: tuple[int, ...]) -> None:
    """A row made of several, as Concat makes one, compared from both sides."""
    rows, extent = 3, ends[-1] + 90
    i, j = var("o0", rows), var("o1", extent)
    starts = (0, *ends)
    lengths = [b - a for a, b in zip(starts, (*ends, extent), strict=True)]
    parts = [
        load(f"x{n}", [i * length + j - start], F32)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]
    value = parts[-1]
    for n in range(len(ends) - 1, -1, -1):
        below = j < ends[n]
        value = where(below, parts[n], value) if n % 2 else where(ends[n] <= j, value, parts[n])
    sizes = {f"x{n}": (F32, const(rows * length)) for n, length in enumerate(lengths)}
    sizes["y"] = (F32, const(rows * extent))
    closed = pointwise("y", [i, j], i * extent + j, value, sizes)
    rng = np.random.default_rng(0)
    given_ = {f"x{n}": rng.random((rows, d), np.float32) for n, d in enumerate(lengths)}
    wanted = np.concatenate(list(given_.values()), axis=1).reshape(-1)
    arrays = [np.zeros_like(wanted), *(given_[key].reshape(-1) for key in closed.params[1:])]
    made = schedule(closed.kernel, make("avx2"))
    vectors = [s for s in statements(made.kernel.body) if isinstance(s, For) and s.kind == "vector"]
    assert len(vectors) == len(lengths)
    assert "where" not in to_text(canonical(made.kernel))
    target = machine("avx2") or machine("generic")
    assert target is not None
    made = schedule(closed.kernel, target)
    np.testing.assert_array_equal(run(target, closed.kernel, made, arrays, (), 2), wanted)


PIECES = st.recursive(
    st.just("j") | st.integers(-3, 90),
    lambda e: st.tuples(st.sampled_from(["min", "max", "add", "mod", "div"]), e, e),
    max_leaves=6,
)


def as_expr(said: Any, j: Expr) -> Expr:
    """Arithmetic on a subscript; divisors are numbers."""
    if isinstance(said, tuple):
        a, b = (as_expr(part, j) for part in said[1:])
        if said[0] in ("mod", "div"):
            by = abs(b.arg) + 20 if b.is_const else 30
            return a % by if said[0] == "mod" else a // by
        return a + b if said[0] == "add" else (minimum if said[0] == "min" else maximum)(a, b)
    return j if said == "j" else const(said)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.integers(30, 200), PIECES, PIECES, st.booleans())
def test_cut_rows_mean_what_they_did(extent: int, at: Any, turn: Any, by_row: bool) -> None:
    i, j = var("o0", 4), var("o1", extent)
    inner = maximum(minimum(as_expr(at, j), 199), 0)
    holds = as_expr(turn, j) < as_expr(at, j - 7)
    value = where(holds, load("x", [i * 200 + inner], F32), const(-1.0, F32))
    if by_row:
        value = where((const(1) <= i) & (i < 3), value, load("x", [i * 200 + j], F32))
    sizes = {"x": (F32, const(800)), "y": (F32, const(4 * extent))}
    closed = pointwise("y", [i, j], i * extent + j, value, sizes)
    given_ = [np.arange(800, dtype=np.float32)][: len(closed.params) - 1]
    wanted, found = (np.full(4 * extent, 7, np.float32) for _ in range(2))
    interpret(closed.kernel, [wanted, *given_], ())
    for level in ("avx2", "avx512"):
        made = schedule(closed.kernel, make(level)).kernel
        check(made)
        found[:] = 7
        interpret(made, [found, *given_], ())
        np.testing.assert_array_equal(found, wanted)
        lanes = vectorise(made, make(level))
        check(lanes)
        found[:] = 7
        interpret(lanes, [found, *given_], ())
        np.testing.assert_array_equal(found, wanted)

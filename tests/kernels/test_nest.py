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
from sardonyx.core.expr import Expr, const, load, name_of, product, reduce, symbol, var
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

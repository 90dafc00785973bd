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
from sardonyx.core.expr import Expr, const, load, reduce, var
from sardonyx.kernels.pick import schedule
from sardonyx.loops.build import Closed, pointwise
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Fold, For, statements
from sardonyx.loops.target import make
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

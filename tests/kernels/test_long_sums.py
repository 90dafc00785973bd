"""What sums of a million elements lose beside numpy's by pairs, and whether a batch matters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from graph.sources import parse
from sardonyx.core.dtype import Array
from sardonyx.core.expr import symbol
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Type
from sardonyx.passes.pipeline import prepare

MILLION = 1_000_000
EPS = float(np.finfo(np.float32).eps)
# The reference sums by pairs: with its few units everything counts as exact as can be.
UNITS = 12

SUMS = (
    "ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
    "ReduceLogSumExp",
)  # fmt: skip
LAYOUTS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "last": ((2, MILLION), "1"),
    "first": ((MILLION, 3), "0"),
    "middle": ((2, MILLION // 4, 5), "1"),
    "all": ((1000, 1000), "0, 1"),
    "outer and inner": ((1000, 2, 1000), "0, 2"),
}
NORMS = {
    "LayerNormalization": ((2, MILLION), "LayerNormalization(x, s)", "1000000"),
    "RMSNormalization": ((2, MILLION), "RMSNormalization(x, s)", "1000000"),
    "LpNormalization": ((2, MILLION), "LpNormalization(x)", "1"),
    "InstanceNormalization": ((1, 2, 1000, 1000), "InstanceNormalization(x, s, s)", "2"),
    "GroupNormalization": ((1, 4, 1000, 500), "GroupNormalization<num_groups=2>(x, s, s)", "4"),
    "MeanVarianceNormalization": (
        (1, 2, 1000, 1000), "MeanVarianceNormalization<axes=[2, 3]>(x)", "1",
    ),
    "Softmax": ((2, MILLION), "Softmax(x)", "1"),
    "LogSoftmax": ((2, MILLION), "LogSoftmax(x)", "1"),
    "GlobalAveragePool": ((1, 2, 1000, 1000), "GlobalAveragePool(x)", "1"),
    "GlobalLpPool": ((1, 2, 1000, 1000), "GlobalLpPool(x)", "1"),
}  # fmt: skip


def data(shape: tuple[int, ...]) -> Array:
    """Numbers whose sums grow with them."""
    rng = np.random.default_rng(list(shape))
    return rng.uniform(0.5, 2.0, shape).astype(np.float32)


def graph_of(operator: str, shape: tuple[int, ...], more: str = "") -> Graph:
    dims = ", ".join(map(str, shape))
    return parse(f'opset "" 23\ninput x: float32[{dims}]\n{more}\ny = {operator}\noutput y\n')


def loss(graph: Graph, x: Array, others: Mapping[str, Array] | None = None) -> float:
    """The error of the machine code against float64, less what numpy's pairwise sums lose."""
    feeds = {"x": x, **(others or {})}
    exact = run(graph, {n: a.astype(np.float64) for n, a in feeds.items()})["y"]
    paired = run(graph, feeds)["y"]
    (found,) = Program(prepare(graph)).run([feeds[v.name] for v in graph.inputs])
    ours, theirs = (np.abs(a - exact).max() / np.abs(exact).max() for a in (found, paired))
    return float(ours - theirs)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", SUMS)
def test_reductions(op: str, layout: str) -> None:
    shape, axes = LAYOUTS[layout]
    count = axes.count(",") + 1
    graph = graph_of(f"{op}(x, a)", shape, f"const a: int64[{count}] = {{{axes}}}")
    assert loss(graph, data(shape)) <= UNITS * EPS


@pytest.mark.parametrize("op", NORMS)
def test_norms(op: str) -> None:
    shape, said, size = NORMS[op]
    more = f"input s: float32[{size}]" if "s)" in said else ""
    others = {"s": data((int(size),))} if more else {}
    assert loss(graph_of(said, shape, more), data(shape), others) <= UNITS * EPS


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceL2"])
@pytest.mark.parametrize("axis", [0, 1])
def test_sizes_that_only_a_run_tells(op: str, axis: int) -> None:
    shape = (3, MILLION) if axis else (MILLION, 3)
    graph = graph_of(f"{op}(x, a)", shape, f"const a: int64[1] = {{{axis}}}")
    (x,) = graph.inputs
    x.type = Type(x.type.dtype, (symbol("N"), symbol("M")))
    assert loss(graph, data(shape)) <= UNITS * EPS * 4


@pytest.mark.parametrize("said", ["ReduceSum(x, a)", "LayerNormalization(x, s)", "Softmax(x)"])
def test_a_row_comes_out_the_same_in_every_batch(said: str) -> None:
    rows, size = 5, 70_001
    more = "const a: int64[1] = {1}" if "a)" in said else f"input s: float32[{size}]"
    x, s = data((rows, size)), data((size,))
    graph = graph_of(said, (7, size), more if "x)" not in said else "")
    graph.inputs[0].type = Type(
        graph.inputs[0].type.dtype, (symbol("N"), *graph.inputs[0].type.dims[1:])
    )
    program = Program(prepare(graph))
    given = [s] if len(graph.inputs) > 1 else []
    (whole,) = program.run([x, *given])
    for n in range(rows):
        (alone,) = program.run([np.ascontiguousarray(x[n : n + 1]), *given])
        np.testing.assert_array_equal(alone[0], whole[n])

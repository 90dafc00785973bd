"""Operators whose kernels are said in statements, as machine code against their references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.sources import parse
from sardonyx.core.dtype import Array
from sardonyx.core.expr import const, symbol
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.engine.fuse.launches import launches
from sardonyx.engine.program.interpreted import Interpreted
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import Walk, run
from sardonyx.graph.ir import Graph, Type
from sardonyx.loops.target import host
from sardonyx.passes.pipeline import prepare

DIMS = st.lists(st.sampled_from([1, 2, 3, 5, 8, 17, 33]), min_size=1, max_size=3)
MANY = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
KINDS = {"float32": np.float32, "float64": np.float64, "int32": np.int32, "int64": np.int64}


def graph_of(said: str, *inputs: tuple[str, Array], symbolic: bool, more: str = "") -> Graph:
    """The graph of one node whose inputs have these shapes, or only their ranks."""
    heads = []
    for name, x in inputs:
        dims = ", ".join(map(str, x.shape))
        heads.append(f"input {name}: {x.dtype}[{dims}]")
    outs = said.partition("=")[0].split(",")
    tails = "\n".join(f"output {o.strip()}" for o in outs)
    graph = parse("\n".join(['opset "" 26', *heads, more, said, tails, ""]))
    for v, (_, x) in zip(graph.inputs, inputs, strict=True):
        named = [symbol(f"{v.name}{n}") if symbolic else const(d) for n, d in enumerate(x.shape)]
        v.type = Type(v.type.dtype, tuple(named))
    return graph


def agrees(graph: Graph, *arrays: Array, hosts: tuple[str, ...] = (), rtol: float = 0) -> None:
    """The machine code, and what it was made from, compute what the reference does."""
    wanted = run(graph, {v.name: x for v, x in zip(graph.inputs, arrays, strict=True)})
    ready = prepare(graph)
    program = Program(ready, threads=2)
    assert {s.node.op.op_type for s in program.steps if isinstance(s, Host)} == set(hosts)
    found = program.run(list(arrays))
    slowly = []
    if sum(x.size for x in arrays) < 400:
        steps = launches(fuse(ready), host())
        slowly = Interpreted(ready, arrays, Walk(program.limits), 2).run(steps)
    for n, v in enumerate(graph.outputs):
        for made in (found, slowly):
            if made:
                np.testing.assert_allclose(made[n], wanted[v.name], rtol=rtol, atol=rtol)


def rough(rng: np.random.Generator, shape: Any, kind: str) -> Array:
    """Few different numbers, so that many are equal; NaN and infinities among floats."""
    x = rng.integers(-4, 5, shape).astype(KINDS[kind])
    if kind.startswith("float") and rng.random() < 0.3:
        odd = rng.choice([np.nan, np.inf, -np.inf], x.shape)
        x = np.where(rng.random(x.shape) < 0.2, odd, x).astype(KINDS[kind])
    return np.asarray(x)


@MANY
@given(DIMS, st.data())
@pytest.mark.parametrize("op", ["CumSum", "CumProd"])
def test_running_totals(op: str, dims: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(dims), len(dims) - 1))
    flags = [data.draw(st.sampled_from([0, 1])) for _ in range(2)]
    kind = data.draw(st.sampled_from(list(KINDS)))
    x = np.random.default_rng(1).integers(1, 3, dims).astype(KINDS[kind])
    said = f"y = {op}<exclusive={flags[0]}, reverse={flags[1]}>(x, a)"
    more = f"const a: int64[] = {{{axis}}}"
    graph = graph_of(said, ("x", x), symbolic=data.draw(st.booleans()), more=more)
    agrees(graph, x, rtol=1e-5)


@MANY
@given(DIMS, st.data())
def test_scattered_elements(dims: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.integers(0, len(dims) - 1))
    kind = data.draw(st.sampled_from(list(KINDS)))
    reduction = data.draw(st.sampled_from(["none", "add", "mul", "min", "max"]))
    fewer = [int(rng.integers(1, d + 1)) for d in dims]
    x, updates = rough(rng, dims, kind), rough(rng, fewer, kind)
    indices = rng.integers(-dims[axis], dims[axis], fewer)
    said = f'y = ScatterElements<axis={axis}, reduction="{reduction}">(x, i, u)'
    given_ = (("x", x), ("i", indices), ("u", updates))
    agrees(graph_of(said, *given_, symbolic=False), x, indices, updates)


@MANY
@given(DIMS, st.data())
def test_scattered_slices(dims: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    depth = data.draw(st.integers(1, len(dims)))
    kind = data.draw(st.sampled_from(list(KINDS)))
    reduction = data.draw(st.sampled_from(["none", "add", "mul", "min", "max"]))
    lead = data.draw(st.lists(st.integers(1, 5), min_size=0, max_size=2))
    indices = np.stack([rng.integers(-d, d, lead) for d in dims[:depth]], axis=-1)
    x, updates = rough(rng, dims, kind), rough(rng, [*lead, *dims[depth:]], kind)
    said = f'y = ScatterND<reduction="{reduction}">(x, i, u)'
    given_ = (("x", x), ("i", indices), ("u", updates))
    agrees(graph_of(said, *given_, symbolic=False), x, indices, updates)


@MANY
@given(DIMS, st.data())
def test_the_best_of_each_row(dims: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.integers(0, len(dims) - 1))
    dims[axis] *= data.draw(st.sampled_from([1, 7, 40]))
    count = data.draw(st.integers(1, min(dims[axis], 64)))
    x = rough(rng, dims, data.draw(st.sampled_from(list(KINDS))))
    said = f"y, i = TopK<axis={axis}, largest={data.draw(st.sampled_from([0, 1]))}>(x, k)"
    more = f"const k: int64[1] = {{{count}}}"
    agrees(graph_of(said, ("x", x), symbolic=False, more=more), x)


@MANY
@given(DIMS, st.data())
def test_what_is_not_zero(dims: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rough(rng, dims, data.draw(st.sampled_from(list(KINDS))))
    x[rng.random(dims) < data.draw(st.sampled_from([0, 0.5, 1]))] = 0
    graph = graph_of("y = NonZero(x)", ("x", x), symbolic=data.draw(st.booleans()))
    agrees(graph, x, hosts=("Cut",))


@MANY
@given(DIMS, st.data())
def test_what_a_condition_keeps(dims: list[int], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.sampled_from([None, *range(len(dims))]))
    x = rough(rng, dims, "float32")
    most = x.size if axis is None else dims[axis]
    condition = rng.random(data.draw(st.integers(1, most))) < 0.5
    settings_ = "" if axis is None else f"<axis={axis}>"
    graph = graph_of(f"y = Compress{settings_}(x, c)", ("x", x), ("c", condition), symbolic=False)
    agrees(graph, x, condition, hosts=("Cut",))


@MANY
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.data())
def test_boxes_that_overlap(batch: int, classes: int, count: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    corner, size = rng.uniform(0, 6, (batch, count, 2)), rng.uniform(-1, 4, (batch, count, 2))
    centred = data.draw(st.sampled_from([0, 1]))
    second = np.abs(size) if centred else corner + size
    boxes = np.concatenate([corner, second], -1).astype(np.float32)
    scores = (rng.integers(0, 9, (batch, classes, count)) / 8).astype(np.float32)
    most = data.draw(st.sampled_from([0, 1, 3, 99]))
    limits: list[Array] = [np.array([most]), np.array([0.4], np.float32)]
    limits += [np.array([0.3], np.float32)] if data.draw(st.booleans()) else []
    names = ["most", "overlap", "least"][: len(limits)]
    said = f"y = NonMaxSuppression<center_point_box={centred}>(b, s, {', '.join(names)})"
    inputs = [("b", boxes), ("s", scores), *zip(names, limits, strict=True)]
    agrees(graph_of(said, *inputs, symbolic=False), boxes, scores, *limits, hosts=("Cut",))


@MANY
@given(st.data())
def test_large_windows_axis_by_axis(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 3))
    extent = [data.draw(st.integers(6, 19)) for _ in range(rank)]
    taps = [data.draw(st.integers(1, 6)) for _ in range(rank)]
    steps = [data.draw(st.integers(1, 3)) for _ in range(rank)]
    apart = [data.draw(st.integers(1, 2 if t < 3 else 1)) for t in taps]
    pads = [data.draw(st.integers(0, (t - 1) // 2)) for t in taps * 2]
    ceil = data.draw(st.sampled_from([0, 1]))
    x = rough(np.random.default_rng(rank), [1, 2, *extent], "float32")
    said = (
        f"y = MaxPool<kernel_shape={taps}, strides={steps}, pads={pads}, dilations={apart}, "
        f"ceil_mode={ceil}>(x)"
    )
    agrees(graph_of(said, ("x", x), symbolic=False), x)


@MANY
@given(st.data())
def test_regions_of_images(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    images, regions = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    sides = [data.draw(st.integers(1, 9)) for _ in range(2)]
    x = rng.standard_normal((images, 2, *sides)).astype(np.float32)
    corners = rng.uniform(-3, 9, (regions, 2))
    rois = np.concatenate([corners, corners + rng.uniform(0, 9, (regions, 2))], 1)
    batches = rng.integers(0, images, regions)
    mode = data.draw(st.sampled_from(["avg", "max"]))
    pixel = data.draw(st.sampled_from(["half_pixel", "output_half_pixel"]))
    said = (
        f'y = RoiAlign<mode="{mode}", output_height={data.draw(st.integers(1, 4))}, '
        f"output_width={data.draw(st.integers(1, 9))}, spatial_scale=0.8, "
        f"sampling_ratio={data.draw(st.integers(1, 3))}, "
        f'coordinate_transformation_mode="{pixel}">(x, r, b)'
    )
    inputs = (("x", x), ("r", rois.astype(np.float32)), ("b", batches))
    graph = graph_of(said, *inputs, symbolic=data.draw(st.booleans()))
    agrees(graph, *(a for _, a in inputs), rtol=2e-5)


@MANY
@given(st.data())
def test_resizing_axis_by_axis(data: st.DataObject) -> None:
    dims = [1, 2, *(data.draw(st.integers(2, 9)) for _ in range(2))]
    mode = data.draw(st.sampled_from(["linear", "cubic"]))
    ways = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    said = f'mode="{mode}", coordinate_transformation_mode="{data.draw(st.sampled_from(ways))}"'
    said += f", antialias={data.draw(st.sampled_from([0, 1]))}"
    if data.draw(st.booleans()):
        factors = ", ".join(
            str(data.draw(st.sampled_from([0.5, 1, 1.5, 2, 2.3]))) for _ in range(2)
        )
        more, given_ = f"const s: float32[4] = {{1, 1, {factors}}}", "x, _, s"
    else:
        lengths = ", ".join(str(data.draw(st.integers(1, 20))) for _ in range(2))
        more, given_ = f"const s: int64[4] = {{1, 2, {lengths}}}", "x, _, _, s"
    x = np.random.default_rng(1).standard_normal(dims).astype(np.float32)
    graph = graph_of(f"y = Resize<{said}>({given_})", ("x", x), symbolic=False, more=more)
    agrees(graph, x, rtol=2e-5)


@pytest.mark.parametrize("declared", [False, True])
def test_rows_of_any_number_of_subscripts_run_on_the_host(rng: Any, declared: bool) -> None:
    x = rng.standard_normal((4, 5)).astype(np.float32)
    for depth in (1, 2):
        at = rng.integers(0, 4, (3, depth))
        new = rng.standard_normal((3, *x.shape[depth:])).astype(np.float32)
        got = graph_of("y = GatherND(x, i)", ("x", x), ("i", at), symbolic=True)
        put = graph_of("y = ScatterND(x, i, u)", ("x", x), ("i", at), ("u", new), symbolic=True)
        if declared:
            for graph, rank in ((got, new.ndim), (put, 2)):
                dims = tuple(symbol(f"out{n}") for n in range(rank))
                graph.outputs[0].type = Type(graph.inputs[0].type.dtype, dims)
        agrees(got, x, at, hosts=("GatherND",))
        agrees(put, x, at, new, hosts=("ScatterND",))

"""Steps with bodies: branches, loops and scans that read values around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fuzz.grow import Grower, Skip, dim, is_float, rank
from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Graph, Value, tensor_type

Step = Callable[[Grower], None]


def inside(g: Grower, inputs: Sequence[Value], steps: Sequence[Step]) -> Grower:
    """A grower of a body: it reads its inputs and what is there around it."""
    inner = g.nested(inputs)
    for _ in range(inner.below(1, 4)):
        try:
            inner.one(*steps)(inner)
        except Skip:
            continue
    return inner


def result(inner: Grower, like: Value) -> Value:
    """A value made in a body that has the type of another; that other one, passed on, if none."""
    made = [v for v in inner.values if v.producer in inner.graph and v.type == like.type]
    return made[-1] if made else inner.emit("Identity", like)


def condition(g: Grower) -> Value:
    """A boolean scalar that the data decide."""
    total = g.emit("ReduceSum", g.number(), keepdims=0)
    assert total.dtype is not None
    return g.emit("Less", total, g.const(np.array(0.1).astype(total.dtype.numpy)))


def branch(g: Grower, steps: Sequence[Step]) -> None:
    """An If whose branches give the same type by other ways."""
    like = g.number()
    test = condition(g)
    bodies: list[Graph] = []
    for _ in range(2):
        inner = inside(g, (), steps)
        inner.graph.outputs = [result(inner, like)]
        bodies.append(inner.graph)
    g.emit("If", test, then_branch=bodies[0], else_branch=bodies[1])


def loop(g: Grower, steps: Sequence[Step]) -> None:
    """A Loop of a few trips with a state, a stacked output and perhaps an end of its own."""
    like = g.number()
    trip = Value("trip", tensor_type(DType.INT64, ()))
    go = Value("go", tensor_type(DType.BOOL, ()))
    state = Value("state", like.type)
    inner = inside(g, (trip, go, state), steps)
    after = result(inner, state)
    on = inner.emit("Identity", go)
    if g.maybe(0.3):
        on = inner.emit("Less", trip, inner.const(np.array(g.below(0, 3))))
    row = inner.emit("ReduceMax", after, keepdims=0)
    inner.graph.outputs = [on, after, row]
    most = g.const(np.array(g.below(0, 5)))
    g.emit("Loop", most, None, like, outputs=2, body=inner.graph)


def scan(g: Grower, steps: Sequence[Step]) -> None:
    """A Scan over the rows of a value, perhaps from the last one on."""
    x = g.pick(lambda v: is_float(v) and rank(v) >= 2 and dim(v, 0) != 0)
    assert x.dtype is not None
    kind = tensor_type(x.dtype, x.type.dims[1:])
    state, row = Value("state", kind), Value("row", kind)
    inner = inside(g, (state, row), steps)
    total = inner.emit("Add", state, row)
    inner.graph.outputs = [inner.emit("Tanh", total), result(inner, row)]
    first = g.emit("ReduceMean", x, g.ints(0), keepdims=0)
    settings = {"num_scan_inputs": 1, "scan_input_directions": (g.below(0, 2),)}
    g.emit("Scan", first, x, outputs=2, body=inner.graph, **settings)


def stepped(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with bodies made of others."""
    return (lambda g: branch(g, steps), lambda g: loop(g, steps), lambda g: scan(g, steps))

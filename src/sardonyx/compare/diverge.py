"""Where two models part: the first intermediate value that both have and that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Divergence
from sardonyx.compare.data import Case
from sardonyx.compare.metrics import Difference, Tally
from sardonyx.compare.sides import Side, of_model
from sardonyx.compare.tolerance import Tolerance
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import Expr, evaluate
from sardonyx.graph.bind import bind
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.origin import source_line

CHUNK_BYTES = 256 << 20
CHUNK_VALUES = 64


def first_divergence(
    left: Side, right: Side, case: Case, judge: Tolerance
) -> tuple[Divergence | None, str]:
    """The first value that is not the same, or why there is none to name.

    Values are compared that nodes of both main graphs make under the same name with the same
    shape; each side is run again by its provider with these values as outputs.
    """
    a, b = left.graph, right.graph
    if a is None or b is None:
        return None, ""
    shared = _shared(a, b)
    if not shared:
        return None, "the models share no names of intermediate values to look at"
    before = 0
    try:
        for names in _chunks(shared, b, case):
            pairs = zip(kept(left, names, case), kept(right, names, case), strict=True)
            for name, (x, y) in zip(names, pairs, strict=True):
                found = _difference(name, x, y)
                if found is None:
                    continue
                if judge.refusal(found):
                    return _divergence(a, b, found, before), ""
                before += 1
    except SardonyxError as error:
        return None, f"the intermediate values cannot be looked at: {error.message}"
    return None, (
        f"all {before} intermediate values that both models name are the same when they are kept"
    )


def _shared(a: Graph, b: Graph) -> list[str]:
    """The names of values made in both graphs, in the order in which `b` makes them."""
    named = {v.name for v in values_made(a)}
    return [v.name for v in values_made(b) if v.name in named]


def values_made(graph: Graph) -> Iterator[Value]:
    """The tensors that the nodes of a graph make, in order."""
    for node in graph.nodes:
        for v in node.outputs:
            if v is not None and v.name and v.type.kind == "tensor":
                yield v


def _chunks(names: Sequence[str], graph: Graph, case: Case) -> Iterator[list[str]]:
    """The names in portions that fit into memory together."""
    sizes = _sizes(graph, case)
    chunk: list[str] = []
    held = 0
    for name in names:
        size = sizes.get(name, 0)
        if chunk and (held + size > CHUNK_BYTES or len(chunk) >= CHUNK_VALUES):
            yield chunk
            chunk, held = [], 0
        chunk.append(name)
        held += size
    if chunk:
        yield chunk


def _sizes(graph: Graph, case: Case) -> dict[str, int]:
    shapes = {n: np.shape(x) for n, x in case.feeds.items()}
    env = bind(graph.inputs, shapes)
    found = {}
    for v in values_made(graph):
        count = _count(v, env)
        width = 8 if v.dtype is None else v.dtype.numpy.itemsize
        found[v.name] = count * width
    return found


def _count(v: Value, env: Mapping[Expr, int]) -> int:
    if v.shape is None or any(x not in env for d in v.shape for x in d.free):
        return 0
    count = 1
    for dim in v.shape:
        count *= max(evaluate(dim, env), 0)
    return count


def kept(side: Side, names: Sequence[str], case: Case) -> list[Any]:
    """The values of these names, as the side's provider makes them."""
    assert side.graph is not None
    graph = clone(side.graph)
    values = {v.name: v for v in values_made(graph)}
    graph.outputs = [values[name] for name in names]
    again = of_model(graph, side.provider, side.threads)
    made = again.feed(case.feeds)
    assert isinstance(made, Mapping)
    return [made[name] for name in names]


def _difference(name: str, x: Any, y: Any) -> Difference | None:
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)) or x.shape != y.shape:
        return None
    tally = Tally(name)
    tally.add(x, y)
    return tally.difference()


def _divergence(a: Graph, b: Graph, found: Difference, before: int) -> Divergence:
    node = next(v.producer for v in values_made(b) if v.name == found.name)
    assert node is not None
    return Divergence(
        value=found.name,
        node=node.name,
        op=node.op.op_type,
        source=source_line(node) or "",
        after=before,
        difference=found,
        constants=tuple(_changed(a, node)),
    )


def _changed(a: Graph, node: Node) -> Iterator[str]:
    for v in node.inputs:
        held = None if v is None else a.initializers.get(v.name)
        if v is None or held is None or held.const is None or v.const is None:
            continue
        if not np.array_equal(held.const.numpy(), v.const.numpy()):
            yield v.name

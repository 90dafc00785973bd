"""Where two models part: the first intermediate value that both have and that differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Divergence
from sardonyx.compare.data import Case
from sardonyx.compare.metrics import Difference, Statistics, Tally
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

    Values are compared that nodes of both main graphs make and that `matches`, with the same
    shape; each side is run again by its provider with these values as outputs.
    """
    a, b = left.graph, right.graph
    if a is None or b is None:
        return None, ""
    shared, how = matches(a, b)
    if not shared:
        return None, "no intermediate values of the models can be matched"
    before = 0
    try:
        for names in chunks(list(shared), b, case):
            theirs = [shared[name] for name in names]
            pairs = zip(kept(left, theirs, case), kept(right, names, case), strict=True)
            for name, (x, y) in zip(names, pairs, strict=True):
                found = _difference(name, x, y)
                if found is None:
                    continue
                if judge.refusal(found):
                    made = _divergence(a, b, found, before)
                    figures = Statistics.of(x), Statistics.of(y)
                    return replace(made, a=figures[0], b=figures[1], matched=how), ""
                before += 1
    except SardonyxError as error:
        return None, f"the intermediate values cannot be looked at: {error.message}"
    return None, (
        f"all {before} intermediate values that both models have are the same when they are kept"
    )


def matches(a: Graph, b: Graph) -> tuple[dict[str, str], str]:
    """The values of `a` by those of `b` that are taken for the same, in the order of `b`; and by
    what: their order where both graphs have the same operators in the same order, else their names,
    else the lines of the source that they come from.
    """
    left, right = list(values_made(a)), list(values_made(b))
    if _operators(left) == _operators(right):
        return {y.name: x.name for x, y in zip(left, right, strict=True)}, "order"
    named = {v.name for v in left}
    shared = {v.name: v.name for v in right if v.name in named}
    inner = {v.name for v in b.outputs}
    if shared.keys() - inner:
        return shared, "name"
    lines = dict(_lines(left))
    found = {v.name: lines[key].name for key, v in _lines(right) if key in lines}
    return (found, "line") if found else (shared, "name")


def _operators(values: Sequence[Value]) -> list[str]:
    return [v.producer.op.op_type for v in values if v.producer is not None]


def _lines(values: Sequence[Value]) -> Iterator[tuple[tuple[str, str, int], Value]]:
    """The values of nodes that tell their line, by line, operator, and how often both were met."""
    met: Counter[tuple[str, str]] = Counter()
    for v in values:
        line = None if v.producer is None else source_line(v.producer)
        if v.producer is not None and line is not None:
            key = line, v.producer.op.op_type
            met[key] += 1
            yield (*key, met[key]), v


def values_made(graph: Graph) -> Iterator[Value]:
    """The tensors that the nodes of a graph make, in order."""
    for node in graph.nodes:
        for v in node.outputs:
            if v is not None and v.name and v.type.kind == "tensor":
                yield v


def chunks(names: Sequence[str], graph: Graph, case: Case) -> Iterator[list[str]]:
    """The names of values in portions that fit into memory together."""
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
    made = ending(side, names).feed(case.feeds)
    assert isinstance(made, Mapping)
    return [made[name] for name in names]


def ending(side: Side, names: Sequence[str]) -> Side:
    """A side that has a graph, with these of its values as outputs."""
    assert side.graph is not None
    graph = clone(side.graph)
    values = {v.name: v for v in values_made(graph)}
    graph.outputs = [values[name] for name in names]
    return of_model(graph, side.provider, side.threads, label=side.label)


def parted(left: Side, right: Side, value: str) -> tuple[Side, Side]:
    """Both sides, ending at a value of the second one that the first has, too."""
    assert left.graph is not None
    assert right.graph is not None
    shared, _ = matches(left.graph, right.graph)
    return ending(left, [shared[value]]), ending(right, [value])


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

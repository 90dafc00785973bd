"""Subscripts that come from data are looked at beside the code that reads by them.

    y = Gather(x, i)        y = Gather(x, i);  s = SubscriptSpan(i, x)      s is one more output

Compiled code cannot raise in the middle of a loop: it reads the nearest element, and the run ends
in E0210 where the span of the subscripts is not inside what they may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node
from sardonyx.graph.op import Counted, Op, domain_of, find
from sardonyx.graph.rewrite import Log, Pass

_NAME = "SubscriptSpan"


def _spans(graph: Graph, log: Log) -> None:
    for node in list(graph.nodes):
        types = [None if v is None else v.type for v in node.inputs]
        for row in node.op.counted(*types):
            if not _known_inside(node, row):
                _append(graph, node, row)
                log.fired("spans", node)


def _append(graph: Graph, node: Node, row: Counted) -> None:
    window = None if row.window is None else node.inputs[row.window]
    inputs = [node.inputs[row.indices], node.inputs[row.data], window]
    inputs = inputs if window is not None else inputs[:2]
    graph.outputs.append(Body(graph, "span")(_span(row), *inputs, name=f"{node.name}_span"))


def _span(row: Counted) -> Op:
    kind = find("ai.sardonyx", _NAME)
    assert kind is not None
    settings = {n: getattr(row, n) for n in ("axis", "from_end", "column", "ignored", "ends")}
    return kind(**settings)


def _known_inside(node: Node, row: Counted) -> bool:
    """Whether the subscripts are constants that fit."""
    found = [node.inputs[n] for n in (row.indices, row.data, row.window) if n is not None]
    indices = found[0]
    if indices is None or not isinstance(indices.const, Tensor) or row.window is not None:
        return False
    dim = node.inputs[row.data].type.dims[row.axis]  # type: ignore[union-attr]
    if not dim.is_const:
        return False
    stand_in = np.empty((0,) * row.axis + (dim.arg,), np.int8)
    return _fits(_span(row).reference(indices.const.numpy(), stand_in))


def _fits(span: Any) -> bool:
    worst, low, high = span.tolist()
    return bool(low <= worst <= high)


def spans(graph: Graph) -> list[Node]:
    """The nodes whose outputs, the last of the graph, are spans."""
    made = [v.producer for v in graph.outputs if v.producer is not None]
    # By name: the class is loaded only where there is one.
    return [n for n in made if (domain_of(n.op), n.op.op_type) == ("ai.sardonyx", _NAME)]


def check(nodes: Sequence[Node], found: Sequence[Any]) -> None:
    """InvalidArgument (E0210) where a span of `spans` is not inside what it may be."""
    for node, span in zip(nodes, found, strict=True):
        if _fits(span):
            continue
        bad, low, high = span.tolist()
        value = node.inputs[0]
        name = value.name if value is not None else ""
        raise InvalidArgument(
            "E0210",
            f"index {bad} of `{name}` is out of range",
            node=node.name.removesuffix("_span"),
            tensor=name,
            given=bad,
            wanted=f"{low} … {high}",
        )


SPANS = Pass("spans", _spans)

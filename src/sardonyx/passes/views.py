"""Rules about operators that only name elements anew: Reshape, Transpose, Slice and their kin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sardonyx.core.expr import Expr, number
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Trait
from sardonyx.graph.rewrite import Rule, rule
from sardonyx.passes.infer import emit
from sardonyx.passes.values import place

# Views looked through in a row; exporters write three or four.
_FAR = 8


def _source(node: Node) -> Value:
    found = node.inputs[0]
    assert found is not None
    return found


def _numbers(v: Value | None) -> tuple[int, ...] | None:
    """The elements of an integer value that are known numbers."""
    if v is None or v.type.value is None or not all(e.is_const for e in v.type.value):
        return None
    return tuple(int(e.arg) for e in v.type.value)


@rule("same shape again", Trait.IN_ORDER)
def same_again(node: Node, graph: Graph) -> Value | None:
    """A row of row-major views that ends in a shape it came from is the value it came from."""
    del graph
    out = node.output.type
    x: Value | None = _source(node)
    for _ in range(_FAR):
        if x is None:
            return None
        if out.shape is not None and x.type.shape == out.shape:
            return x
        maker = x.producer
        if maker is None or Trait.IN_ORDER not in maker.op.traits:
            return None
        x = maker.inputs[0]
    return None


@rule("reshape of a view", "Reshape")
def reshape_of_view(node: Node, graph: Graph) -> Value | str | None:
    """Reshape(view(x), s) is Reshape(x, s) where s copies no dim of the view."""
    x = _source(node)
    maker = x.producer
    if maker is None or Trait.IN_ORDER not in maker.op.traits or len(node.inputs) < 2:
        return None
    target = node.inputs[1]
    if target is None or target.type.value is None:
        return "its shape is not known before running"
    if not getattr(node.op, "allowzero", 0) and any(number(e) == 0 for e in target.type.value):
        return "it copies a dim of the view"
    return emit(graph, node.op, [maker.inputs[0], target], node.output.name)


@rule("constant target", "Reshape")
def constant_target(node: Node, graph: Graph) -> Value | str | None:
    """A Reshape whose dims are proved reads a constant: numbers, 0 for a copied dim, one -1."""
    if len(node.inputs) < 2 or node.inputs[1] is None or node.inputs[1].const is not None:
        return None
    x, out = _source(node).type, node.output.type
    if x.shape is None or out.shape is None:
        return "the shape is not known before running"
    dims = _literal_dims(x.shape, out.shape)
    if dims is None:
        return "more than one dim is known only when running"
    target = place(graph, np.array(dims, np.int64), f"{node.output.name}_shape")
    if getattr(node.op, "allowzero", 0):
        changed: Any = node.op
        graph.set_op(node, replace(changed, allowzero=0))
    graph.set_inputs(node, [_source(node), target])
    return node.output


def _literal_dims(x: tuple[Expr, ...], out: tuple[Expr, ...]) -> list[int] | None:
    dims: list[int] = []
    for n, d in enumerate(out):
        known = number(d)
        if known == 0:
            return None
        if known is not None:
            dims.append(known)
        elif n < len(x) and x[n] is d:
            dims.append(0)
        else:
            dims.append(-1)
    return dims if dims.count(-1) <= 1 else None


@rule("transpose", "Transpose")
def transpose(node: Node, graph: Graph) -> Value | None:
    """A Transpose that moves nothing is its input; two of them are one."""
    x = _source(node)
    rank = node.output.type.rank
    if rank is None:
        return None
    order = _order(node, rank)
    if order == tuple(range(rank)):
        return x
    maker = x.producer
    if maker is None or not maker.op.standard("Transpose"):
        return None
    inner = _order(maker, rank)
    changed: Any = node.op
    merged = replace(changed, perm=tuple(inner[p] for p in order))
    return emit(graph, merged, [maker.inputs[0]], node.output.name)


def _order(node: Node, rank: int) -> tuple[int, ...]:
    perm = getattr(node.op, "perm", None)
    if perm is None:
        return tuple(reversed(range(rank)))
    return tuple(int(p) % rank for p in perm)


@rule("nothing cut", "Slice")
def nothing_cut(node: Node, graph: Graph) -> Value | str | None:
    """A Slice that leaves the shape as it is, going forward, is its input."""
    del graph
    x = _source(node)
    if x.type.shape is None or x.type.shape != node.output.type.shape:
        return None
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        steps = _numbers(node.inputs[4])
        if steps is None or min(steps, default=1) < 1:
            return "it may go backwards"
    return x


@rule("nothing repeated", "Expand", "Tile")
def nothing_repeated(node: Node, graph: Graph) -> Value | None:
    """Expand or Tile to the shape that x has is x."""
    del graph
    x = _source(node)
    return x if x.type.shape is not None and x.type.shape == node.output.type.shape else None


@rule("nothing padded", "Pad")
def nothing_padded(node: Node, graph: Graph) -> Value | None:
    """Pad by nothing is its input."""
    del graph
    given: Any = getattr(node.op, "pads", None)
    pads = given if given is not None else _numbers(node.inputs[1] if node.inputs[1:] else None)
    return _source(node) if pads is not None and not any(pads) else None


@rule("one part", "Split")
def one_part(node: Node, graph: Graph) -> Value | None:
    """Split into one part is its input."""
    del graph
    return _source(node) if len(node.outputs) == 1 else None


VIEWS: tuple[Rule, ...] = (
    same_again,
    reshape_of_view,
    constant_target,
    transpose,
    nothing_cut,
    nothing_repeated,
    nothing_padded,
    one_part,
)

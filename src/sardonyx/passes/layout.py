"""Chooses channels-last memory order for the activations around convolutions and pools.

A layout says only how memory is ordered: subscripts stay what they are and no node is added.
Graph inputs and outputs, and what subgraphs read, stay row-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sardonyx.core.expr import Expr, const, number, scalar
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs
from sardonyx.graph.op import Opaque, Operand, loop_index
from sardonyx.graph.rewrite import Log, Pass

ANCHORS = frozenset({
    "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "LpPool", "MaxPool",
    "QLinearConv",
})  # fmt: skip
FOLLOWERS = frozenset({
    "BatchNormalization", "Concat", "GroupNormalization", "InstanceNormalization", "LRN", "Pad",
    "Resize", "Slice", "Split", "Upsample",
})  # fmt: skip
_SEES_ALL = 3


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes, outermost first, with axis 1 innermost."""
    return (0, *range(2, rank), 1)


def _run(graph: Graph, log: Log) -> None:
    fixed = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    for node in graph.nodes:
        if node.op.op_type in ANCHORS:
            _mark_outputs(node, fixed, log)
            _mark_input(node, fixed)
        elif _follows(node):
            _mark_outputs(node, fixed, log)


def _mark_outputs(node: Node, fixed: set[Value], log: Log) -> None:
    for v in node.outputs:
        if v is not None and _may(v, fixed):
            v.layout = channels_last(len(v.type.dims))
            log.fired("layout", node)


def _mark_input(node: Node, fixed: set[Value]) -> None:
    x = node.inputs[0]
    if x is not None and x.layout is None and _may(x, fixed):
        x.layout = channels_last(len(x.type.dims))


def _may(v: Value, fixed: set[Value]) -> bool:
    shape = v.type.shape
    if v in fixed or v.type.kind != "tensor" or shape is None or not 3 <= len(shape) <= 5:
        return False
    if v.type.dtype is None or v.type.dtype.is_string or v.producer is None:
        return False
    if isinstance(v.producer.op, Opaque) or subgraphs(v.producer.op):
        return False
    return not any(subgraphs(user.op) for user in v.uses)


def _follows(node: Node) -> bool:
    """Whether a node reads a channels-last value element by element."""
    out = node.outputs[0]
    if out is None or not any(v is not None and v.layout is not None for v in node.inputs):
        return False
    if node.op.op_type in FOLLOWERS:
        return True
    return is_elementwise(node)


class _Watched(Operand):
    """An operand that notes whether it is read at the output's own subscripts."""

    def __init__(self, known: Type, index: Sequence[Expr]) -> None:
        self.type = known
        self.index = tuple(index)
        self.aligned = True

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        wanted = idx if isinstance(idx, Sequence) else (idx,)
        tail = self.index[len(self.index) - len(wanted) :]
        pairs = zip((const(i) for i in wanted), tail, strict=False)
        if len(wanted) >= _SEES_ALL:
            self.aligned = self.aligned and all(a is b or number(a) == 0 for a, b in pairs)
        return scalar("element", self.dtype)


def is_elementwise(node: Node) -> bool:
    """Whether every operand of three dims or more is read where the output is written."""
    out, op = node.outputs[0], node.op
    if out is None or isinstance(op, Opaque) or not op.has("at") or out.type.shape is None:
        return False
    if any(v is not None and v.type.shape is None for v in node.inputs):
        return False
    index = loop_index(out.type.dims)
    operands: list[Any] = [None if v is None else _Watched(v.type, index) for v in node.inputs]
    try:
        op.at(index, *operands)
    except (NotImplementedError, TypeError, ValueError, IndexError):
        return False
    return all(x is None or x.aligned for x in operands)


LAYOUT = Pass("layout", _run)

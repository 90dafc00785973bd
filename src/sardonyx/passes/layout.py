"""Chooses channels-last memory order for the activations around convolutions and pools.

A layout says only how memory is ordered: subscripts stay what they are and no node is added.
Graph inputs and outputs, what subgraphs read, and what kernels of an operator's own loops touch
(`Op.build`) stay row-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import Expr, const, number, scalar
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs
from sardonyx.graph.op import Opaque, Operand, Trait, loop_index
from sardonyx.graph.rewrite import Log, Pass
from sardonyx.passes.values import MISTAKES

# An operand read with this many subscripts or more has spatial axes, whose order layout changes.
_SEES_ALL = 3


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of axes, outermost first, with axis 1 innermost."""
    return (0, *range(2, rank), 1)


def _run(graph: Graph, log: Log) -> None:
    fixed = {*graph.inputs, *graph.outputs}
    for node in graph.nodes:
        if Trait.SLIDES in node.op.traits:
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
    kind, maker = v.type, v.producer
    if v in fixed or maker is None or kind.kind != "tensor":
        return False
    if kind.rank is None or not 3 <= kind.rank <= 5:
        return False
    if kind.dtype is None or kind.dtype.is_string:
        return False
    return not isinstance(maker.op, Opaque) and not any(map(_by_rows, (maker, *v.uses)))


def _by_rows(node: Node) -> bool:
    """Whether a node takes memory to be in row-major order."""
    return node.op.has("build") or bool(subgraphs(node.op))


def _follows(node: Node) -> bool:
    """Whether a node reads a channels-last value element by element."""
    given = [v for v in node.inputs if v is not None]
    if all(v.layout is None for v in given):
        return False
    if Trait.BY_CHANNEL in node.op.traits:
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
        if len(wanted) >= _SEES_ALL:
            tail = self.index[len(self.index) - len(wanted) :]
            for given, own in zip(map(const, wanted), tail, strict=False):
                self.aligned &= given is own or number(given) == 0
        return scalar("element", self.dtype)


def is_elementwise(node: Node) -> bool:
    """Whether every operand of three dims or more is read where the output is written."""
    out, op = node.outputs[0], node.op
    if out is None or out.type.shape is None or not op.has("at"):
        return False
    types = [None if v is None else v.type for v in node.inputs]
    if any(t is not None and t.shape is None for t in types):
        return False
    index = loop_index(out.type.dims)
    operands: list[Any] = [t and _Watched(t, index) for t in types]
    try:
        op.at(index, *operands)
    except (SardonyxError, NotImplementedError, *MISTAKES):
        return False
    return all(x is None or x.aligned for x in operands)


LAYOUT = Pass("layout", _run)

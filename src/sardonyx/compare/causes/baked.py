"""Sizes of the example that stayed in the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node


@dataclass(frozen=True)
class _Shape:
    """A constant shape of a Reshape, one entry of it opened."""

    node: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    def apply(self, graph: Graph) -> None:
        """Gives the node the opened shape."""
        node = graph.nodes[self.node]
        shape = graph.constant(Tensor.of(list(self.after)), f"{node.name}.shape")
        graph.set_inputs(node, (node.inputs[0], shape))


def _opened(nodes: Sequence[Node]) -> Iterator[_Shape]:
    for n, node in enumerate(nodes):
        shape = node.operand(1) if node.op.standard("Reshape") else None
        if shape is None or shape.const is None or getattr(node.op, "literal_zero", False):
            continue
        held = tuple(int(d) for d in shape.const.numpy().reshape(-1))
        fixed = [i for i, d in enumerate(held) if d > 0]
        frees = (0,) if -1 in held else (-1, 0)
        for free in frees:
            for i in fixed:
                yield _Shape(n, held, (*held[:i], free, *held[i + 1 :]))


class Baked(Cause):
    """Dims written into shapes; a side that agrees at one size only."""

    name = "baked dims"
    remedy = "export with that dim dynamic, and write shapes from x.shape instead of numbers"
    rank = 50

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The sides agree once a shape is open, or agree at one size of several."""
        nodes = doubt.graph.nodes
        for change in _opened(nodes):
            verdict = doubt.edited(change.apply)
            if verdict is not None and verdict.agree:
                text = f"its shape {list(change.before)} holds the size of an example; "
                text += f"with {list(change.after)} the sides agree"
                yield doubt.reason(self, text, verdict.error, [nodes[change.node]])
                return
        agreeing = [group for group, same in doubt.same.items() if same]
        if len(agreeing) == 1 and len(doubt.same) > 1 and not doubt.reference:
            others = ", ".join(g for g in doubt.same if g not in agreeing)
            text = f"the sides agree at {agreeing[0]} and nowhere else (tried: {others})"
            yield doubt.reason(self, text, doubt.before.error)


CAUSE = Baked()

"""Layers left in the form that trains them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.graph.ir import Graph, Node


def _trains(node: Node) -> bool:
    if node.op.standard("BatchNormalization"):
        return bool(getattr(node.op, "training_mode", 0))
    flag = node.operand(2) if node.op.standard("Dropout") else None
    return flag is not None and (flag.const is None or bool(flag.const.numpy().any()))


def _evaluating(graph: Graph) -> None:
    for node in graph.nodes:
        if not _trains(node):
            continue
        if node.op.standard("Dropout"):
            graph.set_inputs(node, node.inputs[:1])
        else:
            graph.set_op(node, replace(node.op, training_mode=0))  # type: ignore[call-arg]
            node.outputs = node.outputs[:1]


class TrainingMode(Cause):
    """BatchNormalization and Dropout in their training form."""

    name = "training mode"
    remedy = "put the model into evaluation before it is exported (model.eval())"
    rank = 10

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The sides agree once these layers are in their evaluating form, or differ by less than
        half as much: an export in training form moves the running statistics, too.
        """
        nodes = [n for n in doubt.graph.nodes if _trains(n)]
        verdict = doubt.edited(_evaluating) if nodes else None
        if verdict is None:
            return
        if verdict.agree or verdict.error < doubt.before.error / 2:
            told = "the sides agree" if verdict.agree else "the sides come nearer"
            text = f"{len(nodes)} layers train; in their evaluating form {told}"
            yield doubt.reason(self, text, verdict.error, nodes)


CAUSE = TrainingMode()

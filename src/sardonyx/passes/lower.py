"""Writes operators that have no code of their own in terms of simpler ones, before the engine."""

from __future__ import annotations

from sardonyx.core.errors import SardonyxError
from sardonyx.graph.ir import Graph, Node
from sardonyx.graph.op import Opaque, domain_of
from sardonyx.graph.rewrite import Log, Pass, Replacement, Rule, apply
from sardonyx.passes.infer import infer_node
from sardonyx.passes.values import MISTAKES


def _expand(node: Node, graph: Graph) -> Replacement | str | None:
    op = node.op
    if isinstance(op, Opaque) or not op.has("expand"):
        return None
    before = len(graph)
    try:
        made = op.expand(graph, *node.inputs)
    except SardonyxError as error:
        return f"it cannot be written out: {error.message}"
    except MISTAKES as problem:
        return f"it cannot be written out: {problem}"
    if made is None:
        return "it keeps its own code for these operands"
    for new in graph.since(before):
        infer_node(new)
    return made if isinstance(made, tuple) else (made,)


EXPAND = Rule("expand", _expand)


def _run(graph: Graph, log: Log) -> None:
    apply([EXPAND], graph, log)
    for node in graph.nodes:
        graph.opsets.setdefault(domain_of(node.op), type(node.op).since)


LOWER = Pass("lower", _run)

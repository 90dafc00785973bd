"""Refuses a model before any work is spent on it, where it needs operators that nobody can run."""

from __future__ import annotations

from sardonyx.core.errors import UnsupportedOperator
from sardonyx.graph.ir import Graph, Node, captured
from sardonyx.graph.op import Opaque, domain_of
from sardonyx.passes.inline import inlined

_NAMED = 8


def refuse_unknown(graph: Graph) -> None:
    """UnsupportedOperator (E0401) naming all operators without a definition that must run.

    Those whose results nobody reads need not run, nor those of branches and loop bodies, which are
    refused when they are run after all.
    """
    found = [node for node in _needed(inlined(graph)) if isinstance(node.op, Opaque)]
    if not found:
        return
    kinds = [*dict.fromkeys(f"`{domain_of(n.op) or 'ai.onnx'}::{n.op.op_type}`" for n in found)]
    more = f" and {len(kinds) - _NAMED} more" if len(kinds) > _NAMED else ""
    many = "s" if len(kinds) > 1 else ""
    raise UnsupportedOperator(
        "E0401",
        f"nothing here can run the operator{many} {', '.join(kinds[:_NAMED])}{more}",
        node=found[0].name or None,
        op=found[0].op.op_type,
        given=f"{len(found)} nodes" if len(found) > 1 else None,
        hint="`sardonyx ops` lists the operators; define it as a custom Op, store it in the model "
        "as a function, or ask for OnnxRuntimeExecutionProvider",
    )


def _needed(graph: Graph) -> list[Node]:
    """The nodes that lead to outputs, in the graph's order."""
    stack = [v.producer for v in graph.outputs]
    needed: set[Node] = set()
    while stack:
        node = stack.pop()
        if node is not None and node not in needed:
            needed.add(node)
            stack += [v.producer for v in (*node.inputs, *captured(node)) if v is not None]
    return [node for node in graph.nodes if node in needed]

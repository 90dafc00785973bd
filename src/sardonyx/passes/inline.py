"""Replaces calls of model-local functions by their bodies, and an If by the branch that is taken.

The graph ends up sorted. Every call is counted before anything is copied: functions that call
themselves, and those that would grow the model beyond the limits, are refused.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from sardonyx.core.errors import InvalidGraph
from sardonyx.core.limits import Limits
from sardonyx.graph.clone import clone, transplant
from sardonyx.graph.functions import Key, called, inlined_size
from sardonyx.graph.ir import Function, Graph, Node, Value, subgraphs
from sardonyx.graph.make import AttributeRef, make_op
from sardonyx.graph.op import Op, Opaque
from sardonyx.graph.rewrite import Log, Pass, each_body, substitute


def inlined(graph: Graph) -> Graph:
    """The graph, or where it has functions a copy that calls none."""
    if not graph.functions:
        return graph
    made = clone(graph)
    _run(made, Log())
    return made


def _run(graph: Graph, log: Log) -> None:
    if not graph.is_sorted():
        graph.sort()
    if graph.functions:
        inlined_size(graph, Limits.current())
        _expand(graph, graph.functions, log)
        graph.functions.clear()


def _expand(graph: Graph, functions: dict[Key, Function], log: Log) -> None:
    outputs = Counter(graph.outputs)
    waiting = list(graph.nodes)
    changed = False
    for node in waiting:
        function = called(node.op, functions)
        if function is not None:
            log.fired("inline", node)
            before = len(graph)
            _call(graph, node, function, outputs)
            waiting.extend(graph.since(before - 1))
            changed = True
    if changed:
        graph.sort()
    for node in graph.nodes:
        for body in subgraphs(node.op):
            _expand(body, functions, log)
            graph.recount(node)


def _call(graph: Graph, node: Node, function: Function, outputs: Counter[Value]) -> None:
    assert isinstance(node.op, Opaque)
    given: dict[str, Any] = {**function.defaults, **dict(node.op.settings)}
    body = function.body
    missing = [name for name in function.attributes if name not in given]
    if missing:
        raise InvalidGraph(
            "E0306", f"the call gives no attribute `{missing[0]}`", node=node.name, op=function.name
        )
    actual = [*node.inputs, *[None] * (len(body.inputs) - len(node.inputs))]
    mapping = dict(zip(body.inputs, actual, strict=False))
    prefix = f"{node.name or function.name}/"
    before = len(graph)
    known = transplant(
        body.nodes, mapping, graph, prefix, lambda op: resolved(op, given, body.opsets)
    )
    for made in graph.since(before):
        made.meta = made.meta or dict(node.meta)
    for old, inner in zip(node.outputs, body.outputs, strict=False):
        new = known.get(inner)
        if old is not None and new is not None:
            if new.type.dtype is None and new.producer is not None:
                new.type = old.type
            substitute(graph, old, new, outputs)
    graph.remove(node)


def resolved(op: Op, given: dict[str, Any], opsets: dict[str, int]) -> Op:
    """An op of a function body with its references to the function's attributes filled in."""
    if not isinstance(op, Opaque):
        return op
    if not any(isinstance(value, AttributeRef) for _, value in op.settings):
        return op
    settings: dict[str, Any] = {}
    for name, value in op.settings:
        if not isinstance(value, AttributeRef):
            settings[name] = value
        elif value.name in given:
            settings[name] = given[value.name]
    return make_op(
        op.space, op.kind, opsets.get(op.space), settings,
        overload=op.overload, outputs=op.outputs,
    )  # fmt: skip


def take_branches(graph: Graph, log: Log) -> bool:
    """Replaces every If whose condition is known; whether there was one. Types are inferred."""
    before = len(log.records)
    each_body(graph, lambda body: _take_branches(body, log))
    return any(not r.reason for r in log.records[before:])


def _take_branches(graph: Graph, log: Log) -> None:
    outputs = Counter(graph.outputs)
    changed = False
    for node in graph.nodes:
        if not node.op.standard("If") or node.inputs[0] is None:
            continue
        told = node.inputs[0].type.value
        if not told or not told[0].is_const:
            log.refused("branch", node, "the condition is not known before running")
            continue
        attributes = node.op.attributes()
        branch = attributes.get("then_branch" if told[0].arg else "else_branch")
        if isinstance(branch, Graph):
            log.fired("branch", node)
            _take(graph, node, branch, outputs)
            changed = True
    if changed:
        graph.sort()


def _take(graph: Graph, node: Node, branch: Graph, outputs: Counter[Value]) -> None:
    given: dict[Value, Value | None] = {}
    for v in branch.initializers.values():
        if v.const is not None:
            moved = Value(graph.fresh_name(v.name), v.type, v.const, extra=v.extra)
            graph.initializers[moved.name] = moved
            given[v] = moved
    prefix = f"{node.name or 'If'}/"
    known = transplant(branch.nodes, given, graph, prefix)
    for old, inner in zip(node.outputs, branch.outputs, strict=False):
        new = known.get(inner, inner)
        if old is not None and new is not None:
            substitute(graph, old, new, outputs)
    graph.remove(node)


INLINE = Pass("inline", _run)

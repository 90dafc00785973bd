"""Removes what no output depends on: nodes, initializers, functions."""

from __future__ import annotations

from sardonyx.graph.functions import Key, callees
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.rewrite import Log, Pass, each_body


def _run(graph: Graph, log: Log) -> None:
    each_body(graph, lambda body: _sweep(body, log))
    _drop_functions(graph)


def _sweep(graph: Graph, log: Log) -> None:
    outputs = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not any(_is_read(v, outputs) for v in node.outputs):
            log.fired("dead", node)
            graph.remove(node)
    inputs = set(graph.inputs)
    for name, v in list(graph.initializers.items()):
        if not _is_read(v, outputs) and v not in inputs:
            del graph.initializers[name]


def _is_read(v: Value | None, outputs: set[Value]) -> bool:
    if v is None:
        return False
    return bool(v.uses) or v in outputs


def _drop_functions(graph: Graph) -> None:
    used: set[Key] = set()
    waiting = [graph]
    while waiting:
        fresh = callees(waiting.pop(), graph) - used
        used |= fresh
        waiting.extend(graph.functions[key].body for key in fresh)
    for key in list(graph.functions):
        if key not in used:
            del graph.functions[key]


DEAD = Pass("dead", _run)

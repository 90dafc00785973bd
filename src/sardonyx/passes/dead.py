"""Removes what no output depends on: nodes, initializers, functions."""

from __future__ import annotations

from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import Opaque, domain_of
from sardonyx.graph.rewrite import Log, Pass, each_body
from sardonyx.graph.run import bodies


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
    return v is not None and (bool(v.uses) or v in outputs)


def _drop_functions(graph: Graph) -> None:
    called: set[tuple[str, str, str]] = set()
    waiting = [graph]
    while waiting:
        for body in bodies(waiting.pop()):
            for node in body.nodes:
                op = node.op
                key = (domain_of(op), op.op_type, op.overload if isinstance(op, Opaque) else "")
                if key in graph.functions and key not in called:
                    called.add(key)
                    waiting.append(graph.functions[key].body)
    for key in [k for k in graph.functions if k not in called]:
        del graph.functions[key]


DEAD = Pass("dead", _run)

"""Gives values of subgraphs names that no graph around them has, as the ONNX standard wants."""

from __future__ import annotations

from sardonyx.graph.ir import Graph, Value, subgraphs
from sardonyx.graph.rewrite import Log, Pass


def _run(graph: Graph, log: Log) -> None:
    del log
    if any(subgraphs(node.op) for node in graph.nodes):
        _settle(graph, set())


def _settle(graph: Graph, outer: set[str]) -> None:
    own = {*outer, *(v.name for v in graph.values())}
    for v in list(graph.values()):
        if v.name in outer:
            _rename(graph, v, own)
            own.add(v.name)
    for node in graph.nodes:
        for body in subgraphs(node.op):
            _settle(body, own)


def _rename(graph: Graph, v: Value, taken: set[str]) -> None:
    old, n = v.name, 1
    while f"{old}_{n}" in taken:
        n += 1
    v.name = f"{old}_{n}"
    if graph.initializers.get(old) is v:
        del graph.initializers[old]
        graph.initializers[v.name] = v


NAMES = Pass("names", _run)

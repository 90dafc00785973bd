"""Calls of model-local functions: who calls whom, and how large the model is with all replaced."""

from __future__ import annotations

from typing import TypeAlias

from sardonyx.core.errors import InvalidGraph
from sardonyx.core.limits import Limits
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Function, Graph
from sardonyx.graph.op import Op, Opaque

Key: TypeAlias = tuple[str, str, str]


def called(op: Op, functions: dict[Key, Function]) -> Function | None:
    """The model-local function that a node calls, if it calls one."""
    if not functions or not isinstance(op, Opaque):
        return None
    return functions.get((op.space, op.kind, op.overload))


def inlined_size(graph: Graph, limits: Limits) -> int:
    """How many nodes the model has once every call is replaced.

    InvalidGraph (E0305) where functions call each other in a circle, LimitExceeded beyond the
    limit.
    """
    sizes: dict[Key, int] = {}
    open_calls: dict[Key, None] = {}
    stack: list[tuple[Key, bool]] = [(key, False) for key in graph.functions]
    while stack:
        key, done = stack.pop()
        if done:
            del open_calls[key]
            sizes[key] = _size(graph.functions[key].body, graph, sizes)
            limits.check_inlined(sizes[key])
            continue
        if key in sizes:
            continue
        if key in open_calls:
            raise InvalidGraph("E0305", f"the function `{key[1]}` calls itself", op=key[1])
        open_calls[key] = None
        stack.append((key, True))
        for callee in callees(graph.functions[key].body, graph):
            if callee in open_calls:
                raise InvalidGraph(
                    "E0305", f"the function `{callee[1]}` calls itself", op=callee[1]
                )
            stack.append((callee, False))
    total = _size(graph, graph, sizes)
    limits.check_inlined(total)
    return total


def callees(body: Graph, graph: Graph) -> set[Key]:
    """The functions of `graph` that the nodes of `body` call, subgraphs included."""
    found: set[Key] = set()
    for inner in bodies(body):
        for node in inner.nodes:
            function = called(node.op, graph.functions)
            if function is not None:
                found.add(function.key)
    return found


def _size(body: Graph, graph: Graph, sizes: dict[Key, int]) -> int:
    total = 0
    for inner in bodies(body):
        for node in inner.nodes:
            f = called(node.op, graph.functions)
            total += 1 if f is None else sizes[f.key] + 1
    return total

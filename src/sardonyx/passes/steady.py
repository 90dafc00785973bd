"""Which local functions of a model mean the same at other opsets, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.functions import Key, called
from sardonyx.graph.ir import Function, Graph, Node, Type
from sardonyx.graph.op import Opaque, domain_of, find
from sardonyx.passes.allowed import formals

# The first opset that was released with a format that has functions.
_FUNCTIONS = 15


def steady(graph: Graph, opsets: Mapping[str, int]) -> dict[Key, Function]:
    """Copies for these opsets of the functions that stay as they are, and call only such.

    A function whose call leaves types unknown is none: inlined, they are inferred.
    """
    if opsets.get("", _FUNCTIONS) < _FUNCTIONS:
        return {}
    found = dict(graph.functions)
    for body in bodies(graph):
        for node in body.nodes:
            function = called(node.op, found)
            known = (
                v is None or v.type.kind != "tensor" or _is_known(v.type) for v in node.outputs
            )
            if function is not None and not all(known):
                del found[function.key]
    while True:
        stay = {k: f for k, f in found.items() if _stays(f, graph, found, opsets)}
        if len(stay) == len(found):
            return {k: _at(f, opsets) for k, f in stay.items()}
        found = stay


def _is_known(t: Type) -> bool:
    return t.dtype is not None and t.shape is not None


def _stays(f: Function, graph: Graph, kept: dict[Key, Function], opsets: Mapping[str, int]) -> bool:
    nodes = (node for body in bodies(f.body) for node in body.nodes)
    return all(
        called(n.op, kept) is not None
        if called(n.op, graph.functions) is not None
        else _holds(n, f.body.opsets, opsets)
        for n in nodes
    )


def _holds(node: Node, now: Mapping[str, int], then: Mapping[str, int]) -> bool:
    domain, name = domain_of(node.op), node.op.op_type
    if domain not in then or domain not in now:
        return True
    old, new = find(domain, name, now[domain]), find(domain, name, then[domain])
    same = formals(domain, name, now[domain]) == formals(domain, name, then[domain])
    ended = new is None or (new.ended is not None and then[domain] >= new.ended)
    late = not isinstance(node.op, Opaque) and node.op.needs(*node.inputs) > then[domain]
    return old is new and same and not ended and not late


def _at(f: Function, opsets: Mapping[str, int]) -> Function:
    made = replace(f, body=clone(f.body))
    for body in bodies(made.body):
        body.opsets.update({d: n for d, n in opsets.items() if d in body.opsets})
    return made

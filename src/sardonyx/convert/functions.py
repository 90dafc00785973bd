"""Modules that stay functions: the nodes of each call of a class become one node that names it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from sardonyx.core.errors import ConvertError, SardonyxError
from sardonyx.graph.clone import transplant
from sardonyx.graph.ir import Function, Graph, Node, Type, Value, subgraphs
from sardonyx.graph.op import Opaque
from sardonyx.graph.text import to_text

DOMAIN = "sardonyx.modules"
CLASSES, SCOPES = "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.name_scopes"


def keep_functions(graph: Graph, classes: Sequence[str]) -> None:
    """Makes every call of these classes (`Block`, or `net.Block`) a call of a function, in place.

    Equal calls share one function, parameters are its inputs. ConvertError (E0612) where no node
    comes from such a class, or where what happens between two of its nodes happens elsewhere.
    """
    calls: dict[tuple[str, ...], list[Node]] = {}
    for node in graph.nodes:
        place = _call_of(node, classes)
        if place is not None:
            calls.setdefault(place, []).append(node)
    met = {place[0].rpartition(".")[2] for place in calls} | {place[0] for place in calls}
    unknown = [name for name in classes if name not in met]
    if unknown:
        said = f"no node comes from a module of the class `{unknown[0]}`"
        raise ConvertError("E0612", said, hint="--capture export keeps the classes of modules")
    texts: dict[str, str] = {}
    for (kind, *_), nodes in calls.items():
        _outline(graph, kind.rpartition(".")[2], nodes, texts)
    graph.opsets[DOMAIN] = 1
    try:
        graph.sort()
    except SardonyxError as error:
        said = "a module cannot stay a function: what it computes is not in one piece"
        raise ConvertError("E0612", said, node=error.node) from error


def _call_of(node: Node, classes: Sequence[str]) -> tuple[str, ...] | None:
    """(class, scope …) of the outermost call of one of the classes that a node belongs to."""
    kinds, scopes = _listed(node.meta.get(CLASSES, "")), _listed(node.meta.get(SCOPES, ""))
    for n, kind in enumerate(kinds[:-1]):
        if kind in classes or kind.rpartition(".")[2] in classes:
            return (kind, *scopes[: n + 1])
    return None


def _listed(text: str) -> list[str]:
    try:
        found = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError):
        return []
    return [str(x) for x in found] if isinstance(found, list) else []


def _outline(graph: Graph, kind: str, nodes: list[Node], texts: dict[str, str]) -> None:
    inside = set(nodes)
    if any(subgraphs(node.op) for node in nodes):
        raise ConvertError("E0612", f"`{kind}` cannot stay a function: it holds control flow")
    made = {v: None for node in nodes for v in node.outputs if v is not None}
    read = {v: None for node in nodes for v in node.inputs if v is not None and v not in made}
    outputs = [v for v in made if graph.gives(v) or any(user not in inside for user in v.uses)]
    body = _body(graph, nodes, list(read), outputs)
    name = texts.setdefault(to_text(body, meta=False), f"{kind}_{len(texts) + 1}")
    key = (DOMAIN, name, "")
    graph.functions.setdefault(key, Function(DOMAIN, name, body))
    for node in nodes:
        graph.remove(node)
    call = Opaque(kind=name, space=DOMAIN, outputs=len(outputs))
    graph.append(call, list(read), outputs, nodes[0].name, meta=nodes[0].meta)


def _body(graph: Graph, nodes: list[Node], read: list[Value], outputs: list[Value]) -> Graph:
    """The nodes as a graph of their own, whose names and types are those of any equal call."""
    body = Graph("", opsets=dict(graph.opsets))
    given: dict[Value, Value | None] = {v: Value(f"i{n}") for n, v in enumerate(read)}
    body.inputs = [x for x in given.values() if x is not None]
    known = transplant(nodes, given, body, "")
    body.outputs = [x for v in outputs if (x := known[v]) is not None]
    for n, v in enumerate(v for node in body.nodes for v in node.outputs if v is not None):
        v.name, v.type = f"v{n}", Type()
    for n, node in enumerate(body.nodes):
        node.name = f"n{n}"
    return body

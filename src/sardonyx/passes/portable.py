"""Gives operators of other packages bodies of standard ones, as functions of the model.

    y = my::Swish(x)     ->     y = my::Swish(x), with function my::Swish { Sigmoid, Mul }

Whatever runs ONNX runs such a model, with the operator's class or without it. What an operator
means here can depend on its operands' types and attributes: the first meaning has its name, others
have a number after it.
"""

from __future__ import annotations

from collections import Counter

from sardonyx.core.errors import SardonyxError
from sardonyx.graph.body import Body
from sardonyx.graph.check import LATEST
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Function, Graph, Node, Value
from sardonyx.graph.make import make_op
from sardonyx.graph.op import MISTAKES, Opaque, domain_of, exactly
from sardonyx.graph.rewrite import substitute
from sardonyx.ops.index import MODULES
from sardonyx.passes.formula import spelled_out
from sardonyx.passes.infer import infer, infer_node
from sardonyx.passes.version import move

_KNOWN = {domain for domain, _ in MODULES}


def is_own(node: Node) -> bool:
    """Whether a node's operator is a class of another package."""
    return not isinstance(node.op, Opaque) and domain_of(node.op) not in _KNOWN


def portable(graph: Graph) -> Graph:
    """The graph, or a copy in which operators of other packages that have bodies are functions."""
    if not any(is_own(node) for body in bodies(graph) for node in body.nodes):
        return graph
    made = clone(graph)
    infer(made)
    given: dict[object, str] = {}
    for body in bodies(made):
        for node in body.nodes:
            if is_own(node):
                _call(node, made, body, given)
    return made


def _call(node: Node, model: Graph, place: Graph, given: dict[object, str]) -> None:
    """Makes a node the call of a function, where its operator has a body."""
    types = tuple(None if v is None else (v.type.dtype, v.type.shape) for v in node.inputs)
    meaning = (exactly(node.op), types)
    name, domain = given.get(meaning), domain_of(node.op)
    if name is None:
        body = _body(node, model)
        if body is None:
            return
        taken = {name for space, name, _ in model.functions if space == domain}
        names = (node.op.op_type, *(f"{node.op.op_type}_{n}" for n in range(2, len(taken) + 3)))
        name = given[meaning] = next(n for n in names if n not in taken)
        settings = tuple(node.op.attributes())
        model.functions[domain, name, ""] = Function(domain, name, body, attributes=settings)
    call = make_op(domain, name, None, node.op.attributes(), outputs=node.op.outputs)
    place.set_op(node, call)


def _body(node: Node, model: Graph) -> Graph | None:
    """What an operator does as a graph of the standard's operators, None where it cannot say."""
    body = Graph(name=node.op.op_type, opsets={"": LATEST[""]})
    names = (f"x{n}" for n in range(len(node.inputs)))
    inputs = [
        None if v is None else Value(n, v.type) for n, v in zip(names, node.inputs, strict=True)
    ]
    body.inputs = [v or Value(f"none{n}") for n, v in enumerate(inputs)]
    outputs = [None if v is None else Value(f"y{n}", v.type) for n, v in enumerate(node.outputs)]
    inner = body.append(node.op, inputs, outputs)
    found = _written(inner, body)
    if found is None:
        return None
    body.remove(inner)
    body.outputs = found
    moved = move(body, {"": model.opsets.get("", LATEST[""])})
    if any(r.reason for r in moved.records) or any(map(is_own, body.nodes)):
        return None
    _hold_constants(body)
    body.sort()
    return body


def _hold_constants(body: Graph) -> None:
    """Makes constants nodes, which is all that a function may have."""
    for name, old in list(body.initializers.items()):
        if old.const is not None:
            new = Value(name, old.type)
            body.append(make_op("", "Constant", LATEST[""], {"value": old.const}), [], [new])
            substitute(body, old, new, Counter(body.outputs))
        del body.initializers[name]


def _written(node: Node, body: Graph) -> list[Value] | None:
    try:
        if node.op.has("expand"):
            before = len(body)
            made = node.op.expand(body, *node.inputs)
            for new in body.since(before):
                infer_node(new)
        else:
            made = spelled_out(node, Body(body, "v"))
    except (SardonyxError, *MISTAKES):
        return None
    if made is None:
        return None
    found = made if isinstance(made, tuple) else (made,)
    return None if None in found else list(found)

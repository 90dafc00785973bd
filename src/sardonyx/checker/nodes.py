"""What the standard wants of nodes, by its table of operators, and of initializers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.core.tensor import SparseTensor
from sardonyx.graph.check import Finding
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.functions import called
from sardonyx.graph.ir import Graph, Node, subgraphs
from sardonyx.graph.op import Opaque, domain_of
from sardonyx.ops.signatures import ROWS
from sardonyx.passes.allowed import refuse_types, signature, since

# Attributes that say yes or no.
_FLAGS = frozenset({
    "align_corners", "antialias", "ceil_mode", "center_point_box", "count_include_pad", "exclusive",
    "is_causal", "keepdims", "largest", "layout", "linear_before_reset", "noop_with_empty_axes",
    "reverse", "select_last_index", "sorted", "training_mode", "transA", "transB", "upper",
})  # fmt: skip
DOMAINS = frozenset(domain for domain, _ in ROWS)


def shaped(graph: Graph) -> Iterator[Finding]:
    """Nodes with other numbers of inputs and outputs than their operators have; sparse tensors."""
    for top in (graph, *(f.body for f in graph.functions.values())):
        yield from _scopes(top, frozenset(), inner=False)
        for body in bodies(top):
            for held in body.initializers.values():
                if isinstance(held.const, SparseTensor):
                    yield from _sparse(held.const, held.name)
            for node in body.nodes:
                if called(node.op, graph.functions) is None:
                    yield from _node(node, body.opsets or graph.opsets)


def _scopes(graph: Graph, around: frozenset[str], *, inner: bool) -> Iterator[Finding]:
    """Names of subgraphs that are given around them too, before or after; outputs from there."""
    own = {v.name for v in graph.values()}
    for name in sorted(own & around):
        yield Finding("error", "E0302", f"the name `{name}` is given around it too", tensor=name)
    for v in graph.outputs:
        if inner and v.name not in own:
            said = f"the output `{v.name}` is a value of the graph around"
            yield Finding("error", "E0315", said, tensor=v.name)
    for node in graph.nodes:
        for body in subgraphs(node.op):
            yield from _scopes(body, around | own, inner=True)


def _node(node: Node, opsets: dict[str, int]) -> Iterator[Finding]:
    domain, name = domain_of(node.op), node.op.op_type
    opset = opsets.get(domain)
    if opset is None or domain not in DOMAINS or node.op.foreign:
        return
    if since(domain, name, opset) is None:
        place = f"opset {opset} of `{domain or 'ai.onnx'}`"
        if (domain, name) not in ROWS:
            yield _finding(node, "E0401", f"there is no operator {name} in {place}")
        elif not isinstance(node.op, Opaque):
            yield _finding(node, "E0401", f"{name} ended before {place}")
        return
    found = signature(domain, name, opset)
    assert found is not None
    for side, given, word in (
        (found.inputs, node.inputs, "input"), (found.outputs, node.outputs, "output"),
    ):  # fmt: skip
        for said in side.wrong(given, word):
            yield _finding(node, "E0310", f"{name} {said}")
    for flag, value in node.op.attributes().items():
        if flag in _FLAGS and value not in (0, 1):
            yield _finding(node, "E0341", f"`{flag}` is {value}, wanted 0 or 1")


def typed(graph: Graph) -> Iterator[Finding]:
    """Nodes of a graph with types whose outputs have types that their operators do not give."""
    for body in bodies(graph):
        for node in body.nodes:
            opset = (body.opsets or graph.opsets).get(domain_of(node.op))
            made = [None if v is None else v.type for v in node.outputs]
            try:
                refuse_types(node.op, opset, (), made)
            except InvalidGraph as error:
                yield _finding(node, error.code, error.message)


def _finding(node: Node, code: str, said: str) -> Finding:
    return Finding("error", code, said, node=node.name or None, op=node.op.op_type)


def _sparse(tensor: SparseTensor, name: str) -> Iterator[Finding]:
    for said in _not_sparse(tensor):
        yield Finding("error", "E0114", said, tensor=name)


def _not_sparse(tensor: SparseTensor) -> Iterator[str]:
    """Why a sparse tensor is none."""
    values, indices, dims = tensor.values, tensor.indices, tensor.dims
    if len(values.shape) != 1:
        yield f"its values have {len(values.shape)} dims, wanted 1"
    if not dims or min(dims) < 1:
        yield f"its dims are {list(dims)}, wanted at least one, and none below 1"
    elif indices.dtype is not DType.INT64:
        yield f"its indices are {indices.dtype}, wanted int64"
    elif indices.shape[:1] != values.shape[:1] or indices.shape[1:] not in ((), (len(dims),)):
        yield f"its indices are {list(indices.shape)}, its values {list(values.shape)}"
    else:
        places = indices.numpy().reshape(len(indices.numpy()), -1)
        most = np.array(dims if indices.shape[1:] else [np.prod(dims)])
        if np.any((places < 0) | (places >= most)):
            yield "an index is out of range"
        elif np.any(np.diff(_flat(places, most)) <= 0):
            yield "its indices are not sorted, or stand there twice"


def _flat(places: Array, dims: Array) -> Array:
    return np.asarray(places @ np.append(np.cumprod(dims[::-1])[-2::-1], 1))

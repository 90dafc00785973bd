"""Steps made of the standard's node cases: every operator as its case has it, amid other nodes.

An input of a case is a value that is there where one fits, a constant, or an input of the graph
whose name says which case feeds it: the elements of a case are seldom ones that anything random
could take the place of.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from conformance import node_cases
from fuzz.grow import CASE, OPSET, Grower, Skip, cased, rank
from sardonyx.core.expr import symbol
from sardonyx.core.tensor import Tensor
from sardonyx.formats import load
from sardonyx.graph.check import LATEST
from sardonyx.graph.ir import Node, Value, tensor_type
from sardonyx.graph.op import Opaque, find


@functools.cache
def names() -> dict[str, list[str]]:
    """The cases of one node that a graph can be made of, by operator."""
    found: dict[str, list[str]] = {}
    for name, case in sorted(node_cases.cases().items()):
        if len(case.model.graph.node) == 1:
            op = _node(name).op
            newest = find(op.domain, op.op_type, OPSET)
            if not isinstance(op, Opaque) and not op.random and type(op) is newest:
                found.setdefault(op.op_type, []).append(name)
    return found


@functools.cache
def _node(name: str) -> Node:
    return load(bytes(node_cases.cases()[name].model.SerializeToString())).nodes[0]


def case(g: Grower) -> None:
    """The node of a case."""
    known = names()
    name = g.one(*known[g.one(*known)])
    node = _node(name)
    sources = iter(range(len(node.inputs)))
    inputs = [None if v is None else _input(g, name, next(sources)) for v in node.inputs]
    domain = node.op.domain
    g.outermost.opsets[domain] = LATEST.get(domain, node.op.since)
    g.attach(node.op, inputs, len(node.outputs))


def _input(g: Grower, name: str, n: int) -> Value:
    array = cased(f"{CASE}{name}/{n}")
    if not isinstance(array, np.ndarray) or array.size > 1 << 12:
        raise Skip
    tensor = Tensor.of(array)
    if tensor.dtype.is_float and g.maybe(0.5):
        near = [v for v in g.values if v.dtype is tensor.dtype and rank(v) == array.ndim]
        if near:
            return g.one(*near)
    if g.maybe(0.8 if array.ndim == 1 and array.dtype.kind in "iu" else 0.2):
        return g.graph.constant(tensor, "c")
    return _fed(g, f"{CASE}{name}/{n}", array, tensor)


def _fed(g: Grower, name: str, array: Any, tensor: Tensor) -> Value:
    for v in g.graph.inputs:
        if v.name == name:
            return v
    free = [g.maybe(0.4) for _ in array.shape]
    count = len(g.graph.inputs)
    dims = [symbol(f"D{count}_{n}") if any_ else array.shape[n] for n, any_ in enumerate(free)]
    value = Value(name, tensor_type(tensor.dtype, dims))
    g.outermost.inputs.append(value)
    g.values.append(value)
    return value


STEPS = (case,) * 12

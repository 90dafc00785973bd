"""Which operators are quantized, and which tensors around them.

    x -> Conv -> Relu -> y        x and y get a scale; what is between runs on the sums

An activation function that follows an operator and only clips is part of it: the range is taken
after it, where no code is spent on what it removes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node, Value

WEIGHTED = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
ELEMENTWISE = frozenset({"Add", "Mul"})
MOVING = frozenset({"MaxPool", "GlobalAveragePool", "AveragePool", "Concat"})
DEFAULT = (*WEIGHTED, "Add")
CLIPPING = frozenset({"Relu", "Clip"})


@dataclass
class Targets:
    """The nodes to quantize, the activations to calibrate (in order), and (weight, axis) pairs."""

    nodes: list[Node] = field(default_factory=list)
    activations: dict[Value, None] = field(default_factory=dict)
    weights: dict[Value, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def choose(graph: Graph, ops: Collection[str], exclude: Collection[str]) -> Targets:
    """The targets among nodes of the operator types `ops`, the nodes named in `exclude` left."""
    found = Targets()
    for node in graph.nodes:
        if node.op.op_type not in ops:
            continue
        reason = "excluded" if node.name in exclude else _unfit(node)
        if reason:
            found.skipped[node.name] = reason
            continue
        found.nodes.append(node)
        for v in _activations(node):
            found.activations.setdefault(v)
        if node.op.op_type in WEIGHTED:
            weight = node.inputs[1]
            assert weight is not None
            found.weights[weight] = weight_axis(node)
    return found


def weight_axis(node: Node) -> int:
    """The axis of the weight that runs over output channels."""
    if node.op.op_type == "Gemm":
        return 0 if getattr(node.op, "transB", 0) else 1
    if node.op.op_type == "MatMul":
        weight = node.inputs[1]
        assert weight is not None
        return (weight.type.rank or 2) - 1
    return WEIGHTED[node.op.op_type]


def _unfit(node: Node) -> str:
    for v in (*node.inputs[:2], *node.outputs):
        if v is None or v.type.dtype is not DType.FLOAT32:
            return "not float32"
    if node.op.op_type in WEIGHTED:
        weight = node.inputs[1]
        if weight is None or not isinstance(weight.const, Tensor):
            return "its weight is computed"
        if (weight.type.rank or 0) < 2:
            return "its weight is a vector"
        if node.op.op_type == "Gemm" and not _plain_gemm(node):
            return "alpha, beta or transA is set"
        if node.op.op_type == "ConvTranspose" and getattr(node.op, "group", 1) != 1:
            return "a grouped ConvTranspose has no channel axis of its own"
    elif any(v is not None and v.const is not None for v in node.inputs):
        return "adds a constant"
    return ""


def _plain_gemm(node: Node) -> bool:
    op = node.op
    scales = (getattr(op, "alpha", 1.0), getattr(op, "beta", 1.0))
    return scales == (1.0, 1.0) and not getattr(op, "transA", 0)


def _activations(node: Node) -> list[Value]:
    inputs = node.inputs[:1] if node.op.op_type in WEIGHTED else node.inputs
    found = [v for v in inputs if v is not None and v.const is None]
    return [*found, result(node)]


def result(node: Node) -> Value:
    """The value that carries the node's output range: after a clipping function, if that follows.

    A sum that is read by an Add alone keeps its own range too, since Add wants both operands.
    """
    out = node.output
    users = list(out.uses)
    if len(users) == 1 and users[0].op.op_type in CLIPPING and users[0].inputs[0] is out:
        return users[0].output
    return out

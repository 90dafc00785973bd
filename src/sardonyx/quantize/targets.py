"""Which operators are quantized, and which tensors around them.

    x -> Conv -> Relu -> y        x and y get a scale; what is between runs on the sums

An activation function that only clips is part of the operator before it: the range is taken after
it, where no code is spent on what it removes. A tensor gets a scale where a quantized operator
reads it, and behind a convolution or sum, which other runtimes then compute in integers; the last
result of a model and the inputs of other operators stay float32.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Trait

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
KNOWN = (*WEIGHTED, "Add", "Mul")
DEFAULT = (*WEIGHTED, "Add")
_LEADING = Trait.CLIPS | Trait.SELECTS | Trait.AVERAGES


@dataclass
class Targets:
    """What is to be quantized, in the graph's order.

    `nodes` are the operators, `activations` the tensors that get a scale; `same` maps those that
    an operator which only moves elements makes of another one to that other. `skipped` tells why
    operators of a wanted type stay as they are.
    """

    nodes: list[Node] = field(default_factory=list)
    activations: dict[Value, None] = field(default_factory=dict)
    same: dict[Value, Value] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def calibrated(self) -> list[Value]:
        """The activations whose range must be measured."""
        return [v for v in self.activations if v not in self.same]

    def whole(self) -> set[Value]:
        """The results that every reader takes in quantized form."""
        return {result(n) for n in self.nodes if not _is_product(n)}


def choose(graph: Graph, ops: Collection[str], exclude: Collection[str]) -> Targets:
    """The targets among nodes of the operator types `ops`, the nodes named in `exclude` left."""
    found = Targets()
    taken = _taken(graph, ops, exclude, found.skipped)
    found.nodes = [node for node in graph.nodes if node in taken]
    read = {v for node in found.nodes for v in operands(node)}
    for node in found.nodes:
        for v in operands(node):
            found.activations.setdefault(v)
        out = result(node)
        if out in read or not (_is_product(node) or graph.gives(out)):
            found.activations.setdefault(out)
    for v in list(found.activations):
        found.same.update(_moved(v, found.activations))
    found.activations.update(dict.fromkeys(found.same))
    return found


def _moved(v: Value, activations: Collection[Value]) -> dict[Value, Value]:
    """Each value on the way from an activation to `v` by movers alone, and what it was before."""
    steps: dict[Value, Value] = {}
    while v.producer is not None and Trait.SELECTS in v.producer.op.traits:
        source = v.producer.inputs[0]
        if source is None or source.const is not None:
            break
        steps[v] = source
        if source in activations:
            return steps
        v = source
    return {}


def _taken(
    graph: Graph, ops: Collection[str], exclude: Collection[str], skipped: dict[str, str]
) -> set[Node]:
    """The nodes to quantize; walks backwards, since a sum is worth it where integers read it."""
    taken: set[Node] = set()
    fed = graph.defaults()
    wanted: set[Value] = set()
    for node in reversed(graph.nodes):
        if node.op.traits & _LEADING and node.output in wanted:
            wanted.update(v for v in node.inputs[:1] if v is not None)
        if not node.op.standard(*ops):
            continue
        reason = "it is excluded" if label(node) in exclude else _unfit(node, fed)
        if not reason and not is_weighted(node) and node.output not in wanted:
            reason = "no quantized operator reads it"
        if reason:
            skipped[label(node)] = reason
            continue
        taken.add(node)
        wanted.update(operands(node))
    return taken


def label(node: Node) -> str:
    """The node's name, or that of its output where it has none."""
    return node.name or node.output.name


def weight_axis(node: Node) -> int | None:
    """The axis of the weight that runs over output channels, None where there is no weight."""
    weight = node.operand(1)
    return None if weight is None else node.op.weight_axis(weight.type.rank or 2)


def is_weighted(node: Node) -> bool:
    """Whether the node multiplies by weights."""
    return weight_axis(node) is not None


def _is_product(node: Node) -> bool:
    """Whether the node is a product of matrices."""
    return is_weighted(node) and Trait.SLIDES not in node.op.traits


def operands(node: Node) -> list[Value]:
    """The inputs of a quantized node that are computed and get a scale."""
    inputs = node.inputs[:1] if is_weighted(node) else node.inputs
    return [v for v in inputs if v is not None and v.const is None]


def result(node: Node) -> Value:
    """The value that carries the output's range: behind a clipping function, if one follows."""
    out = node.output
    users = list(out.uses)
    if len(users) == 1 and Trait.CLIPS in users[0].op.traits and users[0].inputs[0] is out:
        return users[0].output
    return out


def _unfit(node: Node, fed: Collection[Value]) -> str:
    for v in (*node.inputs[:2], *node.outputs):
        if v is None or v.type.dtype is not DType.FLOAT32:
            return "it is not float32"
    if is_weighted(node):
        return _unfit_weight(node, fed)
    if any(v is not None and v.const is not None for v in node.inputs):
        return "one side is a constant"
    return ""


def _unfit_weight(node: Node, fed: Collection[Value]) -> str:
    weight = node.inputs[1]
    if weight is None or not isinstance(weight.const, Tensor):
        return "its weight is computed"
    if weight in fed:
        return "a feed may replace its weight"
    if not operands(node):
        return "it multiplies constants"
    if (weight.type.rank or 0) < 2:
        return "its weight is a vector"
    if not weight.const.count or not np.isfinite(weight.const.numpy()).all():
        return "its weight is empty or not finite"
    if node.op.standard("Gemm") and not _plain_gemm(node):
        return "alpha, beta or transA is set"
    if node.op.standard("ConvTranspose") and getattr(node.op, "group", 1) != 1:
        return "a grouped ConvTranspose has no channel axis of its own"
    return ""


def _plain_gemm(node: Node) -> bool:
    op = node.op
    scales = (getattr(op, "alpha", 1.0), getattr(op, "beta", 1.0))
    return scales == (1.0, 1.0) and not getattr(op, "transA", 0)

"""Folds per-channel arithmetic after a convolution or matrix product into its constants.

    BatchNormalization(Conv(x, W, b))  ->  Conv(x, W * s, b * s + t)

The same for Mul, Div, Add and Sub by constants, and after ConvTranspose, Gemm and MatMul. New
constants are computed in float64 and rounded once, so results agree within rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.rewrite import Log, Pass, apply, rule

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Affine:
    """y * scale + shift, each one number or one for each output channel, in float64."""

    scale: Array
    shift: Array


class Refused(Exception):  # noqa: N818 - it is an answer, not an error
    """Why a product stays as it is."""


def constant(v: Value | None, graph: Graph) -> Array | None:
    """The elements of an initializer that no feed can replace, None for anything else."""
    held = fixed(v, graph)
    return None if held is None else held.numpy()


def fixed(v: Value | None, graph: Graph) -> Tensor | None:
    """An initializer that no feed can replace, None for anything else."""
    if v is None or not isinstance(v.const, Tensor):
        return None
    if graph.overridable and any(v is given for given in graph.inputs):
        return None
    return v.const


@rule("into weights (rounding)", "BatchNormalization", "Mul", "Div", "Add", "Sub")
def into_weights(node: Node, graph: Graph) -> Value | str | None:
    """Arithmetic by channel after a product becomes part of the product's constants."""
    y = _operand(node)
    if y is None or y.producer is None:
        return None
    if len(y.uses) > 1 or graph.gives(y):
        return "the product is read elsewhere"
    if y.type.dtype is None or not y.type.dtype.is_float:
        return None
    try:
        with np.errstate(all="ignore"):
            affine = _affine(node, y, graph)
            return _Merge(y.producer, affine, graph).run()
    except Refused as reason:
        return str(reason)


def _operand(node: Node) -> Value | None:
    """The input that a product makes."""
    first, second = node.operand(0), node.operand(1)
    sides = [first]
    if node.op.standard("Mul", "Add"):
        sides.append(second)
    for v in sides:
        if v is not None and v.made_by(*PRODUCTS):
            return v
    return None


def _affine(node: Node, y: Value, graph: Graph) -> Affine:
    name = node.op.op_type
    shape = y.type.shape
    if shape is None or node.output.type.shape != shape:
        raise Refused("it broadcasts")
    axis = 1 if y.made_by("Conv", "ConvTranspose") else len(shape) - 1
    if name == "BatchNormalization":
        if axis != 1:
            raise Refused("its channels are not the columns")
        return _normalization(node, graph)
    first, second = node.inputs[:2]
    other = constant(second if first is y else first, graph)
    if other is None:
        raise Refused("the other operand is not constant")
    values = _by_channel(other.astype(np.float64), len(shape), axis)
    if name == "Mul":
        return Affine(values, np.zeros(()))
    if name == "Div":
        return Affine(1 / values, np.zeros(()))
    return Affine(np.ones(()), values if name == "Add" else -values)


def _normalization(node: Node, graph: Graph) -> Affine:
    op: Any = node.op
    wanted = [v for v in node.outputs if v is not None]
    if op.trains or len(wanted) > 1:
        raise Refused("it is training")
    if not getattr(op, "spatial", 1):
        raise Refused("every element has its own statistics")
    given = [constant(v, graph) for v in node.inputs[1:]]
    known = [a.astype(np.float64) for a in given if a is not None]
    if len(known) < len(given):
        raise Refused("its statistics are not constant")
    scale, shift, mean, variance = known
    factor = scale / np.sqrt(variance + op.epsilon)
    return Affine(factor, shift - mean * factor)


def _by_channel(a: Array, rank: int, axis: int) -> Array:
    """A broadcast operand as one number, or one for each channel."""
    if not -rank <= axis < rank:
        raise Refused("its output has no channels")
    dims = (1,) * (rank - a.ndim) + a.shape
    others = [d for n, d in enumerate(dims) if n != axis]
    if any(d != 1 for d in others):
        raise Refused("it differs within a channel")
    return a.reshape(-1) if dims[axis] != 1 else a.reshape(())


class _Merge:
    """A product whose constants take up what follows it."""

    def __init__(self, product: Node, affine: Affine, graph: Graph) -> None:
        self.product = product
        self.op: Any = product.op
        self.name = product.op.op_type
        self.affine = affine
        self.graph = graph
        self.body = Body(graph, product.output.name)

    def run(self) -> Value:
        """The new product's output; Refused where it cannot be."""
        x, w = self.product.inputs[:2]
        weights = constant(w, self.graph)
        if w is None or weights is None:
            raise Refused("its weights are not constant")
        if self.affine.scale.size > 1 and len(w.uses) > 1:
            raise Refused("its weights are shared")
        if self.name == "MatMul":
            return self.matmul(x, weights)
        shift = self.bias(weights)
        scaled = weights.astype(np.float64) * self.spread(weights)
        op = replace(self.op, beta=1.0) if self.name == "Gemm" else self.op
        made = self.constant(scaled, weights)
        return self.body(op, x, made, self.constant(shift, weights))

    def matmul(self, x: Value | None, weights: Array) -> Value:
        """MatMul has no bias, so a shift stays an Add."""
        scale, shift = self.affine.scale, self.affine.shift
        if weights.ndim < 2:
            raise Refused("its weights are no matrix")
        if np.all(scale == 1):
            raise Refused("a sum stays a sum after MatMul")
        made = self.constant(weights * scale, weights)
        y = self.body(self.op, x, made)
        if not shift.any():
            return y
        return self.body("Add", y, self.constant(shift, weights))

    def bias(self, weights: Array) -> Array:
        """The new bias, one number for each output channel."""
        old = self.product.operand(2)
        known = constant(old, self.graph)
        if old is not None and known is None:
            raise Refused("its bias is not constant")
        start = np.zeros(1) if known is None else known.astype(np.float64)
        if start.ndim > 1 and start.shape[0] != 1:
            raise Refused("its bias differs from row to row")
        if self.name == "Gemm":
            start = start * self.op.beta
        shift = start.reshape(-1) * self.affine.scale + self.affine.shift
        return np.broadcast_to(shift, (self.channels(weights),))

    def channels(self, weights: Array) -> int:
        """The number of output channels."""
        if self.name == "ConvTranspose":
            return int(weights.shape[1] * self.op.group)
        if self.name == "Gemm" and not self.op.transB:
            return int(weights.shape[1])
        return int(weights.shape[0])

    def spread(self, weights: Array) -> Array:
        """The scale, shaped to broadcast over the weights."""
        scale = self.affine.scale
        if scale.ndim == 0:
            return scale
        if self.name == "Gemm":
            return scale[:, None] if self.op.transB else scale
        tail = (1,) * (weights.ndim - 2)
        if self.name == "Conv":
            return scale.reshape(-1, 1, *tail)
        groups = self.op.group
        repeats = weights.shape[0] // groups
        rows = np.repeat(scale.reshape(groups, -1), repeats, axis=0)
        return rows.reshape(*weights.shape[:2], *tail)

    def constant(self, array: Array, like: Array) -> Value:
        """A new initializer of the weights' element type."""
        rounded = np.ascontiguousarray(array).astype(like.dtype)
        if not np.isfinite(rounded.astype(np.float64)).all():
            raise Refused("the new weights would not be finite")
        return self.body.constant(rounded)


def _run(graph: Graph, log: Log) -> None:
    apply([into_weights], graph, log)


AFFINE = Pass("affine", _run)

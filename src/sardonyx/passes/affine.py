"""Folds per-channel arithmetic after a convolution or matrix product into its constants.

    BatchNormalization(Conv(x, W, b))  ->  Conv(x, W * s, b * s + t)

The same for Mul, Div, Add and Sub by constants, and after ConvTranspose, Gemm and MatMul. New
constants are computed in float64 and rounded once, so results agree within rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import find
from sardonyx.graph.rewrite import Log, Pass, apply, rule
from sardonyx.passes.infer import emit
from sardonyx.passes.values import place

Array = np.ndarray[Any, Any]
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Affine:
    """y * scale + shift, each one number or one for each output channel, in float64."""

    scale: Array
    shift: Array


def constant(v: Value | None, graph: Graph) -> Array | None:
    """The elements of an initializer that no feed can replace, None for anything else."""
    if v is None or not isinstance(v.const, Tensor) or any(v is i for i in graph.inputs):
        return None
    return v.const.numpy()


@rule("into weights (rounding)", "BatchNormalization", "Mul", "Div", "Add", "Sub")
def into_weights(node: Node, graph: Graph) -> Value | str | None:
    """Arithmetic by channel after a product becomes part of the product's constants."""
    found = _operand(node)
    if found is None:
        return None
    y, product = found
    if len(y.uses) > 1 or any(v is y for v in graph.outputs):
        return "the product is read elsewhere"
    if y.type.dtype is None or not y.type.dtype.is_float:
        return None
    affine = _affine(node, y, product, graph)
    return affine if isinstance(affine, str) else _merged(product, affine, graph)


def _operand(node: Node) -> tuple[Value, Node] | None:
    """The input that a product makes, and the product."""
    sides = node.inputs[:2] if node.op.op_type in ("Mul", "Add") else node.inputs[:1]
    for v in sides:
        if v is not None and v.producer is not None and v.producer.op.op_type in PRODUCTS:
            return v, v.producer
    return None


def _affine(node: Node, y: Value, product: Node, graph: Graph) -> Affine | str:
    name = node.op.op_type
    shape = y.type.shape
    if shape is None or node.output.type.shape != shape:
        return "it broadcasts"
    axis = 1 if product.op.op_type.startswith("Conv") else len(shape) - 1
    if name == "BatchNormalization":
        return _normalization(node, graph) if axis == 1 else "its channels are not the columns"
    other = constant(node.inputs[1] if node.inputs[0] is y else node.inputs[0], graph)
    if other is None:
        return "the other operand is not constant"
    by_channel = _by_channel(other.astype(np.float64), len(shape), axis)
    if by_channel is None:
        return "it differs within a channel"
    one, zero = np.float64(1), np.float64(0)
    if name in ("Mul", "Div"):
        with np.errstate(all="ignore"):
            return Affine(by_channel if name == "Mul" else one / by_channel, np.asarray(zero))
    return Affine(np.asarray(one), by_channel if name == "Add" else -by_channel)


def _normalization(node: Node, graph: Graph) -> Affine | str:
    op: Any = node.op
    if getattr(op, "trains", False) or len([v for v in node.outputs if v is not None]) > 1:
        return "it is training"
    if not getattr(op, "spatial", 1):
        return "every element has its own statistics"
    given = [constant(v, graph) for v in node.inputs[1:5]]
    known = [a.astype(np.float64) for a in given if a is not None]
    if len(known) < 4:
        return "its statistics are not constant"
    scale, shift, mean, variance = known
    factor = scale / np.sqrt(variance + op.epsilon)
    return Affine(factor, shift - mean * factor)


def _by_channel(a: Array, rank: int, axis: int) -> Array | None:
    """A broadcast operand as one number, or one for each channel; None when it is neither."""
    if a.ndim > rank:
        return None
    dims = (1,) * (rank - a.ndim) + a.shape
    if any(d != 1 for n, d in enumerate(dims) if n != axis):
        return None
    return a.reshape(dims[axis]) if dims[axis] != 1 else a.reshape(())


def _merged(product: Node, affine: Affine, graph: Graph) -> Value | str:
    x, w, *rest = product.inputs
    weights, old = constant(w, graph), rest[0] if rest else None
    bias = constant(old, graph)
    if weights is None or w is None or (old is not None and bias is None):
        return "its weights are not constant"
    if affine.scale.size > 1 and len(w.uses) > 1:
        return "its weights are shared"
    name = product.op.op_type
    if name == "MatMul":
        return _matmul(product, affine, graph)
    op: Any = product.op
    start: Array = np.zeros(()) if bias is None else bias.astype(np.float64)
    if name == "Gemm":
        start = start * op.beta
    channels = _channels(product, weights)
    if start.ndim > 1 and start.shape[0] != 1:
        return "its bias differs from row to row"
    shift = np.broadcast_to(start.reshape(-1) * affine.scale + affine.shift, (channels,))
    scaled = weights.astype(np.float64) * _spread(product, affine.scale, weights)
    if name == "Gemm":
        op = replace(op, beta=1.0)
    made = _constants(graph, product, {"weight": (scaled, w), "bias": (shift, w)})
    return made if isinstance(made, str) else emit(graph, op, [x, *made], product.output.name)


def _matmul(product: Node, affine: Affine, graph: Graph) -> Value | str:
    x, w = product.inputs
    weights = constant(w, graph)
    if weights is None or w is None or weights.ndim < 2:
        return "its weights are no matrix"
    if affine.shift.any():
        add = find("", "Add", graph.opsets.get("", 14))
        if not (affine.scale.size == 1 and affine.scale == 1) and add is not None:
            scaled = _constants(graph, product, {
                "weight": (weights * affine.scale, w), "bias": (affine.shift, w),
            })  # fmt: skip
            if isinstance(scaled, str):
                return scaled
            y = emit(graph, product.op, [x, scaled[0]], product.output.name)
            return emit(graph, add(), [y, scaled[1]], product.output.name)
        return "a sum stays a sum after MatMul"
    made = _constants(graph, product, {"weight": (weights * affine.scale, w)})
    return made if isinstance(made, str) else emit(graph, product.op, [x, *made], w.name)


def _channels(product: Node, weights: Array) -> int:
    op: Any = product.op
    if product.op.op_type == "ConvTranspose":
        return int(weights.shape[1] * op.group)
    if product.op.op_type == "Gemm":
        return int(weights.shape[0 if op.transB else 1])
    return int(weights.shape[0])


def _spread(product: Node, scale: Array, weights: Array) -> Array:
    """A scale by output channel, shaped to broadcast over the weights."""
    op: Any = product.op
    if scale.ndim == 0:
        return scale
    if product.op.op_type == "Gemm":
        return scale[:, None] if op.transB else scale
    tail = (1,) * (weights.ndim - 2)
    if product.op.op_type == "Conv":
        return scale.reshape(-1, 1, *tail)
    inputs = weights.shape[0] // op.group
    return np.repeat(scale.reshape(op.group, -1), inputs, axis=0).reshape(*weights.shape[:2], *tail)


def _constants(
    graph: Graph, product: Node, arrays: dict[str, tuple[Array, Value]]
) -> list[Value] | str:
    rounded = []
    for array, like in arrays.values():
        dtype = like.type.dtype or DType.FLOAT32
        with np.errstate(all="ignore"):
            rounded.append(np.ascontiguousarray(array).astype(dtype.numpy))
    if not all(np.isfinite(a.astype(np.float64)).all() for a in rounded):
        return "the new weights would not be finite"
    stem = product.output.name
    names = [f"{stem}.{part}" for part in arrays]
    return [place(graph, a, n) for a, n in zip(rounded, names, strict=True)]


def _run(graph: Graph, log: Log) -> None:
    apply([into_weights], graph, log)


AFFINE = Pass("affine", _run)

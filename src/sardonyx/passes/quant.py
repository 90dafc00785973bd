"""Turns quantize-dequantize patterns into integer arithmetic, before the engine.

    Conv(Dequantize(xq), Dequantize(wq), b)  ->  Cast(ConvInteger(xq, wq)) * (sx * sw) + b

What follows (activation, residual sum, QuantizeLinear) is elementwise and becomes the integer
kernel's epilogue. The sum of products is exact, so results are at least as close to real
arithmetic as those of the pattern in float32. A pair of QuantizeLinear and DequantizeLinear around
an operator that only moves elements goes away.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, number
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Op, find
from sardonyx.graph.rewrite import Log, Pass, apply, rule
from sardonyx.graph.run import evaluate
from sardonyx.passes.affine import constant
from sardonyx.passes.infer import emit
from sardonyx.passes.values import place

NEWEST = 28
DEEPEST = 1 << 16
MOVERS = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Expand",
    "Identity", "MaxPool", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip


@dataclass(frozen=True)
class Quantized:
    """The integer tensor behind a DequantizeLinear; `axis` is None where one scale serves all."""

    codes: Value
    scale: Value
    zero: Value | None
    axis: int | None


def _new(name: str, **settings: Any) -> Op:
    found = find("", name, NEWEST)
    assert found is not None, name
    return found(**settings)


def dequantized(v: Value | None) -> Quantized | None:
    """What an 8-bit value was dequantized from, by tensor or by index of one axis."""
    maker = None if v is None else v.producer
    if maker is None or maker.op.op_type != "DequantizeLinear" or v is None:
        return None
    codes, scale, *rest = maker.inputs
    if codes is None or scale is None or codes.type.dtype not in (DType.INT8, DType.UINT8):
        return None
    blocks, axis = (int(getattr(maker.op, name, 0)) for name in ("block_size", "axis"))
    if v.type.dtype is not DType.FLOAT32 or blocks:
        return None
    dims = scale.type.static_shape
    if dims is None or not codes.type.rank:
        return None
    along = None if prod(dims) == 1 else axis % codes.type.rank
    return Quantized(codes, scale, rest[0] if rest else None, along)


@rule("integer convolution", "Conv")
def integer_conv(node: Node, graph: Graph) -> Value | str | None:
    """Conv of dequantized tensors is ConvInteger, rescaled."""
    x, w = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if x is None or w is None:
        return None
    if x.axis is not None or w.axis not in (None, 0):
        return "its scales are along another axis"
    depth = _depth(w.codes.type.shape, 1)
    if depth is None or depth > DEEPEST:
        return "sums of so many products may not fit 32 bits"
    acc = _integer("ConvInteger", node, x, w, graph)
    rank = len(node.output.type.dims)
    scale = _scales(x, w, (-1, *(1,) * (rank - 2)), graph)
    y = _rescaled(acc, scale, graph)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return y
    return emit(graph, _new("Add"), [y, _column(bias, rank - 2, graph)], y.name)


@rule("integer product", "MatMul")
def integer_matmul(node: Node, graph: Graph) -> Value | str | None:
    """MatMul of dequantized tensors is MatMulInteger, rescaled."""
    a, b = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if a is None or b is None:
        return None
    rank = b.codes.type.rank or 0
    if a.axis is not None or (b.axis is not None and (rank != 2 or b.axis != 1)):
        return "its scales are along another axis"
    depth = _depth(b.codes.type.shape[-2:-1] if b.codes.type.shape else None, 0)
    if depth is None or depth > DEEPEST:
        return "sums of so many products may not fit 32 bits"
    acc = _integer("MatMulInteger", node, a, b, graph)
    return _rescaled(acc, _scales(a, b, (-1,), graph), graph)


@rule("integer product", "Gemm")
def integer_gemm(node: Node, graph: Graph) -> Value | str | None:
    """Gemm of dequantized tensors is MatMulInteger, rescaled, and a sum."""
    op: Any = node.op
    a, b = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if a is None or b is None:
        return None
    if a.axis is not None or b.axis not in (None, 0 if op.transB else 1):
        return "its scales are along another axis"
    if op.transA or op.alpha != 1 or op.beta != 1:
        return "it scales or transposes its operands"
    shape = b.codes.type.shape
    depth = None if shape is None else number(shape[1 if op.transB else 0])
    if depth is None or depth > DEEPEST:
        return "sums of so many products may not fit 32 bits"
    codes = b.codes
    if op.transB:
        codes = emit(graph, _new("Transpose", perm=(1, 0)), [codes], codes.name)
    turned = Quantized(codes, b.scale, b.zero, None if b.axis is None else 1)
    acc = _integer("MatMulInteger", node, a, turned, graph)
    y = _rescaled(acc, _scales(a, turned, (-1,), graph), graph)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        return y
    known = _known(bias, graph)
    if known is not None:
        bias = place(graph, known, f"{bias.name}_float", bias.type.dtype)
    return emit(graph, _new("Add"), [y, bias], y.name)


def _depth(shape: tuple[Expr, ...] | None, first: int) -> int | None:
    """The product of the dims from `first` on, where they are numbers."""
    dims = None if shape is None else [number(d) for d in shape[first:]]
    return None if dims is None or None in dims else prod(d for d in dims if d is not None)


def _integer(name: str, node: Node, x: Quantized, w: Quantized, graph: Graph) -> Value:
    settings = {}
    if name == "ConvInteger":
        names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        settings = {n: getattr(node.op, n) for n in names}
    inputs = [x.codes, w.codes, _scalar(x.zero, graph), w.zero]
    return emit(graph, _new(name, **settings), inputs, f"{node.output.name}_sums")


def _scalar(zero: Value | None, graph: Graph) -> Value | None:
    """A zero point of one element, as a scalar."""
    known = constant(zero, graph)
    if zero is None or known is None or known.ndim == 0:
        return zero
    return place(graph, known.reshape(()), f"{zero.name}_scalar", zero.type.dtype)


def _scales(x: Quantized, w: Quantized, dims: tuple[int, ...], graph: Graph) -> Value:
    """The product of both scales, a constant where both are."""
    left, right = constant(x.scale, graph), constant(w.scale, graph)
    if left is not None and right is not None:
        product = left.reshape(()) * right
        shaped = product.reshape(dims if product.size > 1 else ())
        return place(graph, shaped, f"{w.scale.name}_product")
    right_side = w.scale
    if w.axis is not None and len(dims) > 1:
        right_side = _column(w.scale, len(dims) - 1, graph)
    return emit(graph, _new("Mul"), [x.scale, right_side], f"{w.scale.name}_product")


def _column(v: Value, extra: int, graph: Graph) -> Value:
    """A 1-D value with dims of 1 behind; a constant stays one."""
    known = _known(v, graph)
    if known is not None:
        return place(graph, known.reshape(-1, *(1,) * extra), f"{v.name}_column", v.type.dtype)
    target = place(graph, np.array([-1, *[1] * extra], np.int64), "column")
    return emit(graph, _new("Reshape"), [v, target], f"{v.name}_column")


def _known(v: Value, graph: Graph) -> Any:
    """The elements of a constant, or of a constant that is dequantized."""
    maker = v.producer
    if maker is None or maker.op.op_type != "DequantizeLinear":
        return constant(v, graph)
    arrays = [constant(i, graph) for i in maker.inputs]
    if any(a is None for a in arrays):
        return None
    return evaluate(maker.op, arrays)[0]


def _rescaled(acc: Value, scale: Value, graph: Graph) -> Value:
    wide = emit(graph, _new("Cast", to=DType.FLOAT32.value), [acc], acc.name)
    return emit(graph, _new("Mul"), [wide, scale], acc.name)


def _same(a: Value | None, b: Value | None, graph: Graph) -> bool:
    """Whether two scales or zero points are equal."""
    if a is b:
        return True
    left, right = constant(a, graph), constant(b, graph)
    if left is None or right is None:
        return False
    return left.dtype == right.dtype and np.array_equal(left, right)


@rule("requantization", "QuantizeLinear")
def requantization(node: Node, graph: Graph) -> Value | str | None:
    """Quantizing what was dequantized by the same scale gives the integers back."""
    found = dequantized(node.inputs[0])
    if found is None or found.codes.type.dtype is not node.output.type.dtype:
        return None
    return found.codes if _agrees(node, found, graph) else "the scales differ"


def _agrees(node: Node, found: Quantized, graph: Graph) -> bool:
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    axis = int(getattr(node.op, "axis", 1)) % max(1, found.codes.type.rank or 1)
    along = found.axis is None or found.axis == axis
    return along and _same(node.inputs[1], found.scale, graph) and _same(zero, found.zero, graph)


@rule("moves integers", "QuantizeLinear")
def moves_integers(node: Node, graph: Graph) -> Value | str | None:
    """Quantize(move(Dequantize(x))) by one scale moves the integers."""
    y = node.inputs[0]
    mover = None if y is None else y.producer
    if mover is None or mover.op.op_type not in MOVERS or y is None:
        return None
    found = dequantized(mover.inputs[0])
    if found is None or found.codes.type.dtype is not node.output.type.dtype:
        return None
    if found.axis is not None or not _agrees(node, found, graph):
        return "the scales differ"
    if mover.op.op_type == "MaxPool" and len(mover.outputs) > 1:
        return "its indices are read"
    if len(y.uses) > 1 or any(v is y for v in graph.outputs):
        return "the moved value is read elsewhere"
    return emit(graph, mover.op, [found.codes, *mover.inputs[1:]], node.output.name)


@rule("saturation is Relu", "QuantizeLinear")
def saturation(node: Node, graph: Graph) -> Value | str | None:
    """Relu before a QuantizeLinear whose zero point is the lowest code does nothing."""
    y = node.inputs[0]
    maker = None if y is None else y.producer
    dtype = node.output.type.dtype
    if maker is None or maker.op.op_type != "Relu" or dtype is None or not dtype.is_int:
        return None
    zero = constant(node.inputs[2] if len(node.inputs) > 2 else None, graph)
    lowest = 0 if not dtype.is_signed else -(1 << (dtype.bits - 1))
    if zero is None:
        zero = np.zeros(()) if len(node.inputs) < 3 else None
    if zero is None or not np.all(zero.astype(np.int64) == lowest):
        return "zero is not the lowest code"
    graph.set_inputs(node, [maker.inputs[0], *node.inputs[1:]])
    return node.output


RULES = (
    requantization,
    moves_integers,
    integer_conv,
    integer_matmul,
    integer_gemm,
    saturation,
)


def _run(graph: Graph, log: Log) -> None:
    apply(RULES, graph, log)


QUANT = Pass("quant", _run)

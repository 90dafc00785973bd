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
from sardonyx.graph.body import Body
from sardonyx.graph.evaluate import evaluate
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Trait
from sardonyx.graph.rewrite import Log, Pass, apply, rule
from sardonyx.passes.affine import constant

# Products of two bytes, each below 2**15, whose sum stays within an int32.
DEEPEST = 1 << 16
_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_TOO_DEEP = "sums of so many products may not fit 32 bits"
_OTHER_AXIS = "its scales are along another axis"


@dataclass(frozen=True)
class Quantized:
    """The integer tensor behind a DequantizeLinear; `axis` is None where one scale serves all."""

    codes: Value
    scale: Value
    zero: Value | None
    axis: int | None

    @property
    def shape(self) -> tuple[Expr, ...]:
        """The dims."""
        return self.codes.type.dims


def dequantized(v: Value | None) -> Quantized | None:
    """What an 8-bit value was dequantized from, by tensor or by index of one axis."""
    if v is None or v.producer is None or not v.made_by("DequantizeLinear"):
        return None
    maker = v.producer
    codes, scale = maker.inputs[:2]
    if codes is None or scale is None or v.type.dtype is not DType.FLOAT32:
        return None
    dims, rank = scale.type.static_shape, codes.type.rank
    if codes.type.dtype not in (DType.INT8, DType.UINT8) or dims is None or not rank:
        return None
    op: Any = maker.op
    if op.block_size:
        return None
    along = None if prod(dims) == 1 else op.axis % rank
    return Quantized(codes, scale, maker.operand(2), along)


class _Integer:
    """The nodes of an integer product with its scales."""

    def __init__(self, node: Node, graph: Graph) -> None:
        self.graph = graph
        self.body = Body(graph, node.output.name)

    def scalar(self, zero: Value | None) -> Value | None:
        """A zero point of one element, as a scalar."""
        known = constant(zero, self.graph)
        if known is None or known.ndim == 0:
            return zero
        return self.body.constant(known.reshape(()))

    def scales(self, x: Quantized, w: Quantized, behind: int) -> Value:
        """The product of both scales, with dims of 1 behind; a constant where both are."""
        left = constant(x.scale, self.graph)
        right = constant(w.scale, self.graph)
        if left is not None and right is not None:
            product = left.reshape(()) * right
            return self.body.constant(_columns(product, behind))
        own = w.scale if w.axis is None else self.column(w.scale, behind)
        return self.body("Mul", x.scale, own)

    def column(self, v: Value, behind: int) -> Value:
        """A 1-D value with dims of 1 behind; a constant stays one."""
        known = self.known(v)
        if known is not None:
            return self.body.constant(_columns(known, behind))
        if not behind:
            return v
        return self.body.reshape(v, (-1, *(1,) * behind))

    def known(self, v: Value) -> Any:
        """The elements of a constant, or of a constant that is dequantized."""
        maker = v.producer
        if maker is None or not v.made_by("DequantizeLinear"):
            return constant(v, self.graph)
        arrays = [constant(i, self.graph) for i in maker.inputs]
        if any(a is None for a in arrays):
            return None
        return evaluate(maker.op, arrays)[0]

    def finish(self, acc: Value, scale: Value, bias: Value | None, behind: int) -> Value:
        """The sums as floats, scaled, with the bias."""
        wide = self.body("Cast", acc, to=DType.FLOAT32.value)
        y = self.body("Mul", wide, scale)
        if bias is None:
            return y
        return self.body("Add", y, self.column(bias, behind))


def _columns(a: Any, behind: int) -> Any:
    if a.size == 1:
        return a.reshape(())
    return a.reshape(-1, *(1,) * behind)


def _depth(dims: tuple[Expr, ...]) -> int:
    """The product of dims; too many where one is not known."""
    known = [number(d) for d in dims]
    return prod(DEEPEST + 1 if d is None else d for d in known)


@rule("integer convolution", "Conv")
def integer_conv(node: Node, graph: Graph) -> Value | str | None:
    """Conv of dequantized tensors is ConvInteger, rescaled."""
    x, w = dequantized(node.operand(0)), dequantized(node.operand(1))
    if x is None or w is None:
        return None
    if x.axis is not None or w.axis not in (None, 0):
        return _OTHER_AXIS
    if _depth(w.shape[1:]) > DEEPEST:
        return _TOO_DEEP
    make = _Integer(node, graph)
    behind = len(w.shape) - 2
    settings = {name: getattr(node.op, name) for name in _WINDOW}
    inputs = (x.codes, w.codes, make.scalar(x.zero), w.zero)
    acc = make.body("ConvInteger", *inputs, **settings)
    scale = make.scales(x, w, behind)
    return make.finish(acc, scale, node.operand(2), behind)


@rule("integer product", "MatMul")
def integer_matmul(node: Node, graph: Graph) -> Value | str | None:
    """MatMul of dequantized tensors is MatMulInteger, rescaled."""
    a, b = dequantized(node.operand(0)), dequantized(node.operand(1))
    if a is None or b is None:
        return None
    by_column = b.axis == 1 and len(b.shape) == 2
    if a.axis is not None or not (b.axis is None or by_column):
        return _OTHER_AXIS
    if _depth(b.shape[-2:-1]) > DEEPEST:
        return _TOO_DEEP
    make = _Integer(node, graph)
    inputs = (a.codes, b.codes, make.scalar(a.zero), b.zero)
    acc = make.body("MatMulInteger", *inputs)
    return make.finish(acc, make.scales(a, b, 0), None, 0)


@rule("integer product", "Gemm")
def integer_gemm(node: Node, graph: Graph) -> Value | str | None:
    """Gemm of dequantized tensors is MatMulInteger, rescaled, and a sum."""
    op: Any = node.op
    a, b = dequantized(node.operand(0)), dequantized(node.operand(1))
    if a is None or b is None:
        return None
    if a.axis is not None or b.axis not in (None, 0 if op.transB else 1):
        return _OTHER_AXIS
    if op.transA or op.alpha != 1 or op.beta != 1:
        return "it scales or transposes its operands"
    if _depth(b.shape[1:] if op.transB else b.shape[:1]) > DEEPEST:
        return _TOO_DEEP
    make = _Integer(node, graph)
    codes = make.body.transpose(b.codes, 1, 0) if op.transB else b.codes
    inputs = (a.codes, codes, make.scalar(a.zero), b.zero)
    acc = make.body("MatMulInteger", *inputs)
    scale = make.scales(a, b, 0)
    y = make.finish(acc, scale, None, 0)
    bias = node.operand(2)
    if bias is None:
        return y
    known = make.known(bias)
    return make.body("Add", y, bias if known is None else make.body.constant(known))


def _same(a: Value | None, b: Value | None, graph: Graph) -> bool:
    """Whether two scales or zero points are equal."""
    if a is b:
        return True
    left, right = constant(a, graph), constant(b, graph)
    if left is None or right is None or left.dtype != right.dtype:
        return False
    return np.array_equal(left.reshape(-1), right.reshape(-1))


def _agrees(node: Node, found: Quantized, graph: Graph) -> bool:
    """Whether a QuantizeLinear has the scale and zero point that codes already have."""
    op: Any = node.op
    if op.block_size or found.codes.type.dtype is not node.output.type.dtype:
        return False
    if found.axis is not None and found.axis != op.axis % len(found.shape):
        return False
    scales = _same(node.operand(1), found.scale, graph)
    return scales and _same(node.operand(2), found.zero, graph)


@rule("requantization", "QuantizeLinear")
def requantization(node: Node, graph: Graph) -> Value | str | None:
    """Quantizing what was dequantized by the same scale gives the integers back."""
    found = dequantized(node.operand(0))
    if found is None:
        return None
    return found.codes if _agrees(node, found, graph) else "the scales differ"


@rule("moves integers", "QuantizeLinear")
def moves_integers(node: Node, graph: Graph) -> Value | str | None:
    """Quantize(move(Dequantize(x))) by one scale moves the integers."""
    y = node.operand(0)
    if y is None or y.producer is None or Trait.SELECTS not in y.producer.op.traits:
        return None
    mover = y.producer
    found = dequantized(mover.operand(0))
    if found is None:
        return None
    if found.axis is not None or not _agrees(node, found, graph):
        return "the scales differ"
    if len(mover.outputs) > 1:
        return "its indices are read"
    if len(y.uses) > 1 or graph.gives(y):
        return "the moved value is read elsewhere"
    make = _Integer(node, graph)
    return make.body(mover.op, found.codes, *mover.inputs[1:])


@rule("saturation is Relu", "QuantizeLinear")
def saturation(node: Node, graph: Graph) -> Value | str | None:
    """Relu before a QuantizeLinear whose zero point is the lowest code does nothing."""
    y = node.operand(0)
    dtype = node.output.type.dtype
    if y is None or y.producer is None or not y.made_by("Relu"):
        return None
    if dtype is None or not dtype.is_int:
        return None
    zero = node.operand(2)
    known = np.zeros(1) if zero is None else constant(zero, graph)
    lowest = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    if known is None or not np.all(known.astype(np.int64) == lowest):
        return "zero is not the lowest code"
    graph.set_inputs(node, [y.producer.inputs[0], *node.inputs[1:]])
    return node.output


RULES = (requantization, moves_integers, integer_conv, integer_matmul, integer_gemm, saturation)


def _run(graph: Graph, log: Log) -> None:
    apply(RULES, graph, log)


QUANT = Pass("quant", _run)

"""Steps of quantized networks: what exporters write around products, and the integer operators."""

from __future__ import annotations

import numpy as np

from fuzz.grow import Grower, known, rank
from fuzz.products import window
from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Value

KINDS = (DType.INT8, DType.UINT8)


def scale_of(g: Grower, count: int | None = None) -> Value:
    """A positive scale, or one for each of `count` channels."""
    shape = () if count is None else (count,)
    return g.const((g.rng.random(shape) * 0.05 + 0.01).astype(np.float32))


def zero_of(g: Grower, kind: DType, count: int | None = None) -> Value:
    """A zero point, or one for each of `count` channels."""
    shape = () if count is None else (count,)
    low = 0 if kind is DType.UINT8 else -4
    return g.const(g.rng.integers(low, 5, shape).astype(kind.numpy))


def quantized(g: Grower, x: Value) -> tuple[Value, Value, Value]:
    """A float value quantized, with its scale and zero point."""
    kind = g.one(*KINDS)
    scale, zero = scale_of(g), zero_of(g, kind)
    return g.emit("QuantizeLinear", x, scale, zero), scale, zero


def real(g: Grower, low: int, high: int) -> Value:
    """A float32 value of a rank in [low, high)."""
    return g.pick(lambda v: v.dtype is DType.FLOAT32 and low <= rank(v) < high)


def dequantized(g: Grower, shape: tuple[int, ...], axis: int) -> Value:
    """Constant weights behind a DequantizeLinear, by tensor or by channel."""
    kind = g.one(*KINDS)
    count = shape[axis] if g.maybe(0.5) else None
    zero = zero_of(g, kind, count) if g.maybe(0.6) else None
    return g.emit("DequantizeLinear", g.normal(shape, kind), scale_of(g, count), zero, axis=axis)


def around_product(g: Grower) -> None:
    """Q, DQ, MatMul with dequantized weights, perhaps a bias, Q, DQ."""
    x = real(g, 2, 4)
    shape = (known(x, -1), g.one(1, 4, 8, 17, 32))
    q, scale, zero = quantized(g, x)
    y = g.emit("MatMul", g.emit("DequantizeLinear", q, scale, zero), dequantized(g, shape, 1))
    if g.maybe(0.5):
        y = g.emit("Add", y, g.normal((shape[1],), DType.FLOAT32))
    if g.maybe(0.5):
        y = g.emit("Relu", y)
    q, scale, zero = quantized(g, y)
    g.emit("DequantizeLinear", q, scale, zero)


def around_conv(g: Grower) -> None:
    """Q, DQ, Conv with dequantized weights, Q, DQ."""
    x = real(g, 3, 5)
    settings = window(g, x)
    shape = (g.one(1, 4, 8), known(x, 1), *settings["kernel_shape"])
    q, scale, zero = quantized(g, x)
    y = g.emit(
        "Conv",
        g.emit("DequantizeLinear", q, scale, zero),
        dequantized(g, shape, 0),
        g.normal(shape[:1], DType.FLOAT32) if g.maybe(0.5) else None,
        **settings,
    )
    q, scale, zero = quantized(g, y)
    g.emit("DequantizeLinear", q, scale, zero)


def operator(g: Grower) -> None:
    """QLinearMatMul or QLinearConv of a value and constant weights."""
    x = real(g, 2, 5)
    q, scale, zero = quantized(g, x)
    out = (scale_of(g), zero_of(g, g.one(*KINDS)))
    kind = g.one(*KINDS)
    if rank(x) > 2 and g.maybe(0.6):
        settings = window(g, x)
        shape = (g.one(1, 4, 8), known(x, 1), *settings["kernel_shape"])
        count = shape[0] if g.maybe(0.5) else None
        bias = g.const(g.rng.integers(-50, 50, shape[:1]).astype(np.int32))
        w = (g.normal(shape, kind), scale_of(g, count), zero_of(g, kind, count))
        g.emit("QLinearConv", q, scale, zero, *w, *out, bias, **settings)
        return
    shape = (known(x, -1), g.one(1, 4, 17, 32))
    count = shape[1] if g.maybe(0.3) else None
    w = (g.normal(shape, kind), scale_of(g, count), zero_of(g, kind, count))
    g.emit("QLinearMatMul", q, scale, zero, *w, *out)


def integers(g: Grower) -> None:
    """DynamicQuantizeLinear with MatMulInteger or ConvInteger, cast and scaled back."""
    x = real(g, 2, 5)
    q = g.emit("DynamicQuantizeLinear", x, outputs=3)
    scale, zero = g.values[-2:]
    kind = g.one(*KINDS)
    if rank(x) > 2 and g.maybe(0.5):
        settings = window(g, x)
        w = g.normal((g.one(1, 4, 8), known(x, 1), *settings["kernel_shape"]), kind)
        y = g.emit("ConvInteger", q, w, zero, **settings)
    else:
        w = g.normal((known(x, -1), g.one(1, 4, 17, 32)), kind)
        y = g.emit("MatMulInteger", q, w, zero, zero_of(g, kind) if g.maybe(0.5) else None)
    made = g.emit("Cast", y, to=DType.FLOAT32.value)
    g.emit("Mul", made, scale)


STEPS = (around_product, around_conv, operator, integers)

"""Quantized operators: what they mean between a dequantization and a quantization."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.ops.base.nest import filled
from sardonyx.ops.microsoft.attention import Projected
from sardonyx.ops.microsoft.composed import Composed, Made, Results, integers, like
from sardonyx.ops.microsoft.products import first, last
from sardonyx.ops.recurrent.layers import RoundedLSTM


class QuantizeLinear(Composed):
    """The standard's of opset 13, to 16 and 4 bits too."""

    axis: int | None = None

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        zero = inputs[2] if len(inputs) > 2 else None
        return (Type(DType.UINT8 if zero is None else zero.dtype),)

    def compose(self, body: Body, x: Value, scale: Value, zero: Made = None) -> Value:
        return body("QuantizeLinear", x, scale, zero, axis=1 if self.axis is None else self.axis)


class DequantizeLinear(Composed):
    """The standard's of opset 13, of 16 and 4 bits too."""

    axis: int | None = None

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[1] is not None
        return (Type(inputs[1].dtype),)

    def compose(self, body: Body, x: Value, scale: Value, zero: Made = None) -> Value:
        return body("DequantizeLinear", x, scale, zero, axis=1 if self.axis is None else self.axis)


def real(body: Body, x: Value, scale: Value, zero: Made) -> Value:
    """The numbers that quantized ones stand for; one scale and zero point for all."""
    one, point = (None if v is None else body.reshape(v, ()) for v in (scale, zero))
    return body("DequantizeLinear", x, one, point)


def coded(body: Body, y: Value, scale: Value, zero: Made, dtype: DType | None) -> Value:
    """Numbers quantized with one scale and zero point, of an element type where none says it."""
    assert dtype is not None
    if zero is None:
        zero = body.constant(np.zeros((), dtype.numpy))
    return body("QuantizeLinear", y, body.reshape(scale, ()), body.reshape(zero, ()))


class _OfTwo(Composed, abstract=True):
    arithmetic = ""

    def compose(
        self,
        body: Body,
        a: Value,
        a_scale: Value,
        a_zero: Value | None,
        b: Value,
        b_scale: Value,
        b_zero: Value | None,
        scale: Value,
        zero: Made = None,
    ) -> Value:
        left, right = real(body, a, a_scale, a_zero), real(body, b, b_scale, b_zero)
        return coded(body, body(self.arithmetic, left, right), scale, zero, a.type.dtype)


class QLinearAdd(_OfTwo):
    """A + B of quantized numbers, quantized."""

    arithmetic = "Add"


class QLinearMul(_OfTwo):
    """A * B of quantized numbers, quantized."""

    arithmetic = "Mul"


class _OfOne(Composed, abstract=True):
    def numbers(self, body: Body, x: Value) -> Value:
        """What is computed between the quantizations."""
        raise NotImplementedError

    def compose(
        self,
        body: Body,
        x: Value,
        x_scale: Value,
        x_zero: Value | None,
        scale: Value,
        zero: Made = None,
    ) -> Results:
        y = self.numbers(body, real(body, x, x_scale, x_zero))
        return coded(body, y, scale, zero, x.type.dtype)


class QLinearLeakyRelu(_OfOne):
    """LeakyRelu of quantized numbers, quantized."""

    alpha: float = 0.01

    def numbers(self, body: Body, x: Value) -> Value:
        return body("LeakyRelu", x, alpha=self.alpha)


class QLinearSigmoid(_OfOne):
    """Sigmoid of quantized numbers, quantized."""

    def numbers(self, body: Body, x: Value) -> Value:
        return body("Sigmoid", x)


class QLinearSoftmax(_OfOne, kw_only=True):
    """Softmax of quantized numbers, quantized; before opset 13 over all axes from `axis` on."""

    axis: int = -1
    opset: int

    def numbers(self, body: Body, x: Value) -> Value:
        if self.opset >= 13:
            return body("Softmax", x, axis=self.axis)
        flat = body("Flatten", x, axis=self.axis)
        return body("Reshape", body("Softmax", flat, axis=-1), body("Shape", x))


class QLinearReduceMean(_OfOne, kw_only=True):
    """The mean of quantized numbers over axes, quantized."""

    axes: tuple[int, ...]
    keepdims: int

    def numbers(self, body: Body, x: Value) -> Value:
        return body("ReduceMean", x, integers(body, *self.axes), keepdims=self.keepdims)


class QLinearGlobalAveragePool(_OfOne):
    """The mean of every channel of quantized numbers, quantized."""

    channels_last: int = 0

    def numbers(self, body: Body, x: Value) -> Value:
        if not self.channels_last:
            return body("GlobalAveragePool", x)
        return last(body, body("GlobalAveragePool", first(body, x)))


class QLinearAveragePool(_OfOne, kw_only=True):
    """AveragePool of quantized numbers, quantized."""

    auto_pad: str = "NOTSET"
    ceil_mode: int = 0
    channels_last: int = 0
    count_include_pad: int = 0
    kernel_shape: tuple[int, ...]
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def numbers(self, body: Body, x: Value) -> Value:
        a = first(body, x) if self.channels_last else x
        y = body("AveragePool", a, auto_pad=self.auto_pad, ceil_mode=self.ceil_mode,
                 count_include_pad=self.count_include_pad, kernel_shape=self.kernel_shape,
                 pads=self.pads, strides=self.strides)  # fmt: skip
        return last(body, y) if self.channels_last else y


class QLinearConcat(Composed, kw_only=True):
    """Quantized numbers of several scales joined in one scale; operands come in threes."""

    axis: int

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[1] is not None
        return (Type(inputs[1].dtype),)

    def compose(self, body: Body, scale: Value, zero: Value, *parts: Value) -> Value:
        threes = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        numbers = [real(body, *three) for three in threes]
        return coded(body, body("Concat", *numbers, axis=self.axis), scale, zero, zero.type.dtype)


class QLinearWhere(Composed):
    """Where of quantized numbers, quantized."""

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[1] is not None
        return (Type(inputs[1].dtype),)

    def compose(self, body: Body, condition: Value, *rest: Value) -> Value:
        x, x_scale, x_zero, y, y_scale, y_zero, scale, zero = rest
        numbers = real(body, x, x_scale, x_zero), real(body, y, y_scale, y_zero)
        return coded(body, body("Where", condition, *numbers), scale, zero, x.type.dtype)


class QLinearConv(Composed):
    """The standard's, with the channels last in the input and the output where so said."""

    auto_pad: str = "NOTSET"
    channels_last: int = 0
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[7] is not None
        return (Type(inputs[7].dtype),)

    def compose(self, body: Body, x: Value, *rest: Made) -> Value:
        given = self.attributes()
        if not given.pop("channels_last"):
            return body("QLinearConv", x, *rest, **given)
        return last(body, body("QLinearConv", first(body, x), *rest, **given))


class QGemm(Composed):
    """alpha * A' @ B' + C of quantized numbers, quantized where a scale is given; C is in units
    of alpha * a_scale * b_scale."""

    alpha: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX Runtime's name
    transB: int = 0  # noqa: N815 - ONNX Runtime's name

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        zero = inputs[8] if len(inputs) > 8 else None
        return (Type(DType.FLOAT32 if zero is None else zero.dtype),)

    def compose(
        self,
        body: Body,
        a: Value,
        a_scale: Value,
        a_zero: Value,
        b: Value,
        b_scale: Value,
        b_zero: Value,
        *rest: Made,
    ) -> Value:
        c, scale, zero = filled(rest, 3)
        left = body.transpose(a, 1, 0) if self.transA else a
        right = body.transpose(b, 1, 0) if self.transB else b
        y = body("MatMulInteger", left, right, body.reshape(a_zero, ()), b_zero)
        y = body("Add", y, c) if c is not None else y
        unit = body("Mul", body("Mul", a_scale, b_scale), like(body, a_scale, self.alpha))
        y = body("Mul", body("Cast", y, to=DType.FLOAT32.value), unit)
        return y if scale is None else coded(body, y, scale, zero, a.type.dtype)


def product(
    body: Body, a: Value, b: Value, unit: Value, zeros: tuple[Made, Made], bias: Made
) -> Value:
    """(A - zero) @ (B - zero) * unit + bias in floats."""
    assert unit.type.dtype is not None
    y = body("Cast", body("MatMulInteger", a, b, *zeros), to=unit.type.dtype.value)
    y = body("Mul", y, unit)
    return y if bias is None else body("Add", y, bias)


class MatMulIntegerToFloat(Composed):
    """The product of quantized matrices in floats."""

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[2] is not None
        return (Type(inputs[2].dtype),)

    def compose(
        self, body: Body, a: Value, b: Value, a_scale: Value, b_scale: Value, *rest: Made
    ) -> Value:
        a_zero, b_zero, bias = filled(rest, 3)
        unit = body("Mul", a_scale, b_scale)
        return product(body, a, b, unit, (a_zero, b_zero), bias)


class DynamicQuantizeMatMul(Composed):
    """The product with a quantized matrix of one that is quantized by its own range."""

    def compose(self, body: Body, a: Value, b: Value, b_scale: Value, *rest: Made) -> Value:
        b_zero, bias = filled(rest, 2)
        codes, scale, zero = body.all("DynamicQuantizeLinear", a)
        return product(body, codes, b, body("Mul", scale, b_scale), (zero, b_zero), bias)


class MatMulInteger16(Composed):
    """The product of 16-bit integers in 32 bits."""

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        first = inputs[0]
        unsigned = first is not None and first.dtype is DType.UINT16
        return (Type(DType.UINT32 if unsigned else DType.INT32),)

    def compose(self, body: Body, a: Value, b: Value) -> Value:
        wide = DType.UINT32 if a.type.dtype is DType.UINT16 else DType.INT32
        return body("MatMul", *(body("Cast", x, to=wide.value) for x in (a, b)))


class QAttention(Projected, kw_only=True):
    """Attention whose projection is of quantized numbers."""

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        scale = inputs[3]
        assert scale is not None
        return (Type(scale.dtype),) * 2

    def compose(
        self,
        body: Body,
        x: Value,
        weights: Value,
        bias: Made = None,
        x_scale: Made = None,
        w_scale: Made = None,
        mask: Made = None,
        x_zero: Made = None,
        w_zero: Made = None,
        past: Made = None,
    ) -> Results:
        assert x_scale is not None
        assert w_scale is not None
        unit = body("Mul", x_scale, w_scale)
        projected = product(body, x, weights, unit, (x_zero, w_zero), bias)
        return self.attended(body, projected, mask, past)


class DynamicQuantizeLSTM(Composed):
    """LSTM with quantized weights [directions, inputs, 4 * hidden]; as in ONNX Runtime the input is
    quantized as a whole, and the state of each row at every step."""

    activation_alpha: tuple[float, ...] | None = None
    activation_beta: tuple[float, ...] | None = None
    activations: tuple[str, ...] | None = None
    clip: float | None = None
    direction: str = "forward"
    hidden_size: int | None = None
    input_forget: int = 0

    def compose(self, body: Body, x: Value, w: Value, r: Value, *rest: Made) -> Results:
        bias, lengths, hidden, cell, peephole, *quantization = filled(rest, 9)
        w_scale, w_zero, r_scale, r_zero = quantization
        weights = (
            body.transpose(self._real(body, m, s, z), 0, 2, 1)
            for m, s, z in ((w, w_scale, w_zero), (r, r_scale, r_zero))
        )
        given = {name: getattr(self, name) for name in self.attributes()}
        if "activations" not in given:
            directions = 2 if self.direction == "bidirectional" else 1
            given["activations"] = ("Sigmoid", "Tanh", "Tanh") * directions
        small, scale, zero = body.all("DynamicQuantizeLinear", x, outputs=3)
        seen = body("DequantizeLinear", small, scale, zero)
        layer = RoundedLSTM(outputs=3, **given)
        return body.all(layer, seen, *weights, bias, lengths, hidden, cell, peephole)

    def _real(self, body: Body, matrix: Value, scale: Value, zero: Value) -> Value:
        """The numbers of weights with a scale for each direction, or for each of its columns."""
        flat = len(scale.type.dims) < 2
        axes = integers(body, *((1, 2) if flat else (1,)))
        wide, point = (body("Cast", v, to=DType.FLOAT32.value) for v in (matrix, zero))
        centred = body("Sub", wide, body("Unsqueeze", point, axes))
        return body("Mul", centred, body("Unsqueeze", scale, axes))

"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, exp, maximum, minimum, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import (
    InPlace,
    Unary,
    expm1,
    lift,
    quiet,
    settle,
    single,
    softplus,
    widen,
)
from sardonyx.ops.base.shapes import common_dtype, like, refuse, same_shape
from sardonyx.ops.elementwise.unary import erfc


class Relu(Unary):
    """max(x, 0)."""

    since = 6
    tolerance = "exact"
    traits = Trait.CLIPS | Trait.IDEMPOTENT

    def compute(self, x: Array) -> Any:
        return np.maximum(x, x.dtype.type(0))

    def element(self, x: Expr) -> Expr:
        return maximum(x, 0)


class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    since = 6
    word = "sigmoid"

    def compute(self, x: Array) -> Any:
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, e) / (1 + e)


class LeakyRelu(Unary):
    """x, or alpha * x where x < 0."""

    since = 6
    alpha: float = 0.01

    def compute(self, x: Array) -> Any:
        return np.where(x < 0, x * x.dtype.type(single(self.alpha)), x)

    def element(self, x: Expr) -> Expr:
        return where(x < 0.0, x * single(self.alpha), x)


class Elu(Unary):
    """x, or alpha * (exp(x) - 1) where x < 0."""

    since = 6
    alpha: float = 1.0

    def compute(self, x: Array) -> Any:
        return np.where(x < 0, np.expm1(x) * x.dtype.type(single(self.alpha)), x)

    def element(self, x: Expr) -> Expr:
        return where(x < 0.0, expm1(x) * single(self.alpha), x)


class Selu(Unary):
    """gamma * x, or gamma * alpha * (exp(x) - 1) where x <= 0."""

    since = 6
    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def compute(self, x: Array) -> Any:
        alpha, gamma = x.dtype.type(single(self.alpha)), x.dtype.type(single(self.gamma))
        return gamma * np.where(x <= 0, np.expm1(x) * alpha, x)

    def element(self, x: Expr) -> Expr:
        return where(x <= 0.0, expm1(x) * single(self.alpha), x) * single(self.gamma)


class Celu(Unary):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    since = 12
    alpha: float = 1.0

    def compute(self, x: Array) -> Any:
        alpha = x.dtype.type(single(self.alpha))
        return np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha))

    def element(self, x: Expr) -> Expr:
        alpha = single(self.alpha)
        if alpha <= 0:
            return maximum(x, 0.0) + minimum((exp(x / alpha) - 1.0) * alpha, 0.0)
        return where(x < 0.0, expm1(x / alpha) * alpha, x)


class HardSigmoid(Unary):
    """alpha * x + beta, kept within 0 and 1."""

    since = 6
    alpha: float = 0.2
    beta: float = 0.5

    def compute(self, x: Array) -> Any:
        line = x * x.dtype.type(single(self.alpha)) + x.dtype.type(single(self.beta))
        return np.maximum(np.minimum(line, 1), 0)

    def element(self, x: Expr) -> Expr:
        line = x * single(self.alpha) + single(self.beta)
        return maximum(minimum(line, 1.0), 0.0)


class HardSwish(Unary):
    """x * max(0, min(1, x / 6 + 1 / 2))."""

    since = 14

    def compute(self, x: Array) -> Any:
        return x * np.maximum(np.minimum(x * x.dtype.type(1 / 6) + x.dtype.type(0.5), 1), 0)

    def element(self, x: Expr) -> Expr:
        return x * maximum(minimum(x * (1 / 6) + 0.5, 1.0), 0.0)


class Mish(Unary):
    """x * tanh(log(1 + exp(x)))."""

    since = 18

    def compute(self, x: Array) -> Any:
        return x * np.tanh(np.logaddexp(x.dtype.type(0), x))

    def element(self, x: Expr) -> Expr:
        e = exp(minimum(x, 20.0))
        n = e * (e + 2.0)
        return where(x > 20.0, x, x * (n / (n + 2.0)))


class Swish(Unary):
    """x / (1 + exp(-alpha * x))."""

    since = 24
    alpha: float = 1.0

    def compute(self, x: Array) -> Any:
        return x * Sigmoid().compute(x * x.dtype.type(single(self.alpha)))

    def element(self, x: Expr) -> Expr:
        return x * unary("sigmoid", x * single(self.alpha))


class SwiGLU(Op):
    """Swish(a) * b, the two of one shape."""

    since = 28
    alpha: float = 1.0

    def infer(self, a: Type, b: Type) -> Type:
        dtype = common_dtype(a, b)
        if a.shape is None or b.shape is None:
            return Type(dtype, a.shape or b.shape)
        return Type(dtype, same_shape(a.shape, b.shape))

    @quiet
    def reference(self, a: Array, b: Array) -> Array:
        return settle(Swish(self.alpha).compute(widen(a)) * widen(b), a.dtype)

    def at(self, idx: Index, a: Operand, b: Operand) -> Expr:
        return cast(Swish(self.alpha).element(lift(a[idx])) * lift(b[idx]), a.dtype)


class Gelu(Unary):
    """x * the normal distribution's cumulative probability at x, or its tanh approximation."""

    since = 20
    approximate: str = "none"

    def infer(self, x: Type) -> Type:
        if self.approximate not in ("none", "tanh"):
            raise refuse("E0325", "an unknown approximation", self.approximate, "none or tanh")
        return like(x)

    def compute(self, x: Array) -> Any:
        number = x.dtype.type
        if self.approximate == "tanh":
            inner = x * number(math.sqrt(2 / math.pi)) * (1 + number(0.044715) * x * x)
            return x * number(0.5) * (1 + np.tanh(inner))
        return x * number(0.5) * erfc(x * number(-math.sqrt(0.5)))

    def element(self, x: Expr) -> Expr:
        if self.approximate == "tanh":
            inner = x * math.sqrt(2 / math.pi) * (x * x * 0.044715 + 1.0)
            return x * 0.5 * (unary("tanh", inner) + 1.0)
        return x * 0.5 * (unary("erf", x * math.sqrt(0.5)) + 1.0)


class Softplus(Unary):
    """log(1 + exp(x))."""

    since = 1

    def compute(self, x: Array) -> Any:
        return np.logaddexp(x.dtype.type(0), x)

    def element(self, x: Expr) -> Expr:
        return softplus(x)


class Softsign(Unary):
    """x / (1 + |x|)."""

    since = 1

    def compute(self, x: Array) -> Any:
        return x / (1 + np.abs(x))

    def element(self, x: Expr) -> Expr:
        return x / (unary("abs", x) + 1.0)


class ThresholdedRelu(Unary):
    """x where x > alpha, else 0."""

    since = 10
    tolerance = "exact"
    alpha: float = 1.0

    def compute(self, x: Array) -> Any:
        return np.where(x > x.dtype.type(single(self.alpha)), x, x.dtype.type(0))

    def element(self, x: Expr) -> Expr:
        return where(x > single(self.alpha), x, 0.0)


class Shrink(Unary):
    """x moved by `bias` towards 0 where |x| > lambd, else 0."""

    since = 9
    bias: float = 0.0
    lambd: float = 0.5

    def compute(self, x: Array) -> Any:
        bias, edge = single(self.bias), single(self.lambd)
        real = x.astype(np.float64) if x.dtype.kind in "iu" else x
        return np.where(real < -edge, real + bias, np.where(real > edge, real - bias, 0))

    def element(self, x: Expr) -> Expr:
        bias, edge = single(self.bias), single(self.lambd)
        real = cast(x, DType.FLOAT64) if x.dtype.is_int else x
        inner = where(real > edge, real - bias, 0.0)
        return where(real < -edge, real + bias, inner)


class ReluV1(InPlace, Relu):
    """Relu of opset 1."""


class SigmoidV1(InPlace, Sigmoid):
    """Sigmoid of opset 1."""


class LeakyReluV1(InPlace, LeakyRelu):
    """LeakyRelu of opset 1."""


class EluV1(InPlace, Elu):
    """Elu of opset 1."""


class SeluV1(InPlace, Selu):
    """Selu of opset 1."""

    alpha: float = 1.6732
    gamma: float = 1.0507


class HardSigmoidV1(InPlace, HardSigmoid):
    """HardSigmoid of opset 1."""

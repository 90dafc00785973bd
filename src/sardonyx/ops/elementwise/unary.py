"""Elementwise functions of one tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, const, unary
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import InPlace, Unary, lift, quiet, widen
from sardonyx.ops.base.shapes import like


class Abs(Unary):
    """|x|."""

    since = 6
    tolerance = "exact"
    traits = Trait.IDEMPOTENT
    ufunc = np.abs
    word = "abs"


class Neg(Unary):
    """-x."""

    since = 6
    tolerance = "exact"
    traits = Trait.INVOLUTION
    ufunc = np.negative
    word = "neg"

    def element(self, x: Expr) -> Expr:
        return -x


class Sign(Unary):
    """-1, 0 or 1; NaN of NaN."""

    since = 9
    tolerance = "exact"
    traits = Trait.IDEMPOTENT
    ufunc = np.sign
    word = "sign"


class Ceil(Unary):
    """The least integer >= x."""

    since = 6
    tolerance = "exact"
    traits = Trait.IDEMPOTENT
    ufunc = np.ceil
    word = "ceil"


class Floor(Unary):
    """The greatest integer <= x."""

    since = 6
    tolerance = "exact"
    traits = Trait.IDEMPOTENT
    ufunc = np.floor
    word = "floor"


class Round(Unary):
    """The nearest integer, halves to even."""

    since = 11
    tolerance = "exact"
    traits = Trait.IDEMPOTENT
    ufunc = np.rint
    word = "round"


class Reciprocal(Unary):
    """1 / x."""

    since = 6

    def compute(self, x: Array) -> Any:
        return np.divide(x.dtype.type(1), x)

    def element(self, x: Expr) -> Expr:
        return 1.0 / x


class Sqrt(Unary):
    """The square root; NaN of a negative number."""

    since = 6
    ufunc = np.sqrt
    word = "sqrt"


class Exp(Unary):
    """e to the power x."""

    since = 6
    ufunc = np.exp
    word = "exp"


class Log(Unary):
    """The natural logarithm."""

    since = 6
    ufunc = np.log
    word = "log"


class Sin(Unary):
    """The sine of an angle in radians."""

    since = 7
    ufunc = np.sin
    word = "sin"


class Cos(Unary):
    """The cosine of an angle in radians."""

    since = 7
    ufunc = np.cos
    word = "cos"


class Tan(Unary):
    """The tangent of an angle in radians."""

    since = 7
    ufunc = np.tan
    word = "tan"


class Asin(Unary):
    """The arc sine, in radians."""

    since = 7
    ufunc = np.arcsin
    word = "asin"


class Acos(Unary):
    """The arc cosine, in radians."""

    since = 7
    ufunc = np.arccos
    word = "acos"


class Atan(Unary):
    """The arc tangent, in radians."""

    since = 7
    ufunc = np.arctan
    word = "atan"


class Sinh(Unary):
    """The hyperbolic sine."""

    since = 9
    ufunc = np.sinh
    word = "sinh"


class Cosh(Unary):
    """The hyperbolic cosine."""

    since = 9
    ufunc = np.cosh
    word = "cosh"


class Asinh(Unary):
    """The inverse hyperbolic sine."""

    since = 9
    ufunc = np.arcsinh
    word = "asinh"


class Acosh(Unary):
    """The inverse hyperbolic cosine."""

    since = 9
    ufunc = np.arccosh
    word = "acosh"


class Atanh(Unary):
    """The inverse hyperbolic tangent."""

    since = 9
    ufunc = np.arctanh
    word = "atanh"


class Tanh(Unary):
    """The hyperbolic tangent."""

    since = 6
    ufunc = np.tanh
    word = "tanh"


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """The error function, correct to the last bit or two of float64."""
    return np.asarray(_erf(x.astype(np.float64))).astype(x.dtype)


_erfc = np.frompyfunc(math.erfc, 1, 1)


def erfc(x: Array) -> Array:
    """1 - erf(x), without cancellation."""
    return np.asarray(_erfc(x.astype(np.float64))).astype(x.dtype)


class Erf(Unary):
    """The error function."""

    since = 9
    word = "erf"

    def compute(self, x: Array) -> Any:
        return erf(x)


class Not(Unary):
    """Whether x is false."""

    since = 1
    tolerance = "exact"
    traits = Trait.INVOLUTION
    ufunc = np.logical_not
    word = "not"


class BitwiseNot(Unary):
    """Every bit inverted."""

    since = 18
    tolerance = "exact"
    traits = Trait.INVOLUTION
    ufunc = np.invert
    word = "bitnot"


class Question(Op, abstract=True):
    """A test of every element."""

    tolerance = "exact"

    def infer(self, x: Type) -> Type:
        return like(x, DType.BOOL)

    @quiet
    def reference(self, x: Array) -> Array:
        return np.asarray(self.compute(widen(x)), bool)

    def compute(self, x: Array) -> Any:
        """The test on an array."""
        raise NotImplementedError

    def at(self, idx: Index, x: Operand) -> Expr:
        return self.element(lift(x[idx]))

    def element(self, x: Expr) -> Expr:
        """The test on one element."""
        raise NotImplementedError


class IsNaN(Question):
    """Whether x is not a number."""

    since = 9

    def compute(self, x: Array) -> Any:
        return np.isnan(x)

    def element(self, x: Expr) -> Expr:
        return unary("isnan", x)


class IsInf(Question):
    """Whether x is an infinity of a wanted sign."""

    since = 10
    detect_negative: int = 1
    detect_positive: int = 1

    def compute(self, x: Array) -> Any:
        wanted = (x < 0) & bool(self.detect_negative) | (x > 0) & bool(self.detect_positive)
        return np.isinf(x) & wanted

    def element(self, x: Expr) -> Expr:
        negative, positive = bool(self.detect_negative), bool(self.detect_positive)
        found = unary("isinf", x)
        if negative and positive:
            return found
        if not negative and not positive:
            return const(False, DType.BOOL)
        return binary("and", found, x < 0.0 if negative else x > 0.0)


class AbsV1(InPlace, Abs):
    """Abs of opset 1."""


class NegV1(InPlace, Neg):
    """Neg of opset 1."""


class CeilV1(InPlace, Ceil):
    """Ceil of opset 1."""


class FloorV1(InPlace, Floor):
    """Floor of opset 1."""


class ReciprocalV1(InPlace, Reciprocal):
    """Reciprocal of opset 1."""


class SqrtV1(InPlace, Sqrt):
    """Sqrt of opset 1."""


class ExpV1(InPlace, Exp):
    """Exp of opset 1."""


class LogV1(InPlace, Log):
    """Log of opset 1."""


class TanhV1(InPlace, Tanh):
    """Tanh of opset 1."""

"""Arithmetic on elements: the rule for narrow floats, and the bases of elementwise ops.

The rule, in arrays (`widen`) and in expressions (`lift`): a float narrower than 32 bits is
computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, eq, exp, minimum, unary, where
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.shapes import axis_of, broadcast_types, common_dtype, like, refuse

quiet = np.errstate(all="ignore")


def is_narrow(dtype: DType) -> bool:
    """Whether arithmetic on this type is done in float32."""
    return dtype.is_float and dtype.bits < 32


def widen(x: Array) -> Array:
    """The array to compute with."""
    return x.astype(np.float32) if is_narrow(DType.from_numpy(x.dtype)) else x


def settle(result: Any, dtype: np.dtype[Any]) -> Array:
    """The computed array (or scalar) as an array of the op's element type."""
    return np.asarray(result).astype(dtype, copy=False)


def lift(e: Expr) -> Expr:
    """The element to compute with."""
    return cast(e, DType.FLOAT32) if is_narrow(e.dtype) else e


def single(value: float) -> float:
    """A float attribute as the 32-bit number that the standard stores."""
    return float(np.float32(value))


def log1p(e: Expr) -> Expr:
    """log(1 + e) to full precision near 0, from log alone (W. Kahan's form)."""
    u = e + 1.0
    return where(eq(u, 1.0), e, unary("log", u) * e / (u - 1.0))


def expm1(e: Expr) -> Expr:
    """exp(e) - 1 to full precision near 0 for e <= 0, from tanh."""
    t = unary("tanh", e * 0.5)
    return (t + t) / (1.0 - t)


def softplus(e: Expr) -> Expr:
    """log(1 + exp(e)) without overflow."""
    positive = where(e > 0.0, e, e.like(0.0))
    return positive + log1p(exp(minimum(e, -e)))


class Unary(Op, abstract=True):
    """One operation on every element; a subclass gives `compute` and `element`, or `ufunc` and
    `word`, numpy's function and the expression's operation."""

    ufunc: ClassVar[np.ufunc]
    word: ClassVar[str]

    def infer(self, x: Type) -> Type:
        return like(x)

    @quiet
    def reference(self, x: Array) -> Array:
        return settle(self.compute(widen(x)), x.dtype)

    def compute(self, x: Array) -> Any:
        """The operation on an array of a type that numpy computes with."""
        return type(self).ufunc(x)

    def at(self, idx: Index, x: Operand) -> Expr:
        return cast(self.element(lift(x[idx])), x.dtype)

    def element(self, x: Expr) -> Expr:
        """The operation on one element."""
        return unary(self.word, x)


class Binary(Op, abstract=True):
    """One operation on pairs of elements, broadcast as numpy does; `compute` and `element`, or
    `ufunc` and `word`, give it."""

    ufunc: ClassVar[np.ufunc]
    word: ClassVar[str]
    result: ClassVar[DType | None] = None

    def infer(self, x: Type, y: Type) -> Type:
        if x.shape is not None and y.shape is not None:
            y = y.with_shape(y.shape + (const(1),) * self.behind(len(x.shape), len(y.shape)))
        return broadcast_types(x, y, dtype=self.checked(x, y))

    def checked(self, x: Type, y: Type) -> DType | None:
        """The element type of the result; E0323 when the inputs' types do not go together."""
        return self.result if common_dtype(x, y) and self.result else x.dtype or y.dtype

    def behind(self, x_rank: int, y_rank: int) -> int:
        """The number of axes of `x` after the last that `y` is broadcast to."""
        del x_rank, y_rank
        return 0

    @quiet
    def reference(self, x: Array, y: Array) -> Array:
        ones = (1,) * self.behind(x.ndim, y.ndim)
        found = self.compute(widen(x), widen(y.reshape(y.shape + ones)))
        return settle(found, self.result.numpy if self.result else x.dtype)

    def compute(self, x: Array, y: Array) -> Any:
        """The operation on arrays of types that numpy computes with."""
        return type(self).ufunc(x, y)

    def at(self, idx: Index, x: Operand, y: Operand) -> Expr:
        left, right = lift(x.broadcast(idx)), lift(self.right(idx, x, y))
        return cast(self.element(left, right), self.result or x.dtype)

    def right(self, idx: Index, x: Operand, y: Operand) -> Expr:
        """The element of `y` that is paired with the one of `x` for output `idx`."""
        cut = len(idx) - self.behind(x.rank, y.rank)
        return y.broadcast(Index(idx[:cut], idx.shape[:cut]))

    def element(self, x: Expr, y: Expr) -> Expr:
        """The operation on one pair of elements."""
        return binary(self.word, x, y)


class InPlace(Op, abstract=True):
    """The form of opset 1, which told which inputs might be overwritten; it means nothing here."""

    since = 1
    consumed_inputs: tuple[int, ...] | None = None


class Aligned(Binary, abstract=True):
    """The broadcasting of opsets 1 to 6: only of `y`, where `broadcast` is 1, placed at `axis`."""

    since = 1
    axis: int | None = None
    broadcast: int = 0

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del inputs
        if opset == 7:
            if given.pop("broadcast") and self.axis is not None:
                return "it aligns its operands at an axis"
            given.pop("axis", None)
        return None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        x, y = (None if v is None else v.type.shape for v in inputs)
        if x is None or y is None:
            return "before opset 7 ranks must be known"
        if y != x[len(x) - len(y) :]:
            return "before opset 7 only the second operand is broadcast, to dims that are the same"
        given["broadcast"] = int(len(x) != len(y))
        return None

    def behind(self, x_rank: int, y_rank: int) -> int:
        if not self.broadcast and x_rank != y_rank:
            raise refuse("E0320", "without broadcast=1 both have one rank", y_rank, x_rank)
        if self.axis is None or not self.broadcast:
            return 0
        left = x_rank - axis_of(self.axis, x_rank) - y_rank
        if left < 0:
            raise refuse("E0321", f"{y_rank} dims do not fit at axis {self.axis} of {x_rank}")
        return left

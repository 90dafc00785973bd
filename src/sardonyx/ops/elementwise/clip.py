"""Activations that take more tensors than one: PRelu and Clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, cast, const, maximum, minimum, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import InPlace, Unary, lift, quiet, settle, single, widen
from sardonyx.ops.base.given import only
from sardonyx.ops.base.shapes import broadcast, common_dtype, fit_into, like, need_rank


class PRelu(Op):
    """x, or slope * x where x < 0; the slope is broadcast to x."""

    since = 7

    def infer(self, x: Type, slope: Type) -> Type:
        dtype = common_dtype(x, slope)
        if x.shape is not None and slope.shape is not None:
            need_rank(slope, 0, len(x.shape), "the slope")
            broadcast(x.shape, slope.shape)
        return like(x, dtype)

    @quiet
    def reference(self, x: Array, slope: Array) -> Array:
        real = widen(x)
        return settle(np.where(real < 0, real * widen(self.aligned(x, slope)), real), x.dtype)

    def aligned(self, x: Array, slope: Array) -> Array:
        """The slope in a shape that broadcasts to x."""
        del x
        return slope

    def at(self, idx: Index, x: Operand, slope: Operand) -> Expr:
        e = lift(x[idx])
        return cast(where(e < 0, e * lift(self.slope_at(idx, slope)), e), x.dtype)

    def slope_at(self, idx: Index, slope: Operand) -> Expr:
        """The slope of the element at `idx`."""
        return slope.broadcast(idx)


class PReluV6(PRelu):
    """PRelu of opset 6, where a slope of one dim has an element for each channel (axis 1)."""

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del given
        slope = inputs[1].static_shape if len(inputs) > 1 and inputs[1] is not None else None
        by_channel = slope is None or np.prod(slope) != 1
        return "its slopes are by channel" if opset == 7 and by_channel else None

    def infer(self, x: Type, slope: Type) -> Type:
        return like(x, common_dtype(x, slope))

    def aligned(self, x: Array, slope: Array) -> Array:
        if slope.ndim == 1 and slope.size > 1 and x.ndim > 1:
            return slope.reshape(-1, *(1,) * (x.ndim - 2))
        return slope

    def slope_at(self, idx: Index, slope: Operand) -> Expr:
        if slope.rank == 1 and len(idx) > 1:
            return slope.broadcast(Index(idx[:2], idx.shape[:2]))
        return slope.broadcast(idx)


class PReluV1(InPlace, PReluV6):
    """PRelu of opset 1."""


class Clip(Op):
    """x kept within [low, high]; where low > high, high."""

    since = 11
    tolerance = "exact"
    traits = Trait.CLIPS

    def express(
        self, write: Body, opset: int, x: Value, low: Value | None = None, high: Value | None = None
    ) -> Value:
        del opset
        y = x if low is None else write("Max", x, low)
        return y if high is None else write("Min", y, high)

    def infer(self, x: Type, low: Type | None = None, high: Type | None = None) -> Type:
        for limit in (low, high):
            fit_into(limit, (const(1),), "a limit")
        return like(x, common_dtype(x, low, high))

    @quiet
    def reference(self, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
        out = widen(x)
        if low is not None:
            out = np.maximum(out, widen(only(low, "the lower limit")))
        if high is not None:
            out = np.minimum(out, widen(only(high, "the upper limit")))
        return settle(out, x.dtype)

    def at(
        self, idx: Index, x: Operand, low: Operand | None = None, high: Operand | None = None
    ) -> Expr:
        e = lift(x[idx])
        if low is not None:
            e = maximum(e, lift(low[(const(0),) * low.rank]))
        if high is not None:
            e = minimum(e, lift(high[(const(0),) * high.rank]))
        return cast(e, x.dtype)


class Bounded(Unary, abstract=True):
    """Clip between numbers that are attributes, either of which may be absent."""

    tolerance = "exact"
    traits = Trait.CLIPS
    made_inputs = (11, ("min", "max"))
    min: float | None
    max: float | None

    def compute(self, x: Array) -> Any:
        if self.min is not None:
            x = np.maximum(x, x.dtype.type(single(self.min)))
        return x if self.max is None else np.minimum(x, x.dtype.type(single(self.max)))

    def element(self, x: Expr) -> Expr:
        if self.min is not None:
            x = maximum(x, single(self.min))
        return x if self.max is None else minimum(x, single(self.max))


class ClipV6(Bounded):
    """Clip of opset 6."""

    min: float = -3.4028234663852886e38
    max: float = 3.4028234663852886e38


class ClipV1(InPlace, Bounded):
    """Clip of opset 1."""

    min: float | None = None
    max: float | None = None

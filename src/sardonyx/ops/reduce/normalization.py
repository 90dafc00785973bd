"""Normalization over axes of each sample: layer, RMS, instance, group, mean-variance and Lp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, eq, product, sqrt, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, Trait
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import p_norm, some, total
from sardonyx.ops.base.shapes import (
    axes_of,
    axis_of,
    divides,
    fit_into,
    like,
    need_rank,
    refuse,
    same_dims,
)

Body: TypeAlias = Callable[[Subscripts], Expr]


def moments(extents: Sequence[Expr], body: Body) -> tuple[Expr, Expr]:
    """The mean of `body` over `extents`, then the variance about that mean."""
    sum_of = total("add", extents, body)
    count = cast(product(extents), sum_of.dtype)
    mean = sum_of / count

    def square(k: Subscripts) -> Expr:
        difference = body(k) - mean
        return difference * difference

    return mean, total("add", extents, square) / count


def standardised(a: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """(a - mean) / deviation over `axes`, the mean, and one over the deviation."""
    mean = a.mean(axis=axes, keepdims=True)
    variance = np.square(a - mean).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + a.dtype.type(epsilon))
    return (a - mean) * inverse, mean, inverse


def inverse_deviation(variance: Expr, epsilon: float) -> Expr:
    """One over the deviation that a variance means."""
    return 1.0 / sqrt(variance + epsilon)


def _stash(stash_type: int) -> DType:
    found = DType.from_onnx(stash_type)
    if found not in (DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16, DType.FLOAT64):
        raise refuse("E0341", "`stash_type` is no floating-point type", found)
    return found


class LayerNormalization(Op):
    """Standardises the axes from `axis` on, then scales and shifts element by element.

    Narrow floats are computed in float32; `stash_type` is the element type of the outputs Mean
    and InvStdDev.
    """

    since = 17
    tolerance = "reduction"
    axis: int = -1
    epsilon: float = 1e-5
    stash_type: int = 1

    def infer(self, x: Type, scale: Type, b: Type | None = None) -> Any:
        y, stash = like(x), _stash(self.stash_type)
        if x.shape is None:
            return some(self.outputs, y, *[Type(stash)] * 2)
        first = axis_of(self.axis, len(x.shape))
        fit_into(scale, x.shape, "the scale")
        fit_into(b, x.shape, "the bias")
        ones = [const(1)] * (len(x.shape) - first)
        return some(self.outputs, y, *[Type(stash, (*x.shape[:first], *ones))] * 2)

    @quiet
    def reference(self, x: Array, scale: Array, b: Array | None = None) -> Any:
        first = axis_of(self.axis, x.ndim)
        stash = _stash(self.stash_type).numpy
        y, mean, inverse = standardised(widen(x), tuple(range(first, x.ndim)), self.epsilon)
        y = y * widen(scale)
        if b is not None:
            y = y + widen(b)
        return some(self.outputs, settle(y, x.dtype), settle(mean, stash), settle(inverse, stash))

    def _moments(self, idx: Index, x: Operand) -> tuple[Expr, Expr]:
        first = axis_of(self.axis, x.rank)
        lead = tuple(idx[:first])
        return moments(x.shape[first:], lambda k: lift(x[(*lead, *k)]))

    def at(self, idx: Index, x: Operand, scale: Operand, b: Operand | None = None) -> Expr:
        mean, variance = self._moments(idx, x)
        y = (lift(x[idx]) - mean) * inverse_deviation(variance, self.epsilon)
        y = y * lift(scale.broadcast(idx))
        if b is not None:
            y = y + lift(b.broadcast(idx))
        return cast(y, x.dtype)

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        """The output, the mean (1) or the inverse standard deviation (2)."""
        if which == 0:
            return self.at(idx, *inputs)
        mean, variance = self._moments(idx, inputs[0])
        found = mean if which == 1 else inverse_deviation(variance, self.epsilon)
        return cast(found, _stash(self.stash_type))


class RMSNormalization(Op):
    """Divides the axes from `axis` on by their root mean square, then scales."""

    since = 23
    tolerance = "reduction"
    axis: int = -1
    epsilon: float = 1e-5
    stash_type: int = 1

    def infer(self, x: Type, scale: Type) -> Type:
        if x.shape is not None:
            axis_of(self.axis, len(x.shape))
            fit_into(scale, x.shape, "the scale")
        return Type(scale.dtype, x.shape)

    @quiet
    def reference(self, x: Array, scale: Array) -> Array:
        a = widen(x)
        axes = tuple(range(axis_of(self.axis, x.ndim), x.ndim))
        square = np.square(a).mean(axis=axes, keepdims=True)
        y = a * (1 / np.sqrt(square + a.dtype.type(self.epsilon)))
        return settle(y * widen(scale), scale.dtype)

    def at(self, idx: Index, x: Operand, scale: Operand) -> Expr:
        first = axis_of(self.axis, x.rank)
        lead = tuple(idx[:first])

        def square(k: Subscripts) -> Expr:
            value = lift(x[(*lead, *k)])
            return value * value

        sum_of = total("add", x.shape[first:], square)
        mean = sum_of / cast(product(x.shape[first:]), sum_of.dtype)
        y = lift(x[idx]) * inverse_deviation(mean, self.epsilon)
        factor = lift(scale.broadcast(idx))
        return cast(cast(y, factor.dtype) * factor, scale.dtype)


class InstanceNormalization(Op):
    """Standardises every channel of every sample, then scales and shifts by channel."""

    since = 6
    tolerance = "reduction"
    traits = Trait.BY_CHANNEL
    epsilon: float = 1e-5

    def infer(self, x: Type, scale: Type, b: Type) -> Type:
        need_rank(x, 3)
        _per_channel(x, scale, b)
        return like(x)

    @quiet
    def reference(self, x: Array, scale: Array, b: Array) -> Array:
        y, _, _ = standardised(widen(x), tuple(range(2, x.ndim)), self.epsilon)
        ones = [1] * (x.ndim - 2)
        y = y * widen(scale).reshape(-1, *ones) + widen(b).reshape(-1, *ones)
        return settle(y, x.dtype)

    def at(self, idx: Index, x: Operand, scale: Operand, b: Operand) -> Expr:
        mean, variance = moments(x.shape[2:], lambda k: lift(x[(*idx[:2], *k)]))
        y = (lift(x[idx]) - mean) * inverse_deviation(variance, self.epsilon)
        return cast(y * lift(scale[idx[1]]) + lift(b[idx[1]]), x.dtype)


class InstanceNormalizationV1(InstanceNormalization):
    """InstanceNormalization of opset 1, which told which inputs might be overwritten."""

    consumed_inputs: tuple[int, ...] | None = None


def _per_channel(x: Type, *extras: Type) -> None:
    for extra in extras:
        need_rank(extra, 1, 1, "scale and bias")
        if x.shape is not None:
            same_dims(extra, x.shape[1:2], "scale and bias")


class GroupNormalizationV18(Op, kw_only=True):
    """Standardises groups of channels, then scales and shifts by group."""

    tolerance = "reduction"
    traits = Trait.BY_CHANNEL
    redefined = (21,)
    num_groups: int
    epsilon: float = 1e-5

    def infer(self, x: Type, scale: Type, bias: Type) -> Type:
        need_rank(x, 2)
        if self.num_groups < 1:
            raise refuse("E0341", "`num_groups` must be positive", self.num_groups)
        if x.shape is not None:
            divides(x.shape[1], self.num_groups, "the channels")
            for extra in (scale, bias):
                same_dims(extra, (self.parameters(x.shape[1]),), "scale and bias")
        return like(x)

    def parameters(self, channels: Expr) -> Expr:
        """The length of scale and bias."""
        return channels.like(self.num_groups)

    def of_channel(self, values: Array, channels: int) -> Array:
        """The values of each channel."""
        return np.repeat(values, channels // self.num_groups)

    def which(self, channel: Expr, each: Expr) -> Expr:
        """The subscript into scale and bias."""
        return channel // each

    @quiet
    def reference(self, x: Array, scale: Array, bias: Array) -> Array:
        grouped = widen(x).reshape(len(x), self.num_groups, -1)
        y, _, _ = standardised(grouped, (2,), self.epsilon)
        shape = (-1, *[1] * (x.ndim - 2))
        factor, shift = (self.of_channel(widen(v), x.shape[1]) for v in (scale, bias))
        return settle(y.reshape(x.shape) * factor.reshape(shape) + shift.reshape(shape), x.dtype)

    def at(self, idx: Index, x: Operand, scale: Operand, bias: Operand) -> Expr:
        each = x.shape[1] // self.num_groups
        first = idx[1] // each * each
        mean, variance = moments(
            (each, *x.shape[2:]), lambda k: lift(x[(idx[0], first + k[0], *k[1:])])
        )
        y = (lift(x[idx]) - mean) * inverse_deviation(variance, self.epsilon)
        which = self.which(idx[1], each)
        return cast(y * lift(scale[which]) + lift(bias[which]), x.dtype)


class GroupNormalization(GroupNormalizationV18, kw_only=True):
    """Standardises groups of channels, then scales and shifts by channel."""

    since = 21
    stash_type: int = 1

    def parameters(self, channels: Expr) -> Expr:
        return channels

    def of_channel(self, values: Array, channels: int) -> Array:
        del channels
        return values

    def which(self, channel: Expr, each: Expr) -> Expr:
        del each
        return channel


class MeanVarianceNormalization(Op):
    """Standardises over `axes`; the deviation is increased by 1e-9."""

    since = 9
    tolerance = "reduction"
    axes: tuple[int, ...] = (0, 2, 3)

    def infer(self, x: Type) -> Type:
        if x.rank is not None:
            axes_of(self.axes, x.rank)
        return like(x)

    @quiet
    def reference(self, x: Array) -> Array:
        a, axes = widen(x), axes_of(self.axes, x.ndim)
        mean = a.mean(axis=axes, keepdims=True)
        deviation = np.sqrt(np.square(a - mean).mean(axis=axes, keepdims=True))
        return settle((a - mean) / (deviation + a.dtype.type(1e-9)), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        axes = sorted(axes_of(self.axes, x.rank))

        def read(k: Subscripts) -> Expr:
            inner = dict(zip(axes, k, strict=True))
            return lift(x[[inner.get(i, at) for i, at in enumerate(idx)]])

        mean, variance = moments([x.shape[a] for a in axes], read)
        return cast((lift(x[idx]) - mean) / (sqrt(variance) + 1e-9), x.dtype)


class LpNormalization(Op):
    """Divides by the 1-norm or 2-norm along `axis`; zeros stay zeros."""

    since = 1
    tolerance = "reduction"
    axis: int = -1
    p: int = 2

    def infer(self, x: Type) -> Type:
        if self.p not in (1, 2):
            raise refuse("E0341", "`p` must be 1 or 2", self.p)
        if x.rank is not None:
            axis_of(self.axis, x.rank)
        return like(x)

    @quiet
    def reference(self, x: Array) -> Array:
        a = widen(x)
        norm = np.linalg.norm(a, self.p, axis=self.axis, keepdims=True)
        return settle(np.divide(a, norm, out=np.zeros_like(a), where=norm != 0), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        axis = axis_of(self.axis, x.rank)

        def read(k: Subscripts) -> Expr:
            return lift(x[(*idx[:axis], *k, *idx[axis + 1 :])])

        norm = p_norm((x.shape[axis],), read, self.p)
        value = lift(x[idx])
        return cast(where(eq(norm, 0.0), norm, value / norm), x.dtype)

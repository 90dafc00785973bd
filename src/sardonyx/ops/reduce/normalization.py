"""Normalization over axes of each sample: layer, RMS, instance, group, mean-variance and Lp."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, eq, product, sqrt, where
from sardonyx.graph.body import Body as Nodes
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Subscripts, Trait
from sardonyx.ops.base.element import is_narrow, lift, quiet, settle, widen
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


def wide_node(write: Nodes, x: Value) -> Value:
    """The value to compute with, as `widen` has it."""
    narrow = x.dtype is not None and is_narrow(x.dtype)
    return cast_node(write, x, DType.FLOAT32) if narrow else x


def cast_node(write: Nodes, x: Value, dtype: DType | None) -> Value:
    """The value in a type."""
    return x if dtype in (None, x.dtype) else write("Cast", x, to=dtype.value)


def _from(axis: int, x: Value) -> tuple[int, ...]:
    rank = x.type.rank
    if rank is None and axis != -1:
        raise refuse("E0320", "the rank is not known")
    return (-1,) if rank is None else tuple(range(axis_of(axis, rank), rank))


def standardised_nodes(
    write: Nodes, x: Value, axes: tuple[int, ...], epsilon: float
) -> tuple[Value, Value, Value]:
    """`standardised` as nodes."""
    a, over = wide_node(write, x), write.ints(*axes)
    mean = write("ReduceMean", a, over)
    off = write("Sub", a, mean)
    variance = write("ReduceMean", write("Mul", off, off), over)
    inverse = write("Reciprocal", write("Sqrt", write("Add", variance, write.number(epsilon, a))))
    return write("Mul", off, inverse), mean, inverse


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

    def express(
        self, write: Nodes, opset: int, x: Value, scale: Value, b: Value | None = None
    ) -> Any:
        del opset
        y, mean, inverse = standardised_nodes(write, x, _from(self.axis, x), self.epsilon)
        y = write("Mul", y, wide_node(write, scale))
        if b is not None:
            y = write("Add", y, wide_node(write, b))
        stash = _stash(self.stash_type)
        return some(
            self.outputs,
            cast_node(write, y, x.dtype),
            *(cast_node(write, v, stash) for v in (mean, inverse)),
        )

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


class LayerNormalizationV1(LayerNormalization):
    """LayerNormalization in older opsets, where ONNX Runtime's tools write it too."""

    foreign = True


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

    def express(self, write: Nodes, opset: int, x: Value, scale: Value) -> Value:
        del opset
        a = wide_node(write, x)
        square = write("ReduceMean", write("Mul", a, a), write.ints(*_from(self.axis, x)))
        root = write("Sqrt", write("Add", square, write.number(self.epsilon, a)))
        y = write("Mul", write("Mul", a, write("Reciprocal", root)), wide_node(write, scale))
        return cast_node(write, y, scale.dtype)

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
        size = math.prod(x.shape[1:]) // self.num_groups
        grouped = widen(x).reshape(len(x), self.num_groups, size)
        y, _, _ = standardised(grouped, (2,), self.epsilon)
        shape = (-1, *[1] * (x.ndim - 2))
        factor, shift = (self.of_channel(widen(v), x.shape[1]) for v in (scale, bias))
        return settle(y.reshape(x.shape) * factor.reshape(shape) + shift.reshape(shape), x.dtype)

    def express(self, write: Nodes, opset: int, x: Value, scale: Value, bias: Value) -> Value:
        del opset
        flat = write.reshape(x, (0, self.num_groups, -1))
        shape = write("Shape", x)
        return self._restored(write, flat, shape, scale, bias)

    def _restored(
        self, write: Nodes, flat: Value, shape: Value, scale: Value, bias: Value
    ) -> Value:
        kind = InstanceNormalization(epsilon=self.epsilon)
        return write("Reshape", write(kind, flat, scale, bias), shape)

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

    def _restored(
        self, write: Nodes, flat: Value, shape: Value, scale: Value, bias: Value
    ) -> Value:
        assert flat.dtype is not None
        one = np.ones(self.num_groups, flat.dtype.numpy)
        y = super()._restored(write, flat, shape, write.constant(one), write.constant(0 * one))
        ones = (1,) * (len(y.type.dims) - 2)
        factor, shift = (write.reshape(v, (-1, *ones)) for v in (scale, bias))
        return write("Add", write("Mul", y, factor), shift)

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

    def express(self, write: Nodes, opset: int, x: Value) -> Value:
        del opset
        a, over = wide_node(write, x), write.ints(*self.axes)
        off = write("Sub", a, write("ReduceMean", a, over))
        deviation = write("Sqrt", write("ReduceMean", write("Mul", off, off), over))
        y = write("Div", off, write("Add", deviation, write.number(1e-9, a)))
        return cast_node(write, y, x.dtype)

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

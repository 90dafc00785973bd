"""Softmax, LogSoftmax and Hardmax; before opset 13 they normalise all axes from `axis` on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, binary, cast, eq, exp, product, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, find
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import axis_of, like, place, ravel

# From this opset on one axis is normalised over.
_BY_AXIS = 13


def _along_last(write: Body, name: str, axis: int, x: Value) -> Value:
    """The form that normalises all axes from one on, which is the last."""
    rank = len(x.type.dims)
    kind = find("", name, _BY_AXIS - 1)
    assert kind is not None
    op = kind(axis=rank - 1)  # type: ignore[call-arg]
    order = [n for n in range(rank) if n != axis]
    order.append(axis)
    if axis == rank - 1:
        return write(op, x)
    back = [order.index(n) for n in range(rank)]
    return write.transpose(write(op, write.transpose(x, *order)), *back)


class Normalised(Op, abstract=True):
    """An op that looks at all elements along its axes to compute each one."""

    tolerance = "reduction"

    def infer(self, x: Type) -> Type:
        if x.rank is not None:
            self.axes(x.rank)
        return like(x)

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes normalised over, for an input of `rank` dims; E0321 when there is none such."""
        raise NotImplementedError

    @quiet
    def reference(self, x: Array) -> Array:
        axes = self.axes(x.ndim)
        return settle(self.compute(widen(x), axes), x.dtype) if x.size else x

    def express(self, write: Body, opset: int, x: Value) -> Any:
        rank = x.type.rank
        if not rank:
            return "the rank is not known"
        axes = self.axes(rank)
        if opset < _BY_AXIS:
            return _along_last(write, self.op_type, axes[-1], x)
        flat = write("Flatten", x, axis=axes[0] if axes else rank)
        return write("Reshape", write(self.op_type, flat, axis=-1), write("Shape", x))

    def compute(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The op on an array of a type that numpy computes with."""
        raise NotImplementedError

    def at(self, idx: Index, x: Operand) -> Expr:
        return cast(self.element(idx, x, self.axes(x.rank)), x.dtype)

    def element(self, idx: Index, x: Operand, axes: tuple[int, ...]) -> Expr:
        """One element, before it is cast back."""
        raise NotImplementedError


def _row(idx: Index, x: Operand, axes: tuple[int, ...]) -> Callable[[Sequence[Expr]], Expr]:
    """The element that shares `idx` but for the subscripts of the axes."""
    return lambda inner: lift(x[place(idx, axes, inner)])


def _top_and_total(idx: Index, x: Operand, axes: tuple[int, ...]) -> tuple[Expr, Expr]:
    """The largest element along the axes, and the sum of exp(element - largest)."""
    row = _row(idx, x, axes)
    extents = [x.shape[a] for a in axes]
    top = total("max", extents, row)
    return top, total("add", extents, lambda inner: exp(row(inner) - top))


class Softmax(Normalised):
    """exp(x - max) / sum(exp(x - max)) along `axis`."""

    since = 13
    axis: int = -1

    def axes(self, rank: int) -> tuple[int, ...]:
        return (axis_of(self.axis, rank),)

    def compute(self, x: Array, axes: tuple[int, ...]) -> Array:
        e = np.exp(x - x.max(axes, keepdims=True))
        return np.asarray(e / e.sum(axes, keepdims=True))

    def element(self, idx: Index, x: Operand, axes: tuple[int, ...]) -> Expr:
        top, weight = _top_and_total(idx, x, axes)
        # One division a row: a product takes a tenth of the time of a quotient.
        return exp(lift(x[idx]) - top) * (1.0 / weight)


class LogSoftmax(Normalised):
    """x - max - log(sum(exp(x - max))) along `axis`."""

    since = 13
    axis: int = -1

    def axes(self, rank: int) -> tuple[int, ...]:
        return (axis_of(self.axis, rank),)

    def compute(self, x: Array, axes: tuple[int, ...]) -> Array:
        lowered = x - x.max(axes, keepdims=True)
        return np.asarray(lowered - np.log(np.exp(lowered).sum(axes, keepdims=True)))

    def element(self, idx: Index, x: Operand, axes: tuple[int, ...]) -> Expr:
        top, weight = _top_and_total(idx, x, axes)
        return lift(x[idx]) - top - unary("log", weight)


class Hardmax(Normalised):
    """1 at the first largest element along `axis`, 0 elsewhere."""

    since = 13
    tolerance = "exact"
    axis: int = -1

    def axes(self, rank: int) -> tuple[int, ...]:
        return (axis_of(self.axis, rank),)

    def compute(self, x: Array, axes: tuple[int, ...]) -> Array:
        kept = [n for n in range(x.ndim) if n not in axes]
        order = (*kept, *axes)
        rows = x.transpose(order)
        flat = rows.reshape(*(x.shape[n] for n in kept), -1)
        first = np.arange(flat.shape[-1]) == flat.argmax(-1)[..., None]
        return np.asarray(first.reshape(rows.shape).transpose(np.argsort(order)))

    def element(self, idx: Index, x: Operand, axes: tuple[int, ...]) -> Expr:
        extents = [x.shape[a] for a in axes]
        top = total("max", extents, _row(idx, x, axes))

        def position(inner: Sequence[Expr]) -> Expr:
            e = _row(idx, x, axes)(inner)
            hit = binary("or", eq(e, top), unary("isnan", e))
            return where(hit, ravel(inner, extents), product(extents))

        first = total("min", extents, position)
        here = ravel([idx[a] for a in axes], extents)
        return cast(eq(here, first), x.dtype)


class Trailing(Normalised, abstract=True):
    """The axes of opsets 1 to 12: all from `axis` on, as if the tensor had two dims."""

    axis: int

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        rank = inputs[0].rank if inputs and inputs[0] is not None else None
        if opset == 13:
            if rank is None or self.axis not in (-1, rank - 1):
                return "it flattens dims, which opset 13 does not"
            given["axis"] = -1
        return None

    def axes(self, rank: int) -> tuple[int, ...]:
        first = self.axis if self.axis == rank else axis_of(self.axis, rank)
        return tuple(range(first, rank))


class SoftmaxV1(Trailing, Softmax):
    """Softmax of opsets 1 to 12."""

    axis: int = 1


class LogSoftmaxV1(Trailing, LogSoftmax):
    """LogSoftmax of opsets 1 to 12."""

    axis: int = 1


class HardmaxV1(Trailing, Hardmax):
    """Hardmax of opsets 1 to 12."""

    axis: int = 1

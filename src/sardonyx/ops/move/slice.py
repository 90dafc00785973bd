"""Slice: every step-th element from start to end along some axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, maximum, number, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import (
    axes_of,
    clamp,
    known,
    known_ints,
    length_of,
    place,
    refuse,
    unknown_dim,
    unknown_dims,
)

_END = (1 << 31) - 1


class _Cut(NamedTuple):
    """The elements first, first + step, … (`length` of them) of an axis."""

    axis: int
    first: Expr
    step: int
    length: Expr


def _type(x: Operand | None) -> Type | None:
    return None if x is None else x.type


def _from_end(i: Expr, dim: Expr) -> Expr:
    return where(i < 0, i + dim, i)


def _cut(axis: int, dim: Expr, start: Expr, end: Expr, step: int) -> _Cut:
    """The elements that start:end:step takes; a bound beyond 32 bits means the end of the axis."""
    if step == 0:
        raise refuse("E0325", "a slice with step 0", 0, "any other step")
    if step > 0:
        first = _bound(start, dim, const(0), dim)
        last = _bound(end, dim, const(0), dim)
        count = maximum(last - first + (step - 1), 0) // step
    else:
        first = _bound(start, dim, const(-1), dim - 1)
        last = _bound(end, dim, const(-1), dim - 1)
        count = maximum(first - last + (-step - 1), 0) // -step
    return _Cut(axis, first, step, count)


def _bound(i: Expr, dim: Expr, low: Expr, high: Expr) -> Expr:
    at = number(i)
    if at is not None and at >= _END:
        return high
    if at is not None and at <= -_END:
        return low
    return clamp(_from_end(i, dim), low, high)


def _cuts(
    dims: Sequence[Expr],
    starts: Sequence[Expr],
    ends: Sequence[Expr],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> list[_Cut]:
    axes = axes_of(range(len(starts)) if axes is None else axes, len(dims))
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        lengths = [len(starts), len(ends), len(axes), len(steps)]
        raise refuse("E0325", "starts, ends, axes and steps differ in length", lengths)
    rows = zip(axes, starts, ends, steps, strict=True)
    return [_cut(a, dims[a], s, e, step) for a, s, e, step in rows]


def _sliced(idx: Index, x: Operand, cuts: Sequence[_Cut]) -> Expr:
    inner = [c.first + idx[c.axis] * c.step for c in cuts]
    return x[place(idx, [c.axis for c in cuts], inner)]


def _numpy_slice(x: Array, rows: Sequence[tuple[int, int, int, int]]) -> Array:
    at = [slice(None)] * x.ndim
    for axis, start, end, step in rows:
        if step == 0:
            raise InvalidArgument("E0211", "a slice with step 0")
        dim = x.shape[axis]
        low, high = (0, dim) if step > 0 else (-1, dim - 1)
        first, last = (min(max(i + dim if i < 0 else i, low), high) for i in (start, end))
        at[axis] = slice(first, None if last < 0 else last, step)
        if first < 0:
            at[axis] = slice(0, 0)
    return x[tuple(at)]


class Slice(Op):
    """x[start:end:step] along the axes given (the first ones by default)."""

    since = 10
    tolerance = "exact"
    traits = Trait.SELECTS | Trait.BY_CHANNEL

    def infer(
        self, x: Type, starts: Type, ends: Type, axes: Type | None = None, steps: Type | None = None
    ) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        along = self._axes(starts, axes)
        if along is None:
            return x.with_shape(unknown_dim("slice") for _ in x.shape)
        cuts = self._known_cuts(x, starts, ends, along, steps)
        if cuts is None:
            inner = unknown_dims("slice", len(along))
            return x.with_shape(place(x.shape, axes_of(along, len(x.shape)), inner))
        return x.with_shape(place(x.shape, [c.axis for c in cuts], [c.length for c in cuts]))

    def _axes(self, starts: Type, axes: Type | None) -> Sequence[int] | None:
        if axes is not None:
            return known_ints(axes)
        count = length_of(starts)
        return None if count is None else range(count)

    def _known_cuts(
        self, x: Type, starts: Type, ends: Type, axes: Sequence[int], steps: Type | None
    ) -> list[_Cut] | None:
        first, last = known(starts), known(ends)
        step = known_ints(steps)
        if first is None or last is None or (steps is not None and step is None):
            return None
        return _cuts(x.dims, first, last, axes, step)

    def reference(
        self,
        x: Array,
        starts: Array,
        ends: Array,
        axes: Array | None = None,
        steps: Array | None = None,
    ) -> Array:
        first, last = ([int(i) for i in a.reshape(-1)] for a in (starts, ends))
        along = range(len(first)) if axes is None else [int(a) for a in axes.reshape(-1)]
        step = [1] * len(first) if steps is None else [int(i) for i in steps.reshape(-1)]
        if not len(first) == len(last) == len(along) == len(step):
            raise InvalidArgument("E0211", "starts, ends, axes and steps differ in length")
        return _numpy_slice(x, list(zip(axes_of(along, x.ndim), first, last, step, strict=True)))

    def at(
        self,
        idx: Index,
        x: Operand,
        starts: Operand,
        ends: Operand,
        axes: Operand | None = None,
        steps: Operand | None = None,
    ) -> Expr:
        along = self._axes(starts.type, _type(axes))
        if along is None:
            raise NotImplementedError("the axes are not known before running")
        cuts = self._known_cuts(x.type, starts.type, ends.type, along, _type(steps))
        if cuts is None:
            raise NotImplementedError("the bounds are not known before running")
        return _sliced(idx, x, cuts)


class SliceV1(Op):
    """Slice of opsets 1 to 9, whose bounds are attributes."""

    tolerance = "exact"
    traits = Trait.SELECTS | Trait.BY_CHANNEL
    made_inputs = (10, ("starts", "ends", "axes"))
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    axes: tuple[int, ...] | None = None

    def _cuts(self, dims: Sequence[Expr]) -> list[_Cut]:
        starts, ends = ([const(i) for i in a] for a in (self.starts, self.ends))
        return _cuts(dims, starts, ends, self.axes, None)

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        cuts = self._cuts(x.shape)
        return x.with_shape(place(x.shape, [c.axis for c in cuts], [c.length for c in cuts]))

    def reference(self, x: Array) -> Array:
        axes = axes_of(self.axes or range(len(self.starts)), x.ndim)
        rows = zip(axes, self.starts, self.ends, (1,) * len(axes), strict=True)
        return _numpy_slice(x, list(rows))

    def at(self, idx: Index, x: Operand) -> Expr:
        return _sliced(idx, x, self._cuts(x.shape))

"""Squeeze and Unsqueeze: dims of 1 taken out and put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, number, show
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Operand
from sardonyx.ops.base.shapes import (
    Dims,
    assume,
    axes_of,
    known_ints,
    length_of,
    refuse,
    unknown_dims,
)
from sardonyx.ops.move.reshape import View, reshaped


def squeezed(x: Type, axes: Sequence[int] | None) -> Type:
    """The type without the dims at the axes (all dims of 1 when None), which must be 1."""
    if x.shape is None:
        return Type(x.dtype)
    if axes is None:
        if not all(d.is_const for d in x.shape):
            return Type(x.dtype)
        return replace(x, shape=tuple(d for d in x.shape if number(d) != 1))
    gone = axes_of(axes, len(x.shape))
    for n in gone:
        if number(x.shape[n]) not in (1, None):
            raise refuse("E0325", f"dim {n} is not 1, so it stays", show(x.shape[n]), 1)
        assume(x.shape[n], const(1))
    return replace(x, shape=tuple(d for n, d in enumerate(x.shape) if n not in gone))


def unsqueezed(x: Type, axes: Sequence[int]) -> Type:
    """The type with dims of 1 put in, which are then at the axes."""
    if x.shape is None:
        return Type(x.dtype)
    new = axes_of(axes, len(x.shape) + len(axes))
    old = iter(x.shape)
    dims = (const(1) if n in new else next(old) for n in range(len(x.shape) + len(axes)))
    return replace(x, shape=tuple(dims))


def _squeeze(x: Array, axes: Sequence[int] | None) -> Array:
    try:
        return np.squeeze(x, None if axes is None else tuple(axes))
    except ValueError:
        raise InvalidArgument(
            "E0211", "a dim that is not 1 cannot go", given=list(x.shape), wanted=axes
        ) from None


def _axes(axes: Array) -> tuple[int, ...]:
    return tuple(int(a) for a in axes.reshape(-1))


class Squeeze(View):
    """The input without its dims of 1 at the axes, without any dim of 1 where none are given."""

    since = 13

    def infer(self, x: Type, axes: Type | None = None) -> Type:
        if axes is None:
            return squeezed(x, None)
        wanted = known_ints(axes)
        if wanted is not None:
            return squeezed(x, wanted)
        count = length_of(axes)
        if count is None or x.rank is None:
            return Type(x.dtype)
        if count == x.rank:
            return squeezed(x, range(count))
        return Type(x.dtype, unknown_dims("dim", x.rank - count))

    def reference(self, x: Array, axes: Array | None = None) -> Array:
        return _squeeze(x, None if axes is None else _axes(axes))

    def at(self, idx: Index, x: Operand, axes: Operand | None = None) -> Expr:
        wanted = None if axes is None else known_ints(axes.type)
        if axes is not None and wanted is None:
            return reshaped(idx, x)
        return x[_put_back(idx, x.shape, wanted)]


def _put_back(idx: Index, shape: Dims, axes: Sequence[int] | None) -> list[Expr]:
    if axes is None:
        gone = {n for n, d in enumerate(shape) if number(d) == 1}
    else:
        gone = set(axes_of(axes, len(shape)))
    kept = iter(idx)
    return [const(0) if n in gone else next(kept) for n in range(len(shape))]


class SqueezeV1(View):
    """Squeeze of opsets 1 to 12, whose axes are an attribute."""

    made_inputs = (13, ("axes",))
    axes: tuple[int, ...] | None = None

    def infer(self, x: Type) -> Type:
        return squeezed(x, self.axes)

    def reference(self, x: Array) -> Array:
        return _squeeze(x, self.axes)

    def at(self, idx: Index, x: Operand) -> Expr:
        return x[_put_back(idx, x.shape, self.axes)]


class Unsqueeze(View):
    """The input with dims of 1 put in at the axes of the output."""

    since = 13

    def infer(self, x: Type, axes: Type) -> Type:
        wanted = known_ints(axes)
        if wanted is not None:
            return unsqueezed(x, wanted)
        count = length_of(axes)
        if count is None or x.rank is None:
            return Type(x.dtype)
        return Type(x.dtype, unknown_dims("dim", x.rank + count))

    def reference(self, x: Array, axes: Array) -> Array:
        wanted = _axes(axes)
        axes_of(wanted, x.ndim + len(wanted))
        return np.expand_dims(x, wanted)

    def at(self, idx: Index, x: Operand, axes: Operand) -> Expr:
        wanted = known_ints(axes.type)
        if wanted is None:
            return reshaped(idx, x)
        new = axes_of(wanted, len(idx))
        return x[[i for n, i in enumerate(idx) if n not in new]]


class UnsqueezeV1(View):
    """Unsqueeze of opsets 1 to 12, whose axes are an attribute."""

    made_inputs = (13, ("axes",))
    axes: tuple[int, ...]

    def infer(self, x: Type) -> Type:
        return unsqueezed(x, self.axes)

    def reference(self, x: Array) -> Array:
        axes_of(self.axes, x.ndim + len(self.axes))
        return np.expand_dims(x, self.axes)

    def at(self, idx: Index, x: Operand) -> Expr:
        new = axes_of(self.axes, len(idx))
        return x[[i for n, i in enumerate(idx) if n not in new]]

"""Ops that name the same elements by other subscripts: Reshape, Transpose and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, number, product
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import (
    Dims,
    assume,
    axis_of,
    known,
    length_of,
    ravel,
    refuse,
    text,
    unknown_dim,
    unknown_dims,
    unravel,
)


def reshaped(idx: Index, x: Operand) -> Expr:
    """The element of `x` at the row-major position of `idx`."""
    return x[unravel(ravel(idx, idx.shape), x.shape)]


class View(Op, abstract=True):
    """An op whose output has the input's elements in row-major order."""

    tolerance = "exact"
    traits = Trait.SELECTS | Trait.IN_ORDER


class Identity(Op):
    """The input."""

    tolerance = "exact"
    traits = Trait.SELECTS

    def infer(self, x: Type) -> Type:
        return x

    def reference(self, x: Array) -> Array:
        return x

    def at(self, idx: Index, x: Operand) -> Expr:
        return x[idx]


def _resolved(x: Dims, wanted: Sequence[Expr], literal_zero: bool) -> Dims:
    """The dims that the wanted ones mean, -1 and 0 replaced."""
    out = list(wanted)
    for n, d in enumerate(wanted):
        if number(d) == 0 and not literal_zero:
            if n >= len(x):
                raise refuse("E0325", f"the 0 at place {n} copies a dim that is not there", text(x))
            out[n] = x[n]
    free = [n for n, d in enumerate(wanted) if number(d) == -1]
    if len(free) > 1 or any((number(d) or 0) < -1 for d in wanted):
        raise refuse("E0325", "a shape has one -1 at most and nothing below", text(wanted))
    total = product(x)
    if free:
        out[free[0]] = const(1)
        rest = product(out)
        out[free[0]] = _divided(total, rest, x, wanted)
    _check_counts(total, product(out), x, out)
    return tuple(out)


def _divided(total: Expr, rest: Expr, x: Dims, wanted: Sequence[Expr]) -> Expr:
    if number(rest) == 0:
        raise refuse("E0326", "the -1 of a shape with a dim of 0 has no value", text(wanted))
    both = number(total), number(rest)
    if both[0] is not None and both[1] is not None and both[0] % both[1]:
        raise refuse("E0326", "the element counts do not fit", text(x), text(wanted))
    return total // rest


def _check_counts(before: Expr, after: Expr, x: Dims, out: Sequence[Expr]) -> None:
    if before.is_const and after.is_const and before is not after:
        raise refuse("E0326", "the element counts differ", text(x), text(out))
    assume(before, after)


class ReshapeV5(View):
    """Reshape of opsets 5 to 13: -1 takes what is left, 0 copies the input's dim."""

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        shape = inputs[1]
        wanted = None if shape is None else known(shape.type)
        if given.pop("allowzero") and (
            wanted is None or any(number(d) in (0, None) for d in wanted)
        ):
            return "before opset 14 a dim of 0 is copied from the input"
        return None

    @property
    def literal_zero(self) -> bool:
        """Whether a 0 is a dim of 0."""
        return False

    def infer(self, x: Type, shape: Type) -> Type:
        wanted = known(shape)
        if wanted is None:
            count = length_of(shape)
            dims = None if count is None else unknown_dims("dim", count)
            return Type(x.dtype, dims)
        if x.shape is None:
            free = (number(d) == -1 or (number(d) == 0 and not self.literal_zero) for d in wanted)
            pairs = zip(wanted, free, strict=True)
            dims = tuple(unknown_dim("dim") if is_free else d for d, is_free in pairs)
            return Type(x.dtype, dims)
        return replace(x, shape=_resolved(x.shape, wanted, self.literal_zero))

    def reference(self, x: Array, shape: Array) -> Array:
        dims = [int(d) for d in shape.reshape(-1)]
        if not self.literal_zero:
            dims = _copied(x, dims)
        return _reshape(x, dims)

    def at(self, idx: Index, x: Operand, shape: Operand) -> Expr:
        del shape
        return reshaped(idx, x)


def _copied(x: Array, dims: Sequence[int]) -> list[int]:
    """The dims with each 0 replaced by the dim of x at its place."""
    for n, d in enumerate(dims):
        if d == 0 and n >= x.ndim:
            said = f"the 0 at place {n} copies a dim that is not there"
            raise InvalidArgument("E0211", said, given=list(x.shape), wanted=list(dims))
    return [x.shape[n] if d == 0 else d for n, d in enumerate(dims)]


def _reshape(x: Array, dims: Sequence[int]) -> Array:
    try:
        return x.reshape(dims)
    except ValueError:
        raise InvalidArgument(
            "E0211", "the element counts do not fit", given=list(x.shape), wanted=list(dims)
        ) from None


class Reshape(ReshapeV5):
    """The same elements in another shape; -1 takes what is left, 0 copies the input's dim.

    With `allowzero` a 0 is a dim of 0.
    """

    since = 14
    allowzero: int = 0

    @property
    def literal_zero(self) -> bool:
        return bool(self.allowzero)


class ReshapeV1(View):
    """Reshape of opset 1, whose shape is an attribute."""

    made_inputs = (5, ("shape",))
    consumed_inputs: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None

    def infer(self, x: Type) -> Type:
        wanted = tuple(const(d) for d in self.shape or ())
        if x.shape is None:
            dims = (d if (number(d) or 0) > 0 else unknown_dim("dim") for d in wanted)
            return Type(x.dtype, tuple(dims))
        return replace(x, shape=_resolved(x.shape, wanted, literal_zero=False))

    def reference(self, x: Array) -> Array:
        return _reshape(x, _copied(x, self.shape or ()))

    def at(self, idx: Index, x: Operand) -> Expr:
        return reshaped(idx, x)


class Flatten(View):
    """Two dims: the product of those before `axis`, and of those from it on."""

    since = 1
    axis: int = 1

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(x.dtype, (unknown_dim("rows"), unknown_dim("columns")))
        cut = self._cut(len(x.shape))
        return replace(x, shape=(product(x.shape[:cut]), product(x.shape[cut:])))

    def _cut(self, rank: int) -> int:
        return rank if self.axis == rank else axis_of(self.axis, rank) if rank else 0

    def reference(self, x: Array) -> Array:
        cut = self._cut(x.ndim)
        return x.reshape(int(np.prod(x.shape[:cut])), int(np.prod(x.shape[cut:])))

    def at(self, idx: Index, x: Operand) -> Expr:
        return reshaped(idx, x)


class Transpose(Op):
    """The input with its axes in the order `perm`, reversed by default."""

    since = 1
    tolerance = "exact"
    traits = Trait.SELECTS
    perm: tuple[int, ...] | None = None

    def order(self, rank: int) -> tuple[int, ...]:
        """The input axis of every output axis; E0325 when `perm` is no permutation."""
        if self.perm is None:
            return tuple(reversed(range(rank)))
        order = tuple(p + rank if p < 0 else p for p in self.perm)
        if sorted(order) != list(range(rank)):
            raise refuse("E0325", "perm is no permutation of the axes", list(self.perm), rank)
        return order

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            rank = None if self.perm is None else len(self.perm)
            return Type(x.dtype, None if rank is None else unknown_dims("dim", rank))
        return x.with_shape(x.shape[n] for n in self.order(len(x.shape)))

    def reference(self, x: Array) -> Array:
        return x.transpose(self.order(x.ndim))

    def at(self, idx: Index, x: Operand) -> Expr:
        order = self.order(x.rank)
        return x[[idx[order.index(n)] for n in range(x.rank)]]

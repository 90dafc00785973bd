"""Ops that compare the elements along an axis: ArgMax, ArgMin, TopK, Unique."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, binary, const, eq, number, reduce, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.loops.ir import Kernel
from sardonyx.ops.base.element import lift, widen
from sardonyx.ops.base.given import whole
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import axis_of, known, known_ints, place, refuse, text, unknown_dim
from sardonyx.ops.reduce.best import best_of


class ArgV1(Op, abstract=True):
    """The subscript along `axis` of the best element, the first of equal ones; NaN is best."""

    tolerance = "exact"
    word: ClassVar[str]
    axis: int = 0
    keepdims: int = 1

    @property
    def last(self) -> bool:
        """Whether the last of equal elements is meant."""
        return False

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(DType.INT64)
        axis = axis_of(self.axis, len(x.shape))
        if number(x.shape[axis]) == 0:
            raise refuse("E0325", "an axis without elements has no best", text(x.shape))
        one = (const(1),) if self.keepdims else ()
        return Type(DType.INT64, (*x.shape[:axis], *one, *x.shape[axis + 1 :]))

    def reference(self, x: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        if x.shape[axis] == 0:
            raise InvalidArgument("E0211", "an axis without elements has no best", given=x.shape)
        find = np.argmax if self.word == "max" else np.argmin
        real = np.flip(widen(x), axis) if self.last else widen(x)
        found = np.asarray(find(real, axis, keepdims=bool(self.keepdims)), np.int64)
        return x.shape[axis] - 1 - found if self.last else found

    def at(self, idx: Index, x: Operand) -> Expr:
        axis = axis_of(self.axis, x.rank)
        extent = x.shape[axis]
        rest = idx[axis + 1 :] if self.keepdims else idx[axis:]

        def element(k: Expr) -> Expr:
            return lift(x[(*idx[:axis], k, *rest)])

        best = reduce(self.word, extent, element)

        def position(k: Expr) -> Expr:
            hit = eq(element(k), best)
            if best.dtype.is_float:
                hit = binary("or", hit, unary("isnan", element(k)))
            return where(hit, k, const(-1) if self.last else extent)

        return reduce("max" if self.last else "min", extent, position)


class _Arg(ArgV1, abstract=True):
    select_last_index: int = 0

    @property
    def last(self) -> bool:
        return bool(self.select_last_index)


class ArgMax(_Arg):
    """The subscript of the largest element along `axis`."""

    since = 12
    word = "max"


class ArgMin(_Arg):
    """The subscript of the smallest element along `axis`."""

    since = 12
    word = "min"


class ArgMaxV1(ArgV1):
    """ArgMax of opsets 1 to 11."""

    word = "max"


class ArgMinV1(ArgV1):
    """ArgMin of opsets 1 to 11."""

    word = "min"


def top(x: Array, k: int, axis: int, largest: bool) -> tuple[Array, Array]:
    """The k best elements along an axis in order, with their subscripts; equal ones in order."""
    axis = axis_of(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise InvalidArgument("E0211", "k does not fit", given=k, wanted=x.shape[axis])
    real = widen(x)
    if largest:
        order = np.flip(np.argsort(np.flip(real, axis), axis, kind="stable"), axis)
        order = x.shape[axis] - 1 - order
    else:
        order = np.argsort(real, axis, kind="stable")
    chosen = np.take(order, np.arange(k), axis)
    return np.take_along_axis(x, chosen, axis), chosen.astype(np.int64)


def top_types(x: Type, k: Expr, axis: int) -> tuple[Type, Type]:
    """The types of TopK's outputs."""
    if x.shape is None:
        return Type(x.dtype), Type(DType.INT64)
    axis = axis_of(axis, len(x.shape))
    have, wanted = number(x.shape[axis]), number(k)
    if have is not None and wanted is not None and not 0 <= wanted <= have:
        raise refuse("E0325", f"the {wanted} best of {have} elements", wanted, have)
    dims = tuple(place(x.shape, (axis,), (k,)))
    return Type(x.dtype, dims), Type(DType.INT64, dims)


class TopKV10(Op):
    """TopK of opset 10: the largest elements."""

    tolerance = "exact"
    axis: int = -1

    def infer(self, x: Type, k: Type) -> tuple[Type, Type]:
        count = known(k)
        return top_types(x, count[0] if count else unknown_dim("k"), self.axis)

    def reference(self, x: Array, k: Array) -> tuple[Array, Array]:
        return top(x, whole(k, "the count"), self.axis, self.is_largest)

    @property
    def is_largest(self) -> bool:
        """Whether the largest elements are the best."""
        return True

    def build(self, outs: tuple[Type, ...], x: Type, k: Type) -> Kernel | None:
        wanted = known_ints(k)
        if not wanted:
            return None
        return best_of(Memory(outs, (x, k)), x, wanted[0], self.axis, self.is_largest)


class TopK(TopKV10):
    """The k largest (or smallest) elements along `axis`, and their subscripts, best first."""

    since = 11
    largest: int = 1
    sorted: int = 1

    @property
    def is_largest(self) -> bool:
        return bool(self.largest)


class TopKV1(Op):
    """TopK of opset 1, whose k is an attribute."""

    tolerance = "exact"
    made_inputs = (10, ("k",))
    k: int
    axis: int = -1

    def infer(self, x: Type) -> tuple[Type, Type]:
        return top_types(x, const(self.k), self.axis)

    def reference(self, x: Array) -> tuple[Array, Array]:
        return top(x, self.k, self.axis, largest=True)

    def build(self, outs: tuple[Type, ...], x: Type) -> Kernel | None:
        return best_of(Memory(outs, (x,)), x, self.k, self.axis, largest=True)


class Unique(Op):
    """The distinct elements (or slices along `axis`), sorted or in the order of their appearance.

    The other outputs are where each first stands, which one each element is, and their counts.
    """

    since = 11
    tolerance = "exact"
    axis: int | None = None
    sorted: int = 1

    def infer(self, x: Type) -> tuple[Type, ...]:
        count = unknown_dim("unique")
        whole = Type(DType.INT64, (count,))
        if self.axis is None:
            every = unknown_dim("elements") if x.shape is None else x.count
            inverse = Type(DType.INT64, (every,))
            return Type(x.dtype, (count,)), whole, inverse, whole
        if x.shape is None:
            return (Type(x.dtype), whole, Type(DType.INT64, (unknown_dim("slices"),)), whole)
        axis = axis_of(self.axis, len(x.shape))
        first = x.with_shape(place(x.shape, (axis,), (count,)))
        return first, whole, Type(DType.INT64, (x.shape[axis],)), whole

    def reference(self, x: Array) -> tuple[Array, ...]:
        axis = None if self.axis is None else axis_of(self.axis, x.ndim)
        first, inverse, counts = _distinct(widen(x), axis)
        if not self.sorted:
            order = np.argsort(first)
            rank = np.argsort(order)
            first, inverse, counts = first[order], rank[inverse], counts[order]
        flat = x.reshape(-1) if axis is None else x
        found = np.take(flat, first, 0 if axis is None else axis)
        return found, *(a.astype(np.int64) for a in (first, inverse, counts))


def _distinct(x: Array, axis: int | None) -> tuple[Array, Array, Array]:
    """Where each distinct slice first stands, which one each is, and their counts."""
    if axis is None or x.dtype.kind != "O":
        flat = x.reshape(-1) if axis is None else x
        found = np.unique(
            flat, return_index=True, return_inverse=True, return_counts=True, axis=axis
        )
        return found[1], found[2].reshape(-1), found[3]
    rows: Sequence[tuple[str, ...]] = [
        tuple(row) for row in np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1).tolist()
    ]
    distinct = sorted(set(rows))
    number_of = {row: n for n, row in enumerate(distinct)}
    inverse = np.array([number_of[row] for row in rows], np.int64)
    counts = np.bincount(inverse, minlength=len(distinct))
    return (np.array([rows.index(row) for row in distinct], np.int64), inverse, counts)

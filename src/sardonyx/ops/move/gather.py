"""Ops that pick elements by subscripts held in a tensor.

`reference` raises E0210 for a subscript out of range; so does a compiled program, whose code reads
the nearest element meanwhile (`passes.spans`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Counted, Index, Op, Operand, Trait
from sardonyx.ops.base.given import wrapped
from sardonyx.ops.base.shapes import (
    as_index,
    at_most,
    axis_of,
    need_rank,
    place,
    refuse,
    same_dim,
    wrap,
)


def along(axis: int, x: Type | None) -> list[Counted]:
    """What an index per place says: a subscript along an axis."""
    if x is None or x.rank is None:
        return []
    return [Counted(indices=1, data=0, axis=axis_of(axis, x.rank))]


class Gather(Op):
    """Slices of `x` along `axis`, in the shape of the indices; those may count from the end."""

    since = 1
    tolerance = "exact"
    traits = Trait.SELECTS
    axis: int = 0

    def infer(self, x: Type, indices: Type) -> Type:
        need_rank(x, 1)
        if x.shape is None or indices.shape is None:
            return Type(x.dtype)
        axis = axis_of(self.axis, len(x.shape))
        return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    def reference(self, x: Array, indices: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        return np.take(x, wrapped(indices, x.shape[axis]), axis)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        return along(self.axis, inputs[0])

    def at(self, idx: Index, x: Operand, indices: Operand) -> Expr:
        axis = axis_of(self.axis, x.rank)
        end = axis + indices.rank
        i = wrap(as_index(indices[idx[axis:end]]), x.shape[axis])
        return x[(*idx[:axis], i, *idx[end:])]


def inside_but_for(axis: int, x: Type, indices: Type) -> None:
    """The indices must be no larger than `x`, but for the axis along which they count."""
    if x.shape is None:
        return
    axis = axis_of(axis, len(x.shape))
    need_rank(indices, len(x.shape), len(x.shape), "the indices")
    for n, pair in enumerate(zip(indices.shape or (), x.shape, strict=False)):
        if n != axis:
            at_most(*pair)


class GatherElements(Op):
    """For every index, the element of `x` at its place but for the subscript along `axis`."""

    since = 11
    tolerance = "exact"
    axis: int = 0

    def infer(self, x: Type, indices: Type) -> Type:
        need_rank(x, 1)
        inside_but_for(self.axis, x, indices)
        return Type(x.dtype, indices.shape)

    def reference(self, x: Array, indices: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        at: list[Array] = list(np.indices(indices.shape, sparse=True))
        at[axis] = wrapped(indices, x.shape[axis])
        try:
            return np.asarray(x[tuple(at)])
        except IndexError:
            raise InvalidArgument(
                "E0210", "the indices are larger than the data", given=list(indices.shape),
                wanted=list(x.shape),
            ) from None  # fmt: skip

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        return along(self.axis, inputs[0])

    def at(self, idx: Index, x: Operand, indices: Operand) -> Expr:
        axis = axis_of(self.axis, x.rank)
        i = wrap(as_index(indices[idx]), x.shape[axis])
        return x[place(idx, (axis,), (i,))]


def depth_of(indices: Type) -> int | None:
    """The number of subscripts in each row of the indices, None where only a run tells."""
    return number(indices.dims[-1]) if indices.rank else None


def columns(first: int, *inputs: Type | None) -> list[Counted]:
    """What rows of subscripts say: one for each axis from `first` on."""
    x, indices = inputs[:2]
    if x is None or x.rank is None or indices is None or not indices.rank:
        return []
    return [Counted(1, 0, first + n, column=n) for n in range(depth_of(indices) or 0)]


class GatherNDV11(Op):
    """GatherND of opset 11, without batch dims."""

    tolerance = "exact"
    batch_dims = 0

    def infer(self, x: Type, indices: Type) -> Type:
        need_rank(x, 1)
        need_rank(indices, 1, what="the indices")
        if self.batch_dims < 0:
            raise refuse("E0341", "`batch_dims` must not be negative", self.batch_dims)
        each = depth_of(indices)
        if x.shape is None or indices.shape is None or each is None:
            return Type(x.dtype)
        depth = self.batch_dims + each
        if depth > len(x.shape) or self.batch_dims >= len(indices.shape):
            raise refuse("E0320", "the indices have too many subscripts", depth, len(x.shape))
        shared = zip(x.shape[: self.batch_dims], indices.shape[: self.batch_dims], strict=True)
        batch = [same_dim(a, b) for a, b in shared]
        return x.with_shape((*batch, *indices.shape[self.batch_dims : -1], *x.shape[depth:]))

    def reference(self, x: Array, indices: Array) -> Array:
        lead = np.indices(indices.shape[: self.batch_dims], sparse=True)
        ones = (1,) * (indices.ndim - 1 - self.batch_dims)
        at: list[Array] = [i.reshape(i.shape + ones) for i in lead]
        dims = x.shape[self.batch_dims :][: indices.shape[-1]]
        at += [wrapped(indices[..., n], d) for n, d in enumerate(dims)]
        return np.asarray(x[tuple(at)])

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        return columns(self.batch_dims, *inputs)

    def at(self, idx: Index, x: Operand, indices: Operand) -> Expr:
        lead = idx[: indices.rank - 1]
        depth = depth_of(indices.type)
        if depth is None:
            raise NotImplementedError("only a run tells how many subscripts there are")
        inner = [
            wrap(as_index(indices[(*lead, const(n))]), x.shape[self.batch_dims + n])
            for n in range(depth)
        ]
        return x[(*lead[: self.batch_dims], *inner, *idx[indices.rank - 1 :])]


class GatherND(GatherNDV11):
    """Slices of `x`, one for each row of subscripts in the indices' last axis."""

    since = 12
    batch_dims: int = 0

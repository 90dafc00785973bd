"""Ops that choose elements by a condition or by their place: Where, Trilu, OneHot and their kin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, eq, nonnegative, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Counted, Index, Op, Operand
from sardonyx.ops.base.element import settle, widen
from sardonyx.ops.base.found import Cut, FoundPlaces
from sardonyx.ops.base.given import whole
from sardonyx.ops.base.shapes import (
    as_index,
    axis_of,
    broadcast,
    check_size,
    common_dtype,
    like,
    need_rank,
    place,
    refuse,
    same_dims,
    unknown_dim,
)


def only(x: Operand) -> Expr:
    """The element of a tensor that has one."""
    return x[(const(0),) * x.rank]


class Where(Op):
    """x where the condition holds, else y; all three broadcast as numpy does."""

    since = 9
    tolerance = "exact"

    def infer(self, condition: Type, x: Type, y: Type) -> Type:
        return Type(common_dtype(x, y), broadcast(condition.shape, x.shape, y.shape))

    def reference(self, condition: Array, x: Array, y: Array) -> Array:
        return np.where(condition, x, y)

    def at(self, idx: Index, condition: Operand, x: Operand, y: Operand) -> Expr:
        return where(condition.broadcast(idx), x.broadcast(idx), y.broadcast(idx))


class Trilu(Op):
    """The elements on and above diagonal `k` of every matrix, or on and below it, else 0."""

    since = 14
    tolerance = "exact"
    upper: int = 1

    def express(self, write: Body, opset: int, x: Value, k: Value | None = None) -> Any:
        del opset
        rank = x.type.rank
        if rank is None:
            return "the rank is not known"
        zero, one = (write.constant(np.int64(n)) for n in (0, 1))
        rows, columns = (write("Range", zero, write.size(x, rank - n), one) for n in (2, 1))
        edge = write("Unsqueeze", rows, write.ints(1))
        if k is not None:
            edge = write("Add", edge, k)
        outside = write("Less" if self.upper else "Greater", columns, edge)
        return write("Where", outside, write.number(0, x), x)

    def infer(self, x: Type, k: Type | None = None) -> Type:
        del k
        need_rank(x, 2)
        return like(x)

    def reference(self, x: Array, k: Array | None = None) -> Array:
        diagonal = 0 if k is None else whole(k, "the diagonal")
        rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
        gap = columns - rows
        kept = gap >= diagonal if self.upper else gap <= diagonal
        return np.where(kept, x, np.zeros((), x.dtype))

    def at(self, idx: Index, x: Operand, k: Operand | None = None) -> Expr:
        diagonal = const(0) if k is None else as_index(only(k))
        gap = idx[-1] - idx[-2]
        return where(diagonal <= gap if self.upper else gap <= diagonal, x[idx], 0)


class EyeLike(Op):
    """A matrix of the input's shape with 1 on diagonal `k`, else 0."""

    since = 9
    tolerance = "exact"
    dtype: int | None = None
    k: int = 0

    def _dtype(self, given: DType | None) -> DType | None:
        return given if self.dtype is None else DType.from_onnx(self.dtype)

    def infer(self, x: Type) -> Type:
        need_rank(x, 2, 2)
        return Type(self._dtype(x.dtype), x.shape)

    def reference(self, x: Array) -> Array:
        dtype = self._dtype(DType.from_numpy(x.dtype))
        assert dtype is not None
        rows, columns = x.shape
        return settle(np.eye(rows, columns, self.k), dtype.numpy)

    def at(self, idx: Index, x: Operand) -> Expr:
        dtype = self._dtype(x.dtype)
        assert dtype is not None
        return where(eq(idx[1] - idx[0], self.k), const(1, dtype), 0)


class OneHot(Op):
    """values[1] where the subscript on the new axis is the index, else values[0].

    An index outside [-depth, depth) is found nowhere.
    """

    since = 9
    tolerance = "exact"
    axis: int = -1

    def infer(self, indices: Type, depth: Type, values: Type) -> Type:
        need_rank(values, 1, 1, "values")
        same_dims(values, (const(2),), "values")
        if indices.shape is None:
            return Type(values.dtype)
        axis = axis_of(self.axis, len(indices.shape) + 1)
        size = unknown_dim("depth")
        if depth.value:
            known = depth.value[0]
            if known.is_const and not math.isfinite(known.arg):
                raise refuse("E0325", "the depth is no number", known.arg)
            size = const(int(known.arg)) if known.is_const else as_index(known)
        return Type(values.dtype, (*indices.shape[:axis], size, *indices.shape[axis:]))

    def reference(self, indices: Array, depth: Array, values: Array) -> Array:
        axis = axis_of(self.axis, indices.ndim + 1)
        count = whole(depth, "the depth")
        if count < 0:
            raise InvalidArgument("E0211", "a negative depth", given=count)
        shape = list(indices.shape)
        shape.insert(axis, count)
        check_size(DType.from_numpy(values.dtype), shape)
        at = widen(indices).astype(np.int64)
        at = np.expand_dims(np.where(at < 0, at + count, at), axis)
        line = np.arange(count).reshape([-1 if n == axis else 1 for n in range(len(shape))])
        return np.asarray(values[(at == line).astype(np.int64)])

    def at(self, idx: Index, indices: Operand, depth: Operand, values: Operand) -> Expr:
        del depth
        axis = axis_of(self.axis, len(idx))
        at = as_index(indices[(*idx[:axis], *idx[axis + 1 :])])
        at = where(at < 0, at + idx.shape[axis], at)
        return where(eq(at, idx[axis]), values[1], values[0])


class Compress(Op):
    """The slices along `axis` (the elements, where there is none) for which the condition holds."""

    since = 9
    tolerance = "exact"
    axis: int | None = None

    def infer(self, x: Type, condition: Type) -> Type:
        need_rank(condition, 1, 1, "the condition")
        if self.axis is None:
            return Type(x.dtype, (unknown_dim("compressed"),))
        if x.shape is None:
            return Type(x.dtype)
        axis = axis_of(self.axis, len(x.shape))
        return x.with_shape(place(x.shape, (axis,), (unknown_dim("compressed"),)))

    def reference(self, x: Array, condition: Array) -> Array:
        axis = None if self.axis is None else axis_of(self.axis, x.ndim)
        most = x.size if axis is None else x.shape[axis]
        if condition.size > most:
            raise InvalidArgument(
                "E0211", "the condition is too long", given=condition.size, wanted=most
            )
        return np.compress(condition, x, axis)

    def expand(self, graph: Graph, x: Value, condition: Value) -> Value | None:
        axis = None if self.axis is None else axis_of(self.axis, len(x.type.dims))
        most = x.type.count if axis is None else x.type.dims[axis]
        if not nonnegative(most - condition.type.count):
            return None
        body = Body(graph, "compress")
        places = body("NonZero", condition)
        flat = x if axis is not None else body.reshape(x, (-1,))
        return body("Gather", flat, body.reshape(places, (-1,)), axis=axis or 0)


class NonZero(Op):
    """The subscripts of the elements that are not 0, one column for each, in row-major order."""

    since = 9
    tolerance = "exact"

    def infer(self, x: Type) -> Type:
        rows = unknown_dim("rank") if x.rank is None else const(x.rank)
        return Type(DType.INT64, (rows, unknown_dim("nonzero")))

    def reference(self, x: Array) -> Array:
        if x.ndim == 0:
            return np.zeros((0, int(bool(x))), np.int64)
        return np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)

    def expand(self, graph: Graph, x: Value) -> Value | None:
        if not x.type.rank or x.dtype is None or x.dtype.is_string:
            return None
        body = Body(graph, "nonzero")
        return body(Cut(axis=1), *body.all(FoundPlaces(), x))


class ReverseSequence(Op):
    """For each batch, the first sequence_lens[batch] elements along the time axis reversed."""

    since = 10
    tolerance = "exact"
    batch_axis: int = 1
    time_axis: int = 0

    def infer(self, x: Type, lengths: Type) -> Type:
        need_rank(x, 2)
        need_rank(lengths, 1, 1, "sequence_lens")
        if {self.batch_axis, self.time_axis} != {0, 1}:
            given = (self.batch_axis, self.time_axis)
            raise refuse("E0325", "one axis must be 0 and the other 1", given)
        if x.shape is not None:
            same_dims(lengths, (x.shape[self.batch_axis],), "sequence_lens")
        return like(x)

    def reference(self, x: Array, lengths: Array) -> Array:
        steps = x.shape[self.time_axis]
        if lengths.size != x.shape[self.batch_axis] or not np.all(
            (lengths >= 0) & (lengths <= steps)
        ):
            raise InvalidArgument("E0211", "a length does not fit", given=lengths, wanted=steps)
        out = x.copy()
        for batch, length in enumerate(lengths.tolist()):
            head = (batch, slice(0, length)) if self.batch_axis == 0 else (slice(0, length), batch)
            out[head] = x[head][::-1]
        return out

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        del inputs
        return [Counted(1, 0, self.time_axis, from_end=False, ends=True)]

    def at(self, idx: Index, x: Operand, lengths: Operand) -> Expr:
        i = idx[self.time_axis]
        length = as_index(lengths[idx[self.batch_axis]])
        # A length beyond the axis would read out of bounds.
        mirrored = where(i < length, length - 1 - i, i)
        mirrored = where(mirrored < x.shape[self.time_axis], mirrored, i)
        return x[place(idx, (self.time_axis,), (mirrored,))]

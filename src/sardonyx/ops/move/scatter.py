"""Ops that write elements at subscripts held in a tensor.

`reference` raises E0210 for a subscript out of range. Where two updates meet one element and there
is no reduction, the later one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import INDEX, Expr, binary, const, fresh, minimum, number, product, scalar
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Counted, Op
from sardonyx.loops.ir import For, If, Kernel, Let, Stmt, Store
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.given import wrapped
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import (
    as_index,
    axis_of,
    common_dtype,
    like,
    need_rank,
    ravel,
    refuse,
    same_dims,
    unravel,
    wrap,
)
from sardonyx.ops.move.gather import along, columns, depth_of, inside_but_for

# Elements of a slice that one thread writes.
_BLOCK = 4096

_UFUNCS: dict[str, Any] = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


@quiet
def updated(x: Array, at: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    """`x` with the updates written at the subscripts, or combined with what is there."""
    try:
        if reduction == "none":
            out = x.copy()
            out[at] = updates
            return out
        out = widen(x).copy()
        _UFUNCS[reduction].at(out, at, widen(updates))
    except (IndexError, ValueError) as error:
        raise InvalidArgument("E0211", f"the updates do not fit: {error}") from None
    return settle(out, x.dtype)


def check_reduction(reduction: str) -> None:
    """E0325 for an unknown reduction."""
    if reduction not in ("none", *_UFUNCS):
        raise refuse("E0325", "an unknown reduction", reduction, ", ".join(("none", *_UFUNCS)))


def _put(memory: Memory, reduction: str, place: Expr, update: Expr) -> Store:
    """An update written, or combined with what is there."""
    if reduction != "none":
        update = binary(reduction, memory.read(0, place), update)
    return Store(0, place, update)


def _exact(reduction: str, x: Type | None) -> bool:
    """Whether element by element gives what the reference does, which keeps sums wider."""
    if x is None or x.dtype is None or x.dtype.is_bool:
        return reduction == "none"
    return reduction == "none" or x.dtype not in (DType.FLOAT16, DType.BFLOAT16)


class ScatterElementsV11(Op):
    """ScatterElements of opsets 11 to 15, without a reduction."""

    tolerance = "exact"
    reduction = "none"
    axis: int = 0

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        check_reduction(self.reduction)
        inside_but_for(self.axis, x, indices)
        if indices.shape is not None:
            same_dims(updates, indices.shape, "the updates")
        return like(x, common_dtype(x, updates))

    def express(self, write: Body, opset: int, *inputs: Value) -> Value | None:
        if self.reduction != "none" or opset < Scatter.since:
            return None
        kind = ScatterElementsV11 if opset >= ScatterElementsV11.since else Scatter
        return write(kind(axis=self.axis), *inputs)

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        at: list[Array] = list(np.indices(indices.shape, sparse=True))
        at[axis] = wrapped(indices, x.shape[axis])
        return updated(x, tuple(at), updates, self.reduction)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        return along(self.axis, inputs[0])

    def build(self, outs: tuple[Type, ...], x: Type, indices: Type, updates: Type) -> Kernel | None:
        if not _exact(self.reduction, x):
            return None
        axis, memory = axis_of(self.axis, len(x.dims)), Memory(outs, (x, indices, updates))
        outer, slab = product(x.dims[:axis]), product(x.dims[axis:])
        task, j, k = fresh(outer), fresh(slab), fresh(indices.dims[axis])
        inner = fresh(product(indices.dims[axis + 1 :]))
        lead = unravel(task, x.dims[:axis])
        after = unravel(inner, indices.dims[axis + 1 :])
        at = ravel((*lead, k, *after), indices.dims)
        found = scalar("at", INDEX)
        subscript = wrap(as_index(memory.read(2, at)), x.dims[axis])
        place = ravel((*lead, found, *after), x.dims)
        update = _put(memory, self.reduction, place, memory.read(3, at))
        put: Stmt = For(k, (For(inner, (Let(found, subscript), update)),))
        sides = zip(lead, indices.dims, x.dims, strict=False)
        fewer = [(i, d) for i, d, n in sides if d is not n]
        if fewer:
            put = If(both([i < d for i, d in fewer]), (put,))
        same = Store(0, task * slab + j, memory.read(1, task * slab + j))
        return memory.kernel(For(task, (For(j, (same,), "vector"), put), "parallel"))


class ScatterElements(ScatterElementsV11):
    """`x` with each update at its own place but for the subscript along `axis`, an index."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"

    def needs(self, *inputs: Any) -> int:
        del inputs
        return 18 if self.reduction in ("max", "min") else 1


class Scatter(ScatterElementsV11):
    """The name of ScatterElements in opsets 9 and 10."""

    since = 9
    ended = 11


class ScatterNDV11(Op):
    """ScatterND of opsets 11 to 15, without a reduction."""

    tolerance = "exact"
    reduction = "none"

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        check_reduction(self.reduction)
        need_rank(x, 1)
        need_rank(indices, 1, what="the indices")
        depth = depth_of(indices)
        if x.shape is not None and depth is not None:
            if depth > len(x.shape):
                raise refuse("E0320", "the indices have too many subscripts", depth, len(x.shape))
            same_dims(updates, (*indices.dims[:-1], *x.shape[depth:]), "the updates")
        return like(x, common_dtype(x, updates))

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        depth = indices.shape[-1]
        if depth > x.ndim:
            raise InvalidArgument("E0211", "too many subscripts", given=depth, wanted=x.ndim)
        at = tuple(wrapped(indices[..., n], x.shape[n]) for n in range(depth))
        return updated(x, at, updates, self.reduction)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        return columns(0, *inputs)

    def build(self, outs: tuple[Type, ...], x: Type, indices: Type, updates: Type) -> Kernel | None:
        depth = depth_of(indices)
        if depth is None or not _exact(self.reduction, x):
            return None
        memory = Memory(outs, (x, indices, updates))
        width = product(x.dims[depth:])
        # Updates may meet: threads share what each of them writes, not the updates.
        task = fresh((width + (_BLOCK - 1)) // _BLOCK)
        begin = task * _BLOCK
        j = fresh(minimum(width - begin, const(_BLOCK)))
        row, n = fresh(product(x.dims[:depth])), fresh(product(indices.dims[:-1]))
        lets: list[Stmt] = []
        for d in range(depth):
            subscript = wrap(as_index(memory.read(2, n * depth + d)), x.dims[d])
            lets.append(Let(scalar(f"at{d}", INDEX), subscript))
        first = ravel([s.var for s in lets if isinstance(s, Let)], x.dims[:depth])
        place = first * width + begin + j
        put = _put(memory, self.reduction, place, memory.read(3, n * width + begin + j))
        old = row * width + begin + j
        copy: Stmt = For(row, (For(j, (Store(0, old, memory.read(1, old)),), "vector"),))
        if (number(width) or _BLOCK + 1) <= _BLOCK:
            every = fresh(x.count)
            copy = For(every, (Store(0, every, memory.read(1, every)),), "vector")
        return memory.kernel(
            For(task, (copy, For(n, (*lets, For(j, (put,), "vector")))), "parallel")
        )


class ScatterND(ScatterNDV11):
    """`x` with slices written at the rows of subscripts in the indices' last axis."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"

    def needs(self, *inputs: Any) -> int:
        del inputs
        return 18 if self.reduction in ("max", "min") else 1

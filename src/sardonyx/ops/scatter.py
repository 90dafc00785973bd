"""Ops that write elements at subscripts held in a tensor.

`reference` raises E0210 for a subscript out of range. Where two updates meet one element and there
is no reduction, the later one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, binary, const, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.element import Array, quiet, settle, widen
from sardonyx.ops.gather import wrapped
from sardonyx.ops.shapes import (
    as_index,
    axis_of,
    clamp,
    common_dtype,
    like,
    need_rank,
    place,
    refuse,
    same_dim,
)

_UFUNCS: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


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


@dataclass(frozen=True)
class ScatterElementsV11(Op):
    """ScatterElements of opsets 11 to 15, without a reduction."""

    name = "ScatterElements"
    since = 11
    tolerance = "exact"
    axis: int = 0

    @property
    def how(self) -> str:
        """How an update is combined with what is there."""
        return "none"

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        check_reduction(self.how)
        if x.rank is not None:
            axis_of(self.axis, x.rank)
            need_rank(indices, x.rank, x.rank, "the indices")
            need_rank(updates, x.rank, x.rank, "the updates")
        return like(x, common_dtype(x, updates))

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        at: list[Array] = list(np.indices(indices.shape, sparse=True))
        at[axis] = wrapped(indices, x.shape[axis])
        return updated(x, tuple(at), updates, self.how)


@dataclass(frozen=True)
class ScatterElements(ScatterElementsV11):
    """`x` with each update at its own place but for the subscript along `axis`, an index."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"

    @property
    def how(self) -> str:
        return self.reduction


class Scatter(ScatterElementsV11):
    """The name of ScatterElements in opsets 9 and 10."""

    since = 9


class ScatterNDV11(Op):
    """ScatterND of opsets 11 to 15, without a reduction."""

    name = "ScatterND"
    since = 11
    tolerance = "exact"

    @property
    def how(self) -> str:
        """How an update is combined with what is there."""
        return "none"

    def infer(self, x: Type, indices: Type, updates: Type) -> Type:
        check_reduction(self.how)
        need_rank(x, 1)
        need_rank(indices, 1, what="the indices")
        return like(x, common_dtype(x, updates))

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        depth = indices.shape[-1]
        if depth > x.ndim:
            raise InvalidArgument("E0211", "too many subscripts", given=depth, wanted=x.ndim)
        at = tuple(wrapped(indices[..., n], x.shape[n]) for n in range(depth))
        return updated(x, at, updates, self.how)


@dataclass(frozen=True)
class ScatterND(ScatterNDV11):
    """`x` with slices written at the rows of subscripts in the indices' last axis."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"

    @property
    def how(self) -> str:
        return self.reduction


@dataclass(frozen=True)
class TensorScatter(Op):
    """A cache with new elements along `axis`, from write_indices[batch] on.

    In mode "circular" they go on at the start of the axis, in "linear" they must fit.
    """

    since = 24
    tolerance = "exact"
    axis: int = -2
    mode: str = "linear"

    def _along(self, rank: int) -> int:
        axis = axis_of(self.axis, rank)
        if axis == 0:
            raise refuse("E0325", "axis 0 is the batch", self.axis)
        return axis

    def infer(self, cache: Type, update: Type, starts: Type | None = None) -> Type:
        del starts
        if self.mode not in ("linear", "circular"):
            raise refuse("E0325", "an unknown mode", self.mode, "linear or circular")
        if cache.shape is not None and update.shape is not None:
            axis = self._along(len(cache.shape))
            need_rank(update, len(cache.shape), len(cache.shape), "the update")
            for n, (a, b) in enumerate(zip(cache.shape, update.shape, strict=True)):
                if n != axis:
                    same_dim(a, b)
        return like(cache, common_dtype(cache, update))

    def reference(self, cache: Array, update: Array, starts: Array | None = None) -> Array:
        axis = self._along(cache.ndim)
        out = cache.copy()
        first: Sequence[int] = [0] * cache.shape[0] if starts is None else starts.tolist()
        for batch, start in enumerate(first):
            at = start + np.arange(update.shape[axis])
            if self.mode == "circular":
                at %= cache.shape[axis]
            rows = np.moveaxis(out[batch], axis - 1, 0)
            rows[wrapped(at, cache.shape[axis])] = np.moveaxis(update[batch], axis - 1, 0)
        return out

    def at(
        self, idx: Index, cache: Operand, update: Operand, starts: Operand | None = None
    ) -> Expr:
        axis = self._along(cache.rank)
        start = const(0) if starts is None else as_index(starts[idx[0]])
        step = idx[axis] - start
        if self.mode == "circular":
            step = step % cache.shape[axis]
        length = update.shape[axis]
        inside = binary("and", const(0) <= step, step < length)
        new = update[place(idx, (axis,), (clamp(step, 0, length - 1),))]
        return where(inside, new, cache[idx])

"""Ops that write elements at subscripts held in a tensor.

`reference` raises E0210 for a subscript out of range. Where two updates meet one element and there
is no reduction, the later one wins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import axis_of, common_dtype, like, need_rank, refuse, same_dims
from sardonyx.ops.move.gather import inside_but_for, wrapped

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

    def reference(self, x: Array, indices: Array, updates: Array) -> Array:
        axis = axis_of(self.axis, x.ndim)
        at: list[Array] = list(np.indices(indices.shape, sparse=True))
        at[axis] = wrapped(indices, x.shape[axis])
        return updated(x, tuple(at), updates, self.reduction)


class ScatterElements(ScatterElementsV11):
    """`x` with each update at its own place but for the subscript along `axis`, an index."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"


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
        depth = number(indices.dims[-1]) if indices.shape else None
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


class ScatterND(ScatterNDV11):
    """`x` with slices written at the rows of subscripts in the indices' last axis."""

    since = 16
    tolerance = "reduction"
    reduction: str = "none"

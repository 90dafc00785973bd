"""Ops that repeat elements: Expand and Tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import (
    broadcast,
    check_size,
    known,
    length_of,
    refuse,
    text,
    unknown_dim,
    unknown_dims,
)


class Expand(Op):
    """The input broadcast with a shape, as numpy does; both may have dims of 1."""

    since = 8
    tolerance = "exact"
    traits = Trait.SELECTS

    def infer(self, x: Type, shape: Type) -> Type:
        wanted = known(shape)
        if wanted is None:
            count = length_of(shape)
            if count is None or x.rank is None:
                return Type(x.dtype)
            return Type(x.dtype, unknown_dims("dim", max(count, x.rank)))
        return Type(x.dtype, broadcast(x.shape, wanted))

    def reference(self, x: Array, shape: Array) -> Array:
        wanted = tuple(int(d) for d in shape.reshape(-1))
        try:
            out = np.broadcast_shapes(x.shape, wanted)
        except ValueError:
            raise InvalidArgument(
                "E0211", "the shapes cannot be broadcast", given=list(x.shape), wanted=list(wanted)
            ) from None
        check_size(DType.from_numpy(x.dtype), out)
        return np.broadcast_to(x, out)

    def at(self, idx: Index, x: Operand, shape: Operand) -> Expr:
        del shape
        return x.broadcast(idx)


class Tile(Op):
    """The input repeated along every axis."""

    since = 6
    tolerance = "exact"

    def infer(self, x: Type, repeats: Type) -> Type:
        if x.shape is None:
            count = length_of(repeats)
            dims = None if count is None else unknown_dims("dim", count)
            return Type(x.dtype, dims)
        times = known(repeats)
        if times is None:
            return Type(x.dtype, tuple(unknown_dim("dim") for _ in x.shape))
        if len(times) != len(x.shape):
            raise refuse("E0320", "repeats needs a number for each dim", text(times), text(x.shape))
        return x.with_shape(d * n for d, n in zip(x.shape, times, strict=True))

    def reference(self, x: Array, repeats: Array) -> Array:
        return _tiled(x, [int(n) for n in repeats.reshape(-1)])

    def at(self, idx: Index, x: Operand, repeats: Operand) -> Expr:
        del repeats
        return x[[i % d for i, d in zip(idx, x.shape, strict=True)]]


def _tiled(x: Array, times: Sequence[int]) -> Array:
    if len(times) != x.ndim or min(times, default=0) < 0:
        raise InvalidArgument("E0211", "repeats do not fit the dims", given=times, wanted=x.ndim)
    check_size(DType.from_numpy(x.dtype), [d * n for d, n in zip(x.shape, times, strict=True)])
    return np.tile(x, times)


class TileV1(Op):
    """Tile of opset 1: the input repeated along one axis."""

    tolerance = "exact"
    redefined = (6,)

    def infer(self, x: Type, tiles: Type, axis: Type) -> Type:
        times, along = known(tiles), known(axis)
        if x.shape is None:
            return Type(x.dtype)
        if not times or not along or not along[0].is_const:
            return Type(x.dtype, tuple(unknown_dim("dim") for _ in x.shape))
        n = along[0].arg
        return x.with_shape(d * times[0] if i == n else d for i, d in enumerate(x.shape))

    def reference(self, x: Array, tiles: Array, axis: Array) -> Array:
        at = int(axis.reshape(-1)[0])
        return _tiled(x, [int(tiles.reshape(-1)[0]) if n == at else 1 for n in range(x.ndim)])

    def at(self, idx: Index, x: Operand, tiles: Operand, axis: Operand) -> Expr:
        del tiles, axis
        return x[[i % d for i, d in zip(idx, x.shape, strict=True)]]

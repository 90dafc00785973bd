"""Sampling at the points of a grid (GridSample), and grids of affine maps (AffineGrid)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import INDEX, Expr, cast, const, minimum, mod, number, unary, where
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.given import wholes
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import (
    check_size,
    known,
    need_rank,
    refuse,
    same_dim,
    same_shape,
    unknown_dims,
)
from sardonyx.ops.resample.interpolation import cubic_weights, within

_MODES = {"bilinear": "linear", "bicubic": "cubic"}
_PADDINGS = ("zeros", "border", "reflection")
_SHARPNESS = -0.75
_FAR = float(1 << 22)


class GridSampleV16(Op):
    """The input at the points that a grid gives in [-1, 1], the last axis first."""

    tolerance = "reduction"
    align_corners: int = 0
    mode: str = "bilinear"
    padding_mode: str = "zeros"

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del inputs
        if opset == 20:
            names = {"bilinear": "linear", "bicubic": "cubic"}
            given["mode"] = names.get(given["mode"], given["mode"])
        return None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        x = inputs[0]
        if x is None or x.type.rank != 4:
            return "before opset 20 it samples pictures only"
        names = {"linear": "bilinear", "cubic": "bicubic"}
        given["mode"] = names.get(given["mode"], given["mode"])
        return None

    @property
    def way(self) -> str:
        """nearest, linear or cubic."""
        return _MODES.get(self.mode, self.mode)

    def infer(self, x: Type, grid: Type) -> Type:
        if self.way not in ("nearest", "linear", "cubic"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "nearest, linear, cubic")
        if self.padding_mode not in _PADDINGS:
            wanted = ", ".join(_PADDINGS)
            raise refuse("E0341", "`padding_mode` is unknown", self.padding_mode, wanted)
        need_rank(x, 3)
        if x.shape is None or grid.shape is None:
            return Type(x.dtype)
        need_rank(grid, len(x.shape), len(x.shape), "the grid")
        same_dim(grid.shape[-1], const(len(x.shape) - 2))
        batch = same_dim(x.shape[0], grid.shape[0])
        return Type(x.dtype, (batch, x.shape[1], *grid.shape[1:-1]))

    @quiet
    def reference(self, x: Array, grid: Array) -> Array:
        a, points = widen(x), widen(grid)
        if a.dtype.kind != "f":
            a = a.astype(np.float64)
        rows = [self._taps(points[..., -1 - n], a.shape[2 + n]) for n in range(x.ndim - 2)]
        batch = np.arange(len(a)).reshape(-1, *[1] * (x.ndim - 2))
        y = np.zeros((len(a), *grid.shape[1:-1], a.shape[1]), a.dtype)
        for taps in itertools.product(*rows):
            weight = np.ones(grid.shape[:-1], a.dtype)
            for _, w in taps:
                weight = weight * w
            spots: tuple[Any, ...] = (batch, slice(None), *(at for at, _ in taps))
            picked = a[spots]
            y = y + picked * weight[..., None].astype(a.dtype)
        y = np.moveaxis(y, -1, 1)
        return settle(np.rint(y) if x.dtype.kind in "iu" else y, x.dtype)

    def _taps(self, p: Array, length: int) -> list[tuple[Array, Array]]:
        """(positions, weights) of every tap along one axis."""
        one = p.dtype.type(1)
        if self.align_corners:
            x = (p + one) / 2 * (length - 1)
        else:
            x = ((p + one) * length - one) / 2
        x = np.clip(np.nan_to_num(x, nan=-_FAR), -_FAR, _FAR)
        if self.way == "nearest":
            weights, first = [np.ones_like(x)], np.rint(x)
        else:
            first = np.floor(x)
            t = x - first
            weights = [1 - t, t] if self.way == "linear" else cubic_weights(t, _SHARPNESS)
            first = first - (self.way == "cubic")
        out = []
        for k, w in enumerate(weights):
            at = first.astype(np.int64) + k
            if self.padding_mode == "zeros":
                w = np.where((at >= 0) & (at < length), w, 0)
            elif self.padding_mode == "reflection":
                at = self._reflected(at, length)
            out.append((np.clip(at, 0, length - 1), w))
        return out

    def _reflected(self, at: Array, length: int) -> Array:
        period = 2 * (length - 1) if self.align_corners else 2 * length
        m = at % max(1, period)
        return np.asarray(np.minimum(m, period - m if self.align_corners else period - 1 - m))

    def at(self, idx: Index, x: Operand, grid: Operand) -> Expr:
        rank = x.rank - 2
        if x.dtype.is_int:
            raise NotImplementedError("GridSample of integers has no native code yet")
        point = (idx[0], *idx[2:])
        rows = [
            self._taps_at(lift(grid[(*point, rank - 1 - n)]), x.shape[2 + n]) for n in range(rank)
        ]
        terms = []
        for taps in itertools.product(*rows):
            value = lift(x[(idx[0], idx[1], *(at for at, _, _ in taps))])
            inside = both([i for _, _, seen in taps for i in seen])
            for _, w, _ in taps:
                value = value * cast(w, value.dtype)
            terms.append(where(inside, value, 0.0))
        out = terms[0]
        for t in terms[1:]:
            out = out + t
        return cast(out, x.dtype)

    def _taps_at(self, p: Expr, length: Expr) -> list[tuple[Expr, Expr, list[Expr]]]:
        """(position, weight, conditions) of every tap along one axis."""
        extent = cast(length, p.dtype)
        x = (
            (p + 1.0) / 2.0 * (extent - 1.0)
            if self.align_corners
            else (((p + 1.0) * extent - 1.0) / 2.0)
        )
        x = where(x.like(-_FAR) < x, where(x < _FAR, x, x.like(_FAR)), x.like(-_FAR))
        if self.way == "nearest":
            weights, base = [x.like(1.0)], unary("round", x)
        else:
            base = unary("floor", x)
            t = x - base
            weights = [1.0 - t, t] if self.way == "linear" else cubic_weights(t, _SHARPNESS)
        first = cast(base, INDEX) - (1 if self.way == "cubic" else 0)
        out = []
        for k, w in enumerate(weights):
            at, seen = first + k, list[Expr]()
            if self.padding_mode == "zeros":
                seen = [const(0) <= at, at < length]
            elif self.padding_mode == "reflection":
                at = self._reflected_at(at, length)
            out.append((within(at, length), w, seen))
        return out

    def _reflected_at(self, at: Expr, length: Expr) -> Expr:
        period = (length - 1) * 2 if self.align_corners else length * 2
        m = mod(at, where(period < 1, const(1), period))
        return minimum(m, period - m if self.align_corners else period - 1 - m)


class GridSample(GridSampleV16):
    """GridSample over any number of axes, with the modes' general names."""

    since = 20
    mode: str = "linear"


class AffineGrid(Op):
    """The points to which affine maps `theta` send the points of a regular grid in [-1, 1]."""

    since = 20
    tolerance = "reduction"
    align_corners: int = 0

    def infer(self, theta: Type, size: Type) -> Type:
        need_rank(theta, 3, 3, "theta")
        dims = known(size)
        if dims is not None and len(dims) < 3:
            raise refuse("E0325", "a grid has a batch, channels and places", len(dims), "3 or more")
        rank = None if theta.shape is None else number(theta.shape[1])
        if dims is None and rank is None:
            return Type(theta.dtype)
        count = len(dims) - 2 if dims is not None else rank or 2
        if dims is None:
            dims = unknown_dims("grid", count + 2)
        if theta.shape is not None:
            same_shape(theta.shape, (dims[0], const(count), const(count + 1)))
        return Type(theta.dtype, (dims[0], *dims[2:], const(count)))

    @quiet
    def reference(self, theta: Array, size: Array) -> Array:
        batch, _, *lengths = wholes(size, theta.shape[1] + 2, "the dims of the grid")
        wanted = (batch, len(lengths), len(lengths) + 1)
        if theta.shape != wanted:
            raise InvalidArgument("E0211", "theta does not fit", given=theta.shape, wanted=wanted)
        check_size(DType.FLOAT64, (math.prod(lengths), len(lengths) + 1))
        lines = [self._line(n) for n in lengths]
        mesh = np.meshgrid(*lines, indexing="ij")
        points = np.stack([*reversed(mesh), np.ones(lengths)], axis=-1)
        points = points.reshape(-1, len(lengths) + 1)
        made = np.matmul(points.astype(widen(theta).dtype), widen(theta).swapaxes(1, 2))
        return settle(made.reshape(len(theta), *lengths, len(lengths)), theta.dtype)

    def _line(self, length: int) -> Array:
        at = np.arange(length)
        if self.align_corners:
            return at * (2 / (length - 1)) - 1 if length > 1 else np.zeros(length)
        return (at * 2 + 1) / length - 1

    def at(self, idx: Index, theta: Operand, size: Operand) -> Expr:
        del size
        row, spatial = idx[-1], tuple(idx[1:-1])
        rank = len(spatial)
        dtype = lift(theta[(idx[0], row, 0)]).dtype
        out = lift(theta[(idx[0], row, rank)])
        for n, i in enumerate(reversed(spatial)):
            length = idx.shape[rank - n]
            point = self._point(cast(i, dtype), cast(length, dtype), length)
            out = out + lift(theta[(idx[0], row, n)]) * point
        return cast(out, theta.dtype)

    def _point(self, i: Expr, extent: Expr, length: Expr) -> Expr:
        if not self.align_corners:
            return (i * 2.0 + 1.0) / extent - 1.0
        last = where(length < 2, extent, extent - 1.0)
        return where(length < 2, extent.like(0.0), i * 2.0 / last - 1.0)

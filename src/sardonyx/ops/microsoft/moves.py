"""Operators that move elements, as the standard's do under other names or with more forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import INDEX, Expr, cast, const, number, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Counted, Index, Op, Operand
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.given import wrapped
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import (
    axis_of,
    known_ints,
    need_rank,
    refuse,
    same_dims,
    unknown_dim,
    wrap,
)
from sardonyx.ops.elementwise.select import Trilu as StandardTrilu
from sardonyx.ops.microsoft.composed import DOMAIN, Composed, Made, Results, like
from sardonyx.ops.move.gather import GatherNDV11
from sardonyx.ops.resample.grid import GridSampleV16
from sardonyx.ops.resample.interpolation import within


class Trilu(StandardTrilu):
    """The standard's."""

    domain = DOMAIN
    since = 1


class GatherND(GatherNDV11):
    """The standard's of opset 11."""

    domain = DOMAIN
    since = 1


class GridSample(GridSampleV16):
    """The standard's of opset 16."""

    domain = DOMAIN
    since = 1


class Pad(Composed):
    """The standard's; the pads may be a row of a matrix."""

    mode: str = "constant"

    def compose(self, body: Body, x: Value, pads: Value, value: Made = None) -> Value:
        flat = pads if len(pads.type.dims) == 1 else body.reshape(pads, (-1,))
        return body("Pad", x, flat, value, mode=self.mode)


class Range(Composed):
    """The standard's, of tensors of one element and with a step of 1 where none is given."""

    def compose(self, body: Body, start: Value, limit: Value, delta: Made = None) -> Value:
        step = like(body, start, 1) if delta is None else delta
        return body("Range", *(body.reshape(v, ()) for v in (start, limit, step)))


class ExpandDims(Composed):
    """Unsqueeze by one axis."""

    def compose(self, body: Body, x: Value, axis: Value) -> Value:
        return body("Unsqueeze", x, body.reshape(body("Cast", axis, to=7), (1,)))


class Unique(Composed):
    """The distinct elements in the order of their appearance, which one each is, their counts."""

    def compose(self, body: Body, x: Value) -> Results:
        y, _, which, counts = body.all("Unique", x, sorted=0, outputs=4)
        return y, which, counts


class SampleOp(Composed):
    """The input."""

    def compose(self, body: Body, x: Value) -> Value:
        return body("Identity", x)


class UnfoldTensor(Op, kw_only=True):
    """All slices of `size` along an axis, `step` apart, their elements on an axis of its own."""

    domain = DOMAIN
    since = 1
    tolerance = "exact"
    dim: int = -1
    size: int
    step: int = 1

    def infer(self, x: Type) -> Type:
        if self.size < 1 or self.step < 1:
            raise refuse("E0341", "`size` and `step` must be 1 or more", (self.size, self.step))
        if x.shape is None:
            return Type(x.dtype)
        axis = axis_of(self.dim, len(x.shape))
        count = (x.shape[axis] - self.size) // self.step + 1
        if (number(count) or 1) < 1:
            raise refuse("E0341", "`size` is larger than the axis", self.size, x)
        return x.with_shape((*x.shape[:axis], count, *x.shape[axis + 1 :], self.size))

    def reference(self, x: Array) -> Array:
        axis = axis_of(self.dim, x.ndim)
        every = np.lib.stride_tricks.sliding_window_view(x, self.size, axis)
        return every[(slice(None),) * axis + (slice(None, None, self.step),)].copy()

    def at(self, idx: Index, x: Operand) -> Expr:
        axis = axis_of(self.dim, x.rank)
        return x[(*idx[:axis], idx[axis] * self.step + idx[-1], *idx[axis + 1 : -1])]


class CropAndResize(Op):
    """Boxes [y1, x1, y2, x2] of images, in their own coordinates from 0 to 1, at one size."""

    domain = DOMAIN
    since = 1
    tolerance = "reduction"
    extrapolation_value: float = 0.0
    mode: str = "bilinear"

    def infer(self, x: Type, rois: Type, images: Type, size: Type) -> Type:
        if self.mode not in ("bilinear", "nearest"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "bilinear, nearest")
        need_rank(x, 4, 4)
        need_rank(rois, 2, 2, "rois")
        if x.shape is None or rois.shape is None:
            return Type(x.dtype)
        same_dims(rois, (rois.shape[0], const(4)), "rois")
        same_dims(images, rois.shape[:1], "batch_indices")
        wanted = known_ints(size)
        extent = [unknown_dim("crop") for _ in range(2)] if wanted is None else list(wanted)
        if len(extent) != 2 or (wanted is not None and min(wanted) < 1):
            raise refuse("E0341", "crop_size is no height and width", wanted)
        return x.with_shape((rois.shape[0], x.shape[1], *extent))

    @quiet
    def reference(self, x: Array, rois: Array, images: Array, size: Array) -> Array:
        made = np.full((len(rois), x.shape[1], *size.tolist()), self.extrapolation_value, x.dtype)
        batch = wrapped(images, len(x))
        for n, (top, left, bottom, right) in enumerate(widen(rois)):
            rows = _places(top, bottom, int(size[0]), x.shape[2])
            columns = _places(left, right, int(size[1]), x.shape[3])
            self._crop(widen(x)[batch[n]], rows, columns, made[n])
        return made

    def _crop(self, image: Array, rows: Array, columns: Array, out: Array) -> None:
        ys, xs = ((at >= 0) & (at <= dim - 1) for at, dim in zip(
            (rows, columns), image.shape[1:], strict=True))  # fmt: skip
        r, c = rows[ys], columns[xs]
        if self.mode == "nearest":
            found = image[:, _half_up(r)][:, :, _half_up(c)]
        else:
            found = _blend(_blend(image, r, 1), c, 2)
        out[np.ix_(np.arange(len(out)), np.flatnonzero(ys), np.flatnonzero(xs))] = found

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        del inputs
        return [Counted(indices=2, data=0, axis=0)]

    def at(self, idx: Index, x: Operand, rois: Operand, images: Operand, size: Operand) -> Expr:
        del size
        image = wrap(cast(images[idx[0]], INDEX), x.shape[0])
        taps, seen = [], []
        for n in range(2):
            place = self._place(idx, rois, n, x.shape[2 + n])
            seen += [place.like(0) <= place, place <= cast(x.shape[2 + n] - 1, place.dtype)]
            taps.append(self._taps(place, x.shape[2 + n]))
        total: Expr | None = None
        for row, row_share in taps[0]:
            for column, share in taps[1]:
                term = lift(x[(image, idx[1], row, column)]) * row_share * share
                total = term if total is None else total + term
        assert total is not None
        return cast(where(both(seen), total, total.like(self.extrapolation_value)), x.dtype)

    def _place(self, idx: Index, rois: Operand, n: int, dim: Expr) -> Expr:
        low, high = (lift(rois[(idx[0], const(n + 2 * k))]) for k in range(2))
        extent, count = cast(dim - 1, low.dtype), number(idx.shape[2 + n])
        if count == 1:
            return (low + high) * 0.5 * extent
        steps = cast(idx.shape[2 + n] - 1, low.dtype)
        return low * extent + cast(idx[2 + n], low.dtype) * ((high - low) * extent / steps)

    def _taps(self, place: Expr, dim: Expr) -> list[tuple[Expr, Expr]]:
        """(subscript, share) of what is read along one axis."""
        safe = where(place < 0.0, place.like(0), place)
        if self.mode == "nearest":
            return [(within(cast(unary("floor", safe + 0.5), INDEX), dim), place.like(1))]
        base = unary("floor", safe)
        share, first = safe - base, cast(base, INDEX)
        return [(within(first, dim), 1.0 - share), (within(first + 1, dim), share)]


def _places(low: Any, high: Any, count: int, dim: int) -> Array:
    extent: Any = low.dtype.type(dim - 1)
    if count == 1:
        return np.array([(low + high) * low.dtype.type(0.5) * extent])
    step: Any = (high - low) * extent / (count - 1)
    return np.asarray(low * extent + np.arange(count).astype(low.dtype) * step)


def _half_up(places: Array) -> Array:
    return np.asarray(np.floor(places + places.dtype.type(0.5))).astype(np.int64)


def _blend(image: Array, places: Array, axis: int) -> Array:
    base = np.floor(places)
    first = base.astype(np.int64)
    second = np.minimum(first + 1, image.shape[axis] - 1)
    share = (places - base).reshape(-1, *[1] * (image.ndim - axis - 1))
    return np.asarray(image.take(first, axis) * (1 - share) + image.take(second, axis) * share)


class Inverse(Op):
    """The inverses of the square matrices in the last two axes."""

    domain = DOMAIN
    since = 1
    tolerance = "reduction"

    def infer(self, x: Type) -> Type:
        need_rank(x, 2)
        if x.shape is not None:
            same_dims(x, (*x.shape[:-1], x.shape[-2]), "a matrix")
        return Type(x.dtype, x.shape)

    @quiet
    def reference(self, x: Array) -> Array:
        try:
            return settle(np.asarray(np.linalg.inv(widen(x))), x.dtype)
        except np.linalg.LinAlgError:
            return np.full(x.shape, np.nan, x.dtype)

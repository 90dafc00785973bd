"""Deformable convolution: every tap reads where an offset says."""

from __future__ import annotations

import itertools

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, cast, const, floordiv, mod, product, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.nest import both, filled
from sardonyx.ops.base.shapes import (
    clamp,
    common_dtype,
    divides,
    need_rank,
    refuse,
    same_dim,
    same_dims,
)
from sardonyx.ops.window.windows import Window, slide, whole


class DeformConv(Op):
    """A convolution whose taps move by offsets and are weighted by a mask; outside is zero."""

    since = 19
    tolerance = "reduction"
    traits = Trait.SLIDES
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    offset_group: int = 1
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def window(self, extent: tuple[int, ...], size: tuple[int, ...]) -> Window:
        """The window before its taps move."""
        dims = (tuple(map(const, d)) for d in (extent, size))
        return slide(*dims, strides=self.strides, dilations=self.dilations, pads=self.pads)

    def infer(self, x: Type, w: Type, offset: Type, *extras: Type | None) -> Type:
        need_rank(x, 3)
        dtype = common_dtype(x, w, offset, *extras)
        if x.shape is None or w.shape is None:
            return Type(dtype)
        need_rank(w, len(x.shape), len(x.shape), "the weights")
        need_rank(offset, len(x.shape), len(x.shape), "the offsets")
        if min(self.group, self.offset_group) < 1:
            raise refuse("E0341", "groups must be positive", (self.group, self.offset_group))
        same_dim(x.shape[1], w.shape[1] * self.group)
        window = slide(
            x.shape[2:], w.shape[2:], strides=self.strides, dilations=self.dilations, pads=self.pads
        )
        divides(w.shape[0], self.group, "the filters")
        divides(x.shape[1], self.offset_group, "the channels")
        taps = product(w.shape[2:]) * self.offset_group
        same_dims(offset, (x.shape[0], taps * (len(x.shape) - 2), *window.trips), "the offsets")
        bias, mask = filled(extras, 2)
        same_dims(bias, w.shape[:1], "the bias")
        same_dims(mask, (x.shape[0], taps, *window.trips), "the mask")
        return Type(dtype, (x.shape[0], w.shape[0], *window.trips))

    @quiet
    def reference(
        self, x: Array, w: Array, offset: Array, b: Array | None = None, mask: Array | None = None
    ) -> Array:
        kernel, rank = widen(w), x.ndim - 2
        extras = () if mask is None else (widen(mask),)
        columns = self._columns(w.shape[2:]).reference(widen(x), widen(offset), *extras)
        trips = columns.shape[3:]
        depth = int(np.prod(w.shape[1:]))
        columns = columns.reshape(len(x), self.group, depth, int(np.prod(trips)))
        weights = kernel.reshape(self.group, w.shape[0] // self.group, depth)
        y = np.matmul(weights, columns).reshape(len(x), w.shape[0], *trips)
        if b is not None:
            y = y + widen(b).reshape(-1, *[1] * rank)
        return settle(y, x.dtype)

    def _columns(self, size: tuple[int, ...]) -> DeformColumns:
        return DeformColumns(
            size=size,
            offset_group=self.offset_group,
            dilations=self.dilations,
            pads=self.pads,
            strides=self.strides,
        )

    def expand(
        self,
        graph: Graph,
        x: Value,
        w: Value,
        offset: Value,
        b: Value | None = None,
        mask: Value | None = None,
    ) -> Value | None:
        dims, dtype = w.type.shape, x.type.dtype
        if dims is None or x.type.shape is None or not all(d.is_const for d in dims):
            return None
        if dtype not in (DType.FLOAT32, DType.FLOAT64):
            return None
        filters, channels, *size = (int(d.arg) for d in dims)
        write, k = Body(graph, "deform"), channels * int(np.prod(size))
        columns = write(self._columns(tuple(size)), x, offset, mask)
        flat = write.reshape(columns, (0, self.group, k, -1))
        weights = write.reshape(w, (self.group, filters // self.group, k))
        shape, most = write("Shape", columns), np.iinfo(np.int64).max
        ends = (write.slice(shape, 0, 0, 1), write.ints(filters), write.slice(shape, 0, 3, most))
        y = write("Reshape", write("MatMul", weights, flat), write("Concat", *ends, axis=0))
        return y if b is None else write("Add", y, write.reshape(b, (-1, *[1] * len(size))))


class DeformColumns(Op, kw_only=True):
    """[images, channels, taps, trips...]: what every moved tap reads, by linear interpolation."""

    domain = "ai.sardonyx"
    since = 1
    size: tuple[int, ...]
    offset_group: int = 1
    dilations: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    @property
    def _taps(self) -> int:
        return int(np.prod(self.size))

    def _window(self, extent: tuple[Expr, ...]) -> Window:
        size = tuple(map(const, self.size))
        return slide(extent, size, strides=self.strides, dilations=self.dilations, pads=self.pads)

    def infer(self, x: Type, offset: Type, mask: Type | None = None) -> Type:
        dtype = common_dtype(x, offset, mask)
        window = self._window(x.dims[2:])
        return Type(dtype, (*x.dims[:2], const(self._taps), *window.trips))

    @quiet
    def reference(self, x: Array, offset: Array, mask: Array | None = None) -> Array:
        window = self._window(tuple(map(const, x.shape[2:])))
        trips = whole(window.trips)
        moved = offset.reshape(len(x), self.offset_group, self._taps, x.ndim - 2, *trips)
        rows = [self._sampled(image, m, window, trips) for image, m in zip(x, moved, strict=True)]
        columns = np.stack(rows) if rows else np.zeros((*x.shape[:2], self._taps, *trips), x.dtype)
        if mask is not None:
            part = mask.reshape(len(x), self.offset_group, 1, self._taps, *trips)
            each = x.shape[1] // self.offset_group
            shape = (len(x), self.offset_group, each, self._taps, *trips)
            columns = (columns.reshape(shape) * part).reshape(columns.shape)
        return columns

    def _sampled(self, image: Array, moved: Array, window: Window, trips: tuple[int, ...]) -> Array:
        """[channels, taps, trips...]: what every tap reads of one image."""
        rank, begin = len(self.size), whole(window.begin)
        at = []
        for axis in range(rank):
            base = np.arange(trips[axis]) * window.stride[axis] - begin[axis]
            shape = [1] * (rank + 1)
            shape[1 + axis] = -1
            tap = np.indices(self.size)[axis].reshape(-1, *[1] * rank) * window.dilation[axis]
            at.append((base.reshape(shape) + tap + moved[:, :, axis]).astype(image.dtype))
        each = image.shape[0] // self.offset_group
        groups = image.reshape(self.offset_group, each, *image.shape[1:])
        found = [_linear(groups[g], [p[g] for p in at]) for g in range(self.offset_group)]
        return np.concatenate(found)

    def at(self, idx: Index, x: Operand, offset: Operand, mask: Operand | None = None) -> Expr:
        n, c, tap, *trip = idx
        window, rank = self._window(x.shape[2:]), len(self.size)
        group = floordiv(c, x.shape[1] // self.offset_group)
        one, rows, left = group * self._taps + tap, [], tap
        for axis in reversed(range(rank)):
            place = trip[axis] * window.stride[axis] - window.begin[axis]
            place = place + mod(left, self.size[axis]) * window.dilation[axis]
            left = floordiv(left, self.size[axis])
            moved = offset[(n, one * rank + axis, *trip)]
            rows.append(_taps_at(cast(place, moved.dtype) + moved, x.shape[2 + axis]))
        total: Expr | None = None
        for corner in itertools.product(*reversed(rows)):
            inside = both([seen for _, _, conditions in corner for seen in conditions])
            value = x[(n, c, *(spot for spot, _, _ in corner))]
            for _, weight, _ in corner:
                value = value * weight
            value = where(inside, value, 0.0)
            total = value if total is None else total + value
        assert total is not None
        return total if mask is None else total * mask[(n, one, *trip)]


def _taps_at(p: Expr, length: Expr) -> list[tuple[Expr, Expr, list[Expr]]]:
    """Both neighbours of a position: the element, its weight, and when it is one."""
    last = cast(length + 1, p.dtype)
    p = where(p.like(-2.0) < p, where(p < last, p, last), p.like(-2.0))
    base = unary("floor", p)
    low, part = cast(base, INDEX), p - base
    return [
        (clamp(near, 0, length - 1), weight, [const(0) <= near, near < length])
        for near, weight in ((low, 1.0 - part), (low + 1, part))
    ]


def _linear(image: Array, at: list[Array]) -> Array:
    """The image at fractional positions, zero outside, by linear interpolation."""
    rows = []
    for p, length in zip(at, image.shape[1:], strict=True):
        p = np.clip(np.nan_to_num(p, nan=-2.0), -2, length + 1)
        low = np.floor(p)
        part = p - low
        row = []
        for near, weight in ((low, 1 - part), (low + 1, part)):
            inside = (near >= 0) & (near < length)
            spot = np.clip(near, 0, length - 1).astype(np.int64)
            row.append((spot, np.where(inside, weight, 0).astype(image.dtype)))
        rows.append(row)
    found = np.zeros((image.shape[0], *at[0].shape), image.dtype)
    for corner in itertools.product(*rows):
        weight = np.ones(at[0].shape, image.dtype)
        for _, w in corner:
            weight = weight * w
        found += image[(slice(None), *(spot for spot, _ in corner))] * weight
    return found

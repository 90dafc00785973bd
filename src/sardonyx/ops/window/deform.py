"""Deformable convolution: every tap reads where an offset says."""

from __future__ import annotations

import itertools

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import const, product
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op, Trait
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import common_dtype, divides, need_rank, refuse, same_dim, same_dims
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
        a, kernel = widen(x), widen(w)
        rank, taps = x.ndim - 2, int(np.prod(w.shape[2:]))
        window = self.window(x.shape[2:], w.shape[2:])
        trips = whole(window.trips)
        moved = widen(offset).reshape(len(x), self.offset_group, taps, rank, *trips)
        columns = np.stack(
            [self._sampled(a[n], moved[n], window, w.shape[2:], trips) for n in range(len(x))]
        )
        if mask is not None:
            part = widen(mask).reshape(len(x), self.offset_group, 1, taps, *trips)
            shape = (len(x), self.offset_group, -1, taps, *trips)
            columns = (columns.reshape(shape) * part).reshape(columns.shape)
        columns = columns.reshape(len(x), self.group, -1, int(np.prod(trips)))
        weights = kernel.reshape(self.group, w.shape[0] // self.group, -1)
        y = np.matmul(weights, columns).reshape(len(x), w.shape[0], *trips)
        if b is not None:
            y = y + widen(b).reshape(-1, *[1] * rank)
        return settle(y, x.dtype)

    def _sampled(
        self,
        image: Array,
        moved: Array,
        window: Window,
        size: tuple[int, ...],
        trips: tuple[int, ...],
    ) -> Array:
        """[channels, taps, trips...]: what every tap reads of one image."""
        rank, begin = len(size), whole(window.begin)
        at = []
        for axis in range(rank):
            base = np.arange(trips[axis]) * window.stride[axis] - begin[axis]
            shape = [1] * (rank + 1)
            shape[1 + axis] = -1
            tap = np.indices(size)[axis].reshape(-1, *[1] * rank) * window.dilation[axis]
            at.append(base.reshape(shape) + tap + moved[:, :, axis])
        each = image.shape[0] // self.offset_group
        groups = image.reshape(self.offset_group, each, *image.shape[1:])
        found = [_linear(groups[g], [p[g] for p in at]) for g in range(self.offset_group)]
        return np.concatenate(found)


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

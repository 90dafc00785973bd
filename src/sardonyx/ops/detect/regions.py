"""Pooling over regions of an image: RoiAlign and MaxRoiPool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Counted, Op
from sardonyx.loops.ir import Kernel
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import need_rank, refuse, same_dim, same_dims
from sardonyx.ops.detect.sample import Sampling

_MOST_SAMPLES = 4096


class _Aligned(Op, abstract=True):
    tolerance = "reduction"
    mode: Any
    output_height: Any
    output_width: Any
    sampling_ratio: Any
    spatial_scale: Any

    @property
    def shift(self) -> float:
        """How far pixel centres are from whole coordinates."""
        return 0.0

    def infer(self, x: Type, rois: Type, batches: Type) -> Type:
        need_rank(x, 4, 4)
        need_rank(rois, 2, 2, "the regions")
        if self.mode not in ("avg", "max"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "avg, max")
        if min(self.output_height, self.output_width) < 1:
            given = (self.output_height, self.output_width)
            raise refuse("E0341", "a region is made at least one cell", given)
        if self.sampling_ratio < 0:
            raise refuse("E0341", "`sampling_ratio` is negative", self.sampling_ratio)
        if rois.shape is not None:
            same_dim(rois.shape[1], const(4))
            same_dims(batches, rois.shape[:1], "batch_indices")
        if x.shape is None or rois.shape is None:
            return Type(x.dtype)
        size = (const(self.output_height), const(self.output_width))
        return Type(x.dtype, (rois.shape[0], x.shape[1], *size))

    @quiet
    def reference(self, x: Array, rois: Array, batches: Array) -> Array:
        a = widen(x)
        y = np.zeros((len(rois), x.shape[1], self.output_height, self.output_width), a.dtype)
        for n, (roi, b) in enumerate(zip(widen(rois), batches.tolist(), strict=True)):
            y[n] = self._pooled(_image(a, b), roi)
        return settle(y, x.dtype)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        del inputs
        return [Counted(indices=2, data=0, axis=0, from_end=False)]

    def build(self, outs: tuple[Type, ...], x: Type, rois: Type, batches: Type) -> Kernel | None:
        size = (self.output_height, self.output_width)
        found = Sampling(self.mode, *size, self.sampling_ratio, self.spatial_scale, self.shift)
        return found.kernel(outs, x, rois, batches)

    def _pooled(self, image: Array, roi: Array) -> Array:
        x1, y1, x2, y2 = (float(v) * self.spatial_scale - self.shift for v in roi)
        height, width = y2 - y1, x2 - x1
        if not self.shift:
            height, width = max(height, 1.0), max(width, 1.0)
        ys, rows = self._samples(y1, height, self.output_height)
        xs, columns = self._samples(x1, width, self.output_width)
        if rows == 0 or columns == 0:
            return np.zeros((len(image), self.output_height, self.output_width), image.dtype)
        down, across = (_corners(ys, image.shape[1]), _corners(xs, image.shape[2]))
        parts = [
            image[:, i[:, None], j[None]] * (v[:, None] * w[None]).astype(image.dtype)
            for i, v in down
            for j, w in across
        ]
        each = np.sum(parts, axis=0) if self.mode == "avg" else np.max(parts, axis=0)
        shape = (len(image), self.output_height, rows, self.output_width, columns)
        cells = each.reshape(shape)
        found: Array = cells.mean(axis=(2, 4)) if self.mode == "avg" else cells.max(axis=(2, 4))
        return found

    def _samples(self, start: float, length: float, bins: int) -> tuple[Array, int]:
        """The coordinates sampled along one axis, and how many to a bin."""
        each = self.sampling_ratio or max(0, int(np.nan_to_num(np.ceil(length / bins))))
        if each > _MOST_SAMPLES:
            raise RuntimeException("E0404", "a region is too large", given=length)
        size, at = (length / bins, np.arange(bins)[:, None] + np.zeros((1, each)))
        inner = (np.arange(each) + 0.5) / max(each, 1)
        found: Array = start + (at + inner) * size
        return found.reshape(-1), each


def _image(x: Array, b: int) -> Array:
    if not 0 <= b < len(x):
        raise RuntimeException("E0404", "no such image in the batch", given=b, wanted=len(x))
    found: Array = x[b]
    return found


def _corners(at: Array, length: int) -> list[tuple[Array, Array]]:
    """The two neighbours of every coordinate with their weights; none far outside."""
    outside = ~((at >= -1) & (at <= length))
    at = np.nan_to_num(np.clip(at, 0, length - 1))
    low = np.minimum(at.astype(np.int64), max(0, length - 2)) if length > 1 else at.astype(np.int64)
    part = at - low
    high = np.minimum(low + 1, length - 1)
    return [(low, np.where(outside, 0, 1 - part)), (high, np.where(outside, 0, part))]


class RoiAlignV10(_Aligned):
    """RoiAlign of opsets 10 to 15, without the half-pixel shift."""

    mode: str = "avg"
    output_height: int = 1
    output_width: int = 1
    sampling_ratio: int = 0
    spatial_scale: float = 1.0

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del inputs
        if opset == 16:
            given["coordinate_transformation_mode"] = "output_half_pixel"
        return None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        del inputs
        if given.pop("coordinate_transformation_mode") != "output_half_pixel":
            return "before opset 16 samples are not shifted by half a pixel"
        return None


class RoiAlign(RoiAlignV10):
    """Mean or maximum of points sampled, by linear interpolation, in the cells of each region."""

    since = 16
    coordinate_transformation_mode: str = "half_pixel"

    @property
    def shift(self) -> float:
        return 0.5 if self.coordinate_transformation_mode == "half_pixel" else 0.0


class MaxRoiPool(Op, kw_only=True):
    """The maximum of every cell of regions whose corners are rounded to whole pixels."""

    since = 1
    tolerance = "exact"
    pooled_shape: tuple[int, ...]
    spatial_scale: float = 1.0

    def infer(self, x: Type, rois: Type) -> Type:
        need_rank(x, 4, 4)
        need_rank(rois, 2, 2, "the regions")
        if len(self.pooled_shape) != 2 or min(self.pooled_shape) < 1:
            raise refuse("E0341", "`pooled_shape` is wrong", list(self.pooled_shape), "two sizes")
        if rois.shape is not None:
            same_dim(rois.shape[1], const(5))
        if x.shape is None or rois.shape is None:
            return Type(x.dtype)
        return Type(x.dtype, (rois.shape[0], x.shape[1], *map(const, self.pooled_shape)))

    def reference(self, x: Array, rois: Array) -> Array:
        y = np.zeros((len(rois), x.shape[1], *self.pooled_shape), x.dtype)
        for n, roi in enumerate(widen(rois)):
            image = _image(x, int(roi[0]))
            corners = np.floor(roi[1:] * np.float32(self.spatial_scale) + 0.5).astype(np.int64)
            x1, y1, x2, y2 = corners.tolist()
            rows = _cells(y1, y2, self.pooled_shape[0], x.shape[2])
            columns = _cells(x1, x2, self.pooled_shape[1], x.shape[3])
            for i, (top, bottom) in enumerate(rows):
                for j, (left, right) in enumerate(columns):
                    if bottom > top and right > left:
                        y[n, :, i, j] = image[:, top:bottom, left:right].max(axis=(1, 2))
        return y


def _cells(start: int, end: int, count: int, extent: int) -> list[tuple[int, int]]:
    """The bounds of every cell along one axis."""
    size = max(end - start + 1, 1) / count
    return [
        (
            min(max(int(np.floor(i * size)) + start, 0), extent),
            min(max(int(np.ceil((i + 1) * size)) + start, 0), extent),
        )
        for i in range(count)
    ]

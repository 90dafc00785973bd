"""Operators whose output size depends on the data, and those of detectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from singles.case import Case, Dim, Made, Maker, apply, below, chance

BOOL, F32, I64 = DType.BOOL, DType.FLOAT32, DType.INT64
SIDE = 100.0


def _boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Boxes (y1, x1, y2, x2) in a square, many of them overlapping."""
    corner = rng.uniform(0, 0.9 * SIDE, (*shape[:-1], 2))
    size = rng.uniform(0.02 * SIDE, 0.1 * SIDE, (*shape[:-1], 2))
    return np.concatenate([corner, corner + size], axis=-1)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.random(shape)


def _nms(g: Maker, n: Dim, classes: int, boxes: int) -> Made:
    """At most 100 boxes of a class, of those scored above 0.3."""
    given = g.input((n, boxes, 4), _boxes, F32), g.input((n, classes, boxes), _uniform, F32)
    limits = g.ints(100), g.const(np.float32(0.5)), g.const(np.float32(0.3))
    return g.node("NonMaxSuppression", *given, *limits)


def _roi_align(g: Maker, n: Dim, c: int, side: int) -> Made:
    """Regions of one image to 7 by 7."""
    x = g.input((1, c, side, side))
    batch = g.input((n,), below(1), I64)
    settings = {"output_height": 7, "output_width": 7, "sampling_ratio": 2}
    scale = side / SIDE
    return g.node("RoiAlign", x, g.input((n, 4), _boxes), batch, spatial_scale=scale, **settings)


def _compress(g: Maker, n: Dim, c: int) -> Made:
    return g.node("Compress", g.input((n, c)), g.input((n,), chance(0.5), BOOL), axis=0)


def _unique(g: Maker, n: Dim) -> Made:
    made: Made = g.all("Unique", g.input((n,), below(5000), I64), outputs=4)
    return made


def _nonzero(g: Maker, *dims: Dim) -> Made:
    return g.node("NonZero", g.input(dims, chance(0.3), BOOL))


CASES = (
    Case("NonMaxSuppression", _nms, "1x8x2000 1x2x50 1x3x1021"),
    Case("RoiAlign", _roi_align, "64x64x64 4x8x10 37x67x61", opset=21),
    Case("Compress", _compress),
    Case("NonZero", _nonzero),
    Case("NonZero f32", apply("NonZero")),
    Case("Unique", _unique, "200000 100 30011"),
)

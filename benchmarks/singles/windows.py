"""Convolutions in their many forms, and pools."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from singles.case import Case, Data, Dim, Made, Maker, apply, below, normal, sizes_of

I8, U8 = DType.INT8, DType.UINT8
WEIGHTS = below(128, -127)


def _thin(shape: tuple[int, ...]) -> Data:
    """Weights that keep the size of what they are multiplied by."""
    scale = np.float32(math.prod(shape[1:]) ** -0.5)
    return lambda rng, dims: normal(rng, dims) * scale


def conv(
    window: str,
    *,
    wider: int = 1,
    groups: int = 1,
    alone: bool = False,
    stride: int = 1,
    dilation: int = 1,
) -> Callable[..., Made]:
    """A convolution with bias that keeps the sizes where its stride is 1.

    It has `wider` times as many filters as channels; `alone` gives each channel its own group.
    """
    taps = sizes_of(window)
    settings: dict[str, Any] = {
        "pads": tuple((t - 1) * dilation // 2 for t in taps) * 2,
        "strides": (stride,) * len(taps),
        "dilations": (dilation,) * len(taps),
    }

    def make(g: Maker, n: Dim, c: int, *sides: int) -> Made:
        group = c if alone else groups
        shape = (c * wider, c // group, *taps)
        x = g.input((n, c, *sides))
        w = g.weights(*shape, data=_thin(shape))
        bias = g.weights(c * wider)
        return g.node("Conv", x, w, bias, group=group, **settings)

    return make


def _stem(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
    """The first convolution of an image network: 64 filters, stride 2."""
    shape = (64, c, 7, 7)
    x = g.input((n, c, h, w))
    weights = g.weights(*shape, data=_thin(shape))
    bias = g.weights(64)
    return g.node("Conv", x, weights, bias, strides=(2, 2), pads=(3,) * 4)


def _transposed(taps: int, step: int, pad: int) -> Callable[..., Made]:
    def make(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
        shape = (c, c // 2 + 1, taps, taps)
        weights = g.weights(*shape, data=_thin((c, c, taps, taps)))
        x = g.input((n, c, h, w))
        return g.node("ConvTranspose", x, weights, strides=(step, step), pads=(pad,) * 4)

    return make


def _integer(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
    x = g.input((n, c, h, w), below(256), U8)
    weights = g.weights(c, c, 3, 3, data=WEIGHTS, dtype=I8)
    zero = g.const(np.uint8(128))
    return g.node("ConvInteger", x, weights, zero, pads=(1,) * 4)


def _qlinear(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
    x = g.input((n, c, h, w), below(256), U8)
    weights = g.weights(c, c, 3, 3, data=WEIGHTS, dtype=I8)
    return g.quantized("QLinearConv", x, weights, 0.01 * c**0.5, pads=(1,) * 4)


def _pool(kind: str, taps: int, step: int, pad: int = 0) -> Callable[..., Made]:
    return apply(kind, kernel_shape=(taps, taps), strides=(step, step), pads=(pad,) * 4)


IMAGE = "1x64x72x72 1x8x7x7 1x37x91x93"
POOLED = "1x64x112x112 1x8x7x7 1x37x91x93"
BYTES = "1x96x112x112 1x8x7x7 1x37x91x93"
ROW = "1x256x1024 1x8x16 1x131x2039"
STEM = "1x3x320x320 1x3x16x16 1x3x301x307"

CASES = (
    Case("Conv 1x1", conv("1x1"), IMAGE),
    Case("Conv 1x1 4 times wider", conv("1x1", wider=4), IMAGE),
    Case("Conv 1x1 stride 2", conv("1x1", wider=2, stride=2), IMAGE),
    Case("Conv 3x3", conv("3x3"), IMAGE),
    Case("Conv 3x3 stride 2", conv("3x3", stride=2), IMAGE),
    Case("Conv 3x3 dilation 2", conv("3x3", dilation=2), IMAGE),
    Case("Conv 3x3 many channels", conv("3x3"), "1x512x23x23 1x32x3x3 1x257x31x33"),
    Case("Conv 3x3 32 groups", conv("3x3", groups=32), "1x128x56x56 1x32x7x7 1x96x53x51"),
    Case("Conv 5x5", conv("5x5"), IMAGE),
    Case("Conv 1x7", conv("1x7"), IMAGE),
    Case("Conv 7x7 stem", _stem, STEM),
    Case("Conv dw 3x3", conv("3x3", alone=True), POOLED),
    Case("Conv dw 3x3 stride 2", conv("3x3", alone=True, stride=2), POOLED),
    Case("Conv dw 5x5", conv("5x5", alone=True), POOLED),
    Case("Conv dw 7x7", conv("7x7", alone=True), POOLED),
    Case("Conv1d 3", conv("3"), ROW),
    Case("Conv1d dw 31", conv("31", alone=True), ROW),
    Case("Conv3d 3", conv("3x3x3"), "1x16x16x32x32 1x4x3x5x5 1x17x13x31x33"),
    Case("ConvTranspose 2x2 stride 2", _transposed(2, 2, 0), IMAGE),
    Case("ConvTranspose 4x4 stride 2", _transposed(4, 2, 1), IMAGE),
    Case("ConvTranspose 3x3", _transposed(3, 1, 1), IMAGE),
    Case("ConvInteger 3x3", _integer, BYTES),
    Case("QLinearConv 3x3", _qlinear, BYTES),
    Case("MaxPool 2x2 stride 2", _pool("MaxPool", 2, 2), POOLED),
    Case("MaxPool 3x3 stride 2", _pool("MaxPool", 3, 2, 1), POOLED),
    Case("MaxPool 5x5", _pool("MaxPool", 5, 1, 2), POOLED),
    Case("AveragePool 3x3", _pool("AveragePool", 3, 1, 1), POOLED),
    Case("AveragePool 2x2 stride 2", _pool("AveragePool", 2, 2), POOLED),
    Case("LpPool 3x3", _pool("LpPool", 3, 2, 1), POOLED),
)

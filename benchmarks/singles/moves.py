"""Operators that move elements: transposes, pads, joins, gathers, scatters, resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from singles.case import Case, Dim, Made, Maker, apply, below, numbers

I64 = DType.INT64
FAR = 1 << 40


def _transpose(*perm: int) -> Callable[..., Made]:
    return apply("Transpose", perm=perm)


def _concat(axis: int) -> Callable[..., Made]:
    def make(g: Maker, *dims: Dim) -> Made:
        x = g.input(dims)
        y = g.input(dims)
        return g.node("Concat", x, y, axis=axis)

    return make


def _split(axis: int) -> Callable[..., Made]:
    def make(g: Maker, *dims: Dim) -> Made:
        made: Made = g.all("Split", g.input(dims), axis=axis, num_outputs=3, outputs=3)
        return made

    return make


def _slice(*subscripts: str) -> Callable[..., Made]:
    """Slices of the first axes, written as Python does: `3:`, `::2`, `::-1`."""
    cuts = [slice(*(int(n) if n else None for n in s.split(":"))) for s in subscripts]
    steps = [cut.step or 1 for cut in cuts]
    starts = [cut.start or (0 if step > 0 else -1) for cut, step in zip(cuts, steps, strict=True)]
    ends = [FAR if step > 0 else -FAR for step in steps]

    def make(g: Maker, *dims: Dim) -> Made:
        axes = g.ints(*range(len(cuts)))
        return g.node("Slice", g.input(dims), g.ints(*starts), g.ints(*ends), axes, g.ints(*steps))

    return make


def _pad(mode: str) -> Callable[..., Made]:
    return apply("Pad", numbers(0, 0, 2, 2, 0, 0, 2, 2), mode=mode)


def _gather(axis: int) -> Callable[..., Made]:
    """As many rows or columns as there are, in any order."""

    def make(g: Maker, n: Dim, rows: int, columns: int) -> Made:
        ids = g.input((n,), below((rows, columns)[axis]), I64)
        table = g.weights(rows, columns)
        return g.node("Gather", table, ids, axis=axis)

    return make


def _gather_elements(g: Maker, n: Dim, c: int) -> Made:
    ids = g.input((n, c), below(c), I64)
    x = g.input((n, c))
    return g.node("GatherElements", x, ids, axis=1)


def _gather_nd(g: Maker, n: Dim, rows: int, columns: int, width: int) -> Made:
    ids = g.input((n, 2), below(min(rows, columns)), I64)
    table = g.weights(rows, columns, width)
    return g.node("GatherND", table, ids)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Places on the first axis, each once."""
    return rng.permutation(shape[0]).reshape(shape)


def _scatter_nd(reduction: str) -> Callable[..., Made]:
    """Whole rows to other places."""

    def make(g: Maker, n: Dim, c: int) -> Made:
        x = g.input((n, c))
        where = g.input((n, 1), _distinct, I64)
        updates = g.input((n, c))
        return g.node("ScatterND", x, where, updates, reduction=reduction)

    return make


def _columns(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Places on the last axis, each once in a row."""
    return rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)


def _scatter_elements(reduction: str) -> Callable[..., Made]:
    def make(g: Maker, n: Dim, c: int) -> Made:
        ids = g.input((n, c), _columns, I64)
        x = g.input((n, c))
        updates = g.input((n, c))
        return g.node("ScatterElements", x, ids, updates, axis=1, reduction=reduction)

    return make


def _onehot(g: Maker, n: Dim, depth: int) -> Made:
    ids = g.input((n,), below(depth), I64)
    values = g.const(np.array([0, 1], np.float32))
    return g.node("OneHot", ids, g.ints(depth), values)


def _expand(g: Maker, n: Dim, c: int) -> Made:
    """Every row eight times."""
    x = g.input((n, 1, c))
    return g.node("Expand", x, g.ints(1, 8, 1))


def _resize(scale: float, **settings: Any) -> Callable[..., Made]:
    def make(g: Maker, *dims: Dim) -> Made:
        scales = g.const(np.array([1, 1, scale, scale], np.float32))
        return g.node("Resize", g.input(dims), None, scales, **settings)

    return make


def _places(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Sampling places, a few of them outside the image."""
    return rng.uniform(-1.05, 1.05, shape)


def _grid_sample(mode: str) -> Callable[..., Made]:
    def make(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
        x = g.input((n, c, h, w))
        grid = g.input((n, h, w, 2), _places)
        return g.node("GridSample", x, grid, mode=mode)

    return make


def _lengths(g: Maker, n: Dim, batch: int, width: int) -> Made:
    """Whole sequences reversed in time."""
    lengths = g.weights(batch, data=below(9, 1), dtype=I64)
    x = g.input((n, batch, width))
    return g.node("ReverseSequence", x, lengths)


IMAGE = "1x64x72x72 1x8x6x6 1x37x91x93"
NHWC = "1x72x72x64 1x6x6x8 1x91x93x37"
HEADS = "2x256x12x64 1x8x2x16 1x197x11x67"
ROWS = "1024x768 16x63 517x771"
TABLE = "2048x10000x256 16x50x32 1021x3001x131"
PACKED = "1x64x72x72 1x8x6x6 1x36x90x94"
CUBES = (
    Case("DepthToSpace", apply("DepthToSpace", blocksize=2), PACKED),
    Case("SpaceToDepth", apply("SpaceToDepth", blocksize=2), PACKED),
)

CASES = (
    Case("Transpose 2-D", _transpose(1, 0)),
    Case("Transpose NCHW to NHWC", _transpose(0, 2, 3, 1), IMAGE),
    Case("Transpose NHWC to NCHW", _transpose(0, 3, 1, 2), NHWC),
    Case("Transpose heads", _transpose(0, 2, 1, 3), HEADS),
    Case("Transpose last heads", _transpose(0, 2, 3, 1), HEADS),
    Case("Concat last", _concat(-1)),
    Case("Concat first", _concat(0)),
    Case("Split last", _split(-1), ROWS),
    Case("Slice columns", _slice(":", "3:")),
    Case("Slice steps", _slice("::2", "::2"), "2048x1024 16x64 1021x1021"),
    Case("Slice reversed", _slice(":", "::-1")),
    Case("Pad constant", _pad("constant"), IMAGE),
    Case("Pad reflect", _pad("reflect"), IMAGE),
    Case("Pad edge", _pad("edge"), IMAGE),
    Case("Tile", apply("Tile", numbers(2, 3)), "512x512 8x16 331x337"),
    Case("Expand", _expand, "512x768 8x64 331x771"),
    Case("Trilu", apply("Trilu")),
    Case("Gather rows", _gather(0), TABLE),
    Case("Gather columns", _gather(1), "512x1024x1024 16x50x32 331x1021x517"),
    Case("GatherElements", _gather_elements),
    Case("GatherND", _gather_nd, "4096x64x64x128 16x8x8x16 1021x61x59x131"),
    Case("ScatterND", _scatter_nd("none"), ROWS),
    Case("ScatterND add", _scatter_nd("add"), ROWS),
    Case("ScatterElements", _scatter_elements("none")),
    Case("ScatterElements add", _scatter_elements("add")),
    Case("OneHot", _onehot, "512x1000 8x10 331x1021"),
    Case("ReverseSequence", _lengths, "64x32x256 10x2x16 61x31x259"),
    *CUBES,
    Case("Resize nearest", _resize(2.0, mode="nearest"), IMAGE),
    Case("Resize linear", _resize(2.0, mode="linear"), IMAGE),
    Case("Resize linear down", _resize(0.5, mode="linear"), IMAGE),
    Case("Resize cubic", _resize(2.0, mode="cubic"), IMAGE),
    Case("GridSample linear", _grid_sample("linear"), IMAGE),
    Case("GridSample nearest", _grid_sample("nearest"), IMAGE),
)

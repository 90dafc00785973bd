"""The loops of RoiAlign: where each region is sampled along either axis, then all channels there.

for n in regions:                                   parallel
    for each sample along y, along x: two neighbours and their weights, into scratch
    for c, for cell (h, w): fold over the samples of the cell of weights * x         w in lanes
"""

from __future__ import annotations

from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import INDEX, Expr, binary, cast, fresh, maximum, minimum, scalar, where
from sardonyx.graph.ir import Type
from sardonyx.loops.ir import Fold, For, Kernel, Let, Stmt, Store
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import clamp

F64 = DType.FLOAT64
_OUT, _X, _ROIS, _BATCHES = range(4)
# Samples along one axis whose places a thread keeps.
_MOST = 4096


@dataclass(frozen=True)
class Sampling:
    """How cells are sampled; `shift` is how far pixel centres are from whole coordinates."""

    mode: str
    height: int
    width: int
    ratio: int
    scale: float
    shift: float

    def kernel(self, outs: tuple[Type, ...], *inputs: Type) -> Kernel | None:
        """The kernel over (out, x, regions, their images); None for samples as many as it takes."""
        x = inputs[0]
        real = x.dtype in (DType.FLOAT32, F64)
        if self.ratio < 1 or max(self.height, self.width) * self.ratio > _MOST or not real:
            return None
        return _Loops(self, Memory(outs, inputs), x).kernel()


class _Axis:
    """The samples along one axis: the two neighbours of each, and their weights."""

    def __init__(self, memory: Memory, cells: int, ratio: int, extent: Expr, dtype: DType) -> None:
        self.memory, self.cells, self.ratio, self.extent = memory, cells, ratio, extent
        count = cells * ratio
        self.places = [memory.take(DType.INT64, count) for _ in range(2)]
        self.weights = [memory.take(dtype, count) for _ in range(2)]
        self.dtype = dtype

    def fill(self, start: Expr, length: Expr) -> Stmt:
        """Notes the samples of cells that share a length from `start` on."""
        cell, k = fresh(self.cells), fresh(self.ratio)
        inner = (cast(k, F64) + 0.5) / float(self.ratio)
        at = start + (cast(cell, F64) + inner) * (length / float(self.cells))
        last = cast(self.extent - 1, F64)
        outside = (at < -1.0) | (last + 1.0 < at)
        held = binary("min", binary("max", at, at.like(0.0)), last)
        low = minimum(cast(held, INDEX), maximum(self.extent - 2, 0))
        part = held - cast(low, F64)
        places = (low, minimum(low + 1, self.extent - 1))
        shares = (where(outside, part.like(0.0), w) for w in (1.0 - part, part))
        to = cell * self.ratio + k
        values = [*places, *(cast(e, self.dtype) for e in shares)]
        buffers = (*self.places, *self.weights)
        stores = [Store(b, to, e) for b, e in zip(buffers, values, strict=True)]
        return For(cell, (For(k, tuple(stores)),))

    def sample(self, cell: Expr, k: Expr) -> list[tuple[Expr, Expr]]:
        """Place and weight of both neighbours."""
        at = cell * self.ratio + k
        return [
            (clamp(self.memory.read(p, at), 0, self.extent - 1), self.memory.read(w, at))
            for p, w in zip(self.places, self.weights, strict=True)
        ]


@dataclass(frozen=True)
class _Loops:
    spec: Sampling
    memory: Memory
    x: Type

    def kernel(self) -> Kernel:
        spec, (images, channels, height, width) = self.spec, self.x.dims
        assert self.x.dtype is not None
        rows = _Axis(self.memory, spec.height, spec.ratio, height, self.x.dtype)
        columns = _Axis(self.memory, spec.width, spec.ratio, width, self.x.dtype)
        region = fresh(self.memory.params[_ROIS].size // 4)
        sides = [
            cast(self.memory.read(_ROIS, region * 4 + k), F64) * spec.scale - spec.shift
            for k in range(4)
        ]
        lengths = [sides[3] - sides[1], sides[2] - sides[0]]
        if not spec.shift:
            lengths = [binary("max", e, e.like(1.0)) for e in lengths]
        image = clamp(cast(self.memory.read(_BATCHES, region), INDEX), 0, images - 1)
        first = scalar("image", INDEX)
        body = (
            Let(first, image),
            rows.fill(sides[1], lengths[0]),
            columns.fill(sides[0], lengths[1]),
            self.cells(region, first, channels, rows, columns),
        )
        return self.memory.kernel(For(region, body, "parallel"))

    def cells(self, region: Expr, image: Expr, channels: Expr, rows: _Axis, columns: _Axis) -> Stmt:
        spec = self.spec
        c, h, w = fresh(channels), fresh(spec.height), fresh(spec.width)
        k, m = fresh(spec.ratio), fresh(spec.ratio)
        plane = (image * channels + c) * rows.extent
        taps = [
            self.memory.read(_X, (plane + y) * columns.extent + x) * (v * u)
            for y, v in rows.sample(h, k)
            for x, u in columns.sample(w, m)
        ]
        word = "add" if spec.mode == "avg" else "max"
        value = taps[0]
        for tap in taps[1:]:
            value = binary(word, value, tap)
        total = scalar("cell", value.dtype)
        mean = total / float(spec.ratio**2) if spec.mode == "avg" else total
        out = ((region * channels + c) * spec.height + h) * spec.width + w
        cell = (Fold(total, word, (k, m), value), Store(0, out, mean))
        return For(c, (For(h, (For(w, cell, "vector"),)),))

"""The register tile: first values, the multiplications, the body on every accumulator.

C[rows][vectors] = start
for k: C += A column * B row                      kernels.micro.multiply
body for every C[i][j], its columns in lanes, those past the last valid one masked
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sardonyx.core.expr import number
from sardonyx.kernels.micro.multiply import multiply
from sardonyx.kernels.micro.protocol import Emit, emits
from sardonyx.loops.ir import Tile


@emits(Tile)
def tile(code: Emit, t: Tile) -> None:
    """Writes a register tile and its body."""
    with code.scope():
        shape = _shape(code, t)
        accumulators = _start(code, t, shape)
        _finish(code, t, shape, multiply(code, t, shape.lanes, accumulators))


@dataclass(frozen=True)
class _Shape:
    """Vectors per row, lanes per vector, and the mask of each vector (None: all lanes)."""

    lanes: int
    vectors: int
    masks: tuple[str | None, ...]


def _shape(code: Emit, t: Tile) -> _Shape:
    lanes = min(code.target.lanes(t.acc.dtype), t.cols)
    vectors = t.cols // lanes
    valid = number(t.valid_cols)
    if valid is not None and valid >= t.cols:
        return _Shape(lanes, vectors, (None,) * vectors)
    count = code.expr(t.valid_cols)
    masks = tuple(_mask(code, count, j * lanes, lanes) for j in range(vectors))
    return _Shape(lanes, vectors, masks)


def _mask(code: Emit, count: str, first: int, lanes: int) -> str:
    if first:
        left = code.let(f"sub i64 {count}, {first}")
        some = code.let(f"icmp sgt i64 {left}, 0")
        count = code.let(f"select i1 {some}, i64 {left}, i64 0")
    return code.mask(count, lanes)


def _elements(code: Emit, t: Tile, shape: _Shape) -> Iterator[tuple[int, int]]:
    """(row, vector) of each accumulator, row and col being bound to it meanwhile."""
    for i in range(t.rows):
        with code.scope():
            code.define(t.row, str(i))
            for j, mask in enumerate(shape.masks):
                with code.lanes(t.col, str(j * shape.lanes), shape.lanes, mask):
                    yield i, j


def _start(code: Emit, t: Tile, shape: _Shape) -> list[str]:
    if t.start is None:
        return ["zeroinitializer"] * (t.rows * shape.vectors)
    return [code.expr(t.start, shape.lanes) for _ in _elements(code, t, shape)]


def _finish(code: Emit, t: Tile, shape: _Shape, sums: list[str]) -> None:
    valid = number(t.valid_rows)
    rows = code.expr(t.valid_rows) if valid is None else ""
    for i in range(t.rows if valid is None else min(valid, t.rows)):
        if valid is None:
            with code.branch(code.let(f"icmp sgt i64 {rows}, {i}")):
                _finish_row(code, t, shape, i, sums)
        else:
            _finish_row(code, t, shape, i, sums)


def _finish_row(code: Emit, t: Tile, shape: _Shape, i: int, sums: list[str]) -> None:
    with code.scope():
        code.define(t.row, str(i))
        for j, mask in enumerate(shape.masks):
            with code.lanes(t.col, str(j * shape.lanes), shape.lanes, mask):
                code.define(t.acc, sums[i * shape.vectors + j], shape.lanes)
                code.body(t.body)

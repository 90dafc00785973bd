"""The register tile: first values, the multiplications, the body on every accumulator.

C[rows][vectors] = start
for k: C += A column * B row                      kernels.micro.multiply
body for every C[i][j], a vector of columns
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sardonyx.core.expr import number
from sardonyx.kernels.micro.multiply import multiply
from sardonyx.kernels.micro.protocol import Emit, emits
from sardonyx.loops.ir import Tile


@emits(Tile)
def tile(code: Emit, t: Tile) -> None:
    """Writes a register tile and its body."""
    assert t.lanes is not None
    with code.scope():
        masks = _masks(code, t, t.lanes)
        sums = multiply(code, t, t.lanes, _start(code, t, t.lanes, masks))
        _finish(code, t, t.lanes, masks, sums)


def _masks(code: Emit, t: Tile, lanes: int) -> list[str]:
    """The mask of each vector of a row; none where all lanes are on."""
    found = []
    for first in range(0, t.cols if t.valid is not None else 0, lanes):
        with code.literal(t.col, first):
            assert t.valid is not None
            found.append(code.expr(t.valid, lanes))
    return found


@contextmanager
def _element(code: Emit, t: Tile, lanes: int, masks: list[str], j: int) -> Iterator[None]:
    """Inside, the columns are those of vector j."""
    with code.literal(t.col, j * lanes):
        if t.mask is not None:
            code.define(t.mask, masks[j], lanes)
        yield


def _start(code: Emit, t: Tile, lanes: int, masks: list[str]) -> list[str]:
    vectors, first = t.cols // lanes, []
    if t.start is None:
        return ["zeroinitializer"] * (t.rows * vectors)
    for i in range(t.rows):
        with code.scope():
            code.define(t.row, str(i))
            for j in range(vectors):
                with _element(code, t, lanes, masks, j):
                    first.append(code.expr(t.start, lanes))
    return first


def _finish(code: Emit, t: Tile, lanes: int, masks: list[str], sums: list[str]) -> None:
    valid = number(t.valid_rows)
    rows = code.expr(t.valid_rows) if valid is None else ""
    for i in range(t.rows if valid is None else min(valid, t.rows)):
        if valid is None:
            with code.branch(code.let(f"icmp sgt i64 {rows}, {i}")):
                _finish_row(code, t, lanes, masks, i, sums)
        else:
            _finish_row(code, t, lanes, masks, i, sums)


def _finish_row(code: Emit, t: Tile, lanes: int, masks: list[str], i: int, sums: list[str]) -> None:
    vectors = t.cols // lanes
    with code.scope():
        code.define(t.row, str(i))
        for j in range(vectors):
            with _element(code, t, lanes, masks, j):
                code.define(t.acc, sums[i * vectors + j], lanes)
                code.body(t.body)

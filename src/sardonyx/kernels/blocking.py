"""Sizes of register tiles and cache blocks, chosen for a target.

rows of the output      tiles of `height` rows, `tails` for the remainder
columns                 panels of `width`, cut into `column_blocks`
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, binary, const, maximum, minimum, number, where
from sardonyx.kernels.linear import ceiling, least
from sardonyx.loops.target import Target

# Tiles of a task, whose rows stay in the second-level cache while panels pass by: more would leave
# too few tasks to share.
_MOST_TILES = 16
# Vectors of a panel's row: with two, an element of the left operand serves two products.
_LANES_PER_PANEL = 2
# Fewer empty columns must save more than the 3 % by which tiles of three vectors are slower.
_CLEARLY = 1.03
# Panels of a column block, so that a copied row of the left operand serves several of them.
_PANELS_PER_BLOCK = 4
# Tiles for each core from which rows alone are shared evenly enough, within a sixteenth.
_TILES_PER_CORE = 16
# Bytes of a cache line.
_LINE = 64
# Ways of a first-level cache: x86-64 has eight or more.
_WAYS = 8
# A tile of fewer rows waits for the latency of its products: it takes as long as one of four.
_FEWEST_ROWS = 4
# Rows that starting and storing a tile costs as much as.
_EACH_TILE = 0.5
# Rows of a tile without fused multiply-add, whose products need registers of their own.
_ROWS_WITHOUT_FMA = 4


@dataclass(frozen=True)
class Blocking:
    """How one contraction is cut up.

    `height` and `width` are the register tile. `tails` are the row counts, largest first, that
    the last M % height rows are made of. `tiles`, `panels`: how many of each there are. A task is
    one of `batch * row_blocks * column_blocks`; a block has at most `most_tiles` tiles.
    """

    height: int
    width: int
    tails: tuple[int, ...]
    tiles: Expr
    panels: Expr
    row_blocks: Expr
    column_blocks: Expr
    most_tiles: int


def tile_shape(target: Target, dtype: DType, columns: int | None) -> tuple[int, int]:
    """(rows, columns) of the register tile: as many accumulators as registers allow.

    A row is two vectors, or as many as leave clearly fewer columns empty.
    """
    lanes = target.lanes(dtype)
    vectors = _LANES_PER_PANEL
    if columns is not None:
        empty = {v: -columns % (v * lanes) for v in (1, 2, 3)}
        if columns <= lanes:
            vectors = 1
        elif (columns + empty[3]) * _CLEARLY < columns + empty[2]:
            vectors = 3
    free = target.registers - vectors - 1
    most = (target.registers - _LANES_PER_PANEL - 1) // _LANES_PER_PANEL
    if target.registers == 16 and not target.has("fma"):
        most = _ROWS_WITHOUT_FMA * _LANES_PER_PANEL // max(vectors, _LANES_PER_PANEL)
    return max(1, min(most, free // vectors)), vectors * lanes


def choose(
    target: Target,
    tile: tuple[int, int],
    sizes: tuple[Expr, Expr, Expr],
    row_bytes: int,
    most_panels: int,
) -> Blocking:
    """The blocking of sizes (batch, rows, columns) in register tiles of at most `tile`.

    A row of the left operand has `row_bytes`. A task has at most `most_panels` panels, 0: any
    number of them.
    """
    batch, rows, columns = sizes
    height, width = _height(tile[0], number(rows)), tile[1]
    tiles, panels = ceiling(rows, height), ceiling(columns, width)
    most = max(1, min(_MOST_TILES, target.l2 // 2 // max(1, height * row_bytes)))
    across, down = _blocks(target, batch, tiles, panels, most)
    if most_panels:
        across = maximum(across, ceiling(panels, most_panels))
    return Blocking(
        height, width, _tails(height, rows), tiles, panels, maximum(const(1), down), across, most
    )


def _blocks(target: Target, batch: Expr, tiles: Expr, panels: Expr, most: int) -> tuple[Expr, Expr]:
    """(column blocks, row blocks): columns are cut only where the rows are too few to share."""
    few, enough = ceiling(tiles, most), _TILES_PER_CORE * target.cores
    share = target.cores // math.gcd(target.cores, least(batch) or 1)
    shared = minimum(ceiling(few, share) * share, tiles)
    blocks = _column_blocks(target, number(panels))
    if blocks == 1 or (least(tiles) or 0) * (least(batch) or 1) >= enough:
        return const(1), shared
    if number(tiles) is not None:
        return const(blocks), few
    many = binary("le", const(enough), tiles * batch)
    return where(many, const(1), const(blocks)), where(many, shared, few)


def _height(most: int, rows: int | None) -> int:
    """The tile height with the least work."""
    if rows is None or rows <= most:
        return most if rows is None else max(1, rows)

    def tile(height: int) -> float:
        return max(height, _FEWEST_ROWS) + _EACH_TILE

    def cost(height: int) -> float:
        whole, left = divmod(rows, height)
        return whole * tile(height) + (tile(left) if left else 0)

    return min(range(most, most // 2, -1), key=cost)


def _tails(height: int, rows: Expr) -> tuple[int, ...]:
    left = number(rows % height)
    if left is not None:
        return (left,) if left else ()
    return tuple(s for s in (8, 4, 2, 1) if s < height)


def _column_blocks(target: Target, panels: int | None) -> int:
    """How many blocks `panels` make when the columns are to be shared: 1, or a few a core."""
    if panels is None or panels < 2 * target.cores:
        return 1
    blocks = max(target.cores, min(panels // _PANELS_PER_BLOCK, 4 * target.cores))
    return blocks - blocks % target.cores


def odd_lines(elements: int, dtype: DType) -> int:
    """`elements` padded to an odd number of cache lines, so that rows do not share cache sets."""
    per_line = _LINE * 8 // dtype.bits
    lines = -(-max(1, elements) // per_line)
    return (lines | 1) * per_line


def shares_sets(stride: int, dtype: DType, rows: int, target: Target) -> bool:
    """Whether `rows` rows at this stride fall on too few sets of the first-level cache."""
    step = stride * dtype.bits // 8
    if step % _LINE:
        return False
    sets = max(1, target.l1 // (_LINE * _WAYS))
    period = sets // math.gcd(sets, step // _LINE)
    return period * _WAYS < 2 * rows

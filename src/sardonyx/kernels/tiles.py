"""What one task of a contraction does: copy rows, run register tiles, finish their elements.

    whole     rows of left; for panel: for tile: { Tile; body }
    sliced    sums = 0; for slice of K: { rows of left; for panel: for tile: Tile onto sums }; body

A body that is long, or that needs the separate subscripts of the rows, is written once, over a
copy of the tile in scratch, instead of once for every accumulator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    const,
    eq,
    load,
    minimum,
    number,
    scalar,
    substitute,
    var,
)
from sardonyx.kernels.blocking import Blocking, odd_lines
from sardonyx.kernels.linear import count, loads, parts, pitch, position, renumber
from sardonyx.kernels.pack import Form, RowNumber, Rows
from sardonyx.kernels.quantized import Bytes, corrected, row_sums
from sardonyx.loops.build import cost, map_statement
from sardonyx.loops.ir import Buffer, Contract, For, If, Let, Stmt, Store, Tile

# Depth of a slice: a tile's rows of it (14 x 512 float32) fit the first-level cache.
SLICE = 512
# Panels whose sums wait in scratch at once, so that a slice of rows, once copied, serves them all.
SLICE_PANELS = 8
# Operations after which a body is written once over a copy of the tile: every accumulator, up to
# 28 of them, would repeat it in the code.
_LONG_BODY = 8


@dataclass(frozen=True)
class Lies:
    """A left operand readable in place: element (row, k) is buffer[at + row * stride + k]."""

    buffer: int
    at: Expr
    stride: Expr


class Task:
    """One trip of the parallel loop `var`: a batch entry, a block of rows, a block of panels.

    `contract` speaks of that batch entry; `lets` define what `rows`, `first_panel` and `panels`
    of the task are made of. `numbers` are those of the packed right operand, of its
    column sums (a parameter only if `integer` needs them) and of the first scratch buffer.
    """

    def __init__(
        self,
        c: Contract,
        k: tuple[Expr, ...],
        cut: Blocking,
        lies: Lies | None,
        numbers: tuple[int, int, int],
        form: Form,
        integer: Bytes | None = None,
    ) -> None:
        self.k, self.cut, self.form = k, cut, form
        self.packed, sums, self.next_scratch = numbers
        self.depth, self.columns, self.dtype = count(k), count(c.n), c.acc.dtype
        self.scratch: list[Buffer] = []
        self.lets: tuple[Let, ...] = ()
        blocks = cut.column_blocks * cut.row_blocks
        self.var = var("task", count(c.batch) * blocks)
        self.batch = self.var // blocks
        self._block(self.var % blocks // cut.row_blocks, self.var % blocks % cut.row_blocks, c)
        self.row_sums: int | None = None
        if integer is not None and integer.right_zero is not None:
            self.row_sums = self.take(cut.most_tiles * cut.height)
        if integer is not None:
            c = corrected(integer, sums, self.row_sums, self.first_row)
        at = parts(c.batch, self.batch)
        body = tuple(map_statement(s, lambda e: substitute(e, at)) for s in c.body)
        self.contract = replace(c, left=substitute(c.left, at), body=body)
        self.lies = lies and replace(lies, at=substitute(lies.at, at))
        self.panel = var("panel", self.panels)
        self.column = (self.first_panel + self.panel) * cut.width
        self.tile = var("tile", (self.rows + (cut.height - 1)) // cut.height)
        self.tile_row = self.tile * cut.height

    def _block(self, across: Expr, down: Expr, c: Contract) -> None:
        cut = self.cut
        first = cut.panels * across // cut.column_blocks
        last = (cut.panels * (across + 1)) // cut.column_blocks
        self.first_panel = self._named("first_panel", first)
        self.panels = self._named("panels", last - first)
        first = cut.tiles * down // cut.row_blocks * cut.height
        last = (cut.tiles * (down + 1)) // cut.row_blocks * cut.height
        if cut.tails:
            last = minimum(last, count(c.m))
        self.first_row = first
        self.rows = self._named("rows", last - first)

    def _named(self, name: str, value: Expr) -> Expr:
        if value.is_const:
            return value
        self.lets = (*self.lets, Let(scalar(name, INDEX), value))
        return self.lets[-1].var

    def take(self, elements: int, dtype: DType | None = None) -> int:
        """The number of new scratch of that many elements, of the sum's type if none is given."""
        n = self.next_scratch + len(self.scratch)
        self.scratch.append(Buffer(n, dtype or self.dtype, const(elements), space="thread"))
        return n

    @property
    def panel_at(self) -> Expr:
        """Where the current panel begins in the packed operand."""
        panel = self.batch * self.cut.panels + self.first_panel + self.panel
        return panel * self.form.steps(self.depth) * self.step

    @property
    def step(self) -> int:
        """The elements of a panel that one step of a tile reads."""
        return self.cut.width * self.form.group

    @property
    def valid_columns(self) -> Expr:
        """How many columns of the current panel exist."""
        return _valid(self.columns, self.column, self.cut.width)

    def over_tiles(self, make: Callable[[int, Expr], Stmt], after: tuple[Stmt, ...] = ()) -> Stmt:
        """For every panel, for every tile: make(rows, row offset in the tile) for its pieces."""
        pieces = chain(self.cut, self.here, make)
        return For(self.panel, (For(self.tile, (*pieces, *after)),))

    def register_tile(
        self,
        a: int,
        a_at: Expr,
        stride: Expr,
        row: Expr,
        col: Expr,
        valid: Expr,
        body: tuple[Stmt, ...],
    ) -> Tile:
        """The current panel's tile of the rows that `row` runs over, all K deep."""
        c, rows = self.contract, number(row.args[0])
        assert rows is not None
        return Tile(
            c.acc,
            rows,
            self.cut.width,
            self.form.steps(self.depth),
            a,
            a_at,
            stride,
            self.packed,
            self.panel_at,
            const(self.step),
            row,
            col,
            const(rows),
            valid,
            body,
        )

    @property
    def here(self) -> Expr:
        """The number of rows of the current tile."""
        return minimum(self.rows - self.tile_row, const(self.cut.height))

    def copy(self, buffer: int, stride: int, value: Expr, k: tuple[Expr, ...]) -> tuple[Stmt, ...]:
        """Copies the task's rows of `left` to scratch."""
        c = self.contract
        return Rows(buffer, stride, c.m, k, self.first_row, self.rows, value).statements()


def _valid(columns: Expr, first: Expr, width: int) -> Expr:
    if number(columns % width) == 0:
        return const(width)
    return minimum(columns - first, const(width))


def chain(cut: Blocking, here: Expr, make: Callable[[int, Expr], Stmt]) -> tuple[Stmt, ...]:
    """make(rows, offset) for the pieces that `here` <= height rows are made of."""
    full = make(cut.height, const(0))
    if not cut.tails:
        return (full,)
    if len(cut.tails) == 1:
        (left,) = cut.tails
        rest: tuple[Stmt, ...] = (make(left, const(0)),)
    else:
        rest = tuple(
            If(eq(here // s % 2, 1), (make(s, here // (2 * s) * (2 * s)),)) for s in cut.tails
        )
    return (If(eq(here, cut.height), (full,), rest),)


def whole(task: Task) -> tuple[Stmt, ...]:
    """One pass over K: the body runs on each tile as it is finished."""
    cut, c, depth = task.cut, task.contract, number(task.depth)
    before: tuple[Stmt, ...] = ()
    if task.lies is not None:
        a, stride = task.lies.buffer, task.lies.stride
        a_at = task.lies.at + task.first_row * stride
    else:
        assert depth is not None
        pitch_ = odd_lines(-(-depth // task.form.group) * task.form.group, task.form.a)
        a = task.take(cut.most_tiles * cut.height * pitch_, task.form.a)
        a_at, stride = const(0), const(pitch_)
        before = task.copy(a, pitch_, c.left, task.k)
    if task.row_sums is not None:
        row, k = var("sum_row", task.rows), var("sum_k", task.depth)
        value = load(a, [a_at + row * stride + k], task.form.a)
        before = (*before, row_sums(task.row_sums, row, k, value))
    held = task.take(cut.height * cut.width) if is_long(c) else None

    def make(rows: int, off: Expr) -> Stmt:
        row, col = var(f"row{rows}", rows), var("col", cut.width)
        if held is None:
            valid = task.valid_columns
            body = body_at(c, task.first_row + task.tile_row + off + row, task.column + col)
        else:
            valid = const(cut.width)
            body = (Store(held, (off + row) * cut.width + col, c.acc),)
        at = a_at + (task.tile_row + off) * stride
        return task.register_tile(a, at, stride, row, col, valid, body)

    after: tuple[Stmt, ...] = ()
    if held is not None:
        after = (_finish(task, held, cut.width, task.first_row + task.tile_row),)
    return (*before, task.over_tiles(make, after))


def _finish(task: Task, held: int, stride: int, first: Expr) -> Stmt:
    """The body over the rows of one tile kept in scratch."""
    row, col = var("held_row", task.here), var("held_col", task.valid_columns)
    acc = load(held, [row * stride + col], task.dtype)
    return body_rows(task.contract, row, first + row, col, task.column + col, acc)


def sliced(task: Task) -> tuple[Stmt, ...]:
    """K in slices: each adds to sums kept in scratch, over which the body runs at the end."""
    cut, c = task.cut, task.contract
    stride, wide = odd_lines(SLICE, task.form.a), SLICE_PANELS * cut.width
    most = cut.most_tiles * cut.height
    a, sums = task.take(most * stride, task.form.a), task.take(most * wide)
    part = var("part", (task.depth + (SLICE - 1)) // SLICE)
    depth = minimum(task.depth - part * SLICE, const(SLICE))
    axis = next(v for v in task.k if number(v.args[0]) != 1)
    inner = var("part_k", depth)
    left = substitute(c.left, {axis: part * SLICE + inner})

    def make(rows: int, off: Expr) -> Stmt:
        row, col = var(f"row{rows}", rows), var("col", cut.width)
        first = task.tile_row + off
        at = (first + row) * wide + task.panel * cut.width + col
        tile = task.register_tile(
            a, first * stride, const(stride), row, col, const(cut.width), (Store(sums, at, c.acc),)
        )
        from_ = task.panel_at + part * (SLICE // task.form.group * task.step)
        start = load(sums, [at], task.dtype)
        return replace(tile, depth=task.form.steps(depth), b_at=from_, start=start)

    copied = task.copy(a, stride, left, (inner,))
    sliced_ = For(part, (*copied, task.over_tiles(make)))
    return (_zeros(task, sums, wide), sliced_, _finish_sums(task, sums, wide))


def _zeros(task: Task, sums: int, wide: int) -> Stmt:
    row, col = (var("zero_row", task.rows), var("zero_col", task.panels * task.cut.width))
    store = Store(sums, row * wide + col, const(0, task.dtype))
    return For(row, (For(col, (store,), "vector"),))


def _finish_sums(task: Task, sums: int, wide: int) -> Stmt:
    first = task.first_panel * task.cut.width
    valid = minimum(task.columns - first, task.panels * task.cut.width)
    row, col = var("done_row", task.rows), var("done_col", valid)
    acc = load(sums, [row * wide + col], task.dtype)
    return body_rows(task.contract, row, task.first_row + row, col, first + col, acc)


def is_long(c: Contract) -> bool:
    """Whether the body is too much to write for every accumulator of a tile."""
    stores = [s for s in c.body if isinstance(s, Store)]
    if sum(cost(s.value) for s in stores) > _LONG_BODY:
        return True
    indices = [s.index for s in stores]
    indices += [i for s in stores for x in loads(s.value) for i in x.args]
    if any(pitch(i, axes) is None for i in indices for axes in (c.m, c.n)):
        return True
    held = {x: const(0, x.dtype) for s in stores for x in loads(s.value)}
    bare = [substitute(s.value, held) for s in stores]
    return any(v in e.free for e in bare for v in (*c.m, *c.n))


def body_at(c: Contract, row: Expr, column: Expr) -> tuple[Stmt, ...]:
    """The body at a row and a column number; m and n appear in flat subscripts only."""
    out: list[Stmt] = []
    for s in c.body:
        assert isinstance(s, Store)
        index, value = s.index, s.value
        for axes, flat in ((c.m, row), (c.n, column)):
            at = parts(axes, flat)
            index, value = (position(index, axes, flat, at), renumber(value, axes, flat, at))
        out.append(Store(s.buffer, index, value))
    return tuple(out)


def body_rows(c: Contract, row: Expr, number_: Expr, lane: Expr, column: Expr, acc: Expr) -> Stmt:
    """Loops over rows and columns around the body, the separate subscripts found once per row."""
    at_row = RowNumber(c.m, number_, "done")
    at = parts(c.n, column)
    out: list[Stmt] = []
    for s in c.body:
        assert isinstance(s, Store)
        index = position(at_row.index(s.index), c.n, column, at)
        value = renumber(at_row.value(s.value), c.n, column, at)
        out.append(Store(s.buffer, index, substitute(value, {c.acc: acc})))
    return For(row, (*at_row.lets(), For(lane, tuple(out), "vector")))

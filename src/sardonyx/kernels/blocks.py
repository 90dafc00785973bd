"""Products with codes of a few bits, read from memory as they are and widened in registers.

    blocks(kernel, target) -> Scheduled | str        kernel: one Contract whose right side is codes

A few rows, each panel read once:                  Many, slices widened for all rows of a task:

    parallel panel:                                    parallel task of (panel, rows):
        for part: sums = 0                                 for slice of K:
            for unit: words of 32 bits                         scratch = numbers of the slice
                for code: sums += a[k] * number                for tile: Tile(rows, scratch)
            total += (sums - zero * sum of a) * scale       body
        body

Where only a run tells how many rows there are, it chooses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    eq,
    load,
    minimum,
    number,
    scalar,
    substitute,
    var,
)
from sardonyx.kernels.blocking import odd_lines
from sardonyx.kernels.buffers import renumber_buffers, used_buffers
from sardonyx.kernels.coded import WORD, Codes, Panels, codes_of, stored
from sardonyx.kernels.gemm import in_place
from sardonyx.kernels.linear import count, parts, renumber
from sardonyx.kernels.pack import Form, Rows
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.kernels.tiles import Lies, body_rows
from sardonyx.loops.build import map_statement
from sardonyx.loops.ir import (
    Buffer,
    Contract,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Loop,
    Span,
    Stmt,
    Store,
    Tile,
)
from sardonyx.loops.lanes import fma, span, vector
from sardonyx.loops.target import Target

# Elements of a buffer that lies by block, those of the part and column at hand.
Read = Callable[[int, DType], Expr]
_F32, _I32 = DType.FLOAT32, DType.INT32
# Rows up to which codes are widened for every few rows anew: as many products as widening takes.
_FEW = 8
# Vectors of a panel's row: as many sums hide the latency of a product.
_VECTORS = 4
# Codes of a slice, and tiles of a task: its numbers and a tile's rows fit the first-level cache.
_SLICE, _TILES = 512, 16


def blocks(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules a contraction with codes; the reason where it cannot."""
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Contract):
        return "the kernel is not one contraction"
    c = kernel.body[0]
    codes = codes_of(c)
    if isinstance(codes, str):
        return codes
    if c.left.dtype is not _F32 or not all(isinstance(s, Store) for s in c.body):
        return "the body holds more than stores"
    if target.has("avx512f") and 1 << codes.bits == target.lanes(_F32):
        codes = codes.looked_up
    width = _VECTORS * target.lanes(_F32)
    panels = Panels(kernel, c, codes, width)
    packed = tuple(panels.packed())
    return _Schedule.of(kernel, c, target, panels, packed).made()


@dataclass
class _Schedule:
    """The main kernel being made. `numbers` are those of codes, scales and zero points."""

    kernel: Kernel
    contract: Contract
    target: Target
    panels: Panels
    packed: tuple[Packed, ...]
    kept: list[Buffer]
    numbers: tuple[int, ...]
    scratch: list[Buffer] = field(default_factory=list)
    _names: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def of(
        cls, kernel: Kernel, c: Contract, target: Target, panels: Panels, packed: tuple[Packed, ...]
    ) -> _Schedule:
        """Buffers numbered anew, without those that only the packing reads."""
        read = set(used_buffers((*c.body, Let(scalar("left", _F32), c.left))))
        kept = [b for b in kernel.params if b.role == "out" or b.number in read]
        new = {b.number: n for n, b in enumerate(kept)}
        body = tuple(
            map_statement(s, lambda e: renumber_buffers(e, new), lambda n: new[n]) for s in c.body
        )
        moved = replace(c, left=renumber_buffers(c.left, new), body=body)
        numbers = tuple(range(len(kept), len(kept) + len(packed)))
        return cls(kernel, moved, target, panels, packed, kept, numbers)

    @property
    def codes(self) -> Codes:
        """What the right operand is made of."""
        return self.panels.codes

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.panels.width

    @property
    def lanes(self) -> int:
        """Columns of a vector."""
        return self.target.lanes(_F32)

    def made(self) -> Scheduled:
        """The schedule."""
        rows = count(self.contract.m)
        known = number(rows)
        few = () if known is not None and known > _FEW else (_Few(self).loop(),)
        many = () if known is not None and known <= _FEW else (_Many(self).loop(),)
        body: tuple[Stmt, ...] = (*few, *many)
        if few and many:
            body = (If(binary("le", rows, const(_FEW)), few, many),)
        params = [replace(b, number=n) for n, b in enumerate(self.kept)]
        params += [
            Buffer(n, p.dtype, p.count) for n, p in zip(self.numbers, self.packed, strict=True)
        ]
        main = replace(self.kernel, params=tuple(params), body=body, scratch=tuple(self.scratch))
        first = len(self.kernel.params)
        order = [b.number for b in self.kept] + [first + n for n in range(len(self.packed))]
        name = f"blocks of {self.codes.bits} bits"
        return Scheduled(main, name, self.packed, tuple(order))

    def take(self, elements: int, dtype: DType = _F32) -> int:
        """The number of new scratch."""
        n = len(self.kept) + len(self.packed) + len(self.scratch)
        self.scratch.append(Buffer(n, dtype, const(elements), space="thread"))
        return n

    def name(self, what: str, lanes: int | None = None, dtype: DType = _F32) -> Expr:
        """A new variable."""
        return vector(f"{what}{next(self._names)}", dtype, lanes)

    def at_batch(self, batch: Expr) -> Contract:
        """The contraction of a batch entry, its depth one axis."""
        c, k = self.contract, self.codes.k
        at = parts(c.batch, batch)
        left = renumber(substitute(c.left, at), c.k, k, parts(c.k, k))
        body = tuple(map_statement(s, lambda e: substitute(e, at)) for s in c.body)
        return replace(c, batch=(), k=(k,), left=left, body=body)

    def word(self, panel: Expr, part: Expr, at: Expr | int) -> Expr:
        """Where a word of a part lies."""
        codes = self.codes
        return ((panel * codes.parts + part) * codes.words + at) * self.width

    def by_block(self, panel: Expr, part: Expr, column: Expr | int) -> Expr:
        """Where the scale or zero point of a part and a column lies."""
        codes = self.codes
        return (panel * codes.blocks + codes.block_of(part)) * self.width + column

    def zero(self, read: Read) -> Expr | None:
        """What is taken off the codes that `read` reads."""
        zero, shift = self.codes.zero, self.codes.shift
        if zero is None:
            return const(shift, _F32) if shift else None
        found = self._own(zero, self.numbers[-1], read)
        return found + shift if shift else found

    def scale(self, read: Read) -> Expr | None:
        """What they are multiplied by."""
        scale = self.codes.scale
        return None if scale is None else self._own(scale, self.numbers[1], read)

    def _own(self, e: Expr, buffer: int, read: Read) -> Expr:
        held = stored(e)
        found = read(buffer, held.dtype)
        return found if held is e else cast(found, _F32)

    def madd(self, a: Expr, b: Expr, total: Expr) -> Expr:
        """a * b + total."""
        return fma(a, b, total) if self.target.can("fma") else a * b + total


@dataclass
class _Few:
    """The loop over panels for as few rows as are multiplied while codes are widened."""

    of: _Schedule

    def loop(self) -> Stmt:
        """The parallel loop."""
        of, c = self.of, self.of.contract
        panel = var("panel", count(c.batch) * of.panels.across)
        self.panel, self.rows = panel, count(c.m)
        here = of.at_batch(panel // of.panels.across)
        before = self._left(here)
        self.summed = of.take(_FEW * of.codes.parts) if of.codes.centred else None
        if self.summed is not None:
            before = (*before, *self._sums(self.summed))
        self.held = of.take(_FEW * of.width)
        first = panel % of.panels.across * of.width
        row = var("row", self.rows)
        lane = var("col", minimum(count(c.n) - first, const(of.width)))
        acc = load(self.held, [row * of.width + lane], _F32)
        after = body_rows(here, row, row, lane, first + lane, acc)
        return For(panel, (*before, *self._pieces(), after), "parallel")

    def _left(self, here: Contract) -> tuple[Stmt, ...]:
        """Finds where rows of the left operand lie, or copies them."""
        of, codes = self.of, self.of.codes
        lies = in_place(here, here.k, Form(_F32, _F32), of.target, False)
        if lies is not None:
            self.lies = lies
            return ()
        stride = odd_lines(codes.depth, _F32)
        a = of.take(_FEW * stride)
        self.lies = Lies(a, const(0), const(stride))
        return Rows(a, stride, here.m, here.k, const(0), self.rows, here.left).statements()

    def _a(self, row: Expr, k: Expr) -> Expr:
        return load(self.lies.buffer, [self.lies.at + row * self.lies.stride + k], _F32)

    def _sums(self, buffer: int) -> tuple[Stmt, ...]:
        """The sum of each part of each row, by which zero points are multiplied."""
        codes, row = self.of.codes, var("sum_row", self.rows)
        whole, rest = divmod(codes.depth, codes.part)
        part = var("sum_part", whole)
        found: list[Stmt] = []
        for at, length in ((part, codes.part), (const(whole), rest)):
            k = var("sum_k", length)
            total = self.of.name("row_sum")
            fold = Fold(total, "add", (k,), self._a(row, at * codes.part + k), "vector")
            store = Store(buffer, row * codes.parts + at, total)
            if length:
                found += [For(part, (fold, store))] if at is part else [fold, store]
        return (For(row, tuple(found)),)

    def _pieces(self) -> tuple[Stmt, ...]:
        """All rows, a few at a time."""
        known = number(self.rows)
        if known is not None:
            sizes = [4] * (known // 4) + [s for s in (2, 1) if known // s % 2]
            starts = itertools.accumulate(sizes, initial=0)
            made = (self._piece(s, const(at)) for s, at in zip(sizes, starts, strict=False))
            return tuple(itertools.chain.from_iterable(made))
        four = var("four", self.rows // 4)
        loop: Stmt = For(four, self._piece(4, four * 4))
        rest = (
            If(eq(self.rows // s % 2, 1), self._piece(s, self.rows // (2 * s) * (2 * s)))
            for s in (2, 1)
        )
        return (loop, *rest)

    def _piece(self, rows: int, first: Expr) -> tuple[Stmt, ...]:
        """The sums of some rows, kept in scratch."""
        of, lanes = self.of, self.of.lanes
        # Half of the registers hold sums.
        vectors = max(1, min(_VECTORS, of.target.registers // 2 // rows))
        found: list[Stmt] = []
        for start in range(0, of.width, vectors * lanes):
            columns = [start + v * lanes for v in range(vectors)]
            found += self._columns([first + r for r in range(rows)], columns)
        return tuple(found)

    def _columns(self, rows: list[Expr], columns: list[int]) -> list[Stmt]:
        of, codes = self.of, self.of.codes
        whole, rest = divmod(codes.depth, codes.part)
        totals = self._vectors("total", rows, columns)
        part = var("part", whole)
        body, after = self._part(part, codes.part, rows, columns, totals)
        found: list[Stmt] = [_carrying(part, body, totals, after)]
        if rest:
            body, after = self._part(const(whole), rest, rows, columns, totals)
            found += body
            totals = after
        places = [(r, v) for r in rows for v in columns]
        return found + [
            Store(self.held, r * of.width + v, total, Span(of.lanes, const(1)))
            for (r, v), total in zip(places, totals, strict=True)
        ]

    def _vectors(self, what: str, rows: list[Expr], columns: list[int]) -> list[Expr]:
        return [self.of.name(what, self.of.lanes) for _ in rows for _ in columns]

    def _part(
        self, part: Expr, length: int, rows: list[Expr], columns: list[int], totals: list[Expr]
    ) -> tuple[list[Stmt], list[Expr]]:
        """Statements that sum a part, and the totals after it."""
        of, codes = self.of, self.of.codes
        units, rest = divmod(length, codes.unit)
        sums: list[Expr] = [const(0.0, _F32)] * len(totals)
        zeros = [None if self.summed is not None else of.zero(self._read(part, v)) for v in columns]
        names = [None if z is None else of.name("zero", of.lanes) for z in zeros]
        found: list[Stmt] = [
            Let(v, z) for v, z in zip(names, zeros, strict=True) if v is not None and z is not None
        ]
        place = _Place(rows, columns, names)
        if units:
            unit, carried = var("unit", units), self._vectors("sum", rows, columns)
            body, after = self._unit((part, unit), codes.unit, place, carried)
            found.append(_carrying(unit, body, carried, after))
            sums = carried
        if rest:
            body, sums = self._unit((part, const(units)), rest, place, sums)
            found += body
        at = itertools.product(rows, columns)
        return found, [
            self._joined(part, r, v, s, total)
            for (r, v), s, total in zip(at, sums, totals, strict=True)
        ]

    def _unit(
        self, at: tuple[Expr, Expr], length: int, place: _Place, sums: list[Expr]
    ) -> tuple[list[Stmt], list[Expr]]:
        """The products of a unit of codes with some rows, one code at a time."""
        of, codes, (part, unit) = self.of, self.of.codes, at
        size = codes.unit * codes.bits // WORD
        found: list[Stmt] = []
        sums = list(sums)
        for n in range(length):
            k = part * codes.part + unit * codes.unit + n
            for m, column in enumerate(place.columns):

                def words(w: int, column: int = column) -> Expr:
                    first = of.word(self.panel, part, unit * size + w) + column
                    return span(of.numbers[0], first, of.lanes, const(1), _I32)

                value, zero = codes.number(words, n), place.zeros[m]
                b = of.name("code", of.lanes)
                found.append(Let(b, value if zero is None else value - zero))
                for r, row in enumerate(place.rows):
                    slot = r * len(place.columns) + m
                    after = of.name("sum", of.lanes)
                    found.append(Let(after, of.madd(self._a(row, k), b, sums[slot])))
                    sums[slot] = after
        return found, sums

    def _read(self, part: Expr, column: int) -> Read:
        of = self.of
        at = of.by_block(self.panel, part, column)
        return lambda buffer, dtype: span(buffer, at, of.lanes, const(1), dtype)

    def _joined(self, part: Expr, row: Expr, column: int, total: Expr, before: Expr) -> Expr:
        """The total after the sum of a part."""
        of, read = self.of, self._read(part, column)
        zero, scale = of.zero(read), of.scale(read)
        if self.summed is not None and zero is not None:
            a = load(self.summed, [row * of.codes.parts + part], _F32)
            total = total - zero * a
        return before + total if scale is None else of.madd(total, scale, before)


@dataclass(frozen=True)
class _Place:
    """Rows, first columns of vectors, and what is taken off each vector of codes."""

    rows: list[Expr]
    columns: list[int]
    zeros: list[Expr | None]


def _carrying(v: Expr, body: list[Stmt], names: list[Expr], after: list[Expr]) -> Loop:
    """A loop over all of v that carries sums from zero."""
    zeros = (const(0.0, _F32),) * len(names)
    return Loop(v, const(0), 1, tuple(body), False, False, tuple(names), zeros, tuple(after))


def _scaled(value: Expr, zero: Expr | None, scale: Expr | None) -> Expr:
    value = value if zero is None else value - zero
    return value if scale is None else value * scale


@dataclass
class _Many:
    """The loop over panels and blocks of rows for which slices of the codes are widened."""

    of: _Schedule

    def loop(self) -> Stmt:
        """The parallel loop."""
        of, c = self.of, self.of.contract
        codes, across = of.codes, of.panels.across
        self.height = max(1, min(of.target.registers // 2 - 2, 14))
        most, all_rows = self.height * _TILES, count(c.m)
        down = (all_rows + (most - 1)) // most
        task = var("task", count(c.batch) * across * down)
        self.panel = task // down
        here = of.at_batch(self.panel // across)
        first = task % down * most
        rows = scalar("rows", DType.INT64)
        self.rows, self.first = rows, first
        self.pieces = max(1, _SLICE // codes.part)
        self.length = self.pieces * codes.part
        self.sums, self.wide = of.take(most * of.width), of.take(self.length * of.width)
        row, lane = var("zero_row", rows), var("zero_col", of.width)
        zeros = Store(self.sums, row * of.width + lane, const(0.0, _F32))
        cut = var("slice", -(-codes.depth // self.length))
        body = (*self._widened(cut), *self._tiles(here, cut, most))
        column = self.panel % across * of.width
        done, last = var("done_row", rows), minimum(count(c.n) - column, const(of.width))
        lane_ = var("done_col", last)
        acc = load(self.sums, [done * of.width + lane_], _F32)
        after = body_rows(here, done, first + done, lane_, column + lane_, acc)
        named = Let(rows, minimum(all_rows - first, const(most)))
        clear = For(row, (For(lane, (zeros,), "vector"),))
        return For(task, (named, clear, For(cut, body), after), "parallel")

    def _widened(self, cut: Expr) -> tuple[Stmt, ...]:
        """Stores the numbers of a slice as [k][column]."""
        of, codes = self.of, self.of.codes
        inside = var("slice_part", minimum(codes.parts - cut * self.pieces, const(self.pieces)))
        part = cut * self.pieces + inside
        whole, rest = divmod(codes.part, codes.unit)
        size = codes.unit * codes.bits // WORD
        lane = var("wide_col", of.width)
        at = of.by_block(self.panel, part, lane)
        own = [of.zero(lambda b, t: load(b, [at], t)), of.scale(lambda b, t: load(b, [at], t))]

        def stores(unit: Expr, length: int) -> Stmt:
            def words(w: int) -> Expr:
                place = of.word(self.panel, part, unit * size + w) + lane
                return load(of.numbers[0], [place], _I32)

            first = inside * codes.part + unit * codes.unit
            values = (_scaled(codes.number(words, n), *own) for n in range(length))
            found = (
                Store(self.wide, (first + n) * of.width + lane, v) for n, v in enumerate(values)
            )
            return For(lane, tuple(found), "vector")

        unit = var("slice_unit", whole)
        made: list[Stmt] = [For(unit, (stores(unit, codes.unit),))] if whole else []
        if rest:
            made.append(stores(const(whole), rest))
        return (For(inside, tuple(made)),)

    def _tiles(self, here: Contract, cut: Expr, most: int) -> tuple[Stmt, ...]:
        """Adds the products of a slice to the sums."""
        of, codes = self.of, self.of.codes
        depth = minimum(codes.depth - cut * self.length, const(self.length))
        lies = in_place(here, here.k, Form(_F32, _F32), of.target, True)
        before: tuple[Stmt, ...] = ()
        if lies is None:
            stride = odd_lines(min(self.length, codes.depth), _F32)
            a, inner = of.take(most * stride), var("slice_k", depth)
            value = substitute(here.left, {codes.k: cut * self.length + inner})
            copy = Rows(a, stride, here.m, (inner,), self.first, self.rows, value)
            before, lies = copy.statements(), Lies(a, const(0), const(stride))
        else:
            at = lies.at + self.first * lies.stride + cut * self.length
            lies = replace(lies, at=at)
        tile = var("tile", (self.rows + (self.height - 1)) // self.height)
        here_ = minimum(self.rows - tile * self.height, const(self.height))
        full = self._tile(here, depth, lies, tile * self.height, self.height)
        rest = tuple(
            If(
                eq(here_ // s % 2, 1),
                self._tile(here, depth, lies, tile * self.height + here_ // (2 * s) * (2 * s), s),
            )
            for s in (8, 4, 2, 1)
            if s < self.height
        )
        return (*before, For(tile, (If(eq(here_, self.height), full, rest),)))

    def _tile(
        self, here: Contract, depth: Expr, lies: Lies, first: Expr, rows: int
    ) -> tuple[Stmt, ...]:
        """The products of some rows with all columns of the panel."""
        of = self.of
        columns = 2 * of.lanes
        found = []
        for start in range(0, of.width, columns):
            row, col = var(f"row{rows}", rows), var("col", columns)
            at = (first + row) * of.width + start + col
            found.append(
                Tile(
                    here.acc, rows, columns, depth, lies.buffer, lies.at + first * lies.stride,
                    lies.stride, self.wide, const(start), const(of.width), row, col,
                    const(rows), const(columns), (Store(self.sums, at, here.acc),),
                    load(self.sums, [at], _F32),
                )
            )  # fmt: skip
        return tuple(found)

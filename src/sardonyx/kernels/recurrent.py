"""Contractions inside loops, as recurrent layers have: weights in panels, a few rows at a time.

    for p: for t: { Contract(rows, gates, units); ... }

becomes, the weights laid out once as [direction][ceil(N / width)][K][width],

    for p: for t: { for panel: Tile(rows, panel) { body }; ... }
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sardonyx.core.expr import (
    Expr,
    const,
    eq,
    load,
    minimum,
    number,
    polynomial,
    product,
    substitute,
    var,
)
from sardonyx.kernels.buffers import renumber_buffers, used_buffers
from sardonyx.kernels.linear import slope
from sardonyx.kernels.pack import Form, panels
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.loops.build import map_statement
from sardonyx.loops.ir import (
    Buffer,
    Contract,
    For,
    If,
    Kernel,
    Stmt,
    Store,
    Tile,
    children,
    statements,
)
from sardonyx.loops.target import Target

# Vectors of a panel's row: one row at a time is multiplied, and four sums hide the latency.
_VECTORS = 4
# Batches up to this are multiplied row by row as they come; larger ones are a common product.
_MOST_ROWS = 8


def recurrent(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules the contractions inside a kernel's loops; the reason where it cannot."""
    inner = [s for top in kernel.body for s in statements(children(top))]
    found = [s for s in inner if isinstance(s, Contract)]
    if not found:
        return "the kernel has no contraction inside a loop"
    first = len(kernel.params) + len(kernel.scratch)
    products: list[_Product] = []
    for n, c in enumerate(found):
        made = _product(kernel, c, first + n, target)
        if isinstance(made, str):
            return made
        products.append(made)
    by_contract = {id(p.contract): p for p in products}
    body = tuple(_replaced(s, by_contract) for s in kernel.body)
    return _closed(kernel, body, products)


@dataclass(frozen=True)
class _Product:
    """One contraction, its panels (buffer `number`), and how it is cut."""

    contract: Contract
    packed: Packed
    number: int
    width: int
    height: int
    most: int
    which: Expr

    @property
    def loops(self) -> tuple[Expr, Expr, Expr]:
        """The row, column and depth variables."""
        c = self.contract
        return c.m[0], c.n[0], c.k[0]

    def statement(self) -> Stmt:
        """The loop over panels."""
        row, column, k = self.loops
        columns = column.args[0]
        across = (columns + (self.width - 1)) // self.width
        panel = var("panel", across)
        at = (self.which * across + panel) * k.args[0] * self.width
        full = tuple(
            self.tile(min(self.height, self.most - r), const(r), panel, at)
            for r in range(0, self.most, self.height)
        )
        if number(row.args[0]) is not None:
            return For(panel, full)
        single = var("single", row.args[0])
        rest = For(single, (self.tile(1, single, panel, at),))
        return For(panel, (If(eq(row.args[0], self.most), full, (rest,)),))

    def tile(self, rows: int, first: Expr, panel: Expr, at: Expr) -> Tile:
        """The tile of `rows` rows from `first` on."""
        c, (m, n, k) = self.contract, self.loops
        stride = slope(c.left.args[0], m)
        assert stride is not None
        a_at = substitute(c.left.args[0], {m: first, k: const(0)})
        row, col = var(f"row{rows}", rows), var("col", self.width)
        start = panel * self.width
        here = {m: first + row, n: start + col}
        body = tuple(map_statement(s, lambda e: substitute(e, here)) for s in c.body)
        valid = minimum(n.args[0] - start, const(self.width))
        if number(n.args[0] % self.width) == 0:
            valid = const(self.width)
        return Tile(
            c.acc,
            rows,
            self.width,
            k.args[0],
            c.left.arg,
            a_at,
            stride,
            self.number,
            at,
            const(self.width),
            row,
            col,
            const(rows),
            valid,
            body,
        )


def _product(kernel: Kernel, c: Contract, place: int, target: Target) -> _Product | str:
    if c.batch or not len(c.m) == len(c.n) == len(c.k) == 1:
        return "the contraction has more than one axis each of rows, columns and depth"
    row, column, k = c.m[0], c.n[0], c.k[0]
    most, columns, depth = (_largest(row.args[0]), number(column.args[0]), number(k.args[0]))
    if most is None or most > _MOST_ROWS or columns is None or depth is None:
        return "the contraction's sizes are not known"
    if not all(isinstance(s, Store) for s in c.body):
        return "the contraction's body holds more than stores"
    if c.left.op != "load" or number(slope(c.left.args[0], k) or 0) != 1:
        return "the contraction's left operand is not read in rows"
    if slope(c.left.args[0], row) is None:
        return "the contraction's left operand is not read in rows"
    split = _outer(c) if c.right.op == "load" else None
    if split is None:
        return "the contraction's right operand is not one matrix of many"
    which, period, rest = split
    lanes = target.lanes(c.acc.dtype)
    width = min(_VECTORS * lanes, -(-columns // lanes) * lanes)
    height = min(most, max(1, target.registers // 8))
    many = number(kernel.buffers[c.right.arg].size // period) if period else 1
    if many is None:
        return "the number of matrices is not known"
    matrix = var("matrix", many)
    right = load(c.right.arg, [matrix * (period or 0) + rest], c.right.dtype)
    whole = replace(c, batch=(matrix,), right=right)
    packed = panels(kernel, whole, (k,), width, Form(c.acc.dtype, c.acc.dtype))
    return _Product(c, packed, place, width, height, most, which)


def _largest(extent: Expr) -> int | None:
    """An upper bound that an extent shows."""
    if extent.op == "min":
        known = [n for a in extent.args if (n := number(a)) is not None]
        return min(known, default=None)
    return number(extent)


def _outer(c: Contract) -> tuple[Expr, int, Expr] | None:
    """(which, period, rest): the right operand reads at which * period + rest, `rest` depending
    on its own axes only."""
    own = {c.n[0], c.k[0]}
    outside: dict[Expr, int] = {}
    rest = const(0)
    for monomial, factor in polynomial(c.right.args[0]).items():
        free = {v for atom in monomial for v in atom.free}
        if free <= own:
            rest = rest + product(monomial) * factor
        elif free & own:
            return None
        else:
            outside[product(monomial)] = factor
    if not outside:
        return const(0), 0, rest
    if len(outside) > 1:
        return None
    ((which, period),) = outside.items()
    return which, period, rest


def _replaced(s: Stmt, products: dict[int, _Product]) -> Stmt:
    if isinstance(s, Contract) and id(s) in products:
        return products[id(s)].statement()
    if isinstance(s, For):
        return replace(s, body=tuple(_replaced(x, products) for x in s.body))
    if isinstance(s, If):
        then, other = (tuple(_replaced(x, products) for x in b) for b in (s.then, s.other))
        return replace(s, then=then, other=other)
    return s


def _closed(kernel: Kernel, body: tuple[Stmt, ...], products: list[_Product]) -> Scheduled:
    """The kernel with its buffers numbered anew: parameters still read, panels, scratch."""
    written = {s.buffer for s in statements(body) if isinstance(s, Store)}
    tiled = {n for s in statements(body) if isinstance(s, Tile) for n in (s.a, s.b)}
    used = written | tiled | set(used_buffers(body))
    kept = [b for b in kernel.params if b.role == "out" or b.number in used]
    added = [Buffer(p.number, p.packed.dtype, p.packed.count) for p in products]
    everything = [*kept, *added, *kernel.scratch]
    numbers = {b.number: n for n, b in enumerate(everything)}
    moved = tuple(
        map_statement(s, lambda e: renumber_buffers(e, numbers), lambda n: numbers[n]) for s in body
    )
    renamed = [replace(b, number=n) for n, b in enumerate(everything)]
    count = len(kept) + len(added)
    made = replace(
        kernel, params=tuple(renamed[:count]), scratch=tuple(renamed[count:]), body=moved
    )
    order = [b.number for b in kept]
    order += [len(kernel.params) + n for n in range(len(added))]
    return Scheduled(made, "recurrent", tuple(p.packed for p in products), tuple(order))

"""The loops of TopK: a short list of the best so far, and blocks in which nothing is better.

for p in rows:                              parallel
    for e < k: insert x[e]
    for blocks of the rest:
        if max of the block > worst of the list:
            for e in block: if x[e] > worst: insert

The list has its worst element first, so that what makes room moves in lanes, reading ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    cast,
    const,
    eq,
    fresh,
    number,
    product,
    scalar,
    unary,
    where,
)
from sardonyx.graph.ir import Type
from sardonyx.loops.ir import Fold, For, If, Kernel, Let, Stmt, Store
from sardonyx.ops.base.element import lift
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import axis_of

# Longer lists: inserting moves half of the list.
_LONGEST = 64
# Elements that are looked at together.
_BLOCK = 32
# The list's length is a multiple of it: lanes of any machine, none of them masked.
_LANES = 16


def best_of(memory: Memory, x: Type, count: int, axis: int, largest: bool) -> Kernel | None:
    """The kernel of (best, their subscripts, x, ..); None where the list would be long."""
    axis = axis_of(axis, len(x.dims))
    extent, inner = x.dims[axis], product(x.dims[axis + 1 :])
    if not 0 < count <= _LONGEST or x.dtype is None or number(extent - count) is None:
        return None
    task = fresh(product(x.dims[:axis]) * inner)
    room = -(-count // _LANES) * _LANES
    kept, places = memory.take(x.dtype, room + 1), memory.take(DType.INT64, room + 1)
    rows = _Rows(memory, count, task // inner, task % inner, inner, extent, largest, (kept, places))
    return memory.kernel(For(task, rows.statements(), "parallel"))


@dataclass(frozen=True)
class _Rows:
    """One row; the list is in two buffers, its elements and where they stood."""

    memory: Memory
    count: int
    outer: Expr
    after: Expr
    inner: Expr
    extent: Expr
    largest: bool
    lists: tuple[int, int]

    def element(self, k: Expr) -> Expr:
        return self.memory.read(2, (self.outer * self.extent + k) * self.inner + self.after)

    @property
    def worst(self) -> Expr:
        return self.memory.read(self.lists[0], const(0))

    def better(self, a: Expr, b: Expr) -> Expr:
        """Whether a is to stand before b, which was met first; NaN is the largest."""
        a, b = lift(a), lift(b)
        high, low = (a, b) if self.largest else (b, a)
        more = low < high
        if not high.dtype.is_float:
            return more
        return more | (unary("isnan", high) & unary("not", unary("isnan", low)))

    def statements(self) -> tuple[Stmt, ...]:
        first, k = fresh(self.count), fresh(self.count)
        more = self.extent - self.count
        blocks = more // _BLOCK
        block, rest = fresh(blocks), fresh(more - blocks * _BLOCK)
        begin = block * _BLOCK + self.count
        shown = (self.outer * self.count + k) * self.inner + self.after
        return (
            For(first, self.insert(first, first)),
            For(block, self.looked_over(begin)),
            For(rest, self.tried(blocks * _BLOCK + self.count + rest)),
            For(k, tuple(self._show(n, shown, self.count - 1 - k) for n in (0, 1))),
        )

    def _show(self, out: int, shown: Expr, k: Expr) -> Store:
        return Store(out, shown, self.memory.read(self.lists[out], k))

    def looked_over(self, begin: Expr) -> tuple[Stmt, ...]:
        """A block whose best decides whether its elements are looked at one by one."""
        k, e = fresh(_BLOCK), fresh(_BLOCK)
        one_by_one = For(e, self.tried(begin + e))
        if number(self.inner) != 1:
            return (one_by_one,)
        value = lift(self.element(begin + k))
        best = scalar("top", value.dtype)
        hopeful = self.better(best, self.worst)
        if not self.largest and value.dtype.is_float:
            hopeful = hopeful | unary("isnan", best)
        found = Fold(best, "max" if self.largest else "min", (k,), value, "vector")
        return (found, If(hopeful, (one_by_one,)))

    def tried(self, k: Expr) -> tuple[Stmt, ...]:
        return (If(self.better(self.element(k), self.worst), self.insert(k, const(self.count))),)

    def insert(self, k: Expr, length: Expr) -> tuple[Stmt, ...]:
        """The element in its place among `length` others, the worst of them leaving."""
        new, place = scalar("new", self.element(k).dtype), scalar("place", INDEX)
        beaten, room = scalar("beaten", INDEX), -(-self.count // _LANES) * _LANES
        n = fresh(room)
        held = self.memory.read(self.lists[0], n)
        behind = (n < self.count - length) | self.better(new, held)
        value = cast((n < self.count) & behind, INDEX)

        def moved(buffer: int, value: Expr) -> For:
            v = fresh(room)
            stays, ahead = (self.memory.read(buffer, at) for at in (v, v + 1))
            kept = where(eq(v, place), value, where(v < place, ahead, stays))
            return For(v, (Store(buffer, v, kept),), "vector")

        one, other = self.lists
        return (
            Let(new, self.element(k)),
            Fold(beaten, "add", (n,), value, "vector"),
            Let(place, beaten - 1),
            moved(one, new),
            moved(other, k),
        )

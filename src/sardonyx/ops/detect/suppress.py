"""NonMaxSuppression with as many rows as there may be: the best box left, beside those kept.

for each class:
    going = 0 < most;  key = score if score > least else -inf
    for every box, while going:
        best = the first of the largest keys, whose key is -inf from here on
        if none of the class's kept boxes overlaps it by more than the limit: keep it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    cast,
    const,
    eq,
    fresh,
    maximum,
    minimum,
    scalar,
    where,
)
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.loops.ir import Fold, For, If, Kernel, Let, Stmt, Store
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.given import only, single, whole
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import known_ints

F32, I32, I64 = DType.FLOAT32, DType.INT32, DType.INT64
_GONE = const(-np.inf, F32)
_ROWS, _COUNT, _SIDES, _KEYS, _KEPT, _BOXES, _SCORES, _MOST, _OVERLAP, _LEAST = range(10)
# Planes of a box: its low and high corner, then its area.
_Y1, _X1, _Y2, _X2, _AREA = range(5)


def selected(
    boxes: Array, scores: Array, count: int, limit: float, least: Any, centred: bool
) -> Array:
    """Rows (batch, class, box), the best box of a class first."""
    rows = []
    for b in range(len(boxes)):
        corners = _corners(boxes[b], centred)
        for c in range(scores.shape[1]):
            row = scores[b, c]
            order = np.argsort(-row, kind="stable")
            if least is not None:
                order = order[row[order] > least]
            rows += [(b, c, n) for n in _suppressed(corners, order, count, limit)]
    return np.array(rows, np.int64).reshape(-1, 3)


def _corners(boxes: Array, centred: bool) -> Array:
    """[boxes, (low, low, high, high)]."""
    a, b = boxes[:, :2], boxes[:, 2:]
    if centred:
        return np.concatenate([a - b / 2, a + b / 2], axis=1)
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1)


def _suppressed(corners: Array, order: Array, count: int, limit: float) -> list[int]:
    kept: list[int] = []
    while order.size and len(kept) < count:
        best = int(order[0])
        kept.append(best)
        rest = order[1:]
        order = rest[~(_overlap(corners[best], corners[rest]) > limit)]
    return kept


def _overlap(one: Array, many: Array) -> Array:
    """Intersection over union; zero where either box is empty."""
    low, high = (np.maximum(one[:2], many[:, :2]), np.minimum(one[2:], many[:, 2:]))
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area, areas = (np.prod(one[2:] - one[:2]), np.prod(many[:, 2:] - many[:, :2], axis=1))
    union = area + areas - shared
    empty = (area <= 0) | (areas <= 0) | (union <= 0)
    return np.where(empty, 0, shared / np.where(union <= 0, 1, union))


class Suppressed(Op):
    """Rows (batch, class, box), how many there are, and what the loops work with."""

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
    center_point_box: int = 0

    def infer(self, boxes: Type, scores: Type, most: Type, *rest: Type) -> Any:
        del rest
        batches, count, _ = boxes.dims
        classes = scores.dims[1]
        wanted = known_ints(most)
        rounds = count if not wanted else minimum(count, max(wanted[0], 0))
        return (
            Type(I64, (batches * classes * rounds + 1, const(3))),
            Type(I64, (const(3),)),
            Type(F32, (const(5), count)),
            Type(F32, (count,)),
            Type(F32, (const(5), count)),
        )

    @quiet
    def reference(
        self, boxes: Array, scores: Array, most: Array, overlap: Array, least: Array | None = None
    ) -> tuple[Array, ...]:
        lowest = None if least is None else only(least, "the least score")
        count = whole(most, "the most boxes")
        limit = float(single(overlap, "the overlap"))
        found = selected(boxes, scores, count, limit, lowest, bool(self.center_point_box))
        batches, many = boxes.shape[:2]
        rounds = min(many, max(count, 0))
        rows = np.zeros((batches * scores.shape[1] * rounds + 1, 3), np.int64)
        rows[: len(found)] = found
        work = np.zeros((5, many), np.float32)
        counts = np.array([len(found), 0, 0], np.int64)
        return rows, counts, work, work[0].copy(), work.copy()

    def build(self, outs: tuple[Type, ...], *inputs: Type) -> Kernel | None:
        memory = Memory(outs, inputs)
        return _Loops(memory, inputs[0], inputs[1], outs[0].dims[0], self.center_point_box).kernel()


@dataclass(frozen=True)
class _Loops:
    memory: Memory
    boxes: Type
    scores: Type
    rows: Expr
    centred: int

    def at(self, buffer: int, index: Expr | int) -> Expr:
        return self.memory.read(buffer, const(index))

    def plane(self, which: int, box: Expr) -> Expr:
        return self.at(_SIDES, self.count * which + box)

    @property
    def count(self) -> Expr:
        return self.boxes.dims[1]

    def kernel(self) -> Kernel:
        batch, kind = fresh(self.boxes.dims[0]), fresh(self.scores.dims[1])
        one_class = For(kind, self.one_class(batch, kind))
        return self.memory.kernel(
            Store(_COUNT, const(0), const(0)), For(batch, (self.corners(batch), one_class))
        )

    def corners(self, batch: Expr) -> Stmt:
        """The planes of every box of an image."""
        n = fresh(self.count)
        a, b, c, d = (self.at(_BOXES, (batch * self.count + n) * 4 + k) for k in range(4))
        sides = ((a, c), (b, d))
        if self.centred:
            low = [p - q / 2.0 for p, q in sides]
            high = [p + q / 2.0 for p, q in sides]
        else:
            low = [binary("min", p, q) for p, q in sides]
            high = [binary("max", p, q) for p, q in sides]
        area = (high[0] - low[0]) * (high[1] - low[1])
        planes = enumerate((*low, *high, area))
        return For(n, tuple(Store(_SIDES, self.count * k + n, e) for k, e in planes), "vector")

    def one_class(self, batch: Expr, kind: Expr) -> tuple[Stmt, ...]:
        n, trips = fresh(self.count), fresh(self.count)
        score = self.at(_SCORES, (batch * self.scores.dims[1] + kind) * self.count + n)
        # NaN and -inf come last, but before what is no longer there.
        lowest = const(float(np.finfo(np.float32).min), F32)
        key = where(lowest < score, score, lowest)
        if len(self.memory.params) > _LEAST:
            key = where(self.at(_LEAST, 0) < score, key, _GONE)
        going = cast(const(0) < self.at(_MOST, 0), I64)
        return (
            Store(_COUNT, const(1), going),
            Store(_COUNT, const(2), const(0)),
            For(n, (Store(_KEYS, n, key),), "vector"),
            For(trips, (If(const(0) < self.at(_COUNT, 1), self.round(batch, kind)),)),
        )

    def round(self, batch: Expr, kind: Expr) -> tuple[Stmt, ...]:
        """The best box that is left, kept if nothing kept before is in its way."""
        n, m = fresh(self.count), fresh(self.count)
        top, found, best = scalar("top", F32), scalar("found", I32), scalar("best", INDEX)
        here, past = (cast(e, I32) for e in (m, self.count))
        first = where(eq(self.at(_KEYS, m), top), here, past)
        tried = (
            Fold(found, "min", (m,), first, "vector"),
            Let(best, minimum(maximum(cast(found, INDEX), 0), self.count - 1)),
            Store(_KEYS, best, _GONE),
            *self.compared(batch, kind, best),
        )
        over = Store(_COUNT, const(1), const(0))
        return (
            Fold(top, "max", (n,), self.at(_KEYS, n), "vector"),
            If(top > _GONE, tried, (over,)),
        )

    def compared(self, batch: Expr, kind: Expr, best: Expr) -> tuple[Stmt, ...]:
        """Keeps a box that none of the kept ones overlaps by more than is allowed."""
        own = [scalar(f"own{k}", F32) for k in range(5)]
        lets: list[Stmt] = [Let(v, self.plane(k, best)) for k, v in enumerate(own)]
        kept, there, hidden = scalar("kept", INDEX), scalar("next", INDEX), scalar("hidden", I32)
        k = fresh(minimum(maximum(self.at(_COUNT, 2), 0), self.count))
        other = [self.at(_KEPT, self.count * plane + k) for plane in range(5)]
        gone = self.at(_OVERLAP, 0) < _overlap_of(own, other)
        keep: list[Stmt] = [
            Let(there, minimum(maximum(self.at(_COUNT, 0), 0), self.rows - 1)),
            Let(kept, minimum(maximum(self.at(_COUNT, 2), 0), self.count - 1)),
        ]
        keep += [Store(_ROWS, there * 3 + n, e) for n, e in enumerate((batch, kind, best))]
        keep += [Store(_KEPT, self.count * n + kept, e) for n, e in enumerate(own)]
        more = cast(kept + 1 < self.at(_MOST, 0), I64)
        counts = (there + 1, more, kept + 1)
        keep += [Store(_COUNT, const(n), e) for n, e in enumerate(counts)]
        return (
            *lets,
            Fold(hidden, "max", (k,), cast(gone, I32), "vector"),
            If(hidden < 1, tuple(keep)),
        )


def _overlap_of(own: Sequence[Expr], other: Sequence[Expr]) -> Expr:
    """Intersection over union; zero where either box is empty."""

    def shared(low: int, high: int) -> Expr:
        length = binary("min", own[high], other[high]) - binary("max", own[low], other[low])
        return binary("max", length, length.like(0.0))

    common = shared(_Y1, _Y2) * shared(_X1, _X2)
    union = own[_AREA] + other[_AREA] - common
    zero = union.like(0.0)
    empty = (own[_AREA] <= zero) | (other[_AREA] <= zero) | (union <= zero)
    return where(empty, zero, common / where(union <= zero, union.like(1.0), union))

"""Where values live while a program runs: an arena whose slots are closed forms of the dims.

A value occupies a slot from the step that makes it to the last step that reads it; a slot serves
one value after another and is as large as the largest of them. Slot sizes are expressions of the
model's symbols, so that a new shape is an evaluation and the peak is known before running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sardonyx.core.expr import Expr, add, const, evaluate, maximum
from sardonyx.engine.aligned import nbytes
from sardonyx.graph.ir import Value

# The size that a symbol is taken for where slots are compared: only which slot serves which value
# depends on it, and a batch or a sequence is more often near 16 than near 1 or 1,000.
_HINT = 16


@dataclass
class Slot:
    """A stretch of the arena: its size, and until which step it is taken."""

    size: Expr
    until: int = -1


@dataclass
class Arena:
    """The slots and which value sits in which."""

    slots: list[Slot] = field(default_factory=list)
    place: dict[Value, int] = field(default_factory=dict)

    @property
    def size(self) -> Expr:
        """The bytes of the whole arena as an expression of the symbols."""
        total = const(0)
        for slot in self.slots:
            total = add(total, slot.size)
        return total

    def offsets(self, env: dict[Expr, int]) -> tuple[list[int], int]:
        """The byte offset of each slot and the total, for given symbols."""
        found, at = [], 0
        for slot in self.slots:
            found.append(at)
            at += evaluate(slot.size, env)
        return found, at


def arrange(
    made: Sequence[Sequence[Value]],
    read: Sequence[Sequence[Value]],
    wanted: Callable[[Value], bool],
) -> Arena:
    """Places the values that steps make; step n makes made[n] and reads read[n].

    `wanted(v)` says whether a value belongs into the arena.
    """
    last = {v: n for n, values in enumerate(read) for v in values}
    arena = Arena()
    for n, values in enumerate(made):
        for v in values:
            if wanted(v) and v not in arena.place:
                arena.place[v] = _slot(arena, v, n, max(last.get(v, n), n))
    return arena


def _slot(arena: Arena, v: Value, now: int, until: int) -> int:
    size = nbytes(v)
    free = [n for n, s in enumerate(arena.slots) if s.until < now]
    hint = _estimate(size)
    best = min(free, key=lambda n: _misfit(_estimate(arena.slots[n].size), hint), default=None)
    if best is None:
        arena.slots.append(Slot(size, until))
        return len(arena.slots) - 1
    slot = arena.slots[best]
    slot.size = maximum(slot.size, size)
    slot.until = until
    return best


def _misfit(have: int, need: int) -> tuple[bool, int]:
    return have < need, abs(have - need)


def _estimate(size: Expr) -> int:
    return evaluate(size, dict.fromkeys(size.free, _HINT))

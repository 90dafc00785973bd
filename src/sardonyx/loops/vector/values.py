"""Expressions in lanes: which vary, how their memory is read, and choices made lane by lane.

How an index moves with the lane decides: not at all, one element is read; by a fixed number, a
span; else each lane reads its own. Where the condition of a choice differs between lanes both
sides are computed, and a side that might read outside a buffer reads where it is chosen only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sardonyx.core.expr import (
    Expr,
    binary,
    const,
    number,
    polynomial,
    rebuild,
    substitute,
    transform,
    unary,
    walk,
    where,
    within,
)
from sardonyx.loops.ir import Buffer
from sardonyx.loops.lanes import Memo, lane, lanes_of, loaded, select, some, span

Note = Callable[[str], None]


@dataclass(frozen=True)
class Lanes:
    """What a loop variable is in each lane: `first` in lane 0, one more in each that follows.

    Lanes off in `mask` are dead: they read and write nothing.
    """

    var: Expr
    first: Expr
    width: int
    mask: Expr | None = None


class Values:
    """Rewrites the expressions of one body for one `Lanes`.

    `vectors` are the scalars defined so far that differ between lanes, by the names they had.
    """

    def __init__(self, lanes: Lanes, buffers: Mapping[int, Buffer], note: Note) -> None:
        self.lanes, self.buffers, self.note = lanes, buffers, note
        self.vectors: dict[Expr, Expr] = {}
        self.predicate = lanes.mask
        self._done: dict[Expr, Expr] = {}
        self._widths: Memo = {}
        self._order: list[Expr] = []
        self._evaluated: list[Expr] = []
        self._here = lanes.first is not lanes.var

    # What is known

    def varies(self, e: Expr) -> bool:
        """Whether an expression may differ between lanes."""
        return any(v is self.lanes.var or v in self.vectors for v in e.free)

    def stride(self, index: Expr) -> Expr | None:
        """By how many elements an index moves from lane to lane; None if not by a fixed number."""
        step: Expr = const(0)
        if not self.varies(index):
            return step
        for monomial, coefficient in polynomial(index).items():
            free = [a for a in monomial if self.varies(a)]
            if not free:
                continue
            if free != [self.lanes.var]:
                return None
            rest = const(coefficient)
            for atom in monomial:
                rest = rest if atom is self.lanes.var else rest * atom
            step = step + rest
        return step if step.is_const else self.uniform(step)

    @contextmanager
    def block(self) -> Iterator[None]:
        """What is found inside holds inside only: control may pass it by."""
        made, evaluated = len(self._order), len(self._evaluated)
        yield
        for x in self._order[made:]:
            self._done.pop(x, None)
        del self._order[made:], self._evaluated[evaluated:]

    def evaluated(self, *exprs: Expr) -> None:
        """Says that expressions have been computed: what they read for sure may be read again."""
        self._evaluated += exprs

    def _faults(self, e: Expr) -> bool:
        """Whether some load in an expression, not made before, might be out of bounds."""
        unsure = [x for x in walk(e) if x.op == "load" and not self._inside(x)]
        if not unsure:
            return False
        made = certain(self._evaluated)
        return not all(x in made for x in unsure)

    def _inside(self, x: Expr) -> bool:
        return within(x.args[0], self.buffers[x.arg].size)

    # Rewriting

    def __call__(self, e: Expr) -> Expr:
        """The expression in lanes; itself where it does not vary."""
        pending = [e]
        while pending:
            x = pending[-1]
            if x in self._done:
                pending.pop()
                continue
            missing = [a for a in self._first(x) if a not in self._done]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            self._done[x] = self._make(x)
            self._order.append(x)
        return self._done[e]

    def _first(self, x: Expr) -> tuple[Expr, ...]:
        """What must be rewritten before x."""
        if x.op in ("var", "load") or not self.varies(x):
            return ()
        return x.args[:1] if x.op == "where" else x.args

    def _make(self, x: Expr) -> Expr:
        if not self.varies(x):
            return self.uniform(x)
        if x.op == "var":
            if x is self.lanes.var:
                return self.lanes.first + lane(self.lanes.width)
            return self.vectors[x]
        if x.op == "load":
            return self._load(x)
        if x.op == "where":
            return self._choose(x)
        return rebuild(x, tuple(self._done[a] for a in x.args))

    def uniform(self, e: Expr) -> Expr:
        """An expression that lane 0 may compute for all; loads that no lane wants are left out."""
        if self._here and self.lanes.var in e.free:
            e = substitute(e, {self.lanes.var: self.lanes.first})
        mask = self.predicate
        if mask is None or mask is self.lanes.mask or not self._faults(e):
            return e
        made = certain(self._evaluated)

        def visit(x: Expr) -> Expr | None:
            if x.op != "load" or x in made or self._inside(x):
                return None
            return loaded(x.arg, transform(x.args[0], visit), x.dtype, some(mask))

        return transform(e, visit)

    def _load(self, x: Expr) -> Expr:
        buffer, index = x.arg, x.args[0]
        stride = self.stride(index)
        if stride is not None and number(stride) == 0:
            return self.uniform(x)
        mask, whole = self.predicate, self.lanes.mask
        if mask is not whole and self._inside(x):
            mask = whole
        if stride is not None:
            if number(stride) != 1:
                self.note(f"b{buffer} is read by strides of {stride}")
            first, width = self.uniform(index), self.lanes.width
            return span(buffer, first, width, stride, x.dtype, mask)
        places = self(index)
        if not self.is_vector(places):
            wanted = None if mask is None or mask is whole else some(mask)
            return loaded(buffer, places, x.dtype, wanted)
        found = self._regular(places)
        if found is not None:
            return span(buffer, found[0], self.lanes.width, const(found[1]), x.dtype, mask)
        self.note(f"b{buffer} is gathered, its index being no fixed step from lane to lane")
        return loaded(buffer, places, x.dtype, mask)

    def _regular(self, places: Expr) -> tuple[Expr, int] | None:
        """First place and stride of the lanes' where in this strip, if not in all, they are so."""
        here = lane(self.lanes.width)
        terms = polynomial(places)
        step, rest = terms.get((here,), 0), places - here * terms.get((here,), 0)
        return None if self.is_vector(rest) else (rest, step)

    def is_vector(self, e: Expr) -> bool:
        """Whether what was rewritten still differs between lanes: in one strip it may not."""
        return lanes_of(e, self._widths) is not None

    # Choices

    def _choose(self, x: Expr) -> Expr:
        """A chain of choices, each in the last side of the one before."""
        parts: list[tuple[bool, Expr, Expr]] = []
        with ExitStack() as opened:
            while x.op == "where" and x not in self._done and self.varies(x):
                condition, blends = self(x.args[0]), self.varies(x.args[0])
                if condition.op == "const":
                    x = x.args[1 if condition.arg else 2]
                    continue
                before, side, x = x.args
                parts.append((blends, condition, self._side(side, before, blends, True)))
                opened.enter_context(self._under(x, before, blends, False))
            out = self(x)
        for blends, condition, yes in reversed(parts):
            out = select(condition, yes, out) if blends else where(condition, yes, out)
        return out

    def _side(self, side: Expr, condition: Expr, blends: bool, keep: bool) -> Expr:
        with self._under(side, condition, blends, keep):
            return self(side)

    @contextmanager
    def _under(self, side: Expr, condition: Expr, blends: bool, keep: bool) -> Iterator[None]:
        """Inside, loads that could fault read only where the condition is `keep`."""
        if blends and not self._faults(side):
            yield
            return
        mask, before = self(condition), self.predicate
        with self.block():
            self.evaluated(condition)
            if blends and self._faults(side):
                mask = mask if keep else unary("not", mask)
                self.predicate = mask if before is None else binary("and", mask, before)
            yield
        self.predicate = before


def certain(exprs: Sequence[Expr]) -> set[Expr]:
    """The loads that computing the expressions makes, whatever is chosen."""
    found: set[Expr] = set()
    seen: set[Expr] = set()
    stack = list(exprs)
    while stack:
        x = stack.pop()
        if x in seen:
            continue
        seen.add(x)
        if x.op == "load":
            found.add(x)
        stack.extend(x.args[:1] if x.op == "where" else x.args)
    return found

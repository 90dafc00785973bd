"""Reductions: nested loops that carry accumulators.

Outside a vector loop a "vector" fold runs its innermost variable in lanes with several independent
accumulators, so that the latency of an addition is hidden, and combines them at the end; a sum is
reassociated there and nowhere else. Inside a vector loop every lane folds for itself, in order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from sardonyx.core.expr import Expr, const, number, polynomial, substitute
from sardonyx.core.operations import identity
from sardonyx.engine.emit.arith import binary
from sardonyx.engine.emit.math.formula import Math
from sardonyx.engine.emit.strips import Strips, unrolls
from sardonyx.engine.emit.types import HALVES, constant, register, vector
from sardonyx.engine.emit.values import Value
from sardonyx.loops.ir import Fold

ACCUMULATORS = 4
_NONE: frozenset[int] = frozenset()
Step = Callable[[list[str]], list[str]]


def fold(code: Strips, stmt: Fold) -> Value:
    """The value of a reduction, at the innermost level."""
    level = len(code.scopes) - 1
    if stmt.kind == "vector" and code.lane is None:
        width, trips = code.width((stmt,)), number(stmt.vars[-1].args[0])
        if trips is not None:
            width = min(width, 1 << max(0, trips - 1).bit_length())
        if width > 1:
            return Value(_Lanes(code, stmt, width).run(), None, level)
    lanes = code.lane.width if code.lane and code.varies(stmt.value) else None
    return Value(_Each(code, stmt, lanes).run(), lanes, level)


class _Each:
    """A fold in order, by a scalar or by every lane of the vector loop around it."""

    def __init__(self, code: Strips, stmt: Fold, lanes: int | None) -> None:
        self.code, self.stmt, self.lanes = code, stmt, lanes
        self.dtype, self.value = stmt.var.dtype, stmt.value

    def start(self, lanes: int | None) -> str:
        """The accumulator before the first trip."""
        return constant(self.dtype, identity(self.stmt.op, self.dtype), lanes)

    def add(self, accumulator: str, value: Expr, lanes: int | None) -> str:
        """The accumulator after one more value; a sum of products is fused."""
        code, m = self.code, None
        if self.stmt.op == "add" and self.dtype.is_float and self.dtype not in HALVES:
            m = Math(code, self.dtype, lanes)
        if m is not None and m.fused and value.op == "mul" and not code.made(value):
            a, b = (code.expr(side, lanes) for side in value.args)
            return m.fma(a, b, accumulator)
        return self.join(accumulator, code.expr(value, lanes), lanes)

    def join(self, a: str, b: str, lanes: int | None) -> str:
        """Two accumulators as one."""
        return binary(self.code, self.stmt.op, self.dtype, lanes, a, b)

    def run(self) -> str:
        """The operand of the whole reduction."""
        start = self.start(self.lanes)
        if unrolls(self.stmt):
            trips = [range(number(v.args[0]) or 0) for v in self.stmt.vars]
            return self._straight(start, trips)
        return self.loops(self.stmt.vars, [start], self._one)[0]

    def _straight(self, accumulator: str, trips: Sequence[range]) -> str:
        for point in itertools.product(*trips):
            here = {v: const(k) for v, k in zip(self.stmt.vars, point, strict=True)}
            accumulator = self.add(accumulator, substitute(self.value, here), self.lanes)
        return accumulator

    def _one(self, carried: list[str]) -> list[str]:
        return [self.add(carried[0], self.value, self.lanes)]

    def kinds(self) -> list[str]:
        """The types of what the loops carry."""
        return [register(self.dtype, self.lanes)]

    def loops(self, vars_: Sequence[Expr], carried: list[str], inner: Step) -> list[str]:
        """Serial loops over the variables around `inner`."""
        if not vars_:
            return inner(carried)
        code, extent = self.code, vars_[0].args[0]
        carry = list(zip(self.kinds(), carried, strict=True))
        some = code.trips(extent)
        with code.loop(code.expr(extent), carry, nonempty=some, writes=_NONE) as trip:
            code.define(vars_[0], trip.index)
            trip.next(self.loops(vars_[1:], list(trip.values), inner))
        return trip.results


class _Lanes(_Each):
    """A fold whose innermost variable runs in lanes, over several accumulators."""

    def __init__(self, code: Strips, stmt: Fold, width: int) -> None:
        super().__init__(code, stmt, None)
        self.width = width
        self.inner = stmt.vars[-1]
        self.extent = self.inner.args[0]
        known = number(self.extent)
        self.count = ACCUMULATORS if known is None else min(ACCUMULATORS, max(1, known // width))
        self.masked = code.masks((stmt,))

    def kinds(self) -> list[str]:
        """Vectors, and one scalar where what is left over is added one by one."""
        wide = [register(self.dtype, self.width)] * self.count
        return wide if self.masked else [*wide, register(self.dtype)]

    def run(self) -> str:
        """The operand of the whole reduction."""
        start = [self.start(self.width)] * self.count
        if not self.masked:
            start.append(self.start(None))
        out = self.loops(self.stmt.vars[:-1], start, self._strip)
        total = self._across(out[: self.count])
        return total if self.masked else self.join(total, out[-1], None)

    def _strip(self, carried: list[str]) -> list[str]:
        """One run over the innermost variable."""
        wide, rest = carried[: self.count], carried[self.count :]
        full, left = self.code.split(self.extent, self.width)
        block = self.count * self.width
        many = self._multiple(full, block)
        if many != "0":
            wide = self._vectors("0", many, block, wide)
        if many != full:
            wide[:1] = self._vectors(many, full, self.width, wide[:1])
        if left is None:
            return wide + rest
        if self.masked:
            return [self._tail(full, left, wide[0]), *wide[1:]]
        return wide + self._rest(full, rest)

    def _multiple(self, full: str, block: int) -> str:
        if full[0] != "%":
            return str(int(full) // block * block)
        if all(c % block == 0 for c in polynomial(self.extent).values()):
            return full
        if block & (block - 1) == 0:
            return self.code.let(f"and i64 {full}, {-block}")
        return self.code.let(f"sub i64 {full}, {self.code.let(f'urem i64 {full}, {block}')}")

    def _vectors(self, start: str, stop: str, step: int, wide: list[str]) -> list[str]:
        code, kind = self.code, register(self.dtype, self.width)
        if start[0] != "%" and stop[0] != "%" and int(stop) - int(start) == step:
            return [self._at(start, k, a) for k, a in enumerate(wide)]
        carry = [(kind, a) for a in wide]
        known = stop[0] != "%"
        with code.loop(
            stop,
            carry,
            start=start,
            step=step,
            nonempty=known,
            guard=not code.trips(self.extent),
            writes=_NONE,
        ) as trip:
            trip.next([self._at(trip.index, k, a) for k, a in enumerate(trip.values)])
        return trip.results

    def _at(self, base: str, strip: int, accumulator: str) -> str:
        code = self.code
        if strip:
            base = code.let(f"add i64 {base}, {strip * self.width}")
        with code.lanes(self.inner, base, self.width):
            return self.add(accumulator, self.value, self.width)

    def _tail(self, full: str, left: str, accumulator: str) -> str:
        code, kind = self.code, register(self.dtype, self.width)
        carry = [(kind, accumulator)]
        stop = code.expr(self.extent)
        known = number(self.extent) is not None
        guard = not code.trips(self.extent)
        with code.loop(
            stop, carry, start=full, step=self.width, nonempty=known, guard=guard, writes=_NONE
        ) as trip:
            before, mask = trip.values[0], code.mask_below(left, self.width)
            with code.lanes(self.inner, trip.index, self.width, mask):
                after = self.add(before, self.value, self.width)
            on = f"{vector('i1', self.width)} {mask}"
            trip.next([code.let(f"select {on}, {kind} {after}, {kind} {before}")])
        return trip.results[0]

    def _rest(self, full: str, carried: list[str]) -> list[str]:
        code = self.code
        carry = [(register(self.dtype), carried[0])]
        with code.loop(code.expr(self.extent), carry, start=full, writes=_NONE) as trip:
            code.define(self.inner, trip.index)
            trip.next([self.add(trip.values[0], self.value, None)])
        return trip.results

    def _across(self, wide: list[str]) -> str:
        """All lanes of all accumulators as one scalar, by halves."""
        while len(wide) > 1:
            half = (len(wide) + 1) // 2
            pairs = itertools.zip_longest(wide[:half], wide[half:])
            wide = [a if b is None else self.join(a, b, self.width) for a, b in pairs]
        out, width = wide[0], self.width
        while width > 1:
            kind, half = register(self.dtype, width), width // 2
            low, high = (self._half(kind, out, first, half) for first in (0, half))
            out, width = self.join(low, high, half), half
        return self.code.let(f"extractelement {register(self.dtype, 1)} {out}, i64 0")

    def _half(self, kind: str, a: str, first: int, count: int) -> str:
        order = ", ".join(f"i32 {first + k}" for k in range(count))
        return self.code.let(f"shufflevector {kind} {a}, {kind} poison, <{count} x i32> <{order}>")

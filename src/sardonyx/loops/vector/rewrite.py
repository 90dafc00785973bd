"""From the stage `schedule` to the stage `vector`: loops in lanes become strips, folds loops.

    vector for i < s0: S      becomes     loop i from 0 to s0 & -16 step 16: S of 16 lanes
                                          rest i from s0 & -16 to s0 step 16: S under a mask

Where masks are dear the rest runs one by one, and where the extent is known the trips of a short
loop are written out. Outside of lanes a "vector" fold runs its innermost loop in lanes, with
several accumulators, so that the latency of an addition is hidden. Inside of lanes every lane folds
for itself, in order. Long sums of floats are sums of parts, whose error does not grow with them:

    fold add over k < 1000000: x      becomes     loop p from 0 to 1000000 step 65536:
                                                    loop q from p to min(p + 65536, ..) step 256:
                                                      loop k from q to min(q + 256, ..) step 1: x
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    binary,
    const,
    maximum,
    minimum,
    name_of,
    number,
    substitute,
    var,
)
from sardonyx.loops.build import identity, mapped
from sardonyx.loops.ir import Fold, For, If, Kernel, Let, Loop, Span, Stmt, Store, Tile
from sardonyx.loops.lanes import across, below, fma, select, vector
from sardonyx.loops.target import Target
from sardonyx.loops.vector.turn import block, width_of
from sardonyx.loops.vector.values import Lanes, Values
from sardonyx.loops.vector.width import (
    ACCUMULATORS,
    HALVES,
    Widths,
    apart,
    has_trip,
    multiple,
    parts,
    short,
    unrolls,
)

Carried = list[Expr]
Kind = tuple[DType, int | None]
Inner = Callable[[Fold, Carried], tuple[tuple[Stmt, ...], Carried]]
Trip = Callable[[Expr, Carried], tuple[tuple[Stmt, ...], Carried]]


def vectorise(kernel: Kernel, target: Target) -> Kernel:
    """The kernel with explicit lanes, masks and strips for a target; one that has them stays."""
    return _Rewriter(kernel, target).kernel()


def reasons(kernel: Kernel, target: Target) -> list[str]:
    """What `vectorise` decides and why, one line for each loop, fold and irregular access."""
    rewriter = _Rewriter(kernel, target)
    rewriter.kernel()
    return list(rewriter.notes)


class _Rewriter:
    """`lanes` rewrites the expressions of the vector loop that the statement is in, if any."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        self.source, self.target = kernel, target
        self.widths = Widths(target, kernel.buffers)
        self.lanes: Values | None = None
        self.notes: dict[str, None] = {}
        self._fresh = itertools.count()

    def kernel(self) -> Kernel:
        return replace(self.source, body=self.block(self.source.body))

    def note(self, text: str) -> None:
        self.notes[text] = None

    def expr(self, e: Expr) -> Expr:
        return e if self.lanes is None else self.lanes(e)

    def block(self, body: Iterable[Stmt]) -> tuple[Stmt, ...]:
        with self._scope():
            return tuple(made for s in body for made in self.statement(s))

    def _scope(self) -> AbstractContextManager[None]:
        return nullcontext() if self.lanes is None else self.lanes.block()

    def inside(
        self, lanes: Lanes, body: Sequence[Stmt], known: Mapping[Expr, Expr] | None = None
    ) -> tuple[Stmt, ...]:
        """A body in lanes, some variables of which are known to be vectors."""
        self.lanes = Values(lanes, self.source.buffers, self.note)
        self.lanes.vectors.update(known or {})
        made = self.block(body)
        self.lanes = None
        return made

    def statement(self, s: Stmt) -> list[Stmt]:
        match s:
            case For():
                return self._for(s)
            case Let():
                value = self.expr(s.value)
                if self.lanes is not None:
                    self.lanes.evaluated(s.value)
                return [Let(self._define(s.var, s.value), value)]
            case Fold():
                return self._fold(s)
            case Store():
                return [self._store(s)]
            case If():
                condition = self.expr(s.condition)
                return [If(condition, self.block(s.then), self.block(s.other))]
            case Tile() if s.lanes is None:
                return [self._tile(s)]
        return [s]

    def _define(self, v: Expr, value: Expr) -> Expr:
        """The variable that holds what was in v, a vector where the value varies."""
        lanes = self.lanes
        if lanes is None or not lanes.varies(value):
            return v
        lanes.vectors[v] = self.name(v, v.dtype, lanes.lanes.width)
        return lanes.vectors[v]

    def name(self, v: Expr, dtype: DType, width: int | None) -> Expr:
        return vector(f"{name_of(v)}.{next(self._fresh)}", dtype, width)

    def _store(self, s: Store) -> Store:
        lanes = self.lanes
        if lanes is None:
            return s
        stride = lanes.stride(s.index)
        step, value = None if stride is None else number(stride), lanes(s.value)
        lanes.evaluated(s.value)
        if step == 0 and not lanes.varies(s.value):
            return Store(s.buffer, lanes.uniform(s.index), value)
        if stride is None:
            places = lanes(s.index)
            same = None if lanes.is_vector(places) else Span(lanes.lanes.width, const(0))
            self.note(f"b{s.buffer} is scattered, its index being no fixed step from lane to lane")
            return Store(s.buffer, places, value, same, lanes.lanes.mask)
        if step != 1:
            self.note(f"b{s.buffer} is written by strides of {stride}")
        where = Span(lanes.lanes.width, stride)
        return Store(s.buffer, lanes.uniform(s.index), value, where, lanes.lanes.mask)

    # Loops

    def _for(self, s: For) -> list[Stmt]:
        if s.kind == "turn":
            return self._turned(s)
        if s.kind != "vector":
            return [For(s.var, self.block(s.body), s.kind)]
        width, dtype = self.widths.of(s.body, s.var)
        if self.lanes is not None or width == 1:
            return [For(s.var, self.block(s.body))]
        self.note(f"{name_of(s.var)}: {width} lanes, a register of {dtype}")
        strips = tuple(self._strips(s, width))
        if has_trip(s.extent):
            return list(strips)
        return [If(const(0) < s.extent, strips)]

    def _strips(self, s: For, width: int) -> Iterable[Stmt]:
        """Whole vectors, then what is left of at least one trip: masked, or one by one."""
        name, extent = name_of(s.var), number(s.extent)
        full, done = multiple(s.extent, width), const(0)
        for chains in self.widths.chains(s.body):
            many = multiple(s.extent, chains * width)
            if many is done or (extent is not None and extent < chains * width):
                continue
            self.note(f"{name}: {chains} vectors at once, so that their folds overlap")
            yield from self._whole(s, chains * width, done, many)
            done = many
        if done is not full:
            yield from self._whole(s, width, done, full)
        yield from self._rest(s, width, full)

    def _rest(self, s: For, width: int, full: Expr) -> Iterable[Stmt]:
        """What is left of a vector loop from `full` on: masked, or one by one."""
        if full is s.extent:
            return
        name, rest = name_of(s.var), var(name_of(s.var), s.extent)
        if not self.widths.masks(s.body, s.var):
            self.note(f"{name}: what is left over runs one by one, masks being dear here")
            yield Loop(rest, full, 1, self.block(s.body))
            return
        self.note(f"{name}: what is left over runs under a mask")
        if full.is_const:
            mask = below(s.extent - full, width)
            yield from self.inside(Lanes(s.var, full, width, mask), s.body)
        else:
            left = self.left(rest, width)
            body = self.inside(Lanes(s.var, rest, width, left.var), s.body)
            yield Loop(rest, full, width, (left, *body), once=True, sure=True)

    def _turned(self, s: For) -> list[Stmt]:
        """Blocks of a turn loop, columns first; what fills none as if it were none."""
        (inner,) = s.body
        assert isinstance(inner, For)
        lanes, _ = self.widths.of(inner.body, inner.var)
        width = width_of(lanes, s.extent, inner.extent)
        if width == 1 or self.lanes is not None:
            return [For(s.var, self.block(s.body))]
        self.note(f"{name_of(s.var)}: blocks of {width} x {width} are turned in registers")
        down, right = multiple(s.extent, width), multiple(inner.extent, width)
        i, j = var(name_of(s.var), down), var(name_of(inner.var), right)

        def name(dtype: DType) -> Expr:
            return self.name(s.var, dtype, width)

        blocks = Loop(i, const(0), width, block(s, (i, j), width, name, self.inside))
        columns: list[Stmt] = [blocks]
        if down is not s.extent:
            k = var(name_of(s.var), s.extent)
            lanes_here = self.inside(Lanes(inner.var, j, width), mapped(inner.body, {s.var: k}))
            columns.append(Loop(k, down, 1, lanes_here))
        made: list[Stmt] = [Loop(j, const(0), width, tuple(columns))]
        if right is not inner.extent:
            made.append(For(s.var, tuple(self._rest(inner, width, right))))
        return made

    def left(self, v: Expr, width: int) -> Let:
        """The mask of the lanes whose trips are left from v on, fewer than the width."""
        return Let(self.name(v, DType.BOOL, width), below(v.args[0] - v, width))

    def _whole(self, s: For, width: int, start: Expr, stop: Expr) -> Iterable[Stmt]:
        low, high = number(start), number(stop)
        if low is not None and high is not None and short(s.body, (high - low) // width):
            for first in range(low, high, width):
                yield from self.inside(Lanes(s.var, const(first), width), s.body)
        else:
            v = var(name_of(s.var), stop)
            yield Loop(v, start, width, self.inside(Lanes(s.var, v, width), s.body), sure=True)

    # Folds

    def _fold(self, s: Fold) -> list[Stmt]:
        if s.kind == "vector" and self.lanes is None and s.vars[-1] in s.value.free:
            width, dtype = self.widths.of((s,), s.vars[-1])
            if width > 1:
                self.note(f"{name_of(s.var)}: folded in {width} lanes, a register of {dtype}")
                return _Folded(self, s, width).run()
        return self._in_order(s)

    def _in_order(self, s: Fold) -> list[Stmt]:
        start = identity(s.op, s.var.dtype)
        if not unrolls(s):
            target = self._define(s.var, s.value)
            width = target.arg[2] if len(target.arg) > 2 else None
            with self._scope():
                return [self.nest(s, 0, [target], [start], [(s.var.dtype, width)], self._one)]
        self.note(f"{name_of(s.var)}: written out")
        total = start
        for point in itertools.product(*(range(number(v.args[0]) or 0) for v in s.vars)):
            here = {v: const(k) for v, k in zip(s.vars, point, strict=True)}
            total = self.add(s, total, substitute(s.value, here))
        return [Let(self._define(s.var, s.value), total)]

    def _one(self, s: Fold, carried: Carried) -> tuple[tuple[Stmt, ...], Carried]:
        return (), [self.add(s, carried[0], s.value)]

    def add(self, s: Fold, total: Expr, value: Expr) -> Expr:
        """An accumulator after one more value; a product is added in one step if that can be."""
        dtype = s.var.dtype
        if total.is_const and (s.op not in ("add", "mul") or dtype.is_int):
            return self.expr(value)
        plain = s.op == "add" and dtype.is_float and dtype not in HALVES
        if plain and value.op == "mul" and self.widths.fused:
            a, b = (self.expr(side) for side in value.args)
            return fma(a, b, total)
        return binary(s.op, total, self.expr(value))

    def nest(
        self,
        s: Fold,
        depth: int,
        results: Carried,
        first: Carried,
        kinds: Sequence[Kind],
        inner: Inner,
        stop: int | None = None,
    ) -> Stmt:
        """Loops over the variables from `depth` up to `stop` around `inner`, carrying those kinds.

        Each trip of a loop around a long sum adds what that comes to from zero.
        """

        def trip(v: Expr, carried: Carried) -> tuple[tuple[Stmt, ...], Carried]:
            now = _with_variable(s, depth, v)
            if depth + 1 == (len(s.vars) if stop is None else stop):
                return inner(now, carried)
            inside, alone = [self.name(s.var, *kind) for kind in kinds], apart(s, depth + 1)
            begin = [identity(s.op, s.var.dtype)] * len(kinds) if alone else carried
            loop = self.nest(now, depth + 1, inside, begin, kinds, inner, stop)
            return (loop,), self.joined(s.op, carried, inside) if alone else inside

        v = s.vars[depth]
        return self.loop(s, v, const(0), 1, results, first, trip, parts=parts(s, v.args[0], 1))

    def loop(
        self,
        s: Fold,
        v: Expr,
        start: Expr,
        step: int,
        results: Carried,
        first: Carried,
        trip: Trip,
        *,
        sure: bool = False,
        parts: Sequence[int] = (),
    ) -> Loop:
        """A loop from `start` to the extent of v; of long sums one over parts, each from zero."""
        if not parts:
            body, following = trip(v, results)
        else:
            outer = var(f"{name_of(v)}.{next(self._fresh)}", v.args[0])
            inner = var(name_of(v), minimum(outer + parts[-1], v.args[0]))
            names = [self._like(s.var, a) for a in results]
            zero = [identity(s.op, s.var.dtype)] * len(names)
            v = outer
            body = (self.loop(s, inner, v, step, names, zero, trip, sure=True, parts=parts[:-1]),)
            following, step = self.joined(s.op, results, names), parts[-1]
        return Loop(
            v, start, step, body, False, sure, tuple(results), tuple(first), tuple(following)
        )

    def joined(self, op: str, some: Carried, others: Carried) -> Carried:
        """Accumulators by twos."""
        return [binary(op, a, b) for a, b in zip(some, others, strict=True)]

    def _like(self, v: Expr, a: Expr) -> Expr:
        return self.name(v, v.dtype, a.arg[2] if len(a.arg) > 2 else None)

    # Tiles

    def _tile(self, t: Tile) -> Tile:
        """The body in lanes of columns, those past the last valid one masked."""
        width, valid = min(self.target.lanes(t.acc.dtype), t.cols), number(t.valid_cols)
        col = var(name_of(t.col), t.cols - width + 1)
        mask = count = None
        if valid is None or valid < t.cols:
            mask = self.name(t.col, DType.BOOL, width)
            count = below(minimum(maximum(t.valid_cols - col, 0), width), width)
        lanes = Values(Lanes(t.col, col, width, mask), self.source.buffers, self.note)
        self.lanes = lanes
        start = None if t.start is None else lanes(t.start)
        acc = vector(name_of(t.acc), t.acc.dtype, width)
        lanes.vectors[t.acc] = acc
        body = self.block(t.body)
        self.lanes = None
        self.note(f"{name_of(t.acc)}: {t.rows} rows of {t.cols // width} vectors in registers")
        made = replace(t, acc=acc, col=col, body=body, start=start)
        return replace(made, lanes=width, mask=mask, valid=count)


def _with_variable(s: Fold, depth: int, v: Expr) -> Fold:
    """A fold one of whose loops runs over another variable."""
    old = s.vars[depth]
    if v is old:
        return s
    value = substitute(s.value, {old: v})
    return replace(s, vars=(*s.vars[:depth], v, *s.vars[depth + 1 :]), value=value)


class _Folded:
    """A fold whose innermost variable runs in lanes, over several accumulators.

    Where masks are dear, one more carries what is left over, added one by one.
    """

    def __init__(self, rewriter: _Rewriter, s: Fold, width: int) -> None:
        self.to, self.s, self.width = rewriter, s, width
        self.inner, self.extent = s.vars[-1], s.vars[-1].args[0]
        known = number(self.extent)
        self.count = ACCUMULATORS if known is None else min(ACCUMULATORS, max(1, known // width))
        self.masked = (
            rewriter.widths.masks((s,), self.inner) or multiple(self.extent, width) is self.extent
        )
        self.kinds: list[Kind] = [(s.var.dtype, width)] * self.count
        if not self.masked:
            self.kinds.append((s.var.dtype, None))

    def run(self) -> list[Stmt]:
        """The statements that end with the definition of the fold's variable."""
        s, to = self.s, self.to
        start = [identity(s.op, s.var.dtype)] * len(self.kinds)
        if len(s.vars) == 1:
            made, out = self._strip(start)
        else:
            out = [self._name(kind) for kind in self.kinds]
            made = (to.nest(s, 0, out, start, self.kinds, self._inside, len(s.vars) - 1),)
        if self.count > 1:
            to.note(f"{name_of(s.var)}: {self.count} accumulators hide the latency of each")
        wide = [a for a in out[: self.count] if not a.is_const]
        totals = [across(s.op, self._joined(wide))] if wide else []
        return [*made, Let(s.var, self._joined(totals + out[self.count :]))]

    def _name(self, kind: Kind) -> Expr:
        return self.to.name(self.s.var, *kind)

    def _joined(self, wide: Carried) -> Expr:
        while len(wide) > 1:
            half = (len(wide) + 1) // 2
            pairs = itertools.zip_longest(wide[:half], wide[half:])
            wide = [a if b is None else binary(self.s.op, a, b) for a, b in pairs]
        return wide[0]

    def _inside(self, s: Fold, carried: Carried) -> tuple[tuple[Stmt, ...], Carried]:
        """One run over the innermost variable, within loops over the others."""
        self.s = s
        if not apart(s, len(s.vars) - 1):
            return self._strip(carried)
        made, found = self._strip([identity(s.op, s.var.dtype)] * len(carried))
        return made, self.to.joined(s.op, carried, found)

    def _strip(self, carried: Carried) -> tuple[tuple[Stmt, ...], Carried]:
        """One run over the innermost variable."""
        wide, rest = carried[: self.count], carried[self.count :]
        full, block = multiple(self.extent, self.width), self.count * self.width
        many = multiple(full, block) if number(full) is not None else multiple(self.extent, block)
        made: list[Stmt] = []
        if number(many) != 0:
            wide = self._vectors(made, const(0), many, block, wide)
        if many is not full:
            wide[:1] = self._vectors(made, many, full, self.width, wide[:1])
        if full is self.extent:
            return tuple(made), wide + rest
        if self.masked:
            wide[0] = self._tail(made, full, wide[0])
        else:
            rest = self._rest(made, full, rest)
        return tuple(made), wide + rest

    def _at(self, lanes: Lanes, total: Expr) -> Expr:
        """An accumulator after the values of one vector."""
        to = self.to
        to.lanes = Values(lanes, to.source.buffers, to.note)
        out = to.add(self.s, total, self.s.value)
        to.lanes = None
        return out

    def _vectors(
        self, made: list[Stmt], start: Expr, stop: Expr, step: int, wide: Carried
    ) -> Carried:
        known, low = number(stop), number(start)
        if known is not None and low is not None and known - low == step:
            return self._values(start, wide)
        v, names = var(name_of(self.inner), stop), [self._name(self.kinds[0]) for _ in wide]

        def trip(v: Expr, carried: Carried) -> tuple[tuple[Stmt, ...], Carried]:
            return (), self._values(v, carried)

        chains = parts(self.s, stop - start, step) if len(wide) == self.count else ()
        sure = has_trip(self.extent)
        made.append(
            self.to.loop(self.s, v, start, step, names, wide, trip, sure=sure, parts=chains)
        )
        return names

    def _values(self, first: Expr, wide: Carried) -> Carried:
        """The accumulators after the values of one vector each."""
        places = (Lanes(self.inner, first + k * self.width, self.width) for k in range(len(wide)))
        return [self._at(lanes, a) for lanes, a in zip(places, wide, strict=True)]

    def _tail(self, made: list[Stmt], full: Expr, total: Expr) -> Expr:
        v, before = var(name_of(self.inner), self.extent), self._name(self.kinds[0])
        if full.is_const:
            mask = below(self.extent - full, self.width)
            after = self._at(Lanes(self.inner, full, self.width, mask), total)
            return select(mask, after, total)
        left, sure = self.to.left(v, self.width), has_trip(self.extent)
        after = self._at(Lanes(self.inner, v, self.width, left.var), before)
        value = select(left.var, after, before)
        made.append(Loop(v, full, self.width, (left,), True, sure, (before,), (total,), (value,)))
        return before

    def _rest(self, made: list[Stmt], full: Expr, rest: Carried) -> Carried:
        v, before = var(name_of(self.inner), self.extent), self._name(self.kinds[-1])
        value = self.to.add(self.s, before, substitute(self.s.value, {self.inner: v}))
        made.append(Loop(v, full, 1, carried=(before,), first=tuple(rest), next=(value,)))
        return [before]

"""The walk through a forest laid out as slots (`layout`), as loops.

for block of rows:                                    parallel
    out = 0;  rows = those of x, a power of two apart
    for tree:       for few rows:                     one chain of loads for each
        at = its root
        for step:   at = child[at] + (row[feature[at]] > threshold[at])
        out[row] += what the leaf gives
    for row left:   for few trees:  the same          tree by tree, in order
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    cast,
    const,
    fresh,
    load,
    minimum,
    number,
    operate,
    scalar,
    unary,
    where,
)
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.loops.ir import Buffer, For, If, Kernel, Let, Stmt, Store
from sardonyx.ops.ml.layout import MISSING, SIDE_BY_SIDE, STRICT

# Elements of the rows that meet the same few trees in turn, and the most rows: they and those trees
# stay in the first-level cache. Rows of more features than are worth copying are read in place.
_HELD, _ROWS, _COPIED = 4096, 128, 256
# Operations of a step: loads, a comparison, arithmetic.
_STEP = 8
# Steps that are all written out, and those of a turn of deeper walks.
_STEPS, _TURN = 8, 4

_NAMES = ("z", "x", "feature", "threshold", "child", "flags", "given", "which")


class TreeWalk(Op):
    """What the leaves that each row reaches give: [N, targets].

    Inputs: x [N, F]; feature, threshold, child, flags [slots, a power of two], the first of which
    are the roots of the `trees`; given: [slots], or [leaves, targets] where `which` tells each
    slot's row of it, or, where a leaf gives to one of several targets, [slots] with that target in
    `which`.
    `asks` is le, lt or flags; `how` is add, min or max, starting at `start`; `steps` is the most
    that any walk takes.
    """

    domain = "ai.sardonyx"
    tolerance = "reduction"
    targets: int = 1
    asks: str = "le"
    how: str = "add"
    steps: int = 0
    trees: int = SIDE_BY_SIDE
    start: float = 0.0

    def infer(self, x: Type, *rest: Type) -> Type:
        del rest
        return Type(x.dtype, (x.dims[0], const(self.targets)))

    def reference(
        self, x: Array, feature: Array, threshold: Array, child: Array, flags: Array,
        given: Array, which: Array | None = None,
    ) -> Array:  # fmt: skip
        made = np.full((len(x), self.targets), self.start, x.dtype)
        rows = np.arange(len(x))
        join = {"add": np.add, "min": np.minimum, "max": np.maximum}[self.how]
        for tree in range(self.trees):
            at = np.full(len(x), tree, np.int64)
            for _ in range(self.steps):
                e, t = x[rows, feature[at]], threshold[at]
                strict, missing = flags[at] & STRICT != 0, flags[at] & MISSING != 0
                go = np.where(strict, e < t, e <= t) | (np.isnan(e) & missing)
                at = (child[at] + 1 - go) % len(child)
            if which is None:
                made[:, 0] = join(made[:, 0], given[at])
            elif given.ndim == 2:
                made += given[which[at]]
            else:
                made[rows, which[at]] += given[at]
        return made

    def build(self, outs: tuple[Type, ...], *inputs: Type | None) -> Kernel | None:
        x = inputs[0]
        assert x is not None
        if x.dtype not in (DType.FLOAT32, DType.FLOAT64) or any(t is None for t in inputs):
            return None
        return _Loops(self, outs[0], [t for t in inputs if t is not None]).kernel()


@dataclass(frozen=True)
class _Named:
    """A buffer, and how its elements are read."""

    number: int
    type: Type

    def __call__(self, at: Expr) -> Expr:
        assert self.type.dtype is not None
        return load(self.number, [at], self.type.dtype)

    def whole(self, at: Expr, below: Expr) -> Expr:
        """An element as a subscript below an extent."""
        return minimum(cast(self(at), INDEX), below - 1)


class _Loops:
    """The statements; `slots` is a power of two."""

    def __init__(self, op: TreeWalk, out: Type, inputs: list[Type]) -> None:
        self.op = op
        types = (out, *inputs)
        self.named = {
            name: _Named(n, t) for n, (name, t) in enumerate(zip(_NAMES, types, strict=False))
        }
        self.dtype = out.dtype or DType.FLOAT32
        self.rows, self.features = inputs[0].dims
        slots = number(inputs[1].dims[0])
        assert slots is not None
        self.slots = slots
        features = number(self.features) or 0
        self.pitch = 1 << max(0, features - 1).bit_length() if features <= _COPIED else 0
        most = min(_ROWS, _HELD // self.pitch) if self.pitch else _ROWS
        self.most, block = most, fresh((self.rows + (most - 1)) // most)
        self.block, self.first = block, block * most
        self.held = minimum(self.rows - self.first, const(most))

    def kernel(self) -> Kernel:
        """The kernel over the output, then the inputs."""
        params = tuple(
            Buffer(n.number, n.type.dtype, n.type.count, "out" if name == "z" else "in")
            for name, n in self.named.items() if n.type.dtype is not None
        )  # fmt: skip
        self.kept, self.copy = len(params), len(params) + 1
        scratch = [Buffer(self.kept, INDEX, const(SIDE_BY_SIDE), "out", "thread")]
        if self.pitch:
            size = const(self.most * self.pitch)
            scratch.append(Buffer(self.copy, self.dtype, size, "out", "thread"))
        body = (For(self.block, (*self._start(), *self._rows(), self._rest()), "parallel"),)
        work = self.rows * (self.op.trees * (1 + self.op.steps) * _STEP)
        return Kernel(params, (), body, work, tuple(scratch))

    def _row(self, row: Expr) -> Expr:
        """A row of the block, visibly one that there is."""
        return minimum(self.first + row, self.rows - 1)

    def _start(self) -> Iterator[For]:
        row, target = fresh(self.held), fresh(self.op.targets)
        at = self._row(row) * self.op.targets + target
        yield For(row, (For(target, (Store(0, at, const(self.op.start, self.dtype)),)),))
        if self.pitch:
            feature = fresh(self.features)
            e = self.named["x"](self._row(row) * self.features + feature)
            copied = Store(self.copy, row * self.pitch + feature, e)
            yield For(row, (For(feature, (copied,), "vector"),))

    def _rows(self) -> Iterator[Stmt]:
        """A few rows at a time through each tree, which stays in the first-level cache."""
        tree, few = fresh(self.op.trees), fresh(self.most // SIDE_BY_SIDE)
        rows = [few * SIDE_BY_SIDE + n for n in range(SIDE_BY_SIDE)]
        walk = If(rows[-1] < self.held, tuple(self._few(rows, [tree] * SIDE_BY_SIDE)))
        yield If(const(SIDE_BY_SIDE) <= self.held, (For(tree, (For(few, (walk,)),)),))

    def _rest(self) -> Stmt:
        """Each row that is left through a few trees at a time."""
        group, row = fresh(self.op.trees // SIDE_BY_SIDE), fresh(self.held)
        trees = [group * SIDE_BY_SIDE + n for n in range(SIDE_BY_SIDE)]
        walk = For(group, tuple(self._few([row] * SIDE_BY_SIDE, trees)))
        return For(row, (If(self.held // SIDE_BY_SIDE * SIDE_BY_SIDE <= row, (walk,)),))

    def _few(self, rows: list[Expr], at: list[Expr]) -> Iterator[Stmt]:
        """A few walks side by side, from the slots `at`."""
        at = list(at)
        if self.op.steps <= _STEPS:
            yield from self._steps(rows, at, self.op.steps)
            yield from self._give(rows, at)
            return
        for n, slot in enumerate(at):
            yield Store(self.kept, const(n), slot)
        turn = fresh(-(-self.op.steps // _TURN))
        yield For(turn, tuple(self._turn(rows)))
        lets, names = self._kept("leaf")
        yield from lets
        yield from self._give(rows, names)

    def _kept(self, stem: str) -> tuple[list[Let], list[Expr]]:
        """The slots that the walks have come to."""
        names = [scalar(f"{stem}{n}", INDEX) for n in range(SIDE_BY_SIDE)]
        held = (load(self.kept, [const(n)], INDEX) % self.slots for n in range(SIDE_BY_SIDE))
        return [Let(name, slot) for name, slot in zip(names, held, strict=True)], names

    def _turn(self, rows: list[Expr]) -> Iterator[Stmt]:
        """Some steps of all walks, unless all have come to leaves."""
        lets, at = self._kept("from")
        moving = [operate("ne", (self._step(slot, const(1)), slot)) for slot in at]
        body = list(self._steps(rows, at, _TURN))
        body += [Store(self.kept, const(n), slot) for n, slot in enumerate(at)]
        yield from lets
        yield If(functools.reduce(operator.or_, moving), tuple(body))

    def _steps(self, rows: list[Expr], at: list[Expr], count: int) -> Iterator[Stmt]:
        """Takes every walk some steps further."""
        for step in range(count):
            for n, (row, slot) in enumerate(zip(rows, at, strict=True)):
                at[n] = scalar(f"at{step}_{n}", INDEX)
                yield Let(at[n], self._next(row, slot))

    def _next(self, row: Expr, slot: Expr) -> Expr:
        named = self.named
        e = self._element(row, named["feature"], slot)
        t = named["threshold"](slot)
        if self.op.asks == "flags":
            flags = named["flags"](slot)
            strict, missing = (
                operate("ne", (operate("bitand", (flags, flags.like(bit))), flags.like(0)))
                for bit in (STRICT, MISSING)
            )
            go = where(strict, e < t, binary("le", e, t)) | (unary("isnan", e) & missing)
        else:
            go = e < t if self.op.asks == "lt" else binary("le", e, t)
        return self._step(slot, where(go, const(0), const(1)))

    def _step(self, slot: Expr, further: Expr) -> Expr:
        return (cast(self.named["child"](slot), INDEX) + further) % self.slots

    def _element(self, row: Expr, feature: _Named, slot: Expr) -> Expr:
        """What a slot compares, of a row of the block."""
        if self.pitch:
            place = row * self.pitch + cast(feature(slot), INDEX) % self.pitch
            return load(self.copy, [place], self.dtype)
        place = self._row(row) * self.features + feature.whole(slot, self.features)
        return self.named["x"](place)

    def _give(self, rows: list[Expr], leaves: list[Expr]) -> Iterator[Stmt]:
        """Adds what leaves give to their rows, in order."""
        for first in dict.fromkeys(rows):
            own = [leaf for row, leaf in zip(rows, leaves, strict=True) if row is first]
            yield from self._add(self._row(first), own)

    def _add(self, row: Expr, leaves: list[Expr]) -> Iterator[Stmt]:
        targets, given = self.op.targets, self.named["given"]
        which = self.named.get("which")
        if which is None:
            total = load(0, [row], self.dtype)
            for leaf in leaves:
                total = binary(self.op.how, total, given(leaf))
            yield Store(0, row, total)
        elif len(given.type.dims) == 1:
            for leaf in leaves:
                at = row * targets + which.whole(leaf, const(targets))
                yield Store(0, at, load(0, [at], self.dtype) + given(leaf))
        else:
            target = fresh(targets)
            at = row * targets + target
            total = load(0, [at], self.dtype)
            for leaf in leaves:
                place = which.whole(leaf, given.type.dims[0]) * targets
                total = total + given(place + target)
            yield For(target, (Store(0, at, total),), "vector")

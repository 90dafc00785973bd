"""The canonical form of a kernel: every name and number given by position.

Parameters become b0.., scratch the numbers after them, symbols s0.., loop variables i0.. and
scalars v0.. in the order in which statements bind them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

from sardonyx.core.errors import EngineError
from sardonyx.core.expr import Expr, name_of, reordered, symbol
from sardonyx.core.term import make
from sardonyx.loops.ir import Buffer, Contract, Fold, For, If, Kernel, Let, Loop, Stmt, Store, Tile
from sardonyx.loops.lanes import is_lane, vector, width_of


def canonical(kernel: Kernel) -> Kernel:
    """The same kernel with positional names; EngineError where it uses a name that is not bound.

    Kernels that differ in names alone have one canonical form.
    """
    renamer = _Renamer(kernel)
    return Kernel(
        params=tuple(map(renamer.buffer, kernel.params)),
        symbols=tuple(renamer.symbols),
        body=renamer.block(kernel.body),
        work=renamer(kernel.work),
        scratch=tuple(map(renamer.buffer, kernel.scratch)),
    )


def postorder(roots: Iterable[Expr], known: Callable[[Expr], bool]) -> list[Expr]:
    """What the roots are made of, operands first, each once; not what is `known`.

    A variable is a leaf: its extent is not looked into.
    """
    seen: dict[Expr, None] = {}
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        x, ready = stack.pop()
        if x in seen or known(x):
            continue
        if ready or not x.args or x.op == "var":
            seen[x] = None
            continue
        stack.append((x, True))
        stack.extend((a, False) for a in reversed(x.args))
    return list(seen)


class _Renamer:
    def __init__(self, kernel: Kernel) -> None:
        buffers = (*kernel.params, *kernel.scratch)
        self.numbers = {b.number: i for i, b in enumerate(buffers)}
        self.done: dict[Expr, Expr] = {}
        self.names: dict[Expr, Expr] = {}
        self.counts = {letter: itertools.count() for letter in "siv"}
        self.symbols = [self._name(s, self._like(s, "s")) for s in kernel.symbols]

    def __call__(self, e: Expr) -> Expr:
        for x in postorder((e,), self.done.__contains__):
            args = tuple(self.done[a] for a in x.args) if x.op != "var" else ()
            if x.op == "var":
                self.done[x] = self._bound(x)
            elif x.op == "load":
                self.done[x] = make("load", args, self._number(x.arg), x.dtype)
            elif x.op == "span":
                self.done[x] = make("span", args, (self._number(x.arg[0]), x.arg[1]), x.dtype)
            else:
                self.done[x] = reordered(x, args)
        return self.done[e]

    def _bound(self, v: Expr) -> Expr:
        if is_lane(v):
            return v
        if v not in self.names:
            raise EngineError("E0801", f"the kernel uses `{name_of(v)}`, which nothing binds")
        return self.names[v]

    def _number(self, number: int) -> int:
        if number not in self.numbers:
            raise EngineError("E0801", f"the kernel uses b{number}, which it does not declare")
        return self.numbers[number]

    def _like(self, v: Expr, letter: str) -> Expr:
        name = f"{letter}{next(self.counts[letter])}"
        lower = v.arg[1]
        return vector(name, v.dtype, width_of(v)) if lower is None else symbol(name, lower)

    def _name(self, old: Expr, new: Expr) -> Expr:
        if old in self.names:
            self.done = {x: renamed for x, renamed in self.done.items() if old not in x.free}
        self.names[old] = new
        return new

    def buffer(self, b: Buffer) -> Buffer:
        return replace(
            b,
            number=self.numbers[b.number],
            size=self(b.size),
            role=b.role if b.space == "param" else "in",
        )

    def scalar(self, v: Expr) -> Expr:
        return self._name(v, self._like(v, "v"))

    def loop(self, v: Expr) -> Expr:
        extent = self(v.args[0])
        name = f"i{next(self.counts['i'])}"
        return self._name(v, make("var", (extent,), (name, *v.arg[1:]), v.dtype))

    def loops(self, group: Iterable[Expr]) -> tuple[Expr, ...]:
        return tuple(map(self.loop, group))

    def block(self, body: Iterable[Stmt]) -> tuple[Stmt, ...]:
        return tuple(map(self.statement, body))

    def statement(self, s: Stmt) -> Stmt:
        match s:
            case For():
                v = self.loop(s.var)
                return For(v, self.block(s.body), s.kind)
            case Let():
                value = self(s.value)
                return Let(self.scalar(s.var), value)
            case Fold():
                loops, value = self.loops(s.vars), self(s.value)
                return Fold(self.scalar(s.var), s.op, loops, value, s.kind)
            case Store():
                return self._store(s)
            case Loop():
                return self._loop(s)
            case If():
                condition = self(s.condition)
                return If(condition, self.block(s.then), self.block(s.other))
            case Contract():
                return self._contract(s)
            case Tile():
                return self._tile(s)

    def _store(self, s: Store) -> Store:
        index, value = self(s.index), self(s.value)
        span = None if s.span is None else replace(s.span, stride=self(s.span.stride))
        mask = None if s.mask is None else self(s.mask)
        return Store(self._number(s.buffer), index, value, span, mask)

    def _loop(self, s: Loop) -> Loop:
        start, first = self(s.start), tuple(map(self, s.first))
        v, carried = self.loop(s.var), tuple(map(self.scalar, s.carried))
        body = self.block(s.body)
        following = tuple(map(self, s.next))
        made = Loop(v, start, s.step, body, s.once, s.sure)
        return replace(made, carried=carried, first=first, next=following)

    def _contract(self, s: Contract) -> Contract:
        named = replace(
            s,
            batch=self.loops(s.batch),
            m=self.loops(s.m),
            n=self.loops(s.n),
            k=self.loops(s.k),
            left=self(s.left),
            right=self(s.right),
            acc=self.scalar(s.acc),
        )
        return replace(named, body=self.block(s.body))

    def _tile(self, s: Tile) -> Tile:
        outer = replace(
            s,
            depth=self(s.depth),
            a=self._number(s.a),
            a_at=self(s.a_at),
            a_stride=self(s.a_stride),
            b=self._number(s.b),
            b_at=self(s.b_at),
            b_stride=self(s.b_stride),
            valid_rows=self(s.valid_rows),
            valid_cols=self(s.valid_cols),
        )
        inner = replace(
            outer,
            row=self.loop(s.row),
            col=self.loop(s.col),
            valid=None if s.valid is None else self(s.valid),
            mask=None if s.mask is None else self.scalar(s.mask),
        )
        inner = replace(
            inner, start=None if s.start is None else self(s.start), acc=self.scalar(s.acc)
        )
        return replace(inner, body=self.block(s.body))

"""Whether a kernel keeps the rules of the loop language; what does not is shown in its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn, get_args

from sardonyx.core.dtype import DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import INDEX, Expr, name_of, number
from sardonyx.core.operations import is_reduction
from sardonyx.loops.canon import postorder
from sardonyx.loops.ir import (
    Buffer,
    Contract,
    Fold,
    FoldKind,
    For,
    If,
    Kernel,
    Let,
    Loop,
    LoopKind,
    Role,
    Stmt,
    Store,
    Tile,
)
from sardonyx.loops.lanes import Memo, is_lane, lanes_of
from sardonyx.loops.text import excerpt, expression


def check(kernel: Kernel, lines: Sequence[int] = ()) -> None:
    """EngineError E0801 showing the statement that breaks a rule, and its line (see `parse.read`).

    Names are bound once on a path and before their use, dtypes agree, buffers are declared and
    only outputs and scratch are written, scratch has a constant size, no parallel loop is inside
    another loop's lanes or inside another parallel loop.
    """
    checker = _Checker(kernel, lines)
    checker.declarations(kernel)
    checker.block(kernel.body, ())


class _Checker:
    """`bound` are the variables in force, `context` the kinds of the loops around."""

    def __init__(self, kernel: Kernel, lines: Sequence[int] = ()) -> None:
        self.buffers = kernel.buffers
        self.lines = iter(lines)
        self.line: int | None = None
        self.bound: set[Expr] = set()
        self.memo: Memo = {}
        self.stmt: Stmt | None = None

    def fail(self, message: str) -> NoReturn:
        shown = None if self.stmt is None else excerpt(self.stmt)
        where = None if self.line is None else f"line {self.line}"
        raise EngineError("E0801", f"malformed kernel: {message}", source=shown, where=where)

    def need(self, holds: bool, message: str) -> None:
        if not holds:
            self.fail(message)

    def declarations(self, kernel: Kernel) -> None:
        """Symbols, buffers and the work estimate."""
        for s in kernel.symbols:
            self.need(s.op == "var" and not s.args, f"`{s!r}` is not a symbol")
            self.bind(s)
        declared = (*kernel.params, *kernel.scratch)
        self.need(len(self.buffers) == len(declared), "two buffers have one number")
        for b in kernel.params:
            passed = b.space == "param" and b.role in get_args(Role)
            self.need(passed, f"b{b.number} is no parameter")
        for b in kernel.scratch:
            constant = number(b.size) is not None and b.space == "thread"
            self.need(constant, f"scratch b{b.number} has no constant size")
        for b in declared:
            self.index(b.size, f"the size of b{b.number}")
        self.index(kernel.work, "the work estimate")

    def bind(self, v: Expr) -> None:
        self.need(v.op == "var", f"`{v!r}` is bound but is no variable")
        name = name_of(v)
        known = {name_of(x) for x in self.bound}
        self.need(name not in known, f"`{name}` is bound twice")
        self.bound.add(v)

    def index(self, e: Expr, what: str) -> None:
        self.need(e.dtype is INDEX, f"{what} is {e.dtype}, not int64")
        self.expression(e)

    def expression(self, e: Expr) -> None:
        order = postorder((e,), self.bound.__contains__)
        whole = any(x.op == "reduce" for x in order)
        self.need(not whole, "a reduction is inside an expression")
        for x in order:
            if x.op == "var" and not is_lane(x):
                self.fail(f"`{name_of(x)}` is used where nothing binds it")
            elif x.op in ("load", "span"):
                self.load(x)
            parts = x.args if x.op != "var" else ()
            lanes = {n for a in parts if (n := self.lanes(a)) is not None}
            self.need(len(lanes) < 2, f"`{expression(x)}` joins vectors of {sorted(lanes)} lanes")
            if x.op == "where":
                self.need(x.args[0].dtype.is_bool, f"`{expression(x)}` chooses by no bool")

    def lanes(self, e: Expr) -> int | None:
        return lanes_of(e, self.memo)

    def scalar(self, e: Expr, what: str) -> None:
        self.need(self.lanes(e) is None, f"{what} differs between lanes")

    def load(self, x: Expr) -> None:
        number = x.arg if x.op == "load" else x.arg[0]
        count = 1 if x.op == "load" else 2
        held, rest = self.buffer(number).dtype, x.args[count:]
        flat = not rest or (len(rest) == 1 and rest[0].dtype.is_bool)
        self.need(flat, f"b{number} is read with {len(x.args)} subscripts")
        for a in x.args[:count]:
            self.need(a.dtype is INDEX, f"a subscript of b{number} is {a.dtype}")
            if x.op == "span":
                self.scalar(a, f"a subscript of b{number}")
        if rest:
            lanes = self.lanes(x.args[0]) if x.op == "load" else x.arg[1]
            fits = self.lanes(rest[0]) in (None, lanes)
            self.need(fits, f"the mask of b{number} has other lanes")
        same = x.dtype is held
        self.need(same, f"b{number} is read as {x.dtype} but holds {held}")

    def buffer(self, number: int) -> Buffer:
        self.need(number in self.buffers, f"b{number} is not declared")
        return self.buffers[number]

    def block(self, body: Iterable[Stmt], context: tuple[str, ...]) -> None:
        outside = set(self.bound)
        self.statements(body, context)
        self.bound = outside

    def statements(self, body: Iterable[Stmt], context: tuple[str, ...]) -> None:
        for s in body:
            self.stmt, self.line = s, next(self.lines, None)
            self.statement(s, context)

    def inside(self, loops: Iterable[Expr], body: Iterable[Stmt], context: tuple[str, ...]) -> None:
        outside = set(self.bound)
        self.loops(loops)
        self.block(body, context)
        self.bound = outside

    def loops(self, group: Iterable[Expr]) -> None:
        for v in group:
            is_loop = v.op == "var" and len(v.args) == 1
            self.need(is_loop, f"`{v!r}` is not a loop variable")
            self.index(v.args[0], f"the extent of `{name_of(v)}`")
            self.bind(v)

    def statement(self, s: Stmt, context: tuple[str, ...]) -> None:
        match s:
            case For():
                self.loop(s, context)
            case Let():
                self.expression(s.value)
                self.takes(s.var, s.value)
                self.defines(s.var, s.value.dtype)
            case Fold():
                self.fold(s)
            case Store():
                self.store(s)
            case If():
                self.expression(s.condition)
                self.need(s.condition.dtype.is_bool, "the condition is no bool")
                self.scalar(s.condition, "the condition")
                self.block(s.then, context)
                self.block(s.other, context)
            case Contract():
                self.contract(s, context)
            case Tile():
                self.tile(s, context)
            case Loop():
                self.strips(s, context)

    def loop(self, s: For, context: tuple[str, ...]) -> None:
        self.need(s.kind in get_args(LoopKind), f"there is no {s.kind} loop")
        if s.kind in ("parallel", "vector"):
            once = s.kind not in context
            self.need(once, f"a {s.kind} loop is inside another")
        lanes = s.kind == "parallel" and "vector" in context
        self.need(not lanes, "a parallel loop is inside a vector loop")
        inner = s.body[0] if len(s.body) == 1 else None
        around = s.kind != "turn" or (isinstance(inner, For) and inner.kind == "vector")
        self.need(around, "a turn loop is around one vector loop")
        self.inside((s.var,), s.body, (*context, s.kind))

    def strips(self, s: Loop, context: tuple[str, ...]) -> None:
        self.index(s.start, "the start")
        self.scalar(s.start, "the start")
        self.need(s.step > 0, f"the step is {s.step}")
        count = {len(s.carried), len(s.first), len(s.next)}
        self.need(len(count) == 1, "what is carried does not match")
        outside = set(self.bound)
        for v, e in zip(s.carried, s.first, strict=True):
            self.expression(e)
            self.takes(v, e)
        self.loops((s.var,))
        for v in s.carried:
            self.bind(v)
        self.statements(s.body, (*context, "serial"))
        for v, e in zip(s.carried, s.next, strict=True):
            self.expression(e)
            self.takes(v, e)
        self.bound = outside
        for v, e in zip(s.carried, s.next, strict=True):
            self.defines(v, e.dtype)

    def takes(self, v: Expr, e: Expr) -> None:
        """Whether a variable may be given a value."""
        self.named(v, e.dtype)
        fits = self.lanes(e) in (None, self.lanes(v))
        self.need(fits, f"`{name_of(v)}` has no place for the lanes of `{expression(e)}`")

    def defines(self, v: Expr, dtype: DType) -> None:
        self.named(v, dtype)
        self.bind(v)

    def named(self, v: Expr, dtype: DType) -> None:
        plain = v.op == "var" and not v.args
        self.need(plain, f"`{v!r}` is not a scalar")
        same = v.dtype is dtype
        self.need(same, f"`{name_of(v)}` is {v.dtype}, its value {dtype}")

    def fold(self, s: Fold) -> None:
        self.need(is_reduction(s.op), f"`{s.op}` is no reduction")
        self.need(s.kind in get_args(FoldKind), f"there is no {s.kind} fold")
        logic = s.op in ("and", "or")
        self.need(logic == s.value.dtype.is_bool, f"{s.op} does not reduce {s.value.dtype}")
        outside = set(self.bound)
        self.loops(s.vars)
        self.expression(s.value)
        self.bound = outside
        self.defines(s.var, s.value.dtype)

    def store(self, s: Store) -> None:
        buffer = self.buffer(s.buffer)
        writeable = buffer.space == "thread" or buffer.role == "out"
        self.need(writeable, f"b{s.buffer} is an input and is written")
        self.index(s.index, "the subscript")
        self.expression(s.value)
        if s.mask is not None:
            self.expression(s.mask)
            self.need(s.mask.dtype.is_bool, "the mask is no bool")
        if s.span is not None:
            self.index(s.span.stride, "the stride")
            self.scalar(s.index, "the subscript")
        width = self.lanes(s.index) if s.span is None else s.span.lanes
        for e in (s.value, *(() if s.mask is None else (s.mask,))):
            self.need(
                self.lanes(e) in (None, width), f"`{expression(e)}` has no place for its lanes"
            )
        same = s.value.dtype is buffer.dtype
        self.need(same, f"{s.value.dtype} is stored to b{s.buffer}, which holds {buffer.dtype}")

    def contract(self, s: Contract, context: tuple[str, ...]) -> None:
        outside = set(self.bound)
        self.loops((*s.batch, *s.m, *s.n, *s.k))
        for side, name, foreign in ((s.left, "left", s.n), (s.right, "right", s.m)):
            self.expression(side)
            self.need(not side.free & set(foreign), f"{name} depends on the other side's axes")
        self.bound -= set(s.k)
        self.defines(s.acc, s.acc.dtype)
        self.block(s.body, (*context, "serial"))
        self.bound = outside

    def tile(self, s: Tile, context: tuple[str, ...]) -> None:
        for e in (s.depth, s.a_at, s.a_stride, s.b_at, s.b_stride, s.valid_rows, s.valid_cols):
            self.index(e, "a part of the tile")
        last = s.cols if s.lanes is None else s.cols - s.lanes + 1
        for v, extent in ((s.row, s.rows), (s.col, last)):
            spans = len(v.args) == 1 and number(v.args[0]) == extent
            self.need(spans, f"`{v!r}` does not run over the tile")
        a, b = self.buffer(s.a).dtype, self.buffer(s.b).dtype
        total = s.acc.dtype
        fits = a.bits == b.bits and total.bits % a.bits == 0
        self.need(fits, f"{a} times {b} does not add up to {total}")
        outside = set(self.bound)
        self.loops((s.row, s.col))
        if s.mask is not None and s.valid is not None:
            self.expression(s.valid)
            self.takes(s.mask, s.valid)
            self.bind(s.mask)
        if s.start is not None:
            self.expression(s.start)
            self.need(s.start.dtype is s.acc.dtype, f"the first sum is {s.start.dtype}")
        self.defines(s.acc, s.acc.dtype)
        self.block(s.body, (*context, "vector"))
        self.bound = outside

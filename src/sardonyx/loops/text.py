"""Kernels as text that people read and `from_text` reads back exactly.

    kernel  := "kernel" NEWLINE decl* "work" expr NEWLINE stmt*
    decl    := ("in" | "out" | "thread") buffer ":" dtype "[" expr "]"
             | "symbol" name [">=" int] [":" dtype]
    stmt    := [kind] "for" name "<" expr ":" block      kind := parallel | vector | unroll | turn
             | name ":" dtype "=" expr                              Let
             | name ":" dtype "=" "fold" op kind ":" over* "of" expr
             | buffer "[" expr "]" "=" expr                         Store
             | "if" expr ":" block ["else" ":" block]
             | name ":" dtype "=" "contract" ":" axis* "left" expr "right" expr "do" ":" block
             | name ":" dtype "=" "tile" int "x" int ":" part* "do" ":" block
             | ["sure"] ("loop" | "once") name "from" expr "to" expr "step" int ":"
               ("carry" var "=" expr)* stmt* ("next" name "=" expr)*        Loop
    var     := name ":" dtype ["x" lanes]
    axis    := ("batch" | "m" | "n" | "k" | "over") name "<" expr
    part    := "depth" expr | ("a" | "b") buffer "at" expr "stride" expr | "start" expr
             | ("row" | "col") name "<" expr "valid" expr | "lanes" int | "mask" var "=" expr
    expr    := int | number ":" dtype | "true" | "false" | name | buffer "[" expr, .. "]"
             | buffer "[" expr [":" lanes ["by" expr]] ["if" expr] "]"    see `loops.lanes`
             | "(" expr (infix expr)+ ")" | op "(" expr, .. ")" | dtype "(" expr ")" | "$" int
    buffer  := "b" int

Blocks are indented by two spaces; a line that begins with `;` is a comment. A line `$0 = expr`
shortens the one line that follows it and its like: expressions share their parts, and their text
must not grow where they do. `dtype(x)` is a cast. A name that is no identifier stands in double
quotes, as in JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from sardonyx.core.errors import EngineError
from sardonyx.core.expr import INDEX, Expr, const, name_of, written
from sardonyx.loops.canon import canonical, postorder
from sardonyx.loops.ir import Buffer, Contract, Fold, For, If, Kernel, Let, Loop, Stmt, Store, Tile
from sardonyx.loops.lanes import shown, width_of
from sardonyx.loops.parse import RESERVED, from_text

__all__ = ["canonical", "digest", "from_text", "to_text"]

# Characters from which an expression that is used twice, or once, gets a line of its own.
_SHARED, _LONG = 16, 72
_IDENTIFIER = re.compile(r"(?!b\d+\Z)[A-Za-z_][A-Za-z_0-9.]*\Z")


def digest(kernel: Kernel) -> str:
    """32 hexadecimal digits that kernels share when they differ in names alone."""
    return digest_of(to_text(canonical(kernel)))


def digest_of(text: str) -> str:
    """The digest of a canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def to_text(kernel: Kernel) -> str:
    """The text of a kernel; its grammar stands at the top of this module."""
    return "\n".join(_Printer().kernel(kernel)) + "\n"


def expression(e: Expr) -> str:
    """An expression as it stands in a kernel's text, abbreviations written out before it."""
    *before, last = _Printer().line("{}", e)
    return "; ".join([*before, last])


def excerpt(s: Stmt, most: int = 8) -> str:
    """The first lines of a statement, for a message; its fields where it has no text."""
    try:
        lines = list(_Printer().statement(s))
    except (EngineError, IndexError):
        return repr(s)
    return "\n".join(lines[:most] + ["..."] * (len(lines) > most))


def _name(v: Expr) -> str:
    name = name_of(v)
    plain = _IDENTIFIER.match(name) and name not in RESERVED
    return name if plain else json.dumps(name)


class _Printer:
    def __init__(self) -> None:
        self.shortened = 0

    def kernel(self, k: Kernel) -> Iterator[str]:
        yield "kernel"
        for s in k.symbols:
            low = "" if s.arg[1] is None else f" >= {s.arg[1]}"
            kind = "" if s.dtype is INDEX else f": {s.dtype}"
            yield f"symbol {_name(s)}{low}{kind}"
        for b in (*k.params, *k.scratch):
            yield from self.line(f"{_role(b)} b{b.number}: {b.dtype}[{{}}]", b.size)
        yield from self.line("work {}", k.work)
        for stmt in k.body:
            yield from self.statement(stmt)

    def line(self, form: str, *values: Expr) -> list[str]:
        """The abbreviations for the values, then `form` with the values in place of {}."""
        before, texts = self._expressions(values)
        return [*before, form.format(*texts)]

    def _expressions(self, roots: Sequence[Expr]) -> tuple[list[str], list[str]]:
        order = postorder(roots, lambda _: False)
        uses = Counter(a for x in order if x.op != "var" for a in x.args)
        texts: dict[Expr, str] = {}
        before = []
        for x in order:
            text = _node(x, [texts[a] for a in x.args] if x.op != "var" else [])
            if uses[x] and len(text) > (_SHARED if uses[x] > 1 else _LONG):
                name = f"${self.shortened}"
                self.shortened += 1
                before.append(f"{name} = {text}")
                text = name
            texts[x] = text
        return before, [texts[x] for x in roots]

    def block(self, body: Sequence[Stmt]) -> Iterator[str]:
        for stmt in body:
            for line in self.statement(stmt):
                yield f"  {line}"

    def statement(self, s: Stmt) -> Iterator[str]:
        match s:
            case For():
                kind = "" if s.kind == "serial" else f"{s.kind} "
                yield from self.line(f"{kind}for {_name(s.var)} < {{}}:", s.extent)
                yield from self.block(s.body)
            case Let():
                yield from self.line(f"{_typed(s.var)} = {{}}", s.value)
            case Store():
                yield from self._store(s)
            case If():
                yield from self._branch(s)
            case Fold():
                yield f"{_typed(s.var)} = fold {s.op} {s.kind}:"
                yield from self._axes("over", s.vars)
                yield from _inner(self.line("of {}", s.value))
            case Contract():
                yield from self._contract(s)
            case Tile():
                yield from self._tile(s)
            case Loop():
                yield from self._loop(s)

    def _store(self, s: Store) -> Sequence[str]:
        form, parts = "{}", [s.index]
        if s.span is not None:
            form += f" : {s.span.lanes}"
            if s.span.stride is not const(1):
                form, parts = f"{form} by {{}}", [*parts, s.span.stride]
        if s.mask is not None:
            form, parts = f"{form} if {{}}", [*parts, s.mask]
        return self.line(f"b{s.buffer}[{form}] = {{}}", *parts, s.value)

    def _loop(self, s: Loop) -> Iterator[str]:
        head = f"{'sure ' if s.sure else ''}{'once' if s.once else 'loop'} {_name(s.var)}"
        yield from self.line(f"{head} from {{}} to {{}} step {s.step}:", s.start, s.stop)
        for v, first in zip(s.carried, s.first, strict=True):
            yield from _inner(self.line(f"carry {_typed(v)} = {{}}", first))
        yield from self.block(s.body)
        for v, following in zip(s.carried, s.next, strict=True):
            yield from _inner(self.line(f"next {_name(v)} = {{}}", following))

    def _branch(self, s: If) -> Iterator[str]:
        yield from self.line("if {}:", s.condition)
        yield from self.block(s.then)
        if s.other:
            yield "else:"
            yield from self.block(s.other)

    def _axes(self, label: str, loops: Sequence[Expr]) -> Iterator[str]:
        for v in loops:
            yield from _inner(self.line(f"{label} {_name(v)} < {{}}", v.args[0]))

    def _contract(self, s: Contract) -> Iterator[str]:
        yield f"{_typed(s.acc)} = contract:"
        for label, loops in (("batch", s.batch), ("m", s.m), ("n", s.n), ("k", s.k)):
            yield from self._axes(label, loops)
        yield from _inner(self.line("left {}", s.left))
        yield from _inner(self.line("right {}", s.right))
        yield "  do:"
        yield from _inner(self.block(s.body))

    def _tile(self, s: Tile) -> Iterator[str]:
        yield f"{_typed(s.acc)} = tile {s.rows} x {s.cols}:"
        lines = self.line("depth {}", s.depth)
        lines += self.line(f"a b{s.a} at {{}} stride {{}}", s.a_at, s.a_stride)
        lines += self.line(f"b b{s.b} at {{}} stride {{}}", s.b_at, s.b_stride)
        for label, v, valid in (("row", s.row, s.valid_rows), ("col", s.col, s.valid_cols)):
            lines += self.line(f"{label} {_name(v)} < {{}} valid {{}}", v.args[0], valid)
        if s.lanes is not None:
            lines.append(f"lanes {s.lanes}")
        if s.mask is not None and s.valid is not None:
            lines += self.line(f"mask {_typed(s.mask)} = {{}}", s.valid)
        if s.start is not None:
            lines += self.line("start {}", s.start)
        yield from _inner([*lines, "do:"])
        yield from _inner(self.block(s.body))


def _inner(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _role(b: Buffer) -> str:
    return b.role if b.space == "param" else b.space


def _typed(v: Expr) -> str:
    lanes = width_of(v)
    return f"{_name(v)}: {v.dtype}" + ("" if lanes is None else f"x{lanes}")


def _node(x: Expr, args: Sequence[str]) -> str:
    if x.op == "reduce":
        raise EngineError("E0801", "a kernel's reductions are Fold statements", given=repr(x))
    said = shown(x, args)
    return written(x, args, _name) if said is None else said

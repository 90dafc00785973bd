"""The reader of the loop language; its grammar stands in `loops.text`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, NoReturn, get_args

from sardonyx.core.errors import EngineError
from sardonyx.core.expr import INDEX, Expr, const, scalar, symbol
from sardonyx.core.read import DTYPES, Reader
from sardonyx.core.term import make
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
    Span,
    Stmt,
    Store,
    Tile,
)
from sardonyx.loops.lanes import vector, word

_KINDS: tuple[LoopKind, ...] = get_args(LoopKind)
_FOLDS: tuple[FoldKind, ...] = get_args(FoldKind)
_Declared = Literal[Role, "thread", "symbol"]
_DECLARED: tuple[_Declared, ...] = get_args(_Declared)
_LOOPS = frozenset({"sure", "loop", "once"})
RESERVED = _LOOPS | {*_KINDS, "for", "if", "else", "next", "carry", "true", "false", "nan", "inf"}
_BUFFER = re.compile(r"b\d+")


def from_text(text: str) -> Kernel:
    """The kernel whose text this is; EngineError E0805 naming the line that cannot be read."""
    return read(text)[0]


def read(text: str) -> tuple[Kernel, list[int]]:
    """The kernel, and the numbers of the lines in which its statements begin, outer before inner.

    A line that begins with `;` is a comment.
    """
    reader = _Reader(text)
    return reader.kernel(), reader.starts


class _Reader(Reader):
    """Reads line by line; `row` is the line whose words are being read."""

    end = "the end of the line"

    def __init__(self, text: str) -> None:
        numbered = enumerate(text.split("\n"), 1)
        kept = [(n, line) for n, line in numbered if line.strip() and not line.startswith(";")]
        self.lines = [line for _, line in kept]
        self.numbers = [n for n, _ in kept]
        self.starts: list[int] = []
        self.row = -1
        self.names: dict[str, Expr] = {}
        self.shorts: dict[str, Expr] = {}
        self.buffers: dict[int, Buffer] = {}
        super().__init__("")

    def missing(self, wanted: str) -> NoReturn:
        inside = 0 <= self.row < len(self.lines)
        line = (
            f"line {self.numbers[self.row]}: {self.lines[self.row].strip()}"
            if inside
            else "the end"
        )
        left = " ".join(word for _, word, _ in self.words[self.at :]).strip() or self.end
        raise EngineError("E0805", line, given=left, wanted=wanted)

    def stray(self) -> NoReturn:
        self.missing("a token of the language")

    def indent(self) -> int:
        """The indentation of the line to come; -1 at the end."""
        if self.row + 1 >= len(self.lines):
            return -1
        line = self.lines[self.row + 1]
        return len(line) - len(line.lstrip(" "))

    def next_line(self) -> None:
        """Moves to the next line that is no abbreviation."""
        while True:
            self.row += 1
            self.start(self.lines[self.row] if self.row < len(self.lines) else "")
            if self.words[0][0] != "short":
                return
            name = self.next("short")
            self.expect("=")
            self.shorts[name] = self.expression()
            self.expect("")

    def buffer(self) -> int:
        if not self._at_buffer():
            self.missing("a buffer")
        return int(self.next("word")[1:])

    def _at_buffer(self) -> bool:
        kind, word, _ = self.words[self.at]
        return kind == "word" and _BUFFER.fullmatch(word) is not None

    # Expressions.

    def operand(self) -> Expr:
        if self.words[self.at][0] == "short":
            return self._known(self.shorts, self.next("short"))
        return self._load() if self._at_buffer() else super().operand()

    def variable(self, name: str) -> Expr:
        return self._known(self.names, name)

    def _known(self, table: dict[str, Expr], name: str) -> Expr:
        if name not in table:
            self.at -= 1
            self.missing(f"a name bound before, not `{name}`")
        return table[name]

    def _load(self) -> Expr:
        number = self.buffer()
        if number not in self.buffers:
            self.missing(f"a declared buffer, not b{number}")
        dtype = self.buffers[number].dtype
        indices, lanes, mask = self._subscript()
        masks = () if mask is None else (mask,)
        if lanes is None:
            return make("load", (*indices, *masks), number, dtype)
        return make("span", (*indices, lanes.stride, *masks), (number, lanes.lanes), dtype)

    def _subscript(self) -> tuple[list[Expr], Span | None, Expr | None]:
        """`[index : lanes by stride if mask]`, all but the index being optional."""
        self.expect("[")
        indices, lanes, mask = [self.expression()], None, None
        while self.take(","):
            indices.append(self.expression())
        if self.take(":"):
            width = self.integer()
            lanes = Span(width, self.expression() if self.take("by") else const(1))
        if self.take("if"):
            mask = self.expression()
        self.expect("]")
        return indices, lanes, mask

    def call(self, name: str) -> Expr:
        before = self.at
        found = word(name, tuple(self.many(self.expression, ")")))
        if found is not None:
            return found
        self.at = before
        return super().call(name)

    # Lines.

    def kernel(self) -> Kernel:
        self.next_line()
        self.expect("kernel")
        symbols: list[Expr] = []
        self.next_line()
        while not self.peek("work"):
            self._declaration(symbols)
            self.next_line()
        self.expect("work")
        work = self.expression()
        self.expect("")
        buffers, body = self.buffers.values(), self.block(0)
        if self.indent() >= 0:
            self.next_line()
            self.missing("a statement, indented by two spaces in each block")
        return Kernel(
            params=tuple(b for b in buffers if b.space == "param"),
            symbols=tuple(symbols),
            body=body,
            work=work,
            scratch=tuple(b for b in buffers if b.space == "thread"),
        )

    def _declaration(self, symbols: list[Expr]) -> None:
        role = self.choice(*_DECLARED)
        if role == "symbol":
            symbols.append(self._symbol())
            return
        number = self.buffer()
        self.expect(":")
        dtype = self.dtype()
        self.expect("[")
        size = self.expression()
        self.expect("]")
        if role == "thread":
            self.buffers[number] = Buffer(number, dtype, size, space="thread")
        else:
            self.buffers[number] = Buffer(number, dtype, size, role)
        self.expect("")

    def _symbol(self) -> Expr:
        name, lower, dtype = self.name(), None, INDEX
        if self.take(">="):
            lower = self.integer()
        if self.take(":"):
            dtype = self.dtype()
        self.expect("")
        return self.bind(scalar(name, dtype) if lower is None else symbol(name, lower))

    def bind(self, v: Expr) -> Expr:
        self.names[v.arg[0]] = v
        return v

    def block(self, depth: int) -> tuple[Stmt, ...]:
        found = []
        while self.indent() == depth and not self._is_else() and self._upcoming(depth) != "next":
            found.append(self.statement(depth))
        return tuple(found)

    def _is_else(self) -> bool:
        return self.lines[self.row + 1].strip() == "else:"

    def statement(self, depth: int) -> Stmt:
        self.next_line()
        if self.row < len(self.numbers):
            self.starts.append(self.numbers[self.row])
        if self.peek(""):
            self.missing("a statement")
        if self._at_buffer():
            return self._store()
        if any(map(self.peek, ("for", *_KINDS))):
            return self._for(depth)
        if any(map(self.peek, _LOOPS)):
            return self._loop(depth + 2)
        return self._if(depth) if self.peek("if") else self._definition(depth)

    def _store(self) -> Store:
        number = self.buffer()
        indices, lanes, mask = self._subscript()
        if len(indices) != 1:
            self.missing("one subscript")
        self.expect("=")
        value = self.expression()
        self.expect("")
        return Store(number, indices[0], value, lanes, mask)

    def _loop(self, depth: int) -> Loop:
        sure = self.take("sure")
        once = self.choice("loop", "once") == "once"
        name = self.name()
        self.expect("from")
        start = self.expression()
        self.expect("to")
        v = make("var", (self.expression(),), (name, 0), INDEX)
        self.expect("step")
        step = self.integer()
        self._opens()
        carried, first = self._pairs("carry", depth, self._named)
        for x in (v, *carried):
            self.bind(x)
        body = self.block(depth)
        again, following = self._pairs("next", depth, lambda: self.variable(self.name()))
        if again != carried:
            self.missing("`next` of what is carried, in order")
        return Loop(v, start, step, body, once, sure, carried, first, following)

    def _pairs(
        self, label: str, depth: int, name: Callable[[], Expr]
    ) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
        """Lines `label name = value`."""
        names, values = [], []
        while self._upcoming(depth) == label:
            self._part(label, depth)
            names.append(name())
            self.expect("=")
            values.append(self.expression())
            self.expect("")
        return tuple(names), tuple(values)

    def axis(self) -> Expr:
        """`name < extent`, bound as a loop variable."""
        name = self.name()
        self.expect("<")
        return self.bind(make("var", (self.expression(),), (name, 0), INDEX))

    def _for(self, depth: int) -> For:
        kind: LoopKind = "serial" if self.peek("for") else self.choice(*_KINDS)
        self.expect("for")
        v = self.axis()
        self.expect(":")
        self.expect("")
        return For(v, self.block(depth + 2), kind)

    def _if(self, depth: int) -> If:
        self.expect("if")
        condition = self.expression()
        self.expect(":")
        self.expect("")
        then = self.block(depth + 2)
        other: tuple[Stmt, ...] = ()
        if self.indent() == depth and self._is_else():
            self.next_line()
            other = self.block(depth + 2)
        return If(condition, then, other)

    def _definition(self, depth: int) -> Stmt:
        v = self._named()
        self.expect("=")
        forms: dict[str, Callable[[Expr, int], Stmt]] = {
            "fold": self._fold, "contract": self._contract, "tile": self._tile,
        }  # fmt: skip
        for label, form in forms.items():
            if self.peek(label) and self.words[self.at + 1][0] != "end":
                self.expect(label)
                return form(v, depth + 2)
        value = self.expression()
        self.expect("")
        return Let(self.bind(v), value)

    def _named(self) -> Expr:
        """`name : dtype`, in lanes where their number follows the type."""
        name = self.name()
        self.expect(":")
        whole, _, lanes = self.words[self.at][1].rpartition("x")
        if lanes.isdecimal() and whole in DTYPES:
            self.next("word")
            return vector(name, DTYPES[whole], int(lanes))
        return scalar(name, self.dtype())

    def _fold(self, v: Expr, depth: int) -> Fold:
        op, kind = self.next("word"), self.choice(*_FOLDS)
        self._opens()
        loops = self._axes("over", depth)
        self._part("of", depth)
        value = self.expression()
        self.expect("")
        return Fold(self.bind(v), op, loops, value, kind)

    def _opens(self) -> None:
        self.expect(":")
        self.expect("")

    def _part(self, label: str, depth: int) -> None:
        if self.indent() != depth:
            self.missing(f"`{label}` on the next line")
        self.next_line()
        self.expect(label)

    def _axes(self, label: str, depth: int) -> tuple[Expr, ...]:
        found = []
        while self._upcoming(depth) == label:
            self._part(label, depth)
            found.append(self.axis())
            self.expect("")
        return tuple(found)

    def _upcoming(self, depth: int) -> str:
        """The first word of the next line that is no abbreviation, if it has that depth."""
        at = self.row + 1
        while at < len(self.lines) and self.lines[at].lstrip().startswith("$"):
            at += 1
        if self.indent() != depth or at >= len(self.lines):
            return ""
        return self.lines[at].split(maxsplit=1)[0]

    def _contract(self, v: Expr, depth: int) -> Contract:
        self._opens()
        batch, m, n, k = (self._axes(label, depth) for label in ("batch", "m", "n", "k"))
        self._part("left", depth)
        left = self.expression()
        self._part("right", depth)
        right = self.expression()
        return Contract(batch, m, n, k, self.bind(v), left, right, self._do(depth))

    def _do(self, depth: int) -> tuple[Stmt, ...]:
        self._part("do", depth)
        self._opens()
        return self.block(depth + 2)

    def _operand(self, label: str, depth: int) -> tuple[int, Expr, Expr]:
        self._part(label, depth)
        number = self.buffer()
        self.expect("at")
        at = self.expression()
        self.expect("stride")
        stride = self.expression()
        self.expect("")
        return number, at, stride

    def _edge(self, label: str, depth: int) -> tuple[Expr, Expr]:
        self._part(label, depth)
        v = self.axis()
        self.expect("valid")
        valid = self.expression()
        self.expect("")
        return v, valid

    def _tile(self, v: Expr, depth: int) -> Tile:
        rows = self.integer()
        self.expect("x")
        cols = self.integer()
        self._opens()
        self._part("depth", depth)
        made: dict[str, Any] = {"acc": v, "rows": rows, "cols": cols, "depth": self.expression()}
        for label in ("a", "b"):
            fields = (label, f"{label}_at", f"{label}_stride")
            made.update(zip(fields, self._operand(label, depth), strict=True))
        for label in ("row", "col"):
            made.update(zip((label, f"valid_{label}s"), self._edge(label, depth), strict=True))
        if self._upcoming(depth) == "lanes":
            self._part("lanes", depth)
            made["lanes"] = self.integer()
            self.expect("")
        if self._upcoming(depth) == "mask":
            self._part("mask", depth)
            mask = self._named()
            self.expect("=")
            made["valid"], made["mask"] = self.expression(), self.bind(mask)
            self.expect("")
        if self._upcoming(depth) == "start":
            self._part("start", depth)
            made["start"] = self.expression()
        self.bind(v)
        return Tile(**made, body=self._do(depth))

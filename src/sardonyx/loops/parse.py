"""The reader of the loop language; its grammar stands in `loops.text`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar, get_args

from sardonyx.core.dtype import DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import INDEX, Expr, const, operate, scalar, symbol
from sardonyx.core.operations import OPERATIONS, SIGNS
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
    LoopKind,
    Role,
    Stmt,
    Store,
    Tile,
)

_KINDS: tuple[LoopKind, ...] = get_args(LoopKind)
_FOLDS: tuple[FoldKind, ...] = get_args(FoldKind)
_Declared = Literal[Role, "thread", "symbol"]
_DECLARED: tuple[_Declared, ...] = get_args(_Declared)
_Word = TypeVar("_Word", bound=str)
_DTYPES = {str(d): d for d in DType}
RESERVED = frozenset({*_KINDS, "for", "if", "else", "true", "false", "nan", "inf"})

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan\b|inf\b))
      | (?P<buffer>b\d+(?=\[|:|\s+at\b))
      | (?P<short>\$\d+)
      | (?P<name>[A-Za-z_][A-Za-z_0-9.]*)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<sign>//|<=|>=|==|!=|[-+*/%<&|()\[\],:=])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def from_text(text: str) -> Kernel:
    """The kernel whose text this is; EngineError E0805 naming the line that cannot be read."""
    return read(text)[0]


def read(text: str) -> tuple[Kernel, list[int]]:
    """The kernel, and the numbers of the lines in which its statements begin, outer before inner.

    A line that begins with `;` is a comment.
    """
    reader = _Reader(text)
    return reader.kernel(), reader.starts


class _Reader:
    """Reads line by line; `at` is the line, `tokens` what is left of it, last one first."""

    def __init__(self, text: str) -> None:
        numbered = enumerate(text.split("\n"), 1)
        kept = [(n, line) for n, line in numbered if line.strip() and not line.startswith(";")]
        self.lines = [line for _, line in kept]
        self.numbers = [n for n, _ in kept]
        self.starts: list[int] = []
        self.at = -1
        self.tokens: list[_Token] = []
        self.names: dict[str, Expr] = {}
        self.shorts: dict[str, Expr] = {}
        self.buffers: dict[int, Buffer] = {}

    def fail(self, wanted: str) -> NoReturn:
        inside = 0 <= self.at < len(self.lines)
        line = (
            f"line {self.numbers[self.at]}: {self.lines[self.at].strip()}" if inside else "the end"
        )
        left = " ".join(t.text for t in reversed(self.tokens)) or "the end of the line"
        raise EngineError("E0805", line, given=left, wanted=wanted)

    def indent(self) -> int:
        """The indentation of the line to come; -1 at the end."""
        if self.at + 1 >= len(self.lines):
            return -1
        line = self.lines[self.at + 1]
        return len(line) - len(line.lstrip(" "))

    def next_line(self) -> None:
        """Moves to the next line that is no abbreviation."""
        while True:
            self.at += 1
            self.tokens = self._split(self.lines[self.at]) if self.at < len(self.lines) else []
            if not self.tokens or self.tokens[-1].kind != "short":
                return
            name = self.take("short")
            self.take("sign", "=")
            self.shorts[name] = self.expression()
            self.end()

    def _split(self, line: str) -> list[_Token]:
        found, position = [], 0
        line = line.rstrip()
        while position < len(line):
            match = _TOKEN.match(line, position)
            if match is None:
                self.tokens = [_Token("rest", line[position:])]
                self.fail("a token of the language")
            assert match.lastgroup is not None
            found.append(_Token(match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return found[::-1]

    def is_next(self, text: str) -> bool:
        return bool(self.tokens) and self.tokens[-1].text == text

    def take(self, kind: str, text: str | None = None) -> str:
        """The next token, which must be of that kind and text."""
        if not self.tokens:
            self.fail(text or kind)
        token = self.tokens[-1]
        if token.kind != kind or (text is not None and token.text != text):
            self.fail(text or f"a {kind}")
        return self.tokens.pop().text

    def word(self, *words: _Word) -> _Word:
        """The next token, one of these words."""
        found = [w for w in words if self.is_next(w)]
        if not found:
            self.fail(" or ".join(words))
        self.tokens.pop()
        return found[0]

    def end(self) -> None:
        if self.tokens:
            self.fail("the end of the line")

    def identifier(self) -> str:
        if self.tokens and self.tokens[-1].kind == "quoted":
            return str(json.loads(self.tokens.pop().text))
        return self.take("name")

    def dtype(self) -> DType:
        name = self.take("name")
        if name not in _DTYPES:
            self.fail("a data type")
        return _DTYPES[name]

    def integer(self) -> int:
        text = self.take("number")
        try:
            return int(text)
        except ValueError:
            self.fail("a whole number")

    def buffer(self) -> int:
        return int(self.take("buffer")[1:])

    # Expressions.

    def expression(self) -> Expr:
        if not self.tokens:
            self.fail("an expression")
        kind, text = self.tokens[-1].kind, self.tokens[-1].text
        if kind == "number":
            return self._number()
        if kind == "buffer":
            return self._load()
        if kind == "sign" and text == "(":
            return self._infix()
        if kind == "short":
            return self._known(self.shorts, self.take("short"))
        if text in ("true", "false"):
            return const(self.word("true", "false") == "true", DType.BOOL)
        name = self.identifier()
        return self._call(name) if self.is_next("(") else self._known(self.names, name)

    def _known(self, table: dict[str, Expr], name: str) -> Expr:
        if name not in table:
            self.fail(f"a name bound before, not `{name}`")
        return table[name]

    def _number(self) -> Expr:
        text = self.take("number")
        if not self.is_next(":") or len(self.tokens) < 2 or self.tokens[-2].kind != "name":
            return const(int(text)) if text.lstrip("-").isdecimal() else self.fail("an integer")
        self.word(":")
        dtype = self.dtype()
        return const(int(text) if dtype.is_int else float(text), dtype)

    def _load(self) -> Expr:
        number = self.buffer()
        if number not in self.buffers:
            self.fail(f"a declared buffer, not b{number}")
        return make("load", self._list("[", "]"), number, self.buffers[number].dtype)

    def _list(self, first: str, last: str) -> tuple[Expr, ...]:
        self.word(first)
        found = [self.expression()]
        while self.is_next(","):
            self.word(",")
            found.append(self.expression())
        self.word(last)
        return tuple(found)

    def _infix(self) -> Expr:
        self.word("(")
        args = [self.expression()]
        sign = self.word(*SIGNS)
        args.append(self.expression())
        while self.is_next(sign):
            self.word(sign)
            args.append(self.expression())
        self.word(")")
        return operate(SIGNS[sign], tuple(args))

    def _call(self, name: str) -> Expr:
        args = self._list("(", ")")
        if name in _DTYPES:
            return make("cast", args[:1], None, _DTYPES[name])
        if name == "where" and len(args) == 3:
            return make("where", args, None, args[1].dtype)
        if name in OPERATIONS and OPERATIONS[name].arity in (0, min(len(args), 2), len(args)):
            return operate(name, args)
        return self.fail(f"an operation of {len(args)} operands, not `{name}`")

    # Lines.

    def kernel(self) -> Kernel:
        self.next_line()
        self.word("kernel")
        symbols: list[Expr] = []
        self.next_line()
        while not self.is_next("work"):
            self._declaration(symbols)
            self.next_line()
        self.word("work")
        work = self.expression()
        self.end()
        buffers, body = self.buffers.values(), self.block(0)
        if self.indent() >= 0:
            self.next_line()
            self.fail("a statement, indented by two spaces in each block")
        return Kernel(
            params=tuple(b for b in buffers if b.space == "param"),
            symbols=tuple(symbols),
            body=body,
            work=work,
            scratch=tuple(b for b in buffers if b.space == "thread"),
        )

    def _declaration(self, symbols: list[Expr]) -> None:
        role = self.word(*_DECLARED)
        if role == "symbol":
            symbols.append(self._symbol())
            return
        number = self.buffer()
        self.word(":")
        dtype = self.dtype()
        (size,) = self._list("[", "]")
        if role == "thread":
            self.buffers[number] = Buffer(number, dtype, size, space="thread")
        else:
            self.buffers[number] = Buffer(number, dtype, size, role)
        self.end()

    def _symbol(self) -> Expr:
        name, lower, dtype = self.identifier(), None, INDEX
        if self.is_next(">="):
            self.word(">=")
            lower = self.integer()
        if self.is_next(":"):
            self.word(":")
            dtype = self.dtype()
        self.end()
        return self.bind(scalar(name, dtype) if lower is None else symbol(name, lower))

    def bind(self, v: Expr) -> Expr:
        self.names[v.arg[0]] = v
        return v

    def block(self, depth: int) -> tuple[Stmt, ...]:
        found = []
        while self.indent() == depth and not self._is_else():
            found.append(self.statement(depth))
        return tuple(found)

    def _is_else(self) -> bool:
        return self.lines[self.at + 1].strip() == "else:"

    def statement(self, depth: int) -> Stmt:
        self.next_line()
        if self.at < len(self.numbers):
            self.starts.append(self.numbers[self.at])
        if not self.tokens:
            self.fail("a statement")
        token = self.tokens[-1]
        if token.kind == "buffer":
            return self._store()
        if token.kind == "name" and (token.text == "for" or token.text in _KINDS):
            return self._for(depth)
        if token.kind == "name" and token.text == "if":
            return self._if(depth)
        return self._definition(depth)

    def _store(self) -> Store:
        number = self.buffer()
        (index,) = self._list("[", "]")
        self.word("=")
        value = self.expression()
        self.end()
        return Store(number, index, value)

    def axis(self) -> Expr:
        """`name < extent`, bound as a loop variable."""
        name = self.identifier()
        self.word("<")
        return self.bind(make("var", (self.expression(),), (name, 0), INDEX))

    def _for(self, depth: int) -> For:
        kind: LoopKind = "serial" if self.is_next("for") else self.word(*_KINDS)
        self.word("for")
        v = self.axis()
        self.word(":")
        self.end()
        return For(v, self.block(depth + 2), kind)

    def _if(self, depth: int) -> If:
        self.word("if")
        condition = self.expression()
        self.word(":")
        self.end()
        then = self.block(depth + 2)
        other: tuple[Stmt, ...] = ()
        if self.indent() == depth and self._is_else():
            self.next_line()
            other = self.block(depth + 2)
        return If(condition, then, other)

    def _definition(self, depth: int) -> Stmt:
        name = self.identifier()
        self.word(":")
        v = scalar(name, self.dtype())
        self.word("=")
        forms: dict[str, Callable[[Expr, int], Stmt]] = {
            "fold": self._fold, "contract": self._contract, "tile": self._tile,
        }  # fmt: skip
        for word, form in forms.items():
            if self.is_next(word) and len(self.tokens) != 1:
                self.word(word)
                return form(v, depth + 2)
        value = self.expression()
        self.end()
        return Let(self.bind(v), value)

    def _fold(self, v: Expr, depth: int) -> Fold:
        op, kind = self.take("name"), self.word(*_FOLDS)
        self._opens()
        loops = self._axes("over", depth)
        self._part("of", depth)
        value = self.expression()
        self.end()
        return Fold(self.bind(v), op, loops, value, kind)

    def _opens(self) -> None:
        self.word(":")
        self.end()

    def _part(self, label: str, depth: int) -> None:
        if self.indent() != depth:
            self.fail(f"`{label}` on the next line")
        self.next_line()
        self.word(label)

    def _axes(self, label: str, depth: int) -> tuple[Expr, ...]:
        found = []
        while self._upcoming(depth) == label:
            self._part(label, depth)
            found.append(self.axis())
            self.end()
        return tuple(found)

    def _upcoming(self, depth: int) -> str:
        """The first word of the next line that is no abbreviation, if it has that depth."""
        at = self.at + 1
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
        self.word("at")
        at = self.expression()
        self.word("stride")
        stride = self.expression()
        self.end()
        return number, at, stride

    def _edge(self, label: str, depth: int) -> tuple[Expr, Expr]:
        self._part(label, depth)
        v = self.axis()
        self.word("valid")
        valid = self.expression()
        self.end()
        return v, valid

    def _tile(self, v: Expr, depth: int) -> Tile:
        rows = self.integer()
        self.word("x")
        cols = self.integer()
        self._opens()
        self._part("depth", depth)
        made: dict[str, Any] = {"acc": v, "rows": rows, "cols": cols, "depth": self.expression()}
        for label in ("a", "b"):
            fields = (label, f"{label}_at", f"{label}_stride")
            made.update(zip(fields, self._operand(label, depth), strict=True))
        for label in ("row", "col"):
            made.update(zip((label, f"valid_{label}s"), self._edge(label, depth), strict=True))
        if self._upcoming(depth) == "start":
            self._part("start", depth)
            made["start"] = self.expression()
        self.bind(v)
        return Tile(**made, body=self._do(depth))

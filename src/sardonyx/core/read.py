"""Words of a text, and expressions read from them: what the languages of graphs and loops share.

    expr    := operand (SIGN operand)*                from the left; like signs make one operation
    operand := INT | NUMBER ":" DTYPE | "true" | "false" | NAME | "(" expr ")" | call
    call    := OP "(" expr ("," expr)* ")" | DTYPE "(" expr ")" | OP "." DTYPE "(" expr ")"

SIGN and OP are those of `core.operations`, and `where`. A call of a type is a cast. A NAME may be
a string as in JSON. `/` and `//` are signs where a space follows, else they belong to a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, operate
from sardonyx.core.operations import OPERATIONS, SIGNS
from sardonyx.core.term import make

T = TypeVar("T")
Word = TypeVar("Word", bound=str)

DTYPES = {str(d): d for d in DType} | {"float": DType.FLOAT32, "double": DType.FLOAT64}
_TOKEN = re.compile(
    r"""(?P<space>\s+|;.*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<float>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|inf|nan))(?![A-Za-z0-9_./])
      | (?P<int>-?\d+)(?![A-Za-z0-9_./])
      | (?P<short>\$\d+)
      | (?P<punct>::|[<>=!]=|//?(?=\s)|[][{}()<>=,:&|\#*+%@?-])
      | (?P<word>[A-Za-z0-9_./]+)""",
    re.VERBOSE,
)


class Words:
    """A text as (kind, text, offset) words, the last one empty, and the place of the reader."""

    end = "the end"

    def __init__(self, text: str) -> None:
        self.start(text)

    def start(self, text: str) -> None:
        """Begins with the first word of a text."""
        self.text, self.at = text, 0
        self.words: list[tuple[str, str, int]] = []
        offset = 0
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                self.words.append(("", text[offset:], offset))
                self.at = len(self.words) - 1
                self.stray()
            kind = str(match.lastgroup)
            if kind != "space":
                self.words.append((kind, match.group(), offset))
            offset = match.end()
        self.words.append(("end", "", len(text)))

    def missing(self, wanted: str) -> NoReturn:
        """Raises the language's error: `wanted` does not stand at the present word."""
        raise NotImplementedError

    def stray(self) -> NoReturn:
        """Raises the language's error: the present character is of no word."""
        raise NotImplementedError

    def peek(self, text: str) -> bool:
        """Whether the present word is this punctuation or keyword."""
        kind, word, _ = self.words[self.at]
        return word == text and kind != "string"

    def take(self, text: str) -> bool:
        """Steps over a word if it is this one; the end ("") stays."""
        found = self.peek(text)
        self.at += found and bool(text)
        return found

    def expect(self, text: str) -> None:
        """Steps over this word ("" is the end)."""
        if not self.take(text):
            self.missing(f"`{text}`" if text else self.end)

    def choice(self, *words: Word) -> Word:
        """The present word, one of these, stepped over."""
        for word in words:
            if self.take(word):
                return word
        return self.missing(" or ".join(words))

    def next(self, *kinds: str) -> str:
        """The present word, of one of these kinds, stepped over."""
        kind, word, _ = self.words[self.at]
        if kind not in kinds:
            self.missing(" or ".join(kinds))
        self.at += 1
        return word

    def name(self) -> str:
        """A NAME."""
        word = self.next("word", "int", "string", "float")
        return str(json.loads(word)) if word.startswith('"') else word

    def integer(self) -> int:
        """An INT."""
        return int(self.next("int"))

    def string(self) -> str:
        """A STRING."""
        return str(json.loads(self.next("string")))

    def dtype(self) -> DType:
        """A DTYPE."""
        if self.words[self.at][1] not in DTYPES:
            self.missing("a data type")
        return DTYPES[self.next("word")]

    def many(self, item: Callable[[], T], end: str) -> list[T]:
        """Items separated by commas up to `end`."""
        found: list[T] = []
        while not self.take(end):
            if found:
                self.expect(",")
            found.append(item())
        return found


class Reader(Words):
    """Reads expressions; a language says what its names are, and may build in its own way."""

    def variable(self, name: str) -> Expr:
        """What a name stands for."""
        raise NotImplementedError

    def build(self, op: str, args: tuple[Expr, ...], dtype: DType | None) -> Expr:
        """An operation on operands, exactly as it stands; `dtype` where it is given."""
        if op == "where":
            return make(op, args, None, args[1].dtype)
        if op == "cast" and dtype is not None:
            return make(op, args, None, dtype)
        return operate(op, args, dtype)

    def expression(self) -> Expr:
        """An expr."""
        found = self.operand()
        while True:
            kind, sign, _ = self.words[self.at]
            if kind != "punct" or sign not in SIGNS:
                return found
            args = [found]
            while self.take(sign):
                args.append(self.operand())
            found = self.build(SIGNS[sign], tuple(args), None)

    def operand(self) -> Expr:
        """An operand."""
        if self.take("("):
            found = self.expression()
            self.expect(")")
            return found
        kind, word, _ = self.words[self.at]
        if kind in ("int", "float"):
            return self._number()
        if kind not in ("word", "string"):
            self.missing("an expression")
        name = self.name()
        if kind == "word" and self.take("("):
            return self.call(name)
        if kind == "word" and word in ("true", "false"):
            return const(word == "true", DType.BOOL)
        return self.variable(name)

    def _number(self) -> Expr:
        kind, word, _ = self.words[self.at]
        self.at += 1
        if self.peek(":") and self.words[self.at + 1][0] == "word":
            self.expect(":")
            dtype = self.dtype()
            return const(int(word) if dtype.is_int else float(word), dtype)
        if kind == "float":
            self.missing("an integer, or a type after `:`")
        return const(int(word))

    def call(self, name: str) -> Expr:
        """A call whose parenthesis is open."""
        args = tuple(self.many(self.expression, ")"))
        op, _, last = name.rpartition(".")
        dtype = DTYPES.get(last)
        op = name if dtype is None else op or "cast"
        if not _takes(op, len(args), dtype):
            self.missing(f"an operation of {len(args)} operands, not `{name}`")
        return self.build(op, args, dtype)


def _takes(op: str, count: int, dtype: DType | None) -> bool:
    if op in ("where", "cast"):
        return count == (3 if op == "where" else 1)
    row = OPERATIONS.get(op)
    if row is None or (row.result == "given") != (dtype is not None):
        return False
    return bool(count) and row.arity in (0, count, min(count, 2))

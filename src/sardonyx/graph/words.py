"""The words of the text form of graphs, and stepping through them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from sardonyx.core.errors import InvalidArgument

T = TypeVar("T")

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|;.*)+)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<float>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|inf\b|nan\b))(?![A-Za-z0-9_./])
      | (?P<int>-?\d+)(?![A-Za-z0-9_./])
      | (?P<punct>::|>=|//(?=\s)|[][{}()<>=,:&\#*+%@?-])
      | (?P<word>[A-Za-z0-9_./]+)""",
    re.VERBOSE,
)


class Words:
    """A text as (kind, text, offset) words, the last one empty, and the place of the reader."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.words: list[tuple[str, str, int]] = []
        offset = 0
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                self.words.append(("", text[offset], offset))
                self.at = len(self.words) - 1
                self.fail("a character that means nothing here")
            kind = str(match.lastgroup)
            if kind != "space":
                self.words.append((kind, match.group(), offset))
            offset = match.end()
        self.words.append(("end", "", len(text)))

    def fail(self, why: str) -> NoReturn:
        """E0345 at the present word."""
        offset = self.words[self.at][2]
        number = self.text.count("\n", 0, offset) + 1
        start = self.text.rfind("\n", 0, offset) + 1
        shown = self.text[start:].split("\n", 1)[0]
        caret = " " * (offset - start) + "^"
        raise InvalidArgument("E0345", f"line {number}: {why}\n{shown}\n{caret}")

    def peek(self, text: str) -> bool:
        """Whether the present word is this punctuation or keyword."""
        kind, word, _ = self.words[self.at]
        return word == text and kind != "string"

    def take(self, text: str) -> bool:
        """Steps over a word if it is this one."""
        found = self.peek(text)
        self.at += found
        return found

    def expect(self, text: str) -> None:
        """Steps over this word."""
        if not self.take(text):
            self.fail(f"expected `{text}`" if text else "expected the end")

    def next(self, *kinds: str) -> str:
        """The present word, of one of these kinds, stepped over."""
        kind, word, _ = self.words[self.at]
        if kind not in kinds:
            self.fail(f"expected {' or '.join(kinds)}")
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

    def many(self, item: Callable[[], T], end: str) -> list[T]:
        """Items separated by commas up to `end`."""
        found: list[T] = []
        while not self.take(end):
            if found:
                self.expect(",")
            found.append(item())
        return found

r"""Regular expressions of RE2's syntax, matched in time linear in the text.

    regex   := branch ("|" branch)*         branch := (piece)*        piece := atom quantifier?
    atom    := char | . | [class] | \escape | ^ | $ | (group)

A pattern becomes a nondeterministic automaton whose states are advanced together, character by
character, so that no pattern can take exponential time. E0341 for what is not a regex of RE2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeAlias

from sardonyx.ops.base.shapes import refuse

Test: TypeAlias = Callable[[str], bool]

_MOST_STATES = 20_000
_MOST_REPEATS = 1000
_DEEPEST = 100
_CONTROL = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_POSIX: dict[str, Test] = {
    "alnum": lambda c: c.isascii() and c.isalnum(),
    "alpha": lambda c: c.isascii() and c.isalpha(),
    "ascii": lambda c: c.isascii(),
    "blank": lambda c: c in "\t ",
    "cntrl": lambda c: c < " " or c == "\x7f",
    "digit": lambda c: c in "0123456789",
    "graph": lambda c: "!" <= c <= "~",
    "lower": lambda c: "a" <= c <= "z",
    "print": lambda c: " " <= c <= "~",
    "punct": lambda c: "!" <= c <= "~" and not c.isalnum(),
    "space": lambda c: c in "\t\n\v\f\r ",
    "upper": lambda c: "A" <= c <= "Z",
    "word": lambda c: c in _WORD,
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}
_SHORT: dict[str, Test] = {
    "d": _POSIX["digit"],
    "s": lambda c: c in "\t\n\f\r ",
    "w": _POSIX["word"],
}


@dataclass(frozen=True)
class _Flags:
    fold: bool = False
    lines: bool = False
    dotall: bool = False
    lazy: bool = False


@dataclass
class _State:
    """A state: one that reads a character, one that asks about the place, or a fork."""

    test: Test | None = None
    place: str = ""
    out: list[int] = field(default_factory=list)


Part: TypeAlias = tuple[int, int]


class Regex:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        self.states: list[_State] = []
        parser = _Parser(_unquoted(pattern), self)
        self.first, self.last = parser.whole()

    def state(self, state: _State) -> int:
        """Adds a state."""
        if len(self.states) >= _MOST_STATES:
            raise refuse("E0341", "the pattern is too large", len(self.states), _MOST_STATES)
        self.states.append(state)
        return len(self.states) - 1

    def full(self, text: str) -> bool:
        """Whether the whole text matches."""
        now = self._closure([self.first], text, 0)
        for at, c in enumerate(text):
            ready = [s for s in now if (test := self.states[s].test) is not None and test(c)]
            if not ready:
                return False
            now = self._closure([self.states[s].out[0] for s in ready], text, at + 1)
        return self.last in now

    def _closure(self, starts: list[int], text: str, at: int) -> set[int]:
        seen: set[int] = set()
        stack = list(starts)
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            state = self.states[n]
            seen.add(n)
            if state.test is None and (not state.place or _holds(state.place, text, at)):
                stack.extend(state.out)
        return seen


def _unquoted(pattern: str) -> str:
    r"""The pattern with the characters between \Q and \E escaped one by one."""
    out, at = list[str](), 0
    while at < len(pattern):
        pair = pattern[at : at + 2]
        if pair != "\\Q":
            step = 2 if pair.startswith("\\") else 1
            out.append(pattern[at : at + step])
            at += step
            continue
        end = pattern.find("\\E", at)
        quoted = pattern[at + 2 : end if end >= 0 else None]
        out += [c if c.isalnum() else f"\\{c}" for c in quoted]
        at = end + 2 if end >= 0 else len(pattern)
    return "".join(out)


def _holds(place: str, text: str, at: int) -> bool:
    before, after = text[at - 1 : at] if at else "", text[at : at + 1]
    if place in "^$":
        return not (before if place == "^" else after)
    if place in ("line", "end"):
        side = before if place == "line" else after
        return side in ("", "\n")
    edge = (before in _WORD) != (after in _WORD)
    return edge if place == "b" else not edge


class _Parser:
    """Reads a pattern from the left, making states as it goes."""

    def __init__(self, pattern: str, regex: Regex) -> None:
        self.text, self.at, self.regex = pattern, 0, regex
        self.flags, self.depth = _Flags(), 0

    def whole(self) -> Part:
        part = self.alternatives()
        if self.at < len(self.text):
            self.fail("`)` without `(`")
        return part

    def fail(self, why: str) -> NoReturn:
        raise refuse("E0341", f"the pattern is no regular expression: {why}", self.text)

    def peek(self, what: str = "") -> str:
        return self.text[self.at : self.at + max(1, len(what))]

    def take(self, what: str = "") -> str:
        found = self.peek(what)
        if not found or (what and found != what):
            self.fail(f"{what or 'a character'} is missing")
        self.at += len(found)
        return found

    def join(self, *parts: Part) -> Part:
        first, last = parts[0]
        for start, end in parts[1:]:
            self.regex.states[last].out.append(start)
            last = end
        return first, last

    def empty(self) -> Part:
        n = self.regex.state(_State())
        return n, n

    def one(self, test: Test) -> Part:
        end = self.regex.state(_State())
        return self.regex.state(_State(test, out=[end])), end

    def alternatives(self) -> Part:
        kept = self.flags
        branches = [self.branch()]
        while self.peek() == "|":
            self.take()
            branches.append(self.branch())
        self.flags = kept
        if len(branches) == 1:
            return branches[0]
        end = self.regex.state(_State())
        for _, last in branches:
            self.regex.states[last].out.append(end)
        return self.regex.state(_State(out=[first for first, _ in branches])), end

    def branch(self) -> Part:
        parts = [self.empty()]
        while self.peek() not in ("", "|", ")"):
            parts.append(self.piece())
        return self.join(*parts)

    def piece(self) -> Part:
        start, flags = self.at, self.flags
        part = self.atom()
        stop = self.at
        bounds = self.quantifier()
        if bounds is None:
            return part
        low, high = bounds
        if self.peek() == "?":
            self.take()
        after = self.at
        parts = [self.empty()]
        for n in range(max(low, 1 if high is None else high)):
            if n:
                self.at, self.flags = start, flags
                part = self.atom()
            parts.append(self.optional(part) if n >= low else part)
        if high is None:
            parts[-1] = self.loop(parts[-1])
        self.at = max(after, stop)
        return self.join(*parts) if high != 0 else self.empty()

    def optional(self, part: Part) -> Part:
        end = self.regex.state(_State())
        self.regex.states[part[1]].out.append(end)
        return self.regex.state(_State(out=[part[0], end])), end

    def loop(self, part: Part) -> Part:
        end = self.regex.state(_State())
        self.regex.states[part[1]].out += [part[0], end]
        return part[0], end

    def quantifier(self) -> tuple[int, int | None] | None:
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self.peek() in simple:
            return simple[self.take()]
        end = self.text.find("}", self.at)
        if self.peek() != "{" or end < 0:
            return None
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if not low.isdecimal() or not (high.isdecimal() or not high):
            return None
        self.at = end + 1
        most = int(high) if high else None if comma else int(low)
        if max(int(low), most or 0) > _MOST_REPEATS or (most is not None and most < int(low)):
            self.fail("a repetition is out of range")
        return int(low), most

    def atom(self) -> Part:
        c = self.take()
        if c == "(":
            return self.group()
        if c == "[":
            return self.one(self.char_class())
        if c == ".":
            return self.one((lambda _: True) if self.flags.dotall else lambda x: x != "\n")
        if c in "^$":
            place = {"^": "line", "$": "end"}[c] if self.flags.lines else c
            return self.place(place)
        if c == "\\":
            return self.escape()
        if c in "*+?":
            self.fail(f"nothing to repeat before `{c}`")
        return self.one(self.same(c))

    def place(self, what: str) -> Part:
        end = self.regex.state(_State())
        return self.regex.state(_State(place=what, out=[end])), end

    def same(self, c: str) -> Test:
        if not self.flags.fold:
            return lambda x: x == c
        folded = c.casefold()
        return lambda x: x.casefold() == folded

    def group(self) -> Part:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail("groups are nested too deep")
        kept = self.flags
        if self.peek() == "?":
            self.take()
            if self.peek() in ("P", "<"):
                self.named()
            elif self.settings():
                self.depth -= 1
                return self.empty()
        part = self.alternatives()
        self.take(")")
        self.flags = kept
        self.depth -= 1
        return part

    def named(self) -> None:
        if self.peek() == "P":
            self.take()
        self.take("<")
        end = self.text.find(">", self.at)
        if end < 0 or not self.text[self.at : end].isidentifier():
            self.fail("a group's name is wrong")
        self.at = end + 1

    def settings(self) -> bool:
        """Reads flags up to `:` (false) or, for the rest of the group, up to `)` (true)."""
        names = {"i": "fold", "m": "lines", "s": "dotall", "U": "lazy"}
        on = True
        while (c := self.take()) not in ":)":
            if c == "-":
                on = False
            elif c in names:
                self.flags = replace(self.flags, **{names[c]: on})
            else:
                self.fail("a flag is unknown")
        return c == ")"

    def escape(self) -> Part:
        c = self.peek()
        if c in ("A", "z", "b", "B"):
            self.take()
            return self.place({"A": "^", "z": "$"}.get(c, c))
        return self.one(self.escaped())

    def escaped(self) -> Test:
        """The characters that an escape stands for."""
        c = self.take()
        if c.lower() in _SHORT:
            return _inverted(_SHORT[c.lower()], c.isupper())
        if c in "pP":
            return self.category(c == "P")
        if c in _CONTROL:
            return self.same(_CONTROL[c])
        if c == "x":
            return self.same(self.code())
        if c.isalnum():
            self.fail(f"the escape `\\{c}` is unknown")
        return self.same(c)

    def code(self) -> str:
        digits = self.take() + self.take() if self.peek() != "{" else ""
        if not digits:
            end = self.text.find("}", self.at)
            digits = self.text[self.at + 1 : end] if end >= 0 else ""
            self.at = end + 1
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            self.fail("a character's number is wrong")

    def category(self, inverted: bool) -> Test:
        name = self.take()
        if name == "{":
            end = self.text.find("}", self.at)
            name = self.text[self.at : end] if end >= 0 else ""
            self.at = end + 1
        if name.startswith("^"):
            name, inverted = name[1:], not inverted
        if name == "Any":
            return _inverted(lambda _: True, inverted)
        if not 1 <= len(name) <= 2 or name[:1] not in "LMNPSZC":
            self.fail(f"the category `{name}` is unknown")
        return _inverted(lambda c: unicodedata.category(c).startswith(name), inverted)

    def char_class(self) -> Test:
        inverted = self.peek() == "^"
        if inverted:
            self.take()
        tests: list[Test] = []
        while self.peek() != "]" or not tests:
            tests.append(self.member())
        self.take()
        return _inverted(lambda c: any(t(c) for t in tests), inverted)

    def member(self) -> Test:
        if self.peek("[:") == "[:":
            end = self.text.find(":]", self.at)
            name = self.text[self.at + 2 : end] if end >= 0 else ""
            if name.removeprefix("^") not in _POSIX:
                self.fail(f"the class `{name}` is unknown")
            self.at = end + 2
            return _inverted(_POSIX[name.removeprefix("^")], name.startswith("^"))
        low = self.bound()
        if not isinstance(low, str):
            return low
        if self.peek() != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return self.same(low)
        self.take()
        high = self.bound()
        if not isinstance(high, str) or high < low:
            self.fail("a range is wrong")
        if not self.flags.fold:
            return lambda c: low <= c <= high
        return lambda c: any(low <= x <= high for x in (c, c.lower(), c.upper()))

    def bound(self) -> str | Test:
        """A character of a class, or what an escape in it stands for."""
        c = self.take()
        if c != "\\":
            return c
        c = self.peek()
        if c in _CONTROL:
            return _CONTROL[self.take()]
        if c == "x":
            self.take()
            return self.code()
        if c.lower() in _SHORT or c in "pP":
            return self.escaped()
        if c.isalnum():
            self.fail(f"the escape `\\{c}` is unknown in a class")
        return self.take()


def _inverted(test: Test, inverted: bool) -> Test:
    return (lambda c: not test(c)) if inverted else test

"""RegexFullMatch: what Python's engine finds, what RE2 has of its own, and what takes for ever."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Sequence

import numpy as np
import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph, UnsupportedOperator
from sardonyx.graph.ir import tensor_type
from sardonyx.ops.text.strings import RegexFullMatch, texts

PATTERNS = [
    "",
    "a",
    "a|b|",
    "ab*",
    "(ab)*c",
    "a+b?c{2}",
    "a{2,3}",
    "a{2,}",
    "a{0}b",
    "[a-c]+",
    "[^a-c]+",
    "[]a]+",
    "[a-]+",
    "[a\\-b]+",
    "\\d+\\.\\d*",
    "\\w+@\\w+\\.com",
    "(a|ab)(c|bcd)(d*)",
    "a.c",
    "(?i)abc",
    "(?i)[a-c]+",
    "(?s)a.c",
    "(?:ab)+",
    "(?P<n>a)b",
    "^ab$",
    "\\bab\\b",
    "a\\b.*",
    "(?i:a)b",
    "[\\d\\s]+",
    "\\x41b",
    "x*?y",
    "((a|b)*c)*",
    "(a?){3}a{3}",
    ".*",
    "a{,3}",
    "\\.\\*",
    "[[:alpha:]]+",
    "a\\Bb",
]
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "ABC",
    "abb",
    "ababc",
    "abcc",
    "aabcc",
    "aa",
    "aaa",
    "aaaa",
    "3.14",
    "3.",
    "me@here.com",
    "a\nc",
    "abcd",
    "acd",
    "]a",
    "a-",
    "-",
    "Ab",
    "aB",
    "1 2",
    "xxy",
    "y",
    "acbc",
    "a b",
    "ab cd",
    "a{,3}",
    ".*",
    "é",
    "ж",
    "d",
]


TYPE = tensor_type(DType.STRING, ())


def full(pattern: str, words: Sequence[str]) -> list[bool]:
    """Which words match as a whole."""
    op = RegexFullMatch(pattern)
    op.infer(TYPE)
    found = op.reference(texts(words, (len(words),)))
    return [bool(one) for one in found]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_full_matches_are_pythons(pattern: str) -> None:
    python = pattern.replace("[[:alpha:]]", "[a-zA-Z]")
    python = python.replace("a{,3}", "a\\{,3\\}")
    theirs = re.compile(python, re.ASCII)
    words = [t for t in TEXTS if t.isascii() or "(?i" not in pattern]
    assert full(pattern, words) == [bool(theirs.fullmatch(text)) for text in words]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("\\pL+", "éжa", True),
        ("\\p{Lu}\\P{Lu}", "Ab", True),
        ("\\p{^Lu}", "A", False),
        ("\\Qa.b\\E+", "a.bb", True),
        ("(?m)a$\n^b", "a\nb", True),
        ("a$\nb", "a\nb", False),
        ("\\Aab\\z", "ab", True),
        ("[[:^digit:]x]+", "abc", True),
        ("\\x{416}", "Ж", True),
        ("(?i)ж", "Ж", True),
        ("a(?i)b(?-i)c", "aBc", True),
        ("a(?i)b(?-i)c", "aBC", False),
    ],
)
def test_what_re2_has_of_its_own(pattern: str, text: str, matches: bool) -> None:
    assert full(pattern, [text]) == [matches]


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "a)",
        "(a",
        "[a",
        "[b-a]",
        "*a",
        "a{3,2}",
        "a{2000}",
        "\\",
        "\\1",
        "\\k",
        "(?z)a",
        "(?P<>a)",
        "[[:what:]]",
        "\\p{Xyz}",
        "\\x{110000}",
        "(?=a)",
        "((a{100}){100}){100}",
        "[\\Z]",
    ],
)
def test_refusals(pattern: str) -> None:
    with pytest.raises(InvalidGraph) as caught:
        RegexFullMatch(pattern).infer(TYPE)
    assert caught.value.code == "E0341"


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a+)+$b", "(a?){50}a{50}c", "(.*)*x"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    started = time.thread_time()
    assert full(pattern, ["a" * 2000, "a" * 100_000]) == [False, False]
    assert time.thread_time() - started < 5


def test_bytes_that_are_no_text_match_nothing_but_themselves() -> None:
    broken = b"a\xff".decode("utf-8", "surrogateescape")
    assert full("a.", [broken, "ab"]) == [False, True]


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "re2" else find(name)
    )
    op = RegexFullMatch("(")
    assert op.infer(TYPE).dtype is DType.BOOL
    with pytest.raises(UnsupportedOperator) as caught:
        op.reference(np.array(["a"], object))
    assert caught.value.hint == "pip install 'sardonyx[text]'"

"""Regular expressions: what Python's engine finds, and patterns made to take for ever."""

from __future__ import annotations

import re
import time

import pytest

from sardonyx.core.errors import InvalidGraph
from sardonyx.ops.text.regex import Regex

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


@pytest.mark.parametrize("pattern", PATTERNS)
def test_full_matches_are_pythons(pattern: str) -> None:
    python = pattern.replace("[[:alpha:]]", "[a-zA-Z]")
    python = python.replace("a{,3}", "a\\{,3\\}")
    theirs = re.compile(python, re.ASCII)
    ours = Regex(pattern)
    for text in TEXTS:
        folds = "(?i" in pattern and not text.isascii()
        assert folds or ours.full(text) == bool(theirs.fullmatch(text)), text


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
    assert Regex(pattern).full(text) is matches


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
        "(?P<1>a)",
        "[[:what:]]",
        "\\p{Xyz}",
        "\\x{110000}",
        "(?=a)",
        "((a{100}){100}){100}",
        "(" * 200 + ")" * 200,
        "[\\Z]",
    ],
)
def test_refusals(pattern: str) -> None:
    with pytest.raises(InvalidGraph) as caught:
        Regex(pattern)
    assert caught.value.code == "E0341"


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a+)+$b", "(a?){50}a{50}c", "(.*)*x"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    started = time.monotonic()
    assert not Regex(pattern).full("a" * 2000)
    assert time.monotonic() - started < 5

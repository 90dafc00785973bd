"""Strings: StringConcat, StringSplit, RegexFullMatch, StringNormalizer and TfIdfVectorizer."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException, UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.core.limits import Limits
from sardonyx.graph.evaluate import STRING
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.shapes import broadcast_types, like, need_rank, refuse, unknown_dim


def texts(words: Sequence[Any], shape: Sequence[int]) -> Array:
    """An array of strings."""
    out = np.empty(len(words), object)
    out[:] = list(words)
    return out.reshape(tuple(shape))


def check_text(count: int, length: int) -> None:
    """LimitExceeded where that many strings of so many characters in all are beyond the limits."""
    Limits.current().check_memory(STRING * count + length)


class _Text(Op, abstract=True):
    tolerance = "exact"


class StringConcat(_Text):
    """Each string of X followed by that of Y, broadcast."""

    since = 20

    def infer(self, x: Type, y: Type) -> Type:
        return broadcast_types(x, y)

    def reference(self, x: Array, y: Array) -> Array:
        a, b = np.broadcast_arrays(x, y)
        check_text(a.size, sum(map(len, a.flat)) + sum(map(len, b.flat)))
        pairs = zip(a.reshape(-1), b.reshape(-1), strict=True)
        return texts([str(p) + str(q) for p, q in pairs], a.shape)


class StringSplit(_Text):
    """The parts between delimiters (by default, white space), filled up with empty strings."""

    since = 20
    delimiter: str | None = None
    maxsplit: int | None = None

    def infer(self, x: Type) -> Any:
        if x.shape is None:
            return Type(DType.STRING), Type(DType.INT64)
        return Type(DType.STRING, (*x.shape, unknown_dim("parts"))), like(x, DType.INT64)

    def reference(self, x: Array) -> Any:
        most = -1 if self.maxsplit is None else self.maxsplit
        rows = [str(word).split(self.delimiter or None, most) for word in x.reshape(-1)]
        counts = np.array([len(r) for r in rows], np.int64).reshape(x.shape)
        width = max((len(r) for r in rows), default=0)
        check_text(x.size * width, sum(map(len, x.flat)))
        words = [w for r in rows for w in (*r, *[""] * (width - len(r)))]
        return texts(words, (*x.shape, width)), counts


class RegexFullMatch(_Text):
    """Whether each whole string matches a regular expression of RE2's syntax, in linear time."""

    since = 20
    pattern: str | None = None

    def infer(self, x: Type) -> Type:
        if importlib.util.find_spec("re2"):
            self._regex()
        return like(x, DType.BOOL)

    def reference(self, x: Array) -> Array:
        if not importlib.util.find_spec("re2"):
            raise UnsupportedOperator(
                "E0401",
                "RegexFullMatch needs the package google-re2",
                op="RegexFullMatch",
                hint="pip install 'sardonyx[text]'",
            )
        regex = self._regex()
        found = [regex.fullmatch(_utf8(word)) is not None for word in x.reshape(-1)]
        return np.array(found, bool).reshape(x.shape)

    def _regex(self) -> Any:
        import re2

        options = re2.Options()
        options.log_errors = False
        # Whole strings match or do not: what the groups of a pattern match costs time for each.
        options.never_capture = True
        try:
            return re2.compile(_utf8(self.pattern or ""), options)
        except re2.error as error:
            reason = str(error.args[0], "utf-8", "replace")
            raise refuse("E0341", f"`pattern` is no regular expression: {reason}") from None


def _utf8(text: Any) -> bytes:
    return str(text).encode("utf-8", "surrogateescape")


class StringNormalizer(_Text):
    """The strings without stop words, in lower, upper or their own case; one empty one of none."""

    since = 10
    case_change_action: str = "NONE"
    is_case_sensitive: int = 0
    locale: str | None = None
    stopwords: tuple[str, ...] | None = None

    def infer(self, x: Type) -> Type:
        need_rank(x, 1, 2)
        if self.case_change_action not in ("NONE", "LOWER", "UPPER"):
            given = self.case_change_action
            raise refuse("E0341", "`case_change_action` is unknown", given, "NONE, LOWER, UPPER")
        if x.shape is None:
            return like(x)
        return x.with_shape((*x.shape[:-1], unknown_dim("words")))

    def reference(self, x: Array) -> Array:
        if x.ndim not in (1, 2) or (x.ndim == 2 and len(x) != 1):
            raise RuntimeException("E0404", "strings must be [C] or [1, C]", given=x.shape)
        words = [str(w) for w in x.reshape(-1)]
        if self.stopwords:
            same = str if self.is_case_sensitive else str.casefold
            stops = {same(w) for w in self.stopwords}
            words = [w for w in words if same(w) not in stops]
        change = {"LOWER": str.lower, "UPPER": str.upper}.get(self.case_change_action, str)
        words = [change(w) for w in words] or [""]
        return texts(words, (*x.shape[:-1], len(words)))


class TfIdfVectorizer(_Text, kw_only=True):
    """How often each n-gram of a pool occurs in a row, weighted.

    The items of an n-gram may be apart by the same distance, up to max_skip_count skipped.
    """

    since = 9
    tolerance = "rounding"
    max_gram_length: int
    max_skip_count: int
    min_gram_length: int
    mode: str
    ngram_counts: tuple[int, ...]
    ngram_indexes: tuple[int, ...]
    pool_int64s: tuple[int, ...] | None = None
    pool_strings: tuple[str, ...] | None = None
    weights: tuple[float, ...] | None = None

    def infer(self, x: Type) -> Type:
        need_rank(x, 0, 2)
        if self.mode not in ("TF", "IDF", "TFIDF"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "TF, IDF, TFIDF")
        most = len(self.pool_strings or self.pool_int64s or ())
        if not 1 <= self.min_gram_length <= self.max_gram_length or self.max_skip_count < 0:
            given = (
                f"{self.min_gram_length} to {self.max_gram_length}, {self.max_skip_count} skipped"
            )
            raise refuse("E0341", "there are no n-grams of these lengths", given, "1 or more")
        if any(not 0 <= n <= most for n in self.ngram_counts):
            raise refuse("E0341", "`ngram_counts` is not within the pool", self.ngram_counts, most)
        if min(self.ngram_indexes, default=0) < 0:
            raise refuse("E0341", "`ngram_indexes` has one below 0", min(self.ngram_indexes))
        width = const(max(self.ngram_indexes, default=-1) + 1)
        if x.shape is None:
            return Type(DType.FLOAT32)
        return Type(DType.FLOAT32, (*x.shape[:-1], width))

    def _grams(self) -> dict[tuple[Any, ...], int]:
        """n-gram -> its number in the pool."""
        pool: Sequence[Any] = self.pool_strings or self.pool_int64s or ()
        ends = (*self.ngram_counts[1:], len(pool))
        found: dict[tuple[Any, ...], int] = {}
        number = 0
        for size, (start, end) in enumerate(zip(self.ngram_counts, ends, strict=True), 1):
            for at in range(start, end - size + 1, size):
                if self.min_gram_length <= size <= self.max_gram_length:
                    found.setdefault(tuple(pool[at : at + size]), number)
                number += 1
        if number > len(self.ngram_indexes):
            given, wanted = number, len(self.ngram_indexes)
            raise refuse("E0341", "`ngram_indexes` is shorter than the pool", given, wanted)
        return found

    def reference(self, x: Array) -> Array:
        grams, width = self._grams(), max(self.ngram_indexes, default=-1) + 1
        rows = x.reshape(1, -1) if x.ndim < 2 else x
        counts = np.zeros((len(rows), width), np.float32)
        sizes = sorted({len(gram) for gram in grams})
        for n, row in enumerate(rows.tolist()):
            for gram in self._windows(row, sizes):
                number = grams.get(gram)
                if number is not None:
                    counts[n, self.ngram_indexes[number]] += 1
        y = counts if self.mode != "IDF" else (counts > 0).astype(np.float32)
        if self.weights is not None and self.mode != "TF":
            y = y * np.array(self.weights, np.float32)[:width]
        return y.reshape(*x.shape[:-1], width)

    def _windows(self, row: Sequence[Any], sizes: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """Every n-gram of these sizes in a row; those of one item once, whatever may be skipped."""
        spans = [
            (step, (size - 1) * step)
            for size in sizes
            for step in range(1, self._steps(size, len(row)) + 1)
        ]
        Limits.current().check_trips(sum(len(row) - reach for _, reach in spans))
        for step, reach in spans:
            for start in range(len(row) - reach):
                yield tuple(row[start : start + reach + 1 : step])

    def _steps(self, size: int, length: int) -> int:
        """How far apart the items of an n-gram may be in a row of that length."""
        return (
            min(1, length)
            if size == 1
            else min(self.max_skip_count + 1, (length - 1) // (size - 1))
        )

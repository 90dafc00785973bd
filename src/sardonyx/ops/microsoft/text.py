"""Words and tokens: hashes, cuts, embeddings of their characters, and n-grams not to repeat."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.given import wrapped
from sardonyx.ops.base.shapes import like, need_rank, refuse, same_dim, unknown_dim
from sardonyx.ops.microsoft.composed import DOMAIN
from sardonyx.ops.text.strings import check_text, texts

_MASK = 0xFFFFFFFF


class MurmurHash3(Op):
    """The 32-bit hash of each element's bytes (x86 variant of MurmurHash3, public domain)."""

    domain = DOMAIN
    since = 1
    tolerance = "exact"
    positive: int = 1
    seed: int = 0

    def infer(self, x: Type) -> Type:
        return like(x, DType.UINT32 if self.positive else DType.INT32)

    def reference(self, x: Array) -> Array:
        kind = np.uint32 if self.positive else np.int32
        words = x.reshape(-1)
        keys = [str(w).encode() if x.dtype == object else w.tobytes() for w in words]
        found = np.array([_murmur(key, self.seed & _MASK) for key in keys], np.uint32)
        return found.view(kind).reshape(x.shape)


def _rotated(k: int, by: int) -> int:
    return ((k << by) | (k >> (32 - by))) & _MASK


def _mixed(k: int) -> int:
    return _rotated(k * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _murmur(key: bytes, seed: int) -> int:
    h, whole = seed, len(key) // 4
    for k in struct.unpack_from(f"<{whole}I", key):
        h = (_rotated(h ^ _mixed(k), 13) * 5 + 0xE6546B64) & _MASK
    rest = key[4 * whole :]
    if rest:
        h ^= _mixed(int.from_bytes(rest, "little"))
    h ^= len(key)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * factor & _MASK
    return h ^ (h >> 16)


class Tokenizer(Op, kw_only=True):
    """The tokens of each string, filled up: between separators, or the matches of an expression;
    with `mark` between a start and an end of text."""

    domain = DOMAIN
    since = 1
    tolerance = "exact"
    mark: int
    mincharnum: int
    pad_value: str
    separators: tuple[str, ...] | None = None
    tokenexp: str | None = None

    def infer(self, x: Type) -> Type:
        need_rank(x, 1, 2)
        if (self.separators is None) == (self.tokenexp is None):
            raise refuse("E0341", "one of `separators` and `tokenexp` must be given")
        if self.mincharnum < 1:
            raise refuse("E0341", "`mincharnum` must be 1 or more", self.mincharnum)
        if x.shape is None:
            return Type(DType.STRING)
        return Type(DType.STRING, (*x.shape, unknown_dim("tokens")))

    def reference(self, x: Array) -> Array:
        if not x.size:
            return texts([], (*x.shape[:-1], 0))
        rows = [self._tokens(str(word)) for word in x.reshape(-1)]
        if self.mark:
            rows = [["\x02", *row, "\x03"] for row in rows]
        width = max(map(len, rows))
        check_text(len(rows) * width, sum(len(w) for row in rows for w in row))
        words = [w for row in rows for w in (*row, *[self.pad_value] * (width - len(row)))]
        return texts(words, (*x.shape, width))

    def _tokens(self, word: str) -> list[str]:
        least = self.mincharnum
        if self.tokenexp == "." or self.separators == ("",):
            return list(word) if least <= 1 else []
        if self.tokenexp is not None:
            found = [m.group() for m in _regex(self.tokenexp).finditer(word.encode())]
            return [t for t in (m.decode("utf-8", "ignore") for m in found) if len(t) >= least]
        parts = [word.encode()]
        for separator in self.separators or ():
            cut = _regex(separator)
            parts = [p for part in parts for p in _between(cut, part)]
        return [t for t in (p.decode("utf-8", "ignore") for p in parts) if len(t) >= least]


def _between(regex: Any, part: bytes) -> list[bytes]:
    found, start = [], 0
    for match in regex.finditer(part):
        if match.end() > match.start():
            found.append(part[start : match.start()])
            start = match.end()
    return [*found, part[start:]]


def _regex(pattern: str) -> Any:
    try:
        import re2
    except ImportError:
        raise UnsupportedOperator(
            "E0401",
            "Tokenizer needs the package google-re2",
            op="Tokenizer",
            hint="pip install 'sardonyx[text]'",
        ) from None
    options = re2.Options()
    options.log_errors = False
    options.longest_match = True
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = str(error.args[0], "utf-8", "replace")
        raise refuse("E0341", f"no regular expression: {reason}", pattern) from None


class WordConvEmbedding(Op):
    """The embedding of words by a convolution over their characters' and the largest of each."""

    domain = DOMAIN
    since = 1
    tolerance = "reduction"
    char_embedding_size: int | None = None
    conv_window_size: int | None = None
    embedding_size: int | None = None

    def infer(self, words: Type, w: Type, b: Type, characters: Type) -> Type:
        need_rank(words, 1)
        for x, rank in ((w, 4), (b, 1), (characters, 2)):
            need_rank(x, rank, rank)
        if words.shape is None or w.shape is None:
            return Type(w.dtype)
        if b.shape is not None and characters.shape is not None:
            same_dim(b.shape[0], w.shape[0])
            same_dim(characters.shape[1], w.shape[3])
            same_dim(w.shape[1], const(1))
        return Type(w.dtype, (*words.shape[:-1], w.shape[0]))

    def reference(self, words: Array, w: Array, b: Array, characters: Array) -> Array:
        flat = words.reshape(-1, words.shape[-1])
        kernel = w[:, 0]
        window = kernel.shape[1]
        made = np.zeros((len(flat), len(w)), w.dtype)
        for n, word in enumerate(flat):
            # A word ends at its first 0, and is then as long as the window at least.
            length = int(np.argmin(word != 0)) if (word == 0).any() else len(word)
            if not length:
                continue
            length = min(max(length, window), len(word))
            rows = characters[wrapped(word[:length], len(characters))]
            spans = [rows[k : k + window] for k in range(max(length - window + 1, 0))]
            sums = [np.tanh((kernel * s).sum(axis=(1, 2)) + b) for s in spans]
            made[n] = np.max(sums, axis=0) if sums else 0
        return made.reshape(*words.shape[:-1], len(w))


class NGramRepeatBlock(Op):
    """Scores of -inf for the tokens that would repeat a run of `ngram_size` ids."""

    domain = DOMAIN
    since = 1
    tolerance = "exact"
    ngram_size: int

    def infer(self, ids: Type, scores: Type) -> Type:
        for x in (ids, scores):
            need_rank(x, 2, 2)
        if self.ngram_size < 1:
            raise refuse("E0341", "`ngram_size` must be 1 or more", self.ngram_size)
        if ids.shape is not None and scores.shape is not None:
            same_dim(ids.shape[0], scores.shape[0])
        return like(scores)

    def reference(self, ids: Array, scores: Array) -> Array:
        y, size = scores.copy(), self.ngram_size
        for row, out in zip(ids, y, strict=True):
            if len(row) < size:
                continue
            runs = np.lib.stride_tricks.sliding_window_view(row, size)
            same = (runs[:, :-1] == row[len(row) - size + 1 :]).all(axis=1)
            out[wrapped(runs[same, -1], len(out))] = -np.inf
        return y

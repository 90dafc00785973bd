"""Routing, hashing and attention of decoders that keep caches in blocks or step by one token."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import need_rank, refuse, unknown_dim
from sardonyx.ops.microsoft.attention import (
    GroupQueryAttention,
    MultiHeadAttention,
    counting,
    heads_of,
    size_of,
)
from sardonyx.ops.microsoft.composed import Composed, Made, Results, integers, like
from sardonyx.ops.microsoft.integers import real
from sardonyx.ops.microsoft.norms import EmbedLayerNormalization


class MoEGroupRouter(Composed, kw_only=True):
    """Logarithms of the scores of the best experts of the best groups, by scores with a bias."""

    group_topk: int = 2
    n_group: int = 1
    router_sentinel: float = -10000.0
    top_k: int
    topk_group: int = 1

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        first = inputs[0]
        assert first is not None
        return (Type(first.dtype), Type(DType.FLOAT32), Type(DType.FLOAT32))

    def compose(self, body: Body, logits: Value, bias: Value, weights: Made = None) -> Results:
        if weights is not None:
            raise NotImplementedError("MoEGroupRouter with a projection of its own")
        experts = size_of(logits, -1, "the number of experts")
        if experts % self.n_group or not 1 <= self.top_k <= experts:
            raise refuse("E0341", "experts do not fit `n_group` or `top_k`", experts)
        flat = body.reshape(body("Cast", logits, to=DType.FLOAT32.value), (-1, experts))
        scores = body("Sigmoid", flat)
        biased = body("Add", scores, bias)
        wanted = biased if self.n_group == 1 else self._grouped(body, biased, experts)
        _, chosen = body.all("TopK", wanted, integers(body, self.top_k), axis=1, outputs=2)
        kept = body("GatherElements", scores, chosen, axis=1)
        logarithms = body("Log", body("Max", kept, like(body, kept, 1e-20)))
        empty = body("Expand", like(body, flat, self.router_sentinel), body("Shape", flat))
        probs = body("ScatterElements", empty, chosen, logarithms, axis=1)
        assert logits.type.dtype is not None
        return body("Cast", probs, to=logits.type.dtype.value), biased, scores

    def _grouped(self, body: Body, biased: Value, experts: int) -> Value:
        """The scores, of all but the best groups -inf."""
        each = experts // self.n_group
        groups = body.reshape(biased, (-1, self.n_group, each))
        count = integers(body, min(self.group_topk, each))
        best, _ = body.all("TopK", groups, count, axis=2, outputs=2)
        sums = body("ReduceSum", best, integers(body, 2), keepdims=0)
        _, chosen = body.all("TopK", sums, integers(body, self.topk_group), axis=1, outputs=2)
        none = body("Expand", like(body, sums, -np.inf), body("Shape", sums))
        zeros = body("Expand", like(body, sums, 0), body("Shape", chosen))
        mask = body("ScatterElements", none, chosen, zeros, axis=1)
        masked = body("Add", groups, body("Unsqueeze", mask, integers(body, 2)))
        return body.reshape(masked, (-1, experts))


class NGramHashMapping(Composed, kw_only=True):
    """Hashes of the last two, three … ids at every place, each by several moduli, and the ids that
    the next call needs."""

    max_ngram_size: int
    n_head_per_ngram: int
    pad_id: int
    reset_on_eos: int = 0

    def compose(
        self, body: Body, ids: Value, multipliers: Value, sizes: Value, *rest: Made
    ) -> Results:
        past, offsets, end, segments = filled(rest, 4)
        if segments is not None or end is not None:
            raise NotImplementedError("NGramHashMapping that begins anew in a sequence")
        if self.max_ngram_size < 2:
            raise refuse("E0341", "`max_ngram_size` is less than 2", self.max_ngram_size)
        before = self.max_ngram_size - 1
        if past is None:
            pad = integers(body, 0, before, 0, 0)
            whole = body("Pad", ids, pad, like(body, ids, self.pad_id))
        else:
            whole = body("Concat", past, ids, axis=1)
        length = body("Shape", ids, start=1, end=2)
        mix: Value | None = None
        hashes = []
        for n in range(self.max_ngram_size):
            start = integers(body, before - n)
            moved = body("Slice", whole, start, body("Add", length, start), integers(body, 1))
            factor = body("Slice", multipliers, *(integers(body, k) for k in (n, n + 1)))
            part = body("Mul", moved, factor)
            mix = part if mix is None else body("BitwiseXor", mix, part)
            if n:
                hashes.append(self._heads(body, mix, sizes, n - 1))
        found = body("Concat", *hashes, axis=2) if len(hashes) > 1 else hashes[0]
        found = found if offsets is None else body("Add", found, offsets)
        return found, body("Slice", whole, length, integers(body, 1 << 30), integers(body, 1))

    def _heads(self, body: Body, mix: Value, sizes: Value, n: int) -> Value:
        ends = (integers(body, k * self.n_head_per_ngram) for k in (n, n + 1))
        return body("Mod", body("Unsqueeze", mix, integers(body, 2)), body("Slice", sizes, *ends))


class DynamicTimeWarping(Op):
    """The cheapest path through a matrix of costs from its first element to its last."""

    domain = "com.microsoft"
    since = 1
    tolerance = "exact"

    def infer(self, x: Type) -> Type:
        need_rank(x, 2, 3)
        return Type(DType.INT32, (const(2), unknown_dim("steps")))

    def reference(self, x: Array) -> Array:
        costs = x.reshape(x.shape[-2:])
        rows, columns = costs.shape
        total = np.full((rows + 1, columns + 1), np.inf, np.float32)
        total[0, 0] = 0
        steps = np.zeros((rows + 1, columns + 1), np.int8)
        for i in range(1, rows + 1):
            for j in range(1, columns + 1):
                ways = (total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])
                # Of equal ones the last: to the side, else up.
                best = 0 if ways[0] < ways[1] and ways[0] < ways[2] else (
                    1 if ways[1] < ways[0] and ways[1] < ways[2] else 2
                )  # fmt: skip
                total[i, j] = costs[i - 1, j - 1] + ways[best]
                steps[i, j] = best
        steps[0, :], steps[:, 0] = 2, 1
        path, (i, j) = [], (rows, columns)
        while i > 0 or j > 0:
            path.append((i - 1, j - 1))
            i, j = i - (steps[i, j] != 2), j - (steps[i, j] != 1)
        return np.array(path[::-1], np.int32).T.reshape(2, -1)


class BifurcationDetector(Op):
    """Tokens with those that were foreseen rightly, and where in the source they go on."""

    domain = "com.microsoft"
    since = 1
    tolerance = "exact"
    max_ngram_size: int = 3
    min_ngram_size: int = 1

    def infer(self, source: Type, tokens: Type, match: Type, foreseen: Type | None = None) -> Any:
        for x in (source, tokens):
            need_rank(x, 1, 1, "the tokens")
        grown = tokens.shape if foreseen is None else (unknown_dim("tokens"),)
        return Type(tokens.dtype, grown), Type(match.dtype, ())

    def reference(
        self, source: Array, tokens: Array, match: Array, foreseen: Array | None = None
    ) -> Any:
        if foreseen is not None:
            start = int(match.reshape(()))
            most = min(len(foreseen), len(source) - start)
            same = foreseen[:most] == source[start : start + most]
            count = most if same.all() else int(np.argmin(same))
            tokens = np.concatenate([tokens, foreseen[: count + 1]])
        return tokens, np.asarray(self._match(source, tokens), match.dtype)

    def _match(self, source: Array, tokens: Array) -> int:
        """Where the source goes on after the only place that has the last tokens, else -1."""
        found = -1
        for size in range(self.min_ngram_size, self.max_ngram_size + 1):
            if size > len(tokens):
                break
            if size > len(source):
                return found
            rows = np.lib.stride_tricks.sliding_window_view(source, size)
            places = np.flatnonzero((rows == tokens[len(tokens) - size :]).all(1))
            if not len(places):
                return found
            found = int(places[0]) + size if int(places[0]) + size < len(source) else -1
            if found >= 0 and len(places) == 1:
                return found
            found = -1
        return found


class QEmbedLayerNormalization(Composed):
    """EmbedLayerNormalization of quantized tables."""

    epsilon: float = 1e-12

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        scale = inputs[8]
        assert scale is not None
        return Type(scale.dtype), Type(DType.INT32)

    def compose(self, body: Body, ids: Value, segments: Value | None, *rest: Made) -> Results:
        tables, scales, zeros = rest[:5], rest[6:11], rest[11:]
        word, position, segment, gamma, beta = (
            None if q is None or s is None else real(body, q, s, z)
            for q, s, z in zip(tables, scales, zeros, strict=True)
        )
        assert word is not None
        assert position is not None
        assert gamma is not None
        assert beta is not None
        op = EmbedLayerNormalization(epsilon=self.epsilon)
        made = op.compose(body, ids, segments, word, position, segment, gamma, beta, rest[5])
        assert isinstance(made, tuple)
        return made[:2]


class SparseAttention(Composed, kw_only=True):
    """GroupQueryAttention in which blocks of queries see some blocks of keys only, head by head."""

    do_rotary: int | None = None
    kv_num_heads: int
    num_heads: int
    rotary_interleaved: int | None = None
    scale: float | None = None
    sparse_block_size: int

    def compose(self, body: Body, query: Value, *rest: Made) -> Results:
        key, value, past_key, past_value, rows, columns, total, lengths, cos, sin = filled(rest, 10)
        like_it = GroupQueryAttention(
            num_heads=self.num_heads, kv_num_heads=self.kv_num_heads, scale=self.scale,
            do_rotary=self.do_rotary, rotary_interleaved=self.rotary_interleaved,
        )  # fmt: skip
        ends = body("Sub", lengths, like(body, lengths, 1))
        return like_it.masked(
            body, query, (key, value, past_key, past_value, ends, total, cos, sin),
            lambda q, keys, before: self._blocks(body, q, keys, before, rows, columns),
        )  # fmt: skip

    def _blocks(
        self, body: Body, q: Value, keys: Value, before: Value, rows: Value, columns: Value
    ) -> Value:
        """Which keys each query sees by its block: [batch, heads, queries, keys]."""
        layouts, blocks = size_of(rows, 0, "the layouts"), size_of(rows, 1, "the blocks") - 1
        dense = self._dense(body, rows, columns, blocks)
        heads = integers(body, *(n % layouts for n in range(self.num_heads)))
        dense = body("Gather", dense, heads, axis=0)
        size = body.constant(np.array(self.sparse_block_size, np.int64))
        own = body("Unsqueeze", counting(body, q, 2), integers(body, 0))
        own = body("Add", body("Unsqueeze", before, integers(body, 1)), own)
        most = body.constant(np.array(blocks - 1, np.int64))
        of_rows = body("Min", body("Div", own, size), most)
        of_keys = body("Min", body("Div", counting(body, keys, 2), size), most)
        taken = body("Gather", body("Gather", dense, of_rows, axis=1), of_keys, axis=3)
        return body.transpose(taken, 1, 0, 2, 3)

    def _dense(self, body: Body, rows: Value, columns: Value, blocks: int) -> Value:
        """[layouts, blocks, blocks] of the rows' starts and the columns of what is not 0."""
        places = counting(body, columns, 1)
        starts, ends = (
            body("Cast", body.slice(rows, 1, n, blocks + n), to=DType.INT64.value) for n in (0, 1)
        )
        starts, ends = (body("Unsqueeze", x, integers(body, 2, 3)) for x in (starts, ends))
        place = body.reshape(places, (1, 1, 1, -1))
        inside = body("And", body("LessOrEqual", starts, place), body("Less", place, ends))
        which = body("Unsqueeze", body("Cast", columns, to=DType.INT64.value), integers(body, 1, 2))
        every = body.constant(np.arange(blocks).reshape(1, 1, blocks, 1))
        hit = body("And", inside, body("Equal", which, every))
        found = body("ReduceMax", body("Cast", hit, to=DType.INT32.value), integers(body, 3),
                     keepdims=0)  # fmt: skip
        return body("Cast", found, to=DType.BOOL.value)


class DecoderMaskedMultiHeadAttention(Composed, kw_only=True):
    """MultiHeadAttention of one new token, whose keys may go into a cache of full length."""

    mask_filter_value: float | None = None
    num_heads: int
    output_qk: int | None = None
    past_present_share_buffer: int | None = None
    scale: float | None = None

    def compose(self, body: Body, query: Value, *rest: Made) -> Results:
        key, value, mask, added, past_key, past_value, length, *beams, bias = filled(rest, 10)
        if any(v is not None for v in beams) or self.output_qk or self.outputs > 3:
            raise NotImplementedError("DecoderMaskedMultiHeadAttention with beams or scores")
        op = MultiHeadAttention(
            num_heads=self.num_heads, scale=self.scale, mask_filter_value=self.mask_filter_value
        )
        if not self.past_present_share_buffer or past_key is None:
            made = op.compose(body, query, key, value, bias, mask, added, past_key, past_value)
            assert isinstance(made, tuple)
            return made[:3]
        if None in (key, value, past_value, length) or (mask, added, bias) != (None,) * 3:
            raise NotImplementedError("a shared buffer with masks, biases or packed keys")
        return self._shared(body, op, query, (key, value), (past_key, past_value), length)

    def _shared(
        self,
        body: Body,
        op: MultiHeadAttention,
        query: Value,
        new: tuple[Value, Value],
        past: tuple[Value, Value],
        length: Value,
    ) -> Results:
        """Attention over the caches with the new keys at the place `length`; what lies behind it
        is not seen."""
        q, k, v = (heads_of(body, x, self.num_heads) for x in (query, *new))
        at = body.reshape(body("Cast", length, to=DType.INT64.value), (1,))
        every = body("Expand", at, body("Shape", q, end=1))
        keys, values = (
            body("TensorScatter", p, x, every, axis=2) for p, x in zip(past, (k, v), strict=True)
        )
        seen = body("LessOrEqual", counting(body, keys, 2), at)
        hidden = body("Where", seen, like(body, q, 0), like(body, q, -np.inf))
        y, *_ = op.attend(body, q, keys, values, None, body.reshape(hidden, (1, 1, 1, -1)))
        return y, keys, values

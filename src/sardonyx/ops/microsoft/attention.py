"""Attention with its projections, masks and caches, in terms of the standard's operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import need_rank, refuse
from sardonyx.ops.microsoft.composed import Composed, Made, Results, integers, like


def size_of(x: Value, axis: int, what: str) -> int:
    """A dim that must be known before running."""
    found = number(x.type.dims[axis])
    if found is None:
        raise refuse("E0341", f"{what} must be known before running", x.type)
    return found


def heads_of(body: Body, x: Value, heads: int) -> Value:
    """[batch, heads, length, size] of [batch, length, heads * size], or `x` that is so already."""
    if len(x.type.dims) == 4:
        return x
    return body.transpose(body.reshape(x, (0, 0, heads, -1)), 0, 2, 1, 3)


def pieces(body: Body, x: Value, sizes: Sequence[int], axis: int = -1) -> tuple[Value, ...]:
    """`x` cut along an axis."""
    return body.all("Split", x, integers(body, *sizes), axis=axis, outputs=len(sizes))


def raw_mask(body: Body, mask: Value, floats: DType, filtered: float) -> Value:
    """What is added to the scores for a mask that is not 0 where a key may be seen.

    [batch, keys] or [batch, queries, keys] or with heads.
    """
    axes = {2: (1, 2), 3: (1,)}.get(len(mask.type.dims))
    if axes is not None:
        mask = body("Unsqueeze", mask, integers(body, *axes))
    seen = body("Cast", mask, to=DType.BOOL.value)
    zero, low = (body.constant(np.array(n, floats.numpy)) for n in (0, filtered))
    return body("Where", seen, zero, low)


def counting(body: Body, x: Value, axis: int) -> Value:
    """0, 1, 2 … up to the dim of `x` at an axis, as int64."""
    dim = body("Shape", x, start=axis, end=axis + 1)
    zero, one = (body.constant(np.array(n, np.int64)) for n in (0, 1))
    return body("Range", zero, body("Squeeze", dim), one)


def column(body: Body, x: Value, *axes: int) -> Value:
    """`x` as int64 with axes of 1 put in."""
    return body("Unsqueeze", body("Cast", x, to=DType.INT64.value), integers(body, *axes))


def length_mask(body: Body, mask: Value, keys: Value) -> Value:
    """Which keys the lengths [batch], or ends and then starts [2 * batch], let be seen.

    `keys` are [batch, heads, keys, size].
    """
    own, rows = number(mask.type.dims[0]), number(keys.type.dims[0])
    if rows is None or own not in (rows, 2 * rows):
        raise NotImplementedError("lengths of masks whose batch is known only in a run")
    ends, *starts = pieces(body, mask, [rows] * (own // rows), 0) if own > rows else (mask,)
    places = counting(body, keys, 2)
    seen = body("Less", places, column(body, ends, 1, 2, 3))
    for start in starts:
        seen = body("And", seen, body("GreaterOrEqual", places, column(body, start, 1, 2, 3)))
    return seen


class _Attends(Composed, kw_only=True, abstract=True):
    num_heads: int
    mask_filter_value: float | None = None
    scale: float | None = None
    unidirectional: int = 0

    def added(self, body: Body, keys: Value, mask: Made, bias: Made) -> Made:
        """What is added to the scores of keys [batch, heads, keys, size], None for nothing."""
        floats = keys.type.dtype
        assert floats is not None
        filtered = -10000.0 if self.mask_filter_value is None else self.mask_filter_value
        if mask is not None:
            if len(mask.type.dims) == 1:
                mask = length_mask(body, mask, keys)
            elif len(mask.type.dims) == 4:
                raise NotImplementedError("masks [batch, 1, length, length] of Megatron")
            mask = raw_mask(body, mask, floats, filtered)
        if bias is None or mask is None:
            return bias if mask is None else mask
        return body("Add", bias, mask)

    def attend(
        self,
        body: Body,
        q: Value,
        k: Value,
        v: Value,
        mask: Made,
        bias: Made,
        past: tuple[Made, Made] = (None, None),
    ) -> tuple[Value, Value, Value, Value]:
        """Output [batch, length, heads * size], keys, values and scores of queries, keys, values
        with heads of their own."""
        if past[0] is not None:
            k, v = (body("Concat", p, x, axis=2) for p, x in zip(past, (k, v), strict=True))
        added = self.added(body, k, mask, bias)
        offset = self._causal(body, q, k) if self.unidirectional and past[0] is not None else None
        if offset is not None:
            added = offset if added is None else body("Add", added, offset)
        y, _, _, scores = body.all(
            "Attention", q, k, v, added, scale=self.scale or None, outputs=4,
            is_causal=int(bool(self.unidirectional and offset is None)),
            qk_matmul_output_mode=2,
        )  # fmt: skip
        return body.reshape(body.transpose(y, 0, 2, 1, 3), (0, 0, -1)), k, v, scores

    def _causal(self, body: Body, q: Value, k: Value) -> Value:
        """What hides the keys after each query, the last query being the last key."""
        later = body("Sub", body("Shape", k, start=2, end=3), body("Shape", q, start=2, end=3))
        rows = body("Add", body("Unsqueeze", counting(body, q, 2), integers(body, 1)), later)
        seen = body("LessOrEqual", counting(body, k, 2), rows)
        zero = like(body, q, 0)
        return body("Where", seen, zero, like(body, q, -np.inf))


class Projected(_Attends, abstract=True):
    """Self-attention with queries, keys and values side by side in one tensor, and its cache."""

    do_rotary: int | None = None
    past_present_share_buffer: int | None = None

    def attended(
        self,
        body: Body,
        projected: Value,
        mask: Made,
        past: Made,
        added: Made = None,
        sizes: tuple[int, ...] | None = None,
    ) -> Results:
        """The outputs; `sizes` are the columns of queries, keys and values where they differ."""
        if self.do_rotary or self.past_present_share_buffer:
            raise NotImplementedError("attention with rotation or a shared buffer")
        each = size_of(projected, 2, "the columns of the weights") // 3
        parts = pieces(body, projected, sizes or (each,) * 3)
        q, k, v = (heads_of(body, p, self.num_heads) for p in parts)
        before: tuple[Made, Made] = (None, None)
        zero = integers(body, 0)
        if past is not None:
            keys, values = body.all("Split", past, axis=0, num_outputs=2, outputs=2)
            before = body("Squeeze", keys, zero), body("Squeeze", values, zero)
        y, k, v, _ = self.attend(body, q, k, v, mask, added, before)
        if self.outputs < 2:
            return y
        return y, body("Concat", *(body("Unsqueeze", x, zero) for x in (k, v)), axis=0)


class Attention(Projected, kw_only=True):
    """Self-attention with the projection of queries, keys and values, and a cache of both."""

    qkv_hidden_sizes: tuple[int, ...] | None = None
    rotary_embedding_dim: int | None = None

    def compose(
        self,
        body: Body,
        x: Value,
        weights: Value,
        bias: Made = None,
        mask: Made = None,
        past: Made = None,
        added: Made = None,
        length: Made = None,
    ) -> Results:
        if length is not None:
            raise NotImplementedError("attention with a shared buffer")
        need_rank(x.type, 3, 3, "input")
        y = body("MatMul", x, weights)
        y = y if bias is None else body("Add", y, bias)
        return self.attended(body, y, mask, past, added, self.qkv_hidden_sizes)


class MultiHeadAttention(_Attends, kw_only=True):
    """Attention of queries, keys and values, which may be packed, with a cache of both."""

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        first = inputs[0]
        assert first is not None
        return (Type(first.dtype),) * max(1, self.outputs)

    def compose(self, body: Body, query: Value, *rest: Made) -> Results:
        key, value, bias, mask, added, past_key, past_value, length, beams = filled(rest, 9)
        if length is not None or beams is not None:
            raise NotImplementedError("MultiHeadAttention with a shared buffer or beams")
        given = self._unpacked(body, query, key, value)
        if bias is not None:
            given = self._biased(body, given, bias)
        q, k, v = (heads_of(body, x, self.num_heads) for x in given)
        return self.attend(body, q, k, v, mask, added, (past_key, past_value))

    def _unpacked(self, body: Body, query: Value, key: Made, value: Made) -> tuple[Value, ...]:
        packed = query if key is None else key if value is None else None
        if packed is None:
            assert key is not None
            assert value is not None
            return query, key, value
        need_rank(packed.type, 5, 5, "packed keys and values")
        count = 3 if key is None else 2
        parts = pieces(body, packed, [1] * count, 3)
        cut = tuple(body.reshape(p, (0, 0, -1)) for p in parts)
        return cut if key is None else (query, *cut)

    def _biased(self, body: Body, given: tuple[Value, ...], bias: Value) -> tuple[Value, ...]:
        """Adds to each its part of the bias; what has heads already has its bias already."""
        total = size_of(bias, 0, "the bias")
        own = size_of(given[0], 2, "the queries' elements")
        parts = pieces(body, bias, (own, own, total - 2 * own))
        return tuple(
            body("Add", x, b) if len(x.type.dims) == 3 else x
            for x, b in zip(given, parts, strict=True)
        )


class RotaryEmbedding(Composed):
    """The standard's, with an offset or position ids before tables of cosines and sines."""

    interleaved: int | None = None
    is_packed_batching: int | None = None
    num_heads: int | None = None
    rotary_embedding_dim: int | None = None
    scale: float | None = None

    def compose(self, body: Body, x: Value, ids: Value, cos: Value, sin: Value) -> Value:
        need_rank(x.type, 3, 4, "input")
        heads = self.num_heads
        if len(x.type.dims) == 3 and not heads:
            heads = size_of(x, 2, "the elements") // (2 * size_of(cos, 1, "the pairs"))
        places = positions(body, x, ids)
        return body(
            "RotaryEmbedding", x, cos, sin, places, interleaved=self.interleaved or 0,
            num_heads=heads or None, rotary_embedding_dim=self.rotary_embedding_dim or 0,
        )  # fmt: skip


def positions(body: Body, x: Value, ids: Value) -> Value:
    """Position ids [batch, length] of such, or of the first one's [1]."""
    if len(ids.type.dims) == 2:
        return ids
    axis = 1 if len(x.type.dims) == 3 else 2
    steps = counting(body, x, axis)
    shape = body("Concat", body("Shape", x, end=1), body("Shape", steps), axis=0)
    return body("Expand", body("Add", steps, body("Cast", ids, to=DType.INT64.value)), shape)


class GroupQueryAttention(Composed, kw_only=True):
    """Causal attention of grouped heads over a cache, into which the new keys are written where
    each sample's own end."""

    causal: int = 1
    do_rotary: int | None = None
    k_norm_epsilon: float | None = None
    k_quant_type: str = "NONE"
    kv_cache_bit_width: int | None = None
    kv_num_heads: int
    local_window_size: int = -1
    num_heads: int
    q_norm_epsilon: float | None = None
    qk_norm_epsilon: float = 1e-6
    qk_output: int = 0
    rotary_interleaved: int | None = None
    scale: float | None = None
    sliding_window_cache: int = 0
    smooth_softmax: int = -1
    softcap: float | None = None
    v_quant_type: str = "NONE"

    def _must(self, given: Sequence[Made]) -> None:
        *_, key_scale, value_scale, q_norm, k_norm, lengths = filled(given, 17)
        odd = self.sliding_window_cache or self.qk_output or self.kv_cache_bit_width
        late = (key_scale, value_scale, q_norm, k_norm, lengths)
        if odd or not self.causal or any(v is not None for v in late):
            raise NotImplementedError("GroupQueryAttention with quantized, windowed or normed keys")

    def compose(self, body: Body, query: Value, *rest: Made) -> Results:
        self._must((query, *rest))
        *given, ids, added, sink = filled(rest[:11], 11)
        return self.masked(body, query, given, None, (ids, added, sink))

    def masked(
        self,
        body: Body,
        query: Value,
        given: Sequence[Made],
        also: Callable[[Value, Value, Value], Value] | None = None,
        late: tuple[Made, Made, Made] = (None, None, None),
    ) -> Results:
        """The outputs for keys, values, both caches, ends, total, cosines and sines, and then ids,
        bias and sink; `also(queries, keys, older)` says which keys are seen at all."""
        key, value, past_key, past_value, ends, total, cos, sin = given
        ids, added, sink = late
        q, k, v = self._heads(body, query, key, value)
        assert ends is not None
        before = self._before(body, q, ends, total)
        if self.do_rotary:
            q, k = (self._rotated(body, x, before, cos, sin, ids) for x in (q, k))
        keys, values = (
            self._written_to(body, x, p, before, total) for x, p in ((k, past_key), (v, past_value))
        )
        mask = self._mask(body, q, keys, before)
        if also is not None:
            mask = body("And", mask, also(q, keys, before))
        y = self._attended(body, q, keys, values, mask, added, sink)
        return body.reshape(body.transpose(y, 0, 2, 1, 3), (0, 0, -1)), keys, values

    def _heads(self, body: Body, query: Value, key: Made, value: Made) -> tuple[Value, ...]:
        if key is None or value is None:
            each = size_of(query, 2, "packed elements") // (self.num_heads + 2 * self.kv_num_heads)
            sizes = (self.num_heads * each, *[self.kv_num_heads * each] * 2)
            query, key, value = pieces(body, query, sizes)
        own = (self.num_heads, self.kv_num_heads, self.kv_num_heads)
        return tuple(heads_of(body, x, n) for x, n in zip((query, key, value), own, strict=True))

    def _before(self, body: Body, q: Value, ends: Value, total: Made) -> Value:
        """The number of keys [batch] of each sample that are older than the new ones."""
        assert total is not None
        length = body("Shape", q, start=2, end=3)
        whole = body("Cast", total, to=DType.INT64.value)
        flat = body.reshape(body("Cast", ends, to=DType.INT64.value), (-1,))
        older = body("Sub", body("Add", flat, integers(body, 1)), length)
        # A first prompt has no older keys, whatever padding its samples have.
        prompt = body("Equal", body.reshape(whole, (1,)), length)
        return body("Where", prompt, integers(body, 0), older)

    def _rotated(
        self, body: Body, x: Value, before: Value, cos: Made, sin: Made, ids: Made
    ) -> Value:
        if cos is None or sin is None:
            raise refuse("E0341", "`do_rotary` needs cos_cache and sin_cache")
        if ids is None:
            ids = body("Add", column(body, before, 1), counting(body, x, 2))
        size, pairs = size_of(x, 3, "the size of a head"), size_of(cos, 1, "the pairs")
        return body(
            "RotaryEmbedding", x, cos, sin, ids, interleaved=self.rotary_interleaved or 0,
            rotary_embedding_dim=0 if 2 * pairs == size else 2 * pairs,
        )  # fmt: skip

    def _written_to(self, body: Body, x: Value, past: Made, before: Value, total: Made) -> Value:
        """The cache, as long as all keys need, with the new ones in their places."""
        assert total is not None
        if past is None:
            return x
        whole = body.reshape(body("Cast", total, to=DType.INT64.value), (1,))
        more = body("Max", body("Sub", whole, body("Shape", past, start=2, end=3)),
                    integers(body, 0))  # fmt: skip
        ends = body("Concat", integers(body, 0, 0, 0, 0, 0, 0), more, integers(body, 0), axis=0)
        cache = body("Pad", past, ends)
        return body("TensorScatter", cache, x, before, axis=2)

    def _mask(self, body: Body, q: Value, keys: Value, before: Value) -> Value:
        """Which keys each query sees: [batch, 1, queries, keys]."""
        rows = body("Unsqueeze", counting(body, q, 2), integers(body, 1))
        own = body("Add", column(body, before, 1, 2, 3), rows)
        places = counting(body, keys, 2)
        seen = body("LessOrEqual", places, own)
        if self.local_window_size > 0:
            start = body("Sub", own, integers(body, self.local_window_size))
            seen = body("And", seen, body("Greater", places, start))
        return seen

    def _attended(
        self, body: Body, q: Value, k: Value, v: Value, seen: Value, added: Made, sink: Made
    ) -> Value:
        settings: dict[str, Any] = {"scale": self.scale or None, "softcap": self.softcap or 0.0}
        zero, low = like(body, q, 0), like(body, q, -np.inf)
        if self.smooth_softmax != 1 and sink is None:
            mask = seen if added is None else body("Add", added, body("Where", seen, zero, low))
            return body("Attention", q, k, v, mask, **settings)
        # A key of zeros whose score is the sink's: its part of the softmax goes to a value of 0.
        mask = body("Where", seen, zero if added is None else added, low)
        pads = integers(body, 0, 0, 0, 0, 0, 0, 1, 0)
        shape = body("Concat", body("Shape", q, end=3), integers(body, 1), axis=0)
        level = zero if sink is None else body.reshape(sink, (1, -1, 1, 1))
        last = body("Expand", level, shape)
        spread = body("Concat", body("Shape", q, end=3), body("Shape", mask, start=3), axis=0)
        mask = body("Concat", body("Expand", mask, spread), last, axis=3)
        keys, values = body("Pad", k, pads), body("Pad", v, pads)
        return body("Attention", q, keys, values, mask, **settings)

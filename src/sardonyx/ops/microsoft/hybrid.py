"""Layers of models that mix attention, recurrences and hashed memories."""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Value
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import need_rank, refuse
from sardonyx.ops.microsoft.attention import size_of
from sardonyx.ops.microsoft.composed import Composed, Made, Results, integers, like


def wide(body: Body, x: Value) -> Value:
    """`x` in float32, in which these layers compute."""
    return body("Cast", x, to=DType.FLOAT32.value)


def narrowed(body: Body, y: Value, x: Value) -> Value:
    """`y` in the element type of `x`."""
    assert x.type.dtype is not None
    return body("Cast", y, to=x.type.dtype.value)


def gate_of(body: Body, x: Value, name: str) -> Value:
    """The activation of a gate."""
    if name not in ("silu", "swish", "sigmoid"):
        raise refuse("E0341", "`activation` is unknown", name, "silu, swish, sigmoid")
    share = body("Sigmoid", x)
    return share if name == "sigmoid" else body("Mul", x, share)


class GatedRMSNorm(Composed):
    """The norm of the mean square of each group of elements, times the activation of a gate."""

    activation: str = "silu"
    epsilon: float = 1e-5

    def compose(self, body: Body, x: Value, scale: Value, gate: Value) -> Value:
        rank, size = len(x.type.dims), size_of(scale, 0, "the scale")
        groups = body.reshape(wide(body, x), (*[0] * (rank - 1), -1, size))
        norm = body("RMSNormalization", groups, wide(body, scale), axis=-1, epsilon=self.epsilon)
        norm = body("Reshape", norm, body("Shape", x))
        y = body("Mul", norm, gate_of(body, wide(body, gate), self.activation))
        return narrowed(body, y, x)


def branched(body: Body, x: Value, branches: int) -> Value:
    """[..., branches, size] of such, or of [..., branches * size]."""
    if not branches:
        return x
    return body.reshape(x, (*[0] * (len(x.type.dims) - 1), branches, -1))


class BranchwiseRMSNorm(Composed):
    """The norm of the mean square of each branch; the scale is one for all or each its own."""

    epsilon: float = 1e-5
    num_branches: int = 0

    def compose(self, body: Body, x: Value, scale: Made = None) -> Value:
        a = branched(body, wide(body, x), self.num_branches)
        need_rank(a.type, 2, what="the branches")
        mean = body("ReduceMean", body("Mul", a, a), integers(body, -1))
        y = body("Div", a, body("Sqrt", body("Add", mean, like(body, mean, self.epsilon))))
        if scale is not None:
            factor = wide(body, scale)
            own, each = number(scale.type.dims[0]), number(a.type.dims[-1])
            if len(scale.type.dims) == 1 and own != each:
                factor = body.reshape(factor, (-1, size_of(a, -1, "a branch")))
            y = body("Mul", y, factor)
        return narrowed(body, body("Reshape", y, body("Shape", x)), x)


class ScaledSiLU(Composed):
    """z * sigmoid(z) of scaled elements z, each rounded to the element type."""

    alpha: float = 1.0

    def compose(self, body: Body, x: Value, scale: Made = None) -> Value:
        a = wide(body, x)
        factor = like(body, a, self.alpha) if scale is None else wide(body, body.reshape(scale, ()))
        z = narrowed(body, body("Mul", a, factor), x)
        share = narrowed(body, body("Sigmoid", wide(body, z)), x)
        return narrowed(body, body("Mul", wide(body, z), wide(body, share)), x)


class LinearAttentionGate(Composed):
    """decay_scale * softplus(a + dt_bias), and sigmoid(b)."""

    def compose(self, body: Body, a: Value, bias: Value, scale: Value, b: Made = None) -> Results:
        raised = body("Softplus", body("Add", wide(body, a), bias))
        decay = narrowed(body, body("Mul", raised, scale), a)
        beta = None if b is None else narrowed(body, body("Sigmoid", wide(body, b)), b)
        return decay, beta


class LinearAttention(Composed, kw_only=True):
    """The standard's; fewer heads of queries than of keys serve several of them."""

    chunk_size: int = 64
    kv_num_heads: int
    q_num_heads: int
    scale: float = 0.0
    state_window: int = 0
    update_rule: str = "gated_delta"

    def compose(self, body: Body, query: Value, key: Value, value: Value, *rest: Made) -> Results:
        past, decay, beta = filled(rest, 3)
        if self.state_window:
            raise NotImplementedError("LinearAttention with a window of states")
        heads = self.q_num_heads
        if 1 <= heads < self.kv_num_heads and self.kv_num_heads % heads == 0:
            query = self._repeated(body, query)
            heads = self.kv_num_heads
        given = {} if beta is None else {"beta": self._rates(body, beta)}
        return body.all(
            "LinearAttention", query, key, value, past, decay, given.get("beta"), outputs=2,
            kv_num_heads=self.kv_num_heads, q_num_heads=heads, chunk_size=self.chunk_size,
            scale=self.scale, update_rule=self.update_rule,
        )  # fmt: skip

    def _repeated(self, body: Body, query: Value) -> Value:
        """A head of queries for each of the keys'."""
        times = self.kv_num_heads // self.q_num_heads
        apart = body.reshape(query, (0, 0, self.q_num_heads, 1, -1))
        many = body("Tile", apart, integers(body, 1, 1, 1, times, 1))
        return body.reshape(many, (0, 0, -1))

    def _rates(self, body: Body, beta: Value) -> Value:
        """A rate for each head of keys."""
        if number(beta.type.dims[2]) != 1 or self.kv_num_heads == 1:
            return beta
        return body("Tile", beta, integers(body, 1, 1, self.kv_num_heads))


class GatedDeltaNet(Composed):
    """LinearAttention over [batch, steps, heads, size], with its gates, in float32; the state is
    [batch, heads of values, size of a value, size of a key]."""

    beta_activation: str = "none"
    chunk_size: int = 64
    gate_activation: str = "none"
    gate_lower_bound: float = -5.0
    qk_l2_norm: int = 0
    scale: float = 0.0
    state_update_capacity: int = 0
    update_rule: str = "gated_delta"

    def compose(self, body: Body, query: Value, *rest: Made) -> Results:
        key, value, starts, decay, beta, state, a_log, bias, *capture = filled(rest, 10)
        odd = starts is not None or any(v is not None for v in capture)
        if key is None or value is None or odd or self.state_update_capacity:
            raise NotImplementedError("GatedDeltaNet of packed or ragged tokens, or with captures")
        if len(query.type.dims) == 3 and state is None:
            raise refuse("E0341", "the batch of packed tokens is told by the state alone")
        heads = size_of(value, -2, "the heads of the values")
        batch = None if state is None else size_of(state, 0, "the batch")
        q, k = (self._heads(body, x, heads, batch) for x in (query, key))
        v = self._flat(body, wide(body, value), 2, batch)
        gate = None if decay is None else self._decay(body, decay, a_log, bias)
        gate = None if gate is None else self._flat(body, gate, len(decay.type.dims) -
                                                    len(value.type.dims) + 2, batch)  # fmt: skip
        rate = None if beta is None else self._flat(body, self._rate(body, beta), 1, batch)
        past = None if state is None else body.transpose(state, 0, 1, 3, 2)
        y, last = body.all(
            "LinearAttention", q, k, v, past, gate, rate, outputs=2, kv_num_heads=heads,
            q_num_heads=heads, scale=self.scale, update_rule=self.update_rule,
        )  # fmt: skip
        shaped = body("Reshape", narrowed(body, y, query), body("Shape", value))
        return shaped, body.transpose(last, 0, 1, 3, 2)

    def _flat(self, body: Body, x: Value, axes: int, batch: int | None) -> Value:
        """[batch, steps, elements] of x, whose last `axes` are elements."""
        packed = len(x.type.dims) == axes + 1
        return body.reshape(x, (batch or 0, -1, self._count(x, axes)) if packed else (0, 0, -1))

    def _count(self, x: Value, axes: int) -> int:
        count = 1
        for axis in range(-axes, 0):
            count *= size_of(x, axis, "the elements")
        return count

    def _heads(self, body: Body, x: Value, heads: int, batch: int | None) -> Value:
        """Queries or keys, a head for each of the values'."""
        a, own = wide(body, x), size_of(x, -2, "the heads of the keys")
        if heads % own:
            raise refuse("E0341", "the heads of values do not divide by those of keys", heads)
        if self.qk_l2_norm:
            squares = body("ReduceSum", body("Mul", a, a), integers(body, -1))
            a = body("Div", a, body("Sqrt", body("Add", squares, like(body, a, 1e-6))))
        if heads != own:
            apart = body("Unsqueeze", a, integers(body, -2))
            rank = len(x.type.dims)
            many = body("Tile", apart, integers(body, *[1] * (rank - 1), heads // own, 1))
            size = size_of(x, -1, "the size of a key")
            a = body.reshape(many, (*[0] * (rank - 2), heads, size))
        return self._flat(body, a, 2, batch)

    def _decay(self, body: Body, decay: Value, a_log: Made, bias: Made) -> Value:
        a = wide(body, decay)
        if self.gate_activation == "none":
            return a
        if a_log is None:
            raise refuse("E0341", "this gate needs `a_log`", self.gate_activation)
        factor = body("Exp", wide(body, a_log))
        by_key = number(decay.type.dims[-1]) != number(a_log.type.dims[0])
        if by_key:
            factor = body("Unsqueeze", factor, integers(body, 1))
        if bias is not None:
            flat = by_key and len(bias.type.dims) == 1
            own = wide(body, bias)
            if flat and number(bias.type.dims[0]) == number(a_log.type.dims[0]):
                own = body("Unsqueeze", own, integers(body, 1))
            elif flat:
                own = body.reshape(own, (size_of(a_log, 0, "the heads"), -1))
            a = body("Add", a, own)
        if self.gate_activation in ("softplus", "qwen"):
            return body("Neg", body("Mul", factor, body("Softplus", a)))
        if self.gate_activation not in ("sigmoid", "kda"):
            raise refuse("E0341", "`gate_activation` is unknown", self.gate_activation)
        share = body("Sigmoid", body("Mul", factor, a))
        return body("Mul", share, like(body, share, self.gate_lower_bound))

    def _rate(self, body: Body, beta: Value) -> Value:
        a = wide(body, beta)
        return body("Sigmoid", a) if self.beta_activation == "sigmoid" else a


class CausalConvWithState(Composed):
    """The standard's convolution of each channel over the past, in one dimension of the space."""

    activation: str = "none"
    channels_last: int = 0
    dilation: int = 1
    input_channel_offset: int = 0
    input_channels: int = 0
    ndim: int = 1
    state_channels_last: int = -1
    state_length: int = 0
    state_update_capacity: int = 0
    state_window: int = 0

    def compose(
        self, body: Body, x: Value, w: Value, bias: Made = None, past: Made = None
    ) -> Results:
        device = (
            self.input_channel_offset or self.input_channels or self.state_length
            or self.state_update_capacity or self.state_channels_last != -1
        )  # fmt: skip
        if self.ndim != 1 or self.state_window or device or self.outputs > 2:
            raise NotImplementedError("CausalConvWithState in several dimensions or with windows")
        if self.activation not in ("none", "silu", "swish"):
            raise refuse("E0341", "`activation` is unknown", self.activation, "none, silu, swish")
        shape = body("Shape", x)
        if self.channels_last:
            x, past = self._turned(body, x), None if past is None else self._turned(body, past)
        need_rank(x.type, 3, 3)
        y, state = self._convolved(body, x, w, bias, past)
        if not self.channels_last:
            return y, state
        tail = body("Slice", shape, integers(body, 2), integers(body, 1 << 30))
        back = (body.transpose(v, 0, 2, 1) for v in (y, state))
        return tuple(
            body("Reshape", v, body("Concat", body("Shape", v, end=2), tail, axis=0)) for v in back
        )

    def _turned(self, body: Body, x: Value) -> Value:
        """[batch, channels, length] of [batch, length, axes of channels]."""
        return body.transpose(body.reshape(x, (0, 0, -1)), 0, 2, 1)

    def _convolved(
        self, body: Body, x: Value, w: Value, bias: Made, past: Made
    ) -> tuple[Value, Value]:
        before = (size_of(w, 2, "the taps") - 1) * self.dilation
        if past is None:
            whole = body("Pad", x, integers(body, 0, 0, before, 0, 0, 0))
        else:
            whole = body("Concat", past, x, axis=2)
        y = body("Conv", whole, w, bias, group=size_of(w, 0, "the channels"),
                 dilations=(self.dilation,))  # fmt: skip
        if self.activation != "none":
            y = body("Mul", y, body("Sigmoid", y))
        length = body("Shape", x, start=2)
        state = body("Slice", whole, length, integers(body, 1 << 30), integers(body, 2))
        return y, state


class EngramGate(Composed):
    """A value times the gate that the match of keys and queries opens, and its norm."""

    epsilon: float = 1e-5

    def compose(self, body: Body, key: Value, query: Value, value: Value, *rest: Made) -> Results:
        key_scale, query_scale, conv_scale = filled(rest, 3)
        size = size_of(key, -1, "the hidden size")
        sides = (self._norm(body, x, s) for x, s in ((key, key_scale), (query, query_scale)))
        match = body("ReduceSum", body("Mul", *sides), integers(body, -1))
        match = body("Div", match, like(body, match, size**0.5))
        root = body("Sqrt", body("Max", body("Abs", match), like(body, match, 1e-6)))
        gate = body("Sigmoid", body("Mul", body("Sign", match), root))
        y = body("Mul", gate, body("Unsqueeze", wide(body, value), integers(body, 2)))
        out = narrowed(body, y, value)
        if conv_scale is None:
            return out, None
        return out, narrowed(body, self._norm(body, y, conv_scale), value)

    def _norm(self, body: Body, x: Value, scale: Made) -> Value:
        assert scale is not None
        a = wide(body, x)
        mean = body("ReduceMean", body("Mul", a, a), integers(body, -1))
        y = body("Div", a, body("Sqrt", body("Add", mean, like(body, mean, self.epsilon))))
        return body("Mul", y, wide(body, scale))


def _gates(body: Body, gates: Value, streams: Value) -> Value:
    """Gates of the streams' rank, given for each stream or, flat or not, for each element."""
    rank, count = len(streams.type.dims), size_of(streams, -2, "the streams")
    if len(gates.type.dims) == rank:
        return wide(body, gates)
    last = 1 if number(gates.type.dims[-1]) == count else -1
    return body.reshape(wide(body, gates), (*[0] * (rank - 2), count, last))


class HyperConnectionPreMix(Composed):
    """The sum of gated streams."""

    num_branches: int = 0
    reduction_scale: float = 1.0

    def compose(self, body: Body, streams: Value, gates: Value) -> Value:
        a = branched(body, wide(body, streams), self.num_branches)
        y = body("ReduceSum", body("Mul", a, _gates(body, gates, a)), integers(body, -2),
                 keepdims=0)  # fmt: skip
        return narrowed(body, body("Mul", y, like(body, y, self.reduction_scale)), streams)


class HyperConnectionPostMix(Composed):
    """Mixed streams, and what a block put out added to each through its gate."""

    num_branches: int = 0

    def compose(
        self, body: Body, streams: Value, block: Value, gates: Value, mix: Made = None
    ) -> Value:
        a = branched(body, wide(body, streams), self.num_branches)
        if mix is not None:
            rank = len(mix.type.dims)
            turned = body.transpose(wide(body, mix), *range(rank - 2), rank - 1, rank - 2)
            mixed = body("MatMul", turned, a)
        else:
            mixed = a
        each = body("Unsqueeze", wide(body, block), integers(body, -2))
        y = body("Add", mixed, body("Mul", _gates(body, gates, a), each))
        return narrowed(body, body("Reshape", y, body("Shape", streams)), streams)


class MRotaryEmbedding(Composed, kw_only=True):
    """RotaryEmbedding whose positions are of three streams, each for a section of the pairs."""

    interleaved: int | None = None
    is_packed_batching: int | None = None
    mrope_layout: int | None = None
    mrope_section: tuple[int, ...]
    num_heads: int | None = None
    rotary_embedding_dim: int | None = None
    scale: float | None = None

    def compose(self, body: Body, x: Value, ids: Value, cos: Value, sin: Value) -> Value:
        need_rank(x.type, 3, 4, "input")
        need_rank(ids.type, 3, 3, "position_ids")
        pairs = size_of(cos, 1, "the pairs")
        if len(x.type.dims) == 3 and not self.num_heads:
            raise refuse("E0341", "`num_heads` is needed where heads have no axis", x.type)
        tables = (self._mixed(body, table, ids, pairs) for table in (cos, sin))
        return body(
            "RotaryEmbedding", x, *tables, interleaved=self.interleaved or 0,
            num_heads=self.num_heads or None, rotary_embedding_dim=self.rotary_embedding_dim or 0,
        )  # fmt: skip

    def _streams(self, pairs: int) -> list[int]:
        """The stream of positions that each pair follows."""
        if len(self.mrope_section) != 3 or min(self.mrope_section) < 0:
            raise refuse("E0341", "`mrope_section` is not of three sizes", self.mrope_section)
        if not self.mrope_layout:
            found = [n for n, size in enumerate(self.mrope_section) for _ in range(size)]
            if len(found) != pairs:
                raise refuse("E0341", "`mrope_section` does not add up to the pairs", len(found))
            return found
        found = [0] * pairs
        for n in (1, 2):
            for place in range(n, min(pairs, 3 * self.mrope_section[n]), 3):
                found[place] = n
        return found

    def _mixed(self, body: Body, table: Value, ids: Value, pairs: int) -> Value:
        """[batch, length, pairs] of a table, each pair at its own stream's position."""
        streams = self._streams(pairs)
        rows = body("Gather", table, ids)
        parts: list[Value] = []
        start = 0
        for n in range(1, pairs + 1):
            if n == pairs or streams[n] != streams[start]:
                own = body.slice(
                    body.slice(rows, 0, streams[start], streams[start] + 1), 3, start, n
                )
                parts.append(own)
                start = n
        whole = body("Concat", *parts, axis=3) if len(parts) > 1 else parts[0]
        return body("Squeeze", whole, integers(body, 0))

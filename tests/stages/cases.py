"""The cases that run at every stage: a graph each, and what is to be found on the way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A graph body (`texts.load` makes up what stands there as `#1`), and sizes of its symbols.

    `strategies` are those that scheduling must choose for some kernel of it.
    """

    name: str
    body: str
    sizes: dict[str, int]
    strategies: tuple[str, ...] = ("nest",)

    @property
    def text(self) -> str:
        """The whole graph."""
        return f'graph {self.name} {{\nopset "" 21\n{self.body}\n}}'


def _case(name: str, body: str, *strategies: str, **sizes: int) -> Case:
    return Case(name, body.strip(), sizes or {"N": 3}, strategies or ("nest",))


CASES = (
    _case(
        "chain",
        """
        input x: float32[N, 5]
        a = Erf(x)
        b = Exp(a)
        s = Sigmoid(b)
        y = Mul(b, s)
        output y
        """,
    ),
    _case(
        "broadcast",
        """
        input x: float32[N, 1, 4]
        input z: float32[3, 1]
        const c: float32[4] = {1, -2, 3, 0.5}
        a = Add(x, z)
        b = Mul(a, c)
        y = Max(b, z)
        output y
        """,
    ),
    _case(
        "diamond",
        """
        input x: float32[N, 6]
        e = Tanh(x)
        a = Neg(e)
        b = Abs(e)
        y = Sub(a, b)
        output y
        output e
        """,
    ),
    _case(
        "views",
        """
        input x: float32[N, 4, 6]
        const shape: int64[3] = {0, 8, 3}
        const from: int64[1] = {5}
        const to: int64[1] = {-9}
        const axis: int64[1] = {1}
        const step: int64[1] = {-2}
        t = Transpose<perm=[0, 2, 1]>(x)
        r = Reshape(t, shape)
        s = Slice(r, from, to, axis, step)
        y = Concat<axis=1>(s, r)
        output y
        """,
    ),
    _case(
        "padding",
        """
        input x: float32[N, 3, 5]
        const amounts: int64[6] = {0, 1, 2, 0, 0, 1}
        p = Pad<mode="reflect">(x, amounts)
        const more: int64[6] = {0, 0, -1, 0, 2, 1}
        y = Pad(p, more)
        output y
        """,
    ),
    _case(
        "gathers",
        """
        input ids: int64[N, 4]
        const table: float32[2, 7] = {1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7}
        const places: int64[3] = {-1, 0, 2}
        g = Gather(table, ids)
        y = Gather<axis=2>(g, places)
        output y
        """,
    ),
    _case(
        "comparisons",
        """
        input x: float32[N, 6]
        const zero: float32[] = {0}
        m = Greater(x, zero)
        n = Not(m)
        a = Where(m, x, zero)
        b = Cast<to=6>(n)
        y = Cast<to=1>(b)
        z = Sub(a, y)
        output z
        output m
        """,
    ),
    _case(
        "integers",
        """
        input x: int32[N, 7]
        const three: int32[] = {3}
        a = Mul(x, three)
        b = Mod(a, three)
        c = BitwiseXor(x, three)
        d = Add(b, c)
        y = Cast<to=3>(d)
        output y
        output d
        """,
    ),
    _case(
        "halves",
        """
        input x: float16[N, 17]
        input z: float32[N, 17]
        a = Exp(x)
        b = Cast<to=16>(a)
        c = Cast<to=16>(z)
        d = Cast<to=1>(c)
        e = Cast<to=1>(b)
        y = Mul(d, e)
        output a
        output y
        """,
    ),
    _case(
        "reductions",
        """
        input x: float32[N, 4, 6]
        const last: int64[1] = {-1}
        const outer: int64[2] = {0, 2}
        a = ReduceMean(x, last)
        b = ReduceMax<keepdims=0>(x, outer)
        c = ReduceLogSumExp<keepdims=0>(x, last)
        y = Add(a, b)
        output y
        output c
        """,
    ),
    _case(
        "softmaxes",
        """
        input x: float32[N, 4, 6]
        a = Softmax<axis=-1>(x)
        b = Softmax<axis=1>(a)
        y = LogSoftmax<axis=0>(b)
        output y
        """,
    ),
    _case(
        "norms",
        """
        input x: float32[N, 6, 4]
        const w: float32[4] = {1, 0.5, -1, 2}
        const b: float32[4] = {0.1, 0, -0.1, 1}
        const g: float32[6] = {1, 0.5, -1, 2, 1, 1}
        const h: float32[6] = {0.1, 0, -0.1, 1, 0, 0}
        l = LayerNormalization<axis=-1>(x, w, b)
        i = InstanceNormalization(l, g, h)
        y = GroupNormalization<num_groups=2>(i, g, h)
        output y
        """,
    ),
    _case(
        "arguments",
        """
        input x: float32[N, 5]
        y = ArgMax<axis=-1, select_last_index=1>(x)
        z = Hardmax(x)
        output y
        output z
        """,
    ),
    _case(
        "product",
        """
        input x: float32[N, 10]
        const w: float32[10, 20] = #1
        const b: float32[20] = #2
        m = MatMul(x, w)
        a = Add(m, b)
        y = Gelu(a)
        output y
        """,
        "gemm", "pack", N=9,
    ),
    _case(
        "doubles",
        """
        input x: float64[N, 6]
        const w: float64[9, 6] = #1
        const c: float64[] = {0.5}
        y = Gemm<transB=1, alpha=2.0, beta=0.5>(x, w, c)
        output y
        """,
        "gemm", "pack", N=5,
    ),
    _case(
        "attention",
        """
        input q: float32[N, 2, S, 8]
        input k: float32[N, 2, S, 8]
        const scale: float32[] = {0.375}
        t = Transpose<perm=[0, 1, 3, 2]>(k)
        m = MatMul(q, t)
        s = Mul(m, scale)
        p = Softmax(s)
        y = MatMul(p, q)
        output y
        """,
        "gemm", "nest", N=1, S=5,
    ),
    _case(
        "vector",
        """
        input x: float32[1, 24]
        const w: float32[24, 33] = #1
        m = MatMul(x, w)
        y = Relu(m)
        output y
        """,
        "gemm",
    ),
    _case(
        "sums",
        """
        input x: float32[N, 3, 4]
        input z: float32[N, 4, 3]
        y = Einsum<equation="bij,bjk->bik">(x, z)
        output y
        """,
        "gemm",
    ),
    _case(
        "bytes",
        """
        input x: uint8[N, 9]
        const w: int8[9, 20] = #1
        const zero: uint8[] = {3}
        y = MatMulInteger(x, w, zero)
        output y
        """,
        "gemm", "pack", N=4,
    ),
    _case(
        "quantized",
        """
        input x: float32[N, 8]
        const s: float32[] = {0.05}
        const z: uint8[] = {128}
        const w: int8[8, 18] = #1
        const ws: float32[] = {0.01}
        const wz: int8[] = {0}
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        v = DequantizeLinear(w, ws, wz)
        m = MatMul(d, v)
        r = Relu(m)
        o = QuantizeLinear(r, s, z)
        y = DequantizeLinear(o, s, z)
        output y
        """,
        "gemm", N=4,
    ),
    _case(
        "image",
        """
        input x: float32[N, 3, 7, 7]
        const w: float32[6, 3, 3, 3] = #1
        const b: float32[6] = {1, 2, 3, -1, -2, 0}
        c = Conv<strides=[2, 2], pads=[1, 1, 1, 1]>(x, w, b)
        y = Relu(c)
        output y
        """,
        "gemm", N=2,
    ),
    _case(
        "winograd",
        """
        input x: float32[N, 2, 5, 6]
        const v: float32[4, 2, 1, 1] = #1
        const w: float32[6, 4, 3, 3] = #2
        c = Conv(x, v)
        y = Conv<pads=[1, 1, 1, 1]>(c, w)
        output y
        """,
        "winograd", N=1,
    ),
    _case(
        "residual",
        """
        input x: float32[N, 8, 5, 5]
        const w: float32[8, 8, 1, 1] = #1
        const g: float32[8] = {1, 1, 2, 2, 0.5, 1, 1, 1}
        const b: float32[8] = {0, 1, 0, -1, 0, 0, 0, 0}
        const m: float32[8] = {0, 0.5, 0, 0, 0.25, 0, 0, 0}
        const v: float32[8] = {1, 2, 1, 1, 4, 1, 1, 1}
        c = Conv(x, w)
        n = BatchNormalization(c, g, b, m, v)
        a = Add(n, x)
        y = Relu(a)
        output y
        """,
        "gemm", N=1,
    ),
    _case(
        "depthwise",
        """
        input x: float32[N, 2, 6, 6]
        const v: float32[16, 2, 1, 1] = #1
        const w: float32[16, 1, 3, 3] = #2
        p = Conv(x, v)
        c = Conv<group=16, pads=[1, 1, 1, 1]>(p, w)
        const low: float32[] = {0}
        const high: float32[] = {6}
        q = Clip(c, low, high)
        const u: float32[4, 16, 1, 1] = #3
        y = Conv(q, u)
        output y
        """,
        "depthwise", "gemm", N=1,
    ),
    _case(
        "groups",
        """
        input x: float32[N, 6, 8]
        const w: float32[9, 2, 3] = #1
        y = Conv<group=3, dilations=[2]>(x, w)
        output y
        """,
        "gemm",
    ),
    _case(
        "transposed",
        """
        input x: float32[N, 3, 4, 4]
        const w: float32[3, 4, 3, 3] = #1
        y = ConvTranspose<strides=[2, 2], pads=[1, 1, 1, 1]>(x, w)
        output y
        """,
        "gemm", N=1,
    ),
    _case(
        "pools",
        """
        input x: float32[N, 4, 7, 7]
        a = MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(x)
        b = AveragePool<kernel_shape=[2, 2], ceil_mode=1>(a)
        y = GlobalAveragePool(b)
        output y
        output a
        """,
        N=1,
    ),
    _case(
        "recurrent",
        """
        input x: float32[S, N, 4]
        const w: float32[1, 24, 4] = #1
        const r: float32[1, 24, 6] = #2
        const b: float32[1, 48] = #3
        y, h, c = LSTM<hidden_size=6>(x, w, r, b)
        output y
        output c
        """,
        "recurrent", N=2, S=4,
    ),
    _case(
        "both_ways",
        """
        input x: float32[S, N, 4]
        const w: float32[2, 18, 4] = #1
        const r: float32[2, 18, 6] = #2
        y, h = GRU<hidden_size=6, direction="bidirectional">(x, w, r)
        output y
        output h
        """,
        "recurrent", N=2, S=4,
    ),
)  # fmt: skip

"""Models of the operators that have gradients."""

from __future__ import annotations

import numpy as np

from gradient.models import Case

X = {"x": (2, 3, 4)}
IMAGE = {"x": (2, 4, 7, 6)}

UNARY = [
    *(Case(f"y = {name}(x)", X) for name in (
        "Identity", "Neg", "Abs", "Exp", "Sin", "Cos", "Tanh", "Sinh", "Cosh", "Asinh", "Erf",
        "Sigmoid", "Relu", "Softplus", "Softsign", "LeakyRelu", "ThresholdedRelu", "Elu", "Selu",
        "Celu", "HardSigmoid", "HardSwish", "Mish", "Gelu", "Floor", "Sign", "Atan", "Hardmax",
    ) if name != "Hardmax"),
    *(Case(f"y = {name}(x)", X, 0.3, 2.0) for name in ("Log", "Sqrt", "Reciprocal")),
    *(Case(f"y = {name}(x)", X, -0.9, 0.9) for name in ("Asin", "Acos", "Atanh", "Tan")),
    Case("y = Acosh(x)", X, 1.2, 3.0),
    Case('y = Gelu<approximate="tanh">(x)', X),
    Case("y = Swish<alpha=1.5>(x)", X),
    Case("y = Celu<alpha=0.7>(x)", X),
    Case("y = Elu<alpha=1.3>(x)", X),
    Case("y = Dropout(x)", X),
    Case("y = Cast<to=11>(x)", X),
    Case("y = Shrink<bias=0.2, lambd=0.5>(x)", X),
]  # fmt: skip

BINARY = [
    *(Case(f"y = {name}(x, z)", {"x": (2, 3, 4), "z": (3, 1)}) for name in ("Add", "Sub", "Mul")),
    Case("y = Div(x, z)", {"x": (3, 1), "z": (2, 1, 4)}, 0.5, 2.0),
    Case("y = Pow(x, z)", {"x": (2, 3), "z": (3,)}, 0.5, 2.0),
    Case("y = Pow(x, two)\n const two: FLOAT[] = {2}", {"x": (2, 3)}),
    Case("y = Pow(x, n)\n const n: int64[] = {3}", {"x": (2, 3)}),
    Case("y = Max(x, z, w)", {"x": (2, 3), "z": (3,), "w": (2, 1)}),
    Case("y = Min(x, z)", {"x": (2, 3), "z": (3,)}),
    Case("y = Mean(x, z)", {"x": (2, 3), "z": (3,)}),
    Case("y = Sum(x, z, x)", {"x": (2, 3), "z": (3,)}),
    Case("y = PRelu(x, z)", {"x": (2, 3), "z": (3,)}),
    Case("c = Greater(x, z)\n y = Where(c, x, z)", {"x": (2, 3), "z": (3,)}),
    Case("y = Clip(x, a, b)", {"x": (4, 5), "a": (), "b": ()}, wrt=("x",)),
    Case("y = Clip(x, a)\n const a: FLOAT[] = {0.1}", {"x": (4, 5)}),
    Case("y = Mod<fmod=1>(x, z)", {"x": (2, 3), "z": (3,)}, 0.5, 2.0),
    Case("y = Mul(x, x)", X),
]

PRODUCTS = [
    Case("y = MatMul(x, z)", {"x": (2, 3), "z": (3, 4)}),
    Case("y = MatMul(x, z)", {"x": (5, 2, 3), "z": (3, 4)}),
    Case("y = MatMul(x, z)", {"x": (5, 2, 3), "z": (5, 3, 4)}),
    Case("y = MatMul(x, z)", {"x": (2, 3), "z": (5, 1, 3, 4)}),
    Case("y = MatMul(x, z)", {"x": (6, 1, 2, 3), "z": (5, 3, 4)}),
    Case("y = MatMul(x, z)", {"x": (3,), "z": (3, 4)}),
    Case("y = MatMul(x, z)", {"x": (2, 3), "z": (3,)}),
    Case("y = MatMul(x, z)", {"x": (3,), "z": (3,)}),
    Case("y = MatMul(x, z)", {"x": (5, 2, 3), "z": (3,)}),
    *(
        Case(f"y = Gemm<alpha=0.5, beta=2.0, transA={a}, transB={b}>(x, z, c)",
             {"x": (3, 2) if a else (2, 3), "z": (4, 3) if b else (3, 4), "c": (4,)})
        for a in (0, 1) for b in (0, 1)
    ),
    Case("y = Gemm(x, z)", {"x": (2, 3), "z": (3, 4)}),
]  # fmt: skip

REDUCTIONS = [
    *(
        Case(f"y = {name}<keepdims={keep}>(x, a)\n const a: int64[1] = {{1}}", X, 0.3, 2.0)
        for name in (
            "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
            "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp",
        )
        for keep in (0, 1)
    ),
    Case("y = ReduceMean(x)", X),
    Case("y = ReduceSum<noop_with_empty_axes=1>(x)", X),
    Case("y = ReduceMean<keepdims=0>(x)", X),
    *(Case(f"y = {name}<axis={axis}>(x)", X) for name in ("Softmax", "LogSoftmax")
      for axis in (1, -1)),
    Case("y = LayerNormalization(x, z, b)", {"x": (2, 3, 4), "z": (4,), "b": (4,)}),
    Case("y = LayerNormalization<axis=1>(x, z)", {"x": (2, 3, 4), "z": (3, 4)}),
    Case("y = RMSNormalization(x, z)", {"x": (2, 3, 4), "z": (4,)}),
    Case("y = InstanceNormalization(x, z, b)", {"x": (2, 3, 5), "z": (3,), "b": (3,)}),
    Case("y = GroupNormalization<num_groups=2>(x, z, b)",
         {"x": (2, 4, 5), "z": (4,), "b": (4,)}),
    Case("y = BatchNormalization(x, z, b, m, v)",
         {"x": (2, 3, 4), "z": (3,), "b": (3,), "m": (3,), "v": (3,)}, 0.5, 2.0),
    Case("y = LpNormalization<p=2>(x)", X),
    Case("y = GlobalAveragePool(x)", IMAGE),
    Case("y = GlobalMaxPool(x)", IMAGE),
    Case("y = CumSum(x, a)\n const a: int64[] = {1}", X),
    Case("y = CumSum<exclusive=1, reverse=1>(x, a)\n const a: int64[] = {2}", X),
]  # fmt: skip

MOVES = [
    Case("y = Reshape(x, s)\n const s: int64[2] = {4, -1}", X),
    Case("y = Flatten(x)", X),
    Case("a = Unsqueeze(x, s)\n y = Squeeze(a, s)\n const s: int64[1] = {1}", X),
    Case("y = Transpose<perm=[2, 0, 1]>(x)", X),
    Case("y = Transpose(x)", X),
    Case("y = Expand(x, s)\n const s: int64[3] = {2, 3, 4}", {"x": (3, 1)}),
    Case("y = Concat<axis=-2>(x, z, x)", {"x": (2, 3, 4), "z": (2, 1, 4)}),
    Case("a, b = Split<axis=1>(x, s)\n y = Neg(b)\n const s: int64[2] = {1, 2}", X),
    Case("a, b = Split<axis=2, num_outputs=2>(x)\n y = Mul(a, b)", X),
    Case("y = Slice(x, s, e)\n const s: int64[2] = {0, 1}\n const e: int64[2] = {1, 3}", X),
    Case("y = Slice(x, s, e, a)\n const s: int64[1] = {-3}\n const e: int64[1] = {99}\n"
         " const a: int64[1] = {-1}", X),
    Case("y = Slice(x, s, e, a, t)\n const s: int64[2] = {3, 0}\n const e: int64[2] = {-9, 2}\n"
         " const a: int64[2] = {2, 1}\n const t: int64[2] = {-2, 1}", X),
    Case("y = Gather(x, i)\n const i: int64[2, 2] = {0, 1, -1, 0}", X),
    Case("y = Gather<axis=1>(x, i)\n const i: int64[2, 2] = {2, 1, -1, 0}", X),
    Case("y = Gather<axis=-1>(x, i)\n const i: int64[] = {2}", X),
    Case("y = GatherElements<axis=1>(x, i)\n const i: int64[2, 2] = {0, 0, 1, -1}",
         {"x": (2, 3)}),
    Case("y = GatherND(x, i)\n const i: int64[3, 2] = {0, 0, 1, 1, 0, 0}", X),
    Case("y = GatherND<batch_dims=1>(x, i)\n const i: int64[2, 1] = {2, 0}", X),
    Case("y = ScatterElements<axis=1>(x, i, z)\n const i: int64[2, 1] = {2, 0}",
         {"x": (2, 3), "z": (2, 1)}),
    Case('y = ScatterND<reduction="add">(x, i, z)\n const i: int64[2, 1] = {1, 1}',
         {"x": (2, 3), "z": (2, 3)}),
    Case("y = ScatterND(x, i, z)\n const i: int64[1, 1] = {1}", {"x": (2, 3), "z": (1, 3)}),
    Case("y = Pad(x, p)\n const p: int64[6] = {0, 1, 2, 1, 0, -1}", X),
    Case('y = Pad<mode="reflect">(x, p)\n const p: int64[6] = {0, 1, 2, 0, 1, 1}', X),
    Case('y = Pad<mode="edge">(x, p)\n const p: int64[6] = {1, 0, 2, 0, 1, 0}', X),
    Case("y = Tile(x, r)\n const r: int64[3] = {2, 1, 3}", X),
    Case("y = Trilu<upper=0>(x)", X),
    Case("y = DepthToSpace<blocksize=2>(x)", IMAGE),
    Case('y = DepthToSpace<blocksize=2, mode="CRD">(x)', IMAGE),
    Case("y = SpaceToDepth<blocksize=2>(x)", {"x": (1, 2, 4, 6)}),
    Case("y = ReverseSequence(x, n)\n const n: int64[3] = {1, 2, 2}", X),
]  # fmt: skip

WINDOWS = [
    Case("y = Conv(x, w, b)", {"x": (2, 4, 7, 6), "w": (3, 4, 3, 2), "b": (3,)}),
    Case("y = Conv<strides=[2, 3], pads=[1, 0, 2, 1], dilations=[2, 1]>(x, w)",
         {"x": (2, 4, 7, 6), "w": (3, 4, 2, 3)}),
    Case("y = Conv<group=2, strides=[2, 2], pads=[1, 1, 1, 1]>(x, w, b)",
         {"x": (2, 4, 7, 6), "w": (6, 2, 3, 3), "b": (6,)}),
    Case("y = Conv<group=4>(x, w)", {"x": (2, 4, 7, 6), "w": (4, 1, 3, 3)}),
    Case('y = Conv<auto_pad="SAME_UPPER", strides=[2, 2]>(x, w)',
         {"x": (2, 4, 7, 6), "w": (3, 4, 3, 3)}),
    Case("y = Conv<strides=[2]>(x, w)", {"x": (2, 3, 8), "w": (4, 3, 3)}),
    Case("y = ConvTranspose(x, w, b)", {"x": (2, 4, 5, 4), "w": (4, 3, 3, 2), "b": (3,)}),
    Case("y = ConvTranspose<strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0], group=2>"
         "(x, w)", {"x": (2, 4, 5, 4), "w": (4, 3, 3, 3)}),
    Case("y = MaxPool<kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]>(x)", IMAGE),
    Case("y = MaxPool<kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2]>(x)", IMAGE),
    Case("y = AveragePool<kernel_shape=[3, 2], strides=[2, 1]>(x)", IMAGE),
    Case("y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(x)", IMAGE),
    Case("y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],"
         " count_include_pad=1, ceil_mode=1>(x)", IMAGE),
    Case("y = AveragePool<kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1>(x)", IMAGE),
]  # fmt: skip

BODY = "graph t { input h: FLOAT[2, 3] input e: FLOAT[2, 3] a = Mul(h, w) b = Add(a, e)"
LOOPS = [
    Case("y = If<then_branch=graph t { a = Mul(x, w) output a },"
         " else_branch=graph e { b = Exp(x) output b }>(c)\n const c: bool[] = {1}",
         {"x": (2, 3), "w": (3,)}),
    Case(f"u, v = Scan<body={BODY} n = Tanh(b) m = Mul(n, e) output n output m }},"
         " num_scan_inputs=1>(h0, x)\n s = ReduceSum(v, z)\n const z: int64[1] = {0}\n"
         " y = Add(u, s)", {"x": (4, 2, 3), "h0": (2, 3), "w": (3,)}),
    Case(f"u, v = Scan<body={BODY} n = Tanh(b) output n output b }},"
         " num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1],"
         " scan_input_directions=[1], scan_output_directions=[1]>(h0, x)\n y = Mul(v, x)",
         {"x": (2, 4, 3), "h0": (2, 3), "w": (3,)}),
    Case("u, v = Loop<body=graph t { input i: int64[] input c: bool[] input h: FLOAT[2, 3]"
         " f = Cast<to=11>(i) a = Mul(h, w) b = Add(a, f) n = Tanh(b) k2 = Identity(c)"
         " output k2 output n output a }>(m, g, x)\n const m: int64[] = {3}\n"
         " const g: bool[] = {1}\n y = Add(u, v)", {"x": (2, 3), "w": (3,)}),
]  # fmt: skip


def _layer(name: str, gates: int, settings: str = "", directions: int = 1, **more: object) -> Case:
    shapes = {
        "x": (4, 2, 3), "w": (directions, gates * 5, 3), "r": (directions, gates * 5, 5),
        "b": (directions, 2 * gates * 5), "h": (directions, 2, 5),
    }  # fmt: skip
    names = "x, w, r, b, n, h"
    if name == "LSTM":
        shapes["c"] = (directions, 2, 5)
        names += ", c"
    lengths = np.array(more.get("lengths", [4, 4]), np.int32)
    text = f"a, u = {name}<hidden_size=5{settings}>({names})\n s = Squeeze(u)\n y = Add(a, s)"
    if directions == 2:
        text = f"a, u = {name}<hidden_size=5{settings}>({names})\n y = Add(a, u)"
    return Case(text, shapes, -1, 1, more={"n": lengths})


LAYERS = [
    _layer("LSTM", 4),
    _layer("LSTM", 4, lengths=[4, 2]),
    _layer("LSTM", 4, ', direction="reverse"', lengths=[4, 2]),
    _layer("LSTM", 4, ', direction="bidirectional"', directions=2),
    _layer("GRU", 3),
    _layer("GRU", 3, ", linear_before_reset=1"),
    _layer("RNN", 1, ', direction="bidirectional"', directions=2),
]

ALL = [*UNARY, *BINARY, *PRODUCTS, *REDUCTIONS, *MOVES, *WINDOWS, *LOOPS]

"""The operators of com.microsoft, native and by reference, beside ONNX Runtime's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import helper

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

import sardonyx as sx
from ops.nn import agrees
from sardonyx.ops.quantized.bits import UnpackedBits

Arrays = list[Any]


class Case(NamedTuple):
    """One node: operator, attributes, inputs (None where left out), the outputs asked for."""

    op: str
    settings: dict[str, Any]
    inputs: Arrays
    outputs: int = 1
    constant: tuple[int, ...] = ()
    tolerance: float = 2e-5
    name: str = ""


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(seed: int, *shape: int) -> Any:
    return rng(seed).normal(size=shape).astype(np.float32)


def codes(seed: int, *shape: int, dtype: Any = np.uint8, low: int = 0, high: int = 256) -> Any:
    return rng(seed).integers(low, high, shape).astype(dtype)


def scale(x: float) -> Any:
    return np.array(x, np.float32)


def byte(x: int, dtype: Any = np.uint8) -> Any:
    return np.array(x, dtype)


def activations() -> Iterator[Case]:
    x, b = normal(0, 2, 5, 8), normal(1, 8)
    yield Case("Gelu", {}, [x])
    yield Case("FastGelu", {}, [x])
    yield Case("FastGelu", {}, [x, b], name="bias")
    yield Case("BiasGelu", {}, [x, b])
    yield Case("QuickGelu", {}, [x])
    yield Case("QuickGelu", {"alpha": 0.7}, [x], name="alpha")
    yield Case("GatedAdd", {}, [x, normal(2, 2, 5, 8), normal(3, 2, 5, 1)])


def products() -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 4), (2, 4, 5), {}),
        ((2, 4, 3), (2, 4, 5), {"transA": 1, "alpha": 0.5}),
        ((2, 3, 4), (2, 5, 4), {"transB": 1}),
        ((3, 2, 4), (4, 2, 5), {"transBatchA": 1, "transBatchB": 1}),
        ((4, 2, 3), (2, 4, 5), {"transBatchA": 1, "transA": 1}),
        ((3, 4), (4, 5), {"alpha": 2.0}),
    ]
    for a_shape, b_shape, given in forms:
        pair = [normal(0, *a_shape), normal(1, *b_shape)]
        yield Case("FusedMatMul", given, pair, name=str(len(given)) + str(a_shape))
    yield Case("TransposeMatMul", {"transA": 1}, [normal(0, 4, 3), normal(1, 4, 5)])
    matrices = [normal(0, 3, 4), normal(1, 5, 4), normal(2, 5)]
    for name, more in [("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Tanh", {})]:
        given = {"transB": 1, "alpha": 0.5, "beta": 2.0, "activation": name, **more}
        yield Case("FusedGemm", given, matrices, name=name)
    x, w, b, z = normal(0, 1, 3, 7, 7), normal(1, 4, 3, 3, 3), normal(2, 4), normal(3, 1, 4, 7, 7)
    for name, parameters in [("Relu", None), ("LeakyRelu", [0.3]), ("Clip", [-0.5, 0.5]),
                             ("HardSigmoid", [0.3, 0.4]), ("Sigmoid", None)]:  # fmt: skip
        given = {"pads": [1] * 4, "activation": name, "activation_params": parameters}
        yield Case("FusedConv", given, [x, w, b], name=name)
    yield Case("FusedConv", {"pads": [1] * 4, "activation": "Relu"}, [x, w, b, z], name="sum")
    bytes_last = codes(1, 1, 6, 6, 3)
    yield Case("NhwcMaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, [bytes_last])
    yield Case("CDist", {"metric": "euclidean"}, [normal(0, 4, 3), normal(1, 5, 3)])
    yield Case("CDist", {"metric": "sqeuclidean"}, [normal(0, 4, 3), normal(1, 5, 3)], name="sq")
    pads = np.array([1, 1, 1, 1], np.int64)
    yield Case("ConvTransposeWithDynamicPads", {"strides": [2, 2]},
               [x, normal(4, 3, 2, 3, 3), pads, normal(5, 2)], constant=(2,))  # fmt: skip


def norms() -> Iterator[Case]:
    x, skip, gamma, beta, bias = (normal(n, *s) for n, s in enumerate(
        [(2, 5, 8), (2, 5, 8), (8,), (8,), (8,)]))  # fmt: skip
    yield Case("SkipLayerNormalization", {}, [x, skip, gamma, beta, bias])
    yield Case("SkipLayerNormalization", {"epsilon": 1e-3}, [x, skip, gamma], name="bare")
    yield Case("SkipLayerNormalization", {}, [x, skip[0], gamma, beta], name="skip of one row")
    yield Case("SkipLayerNormalization", {}, [x, skip, gamma, beta], outputs=-4, name="sum")
    yield Case("SkipSimplifiedLayerNormalization", {}, [x, skip, gamma, bias])
    ids, segments = codes(0, 2, 5, dtype=np.int32, high=11), codes(1, 2, 5, dtype=np.int32, high=2)
    tables = [normal(0, 11, 8), normal(1, 6, 8), normal(2, 2, 8)]
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    yield Case("EmbedLayerNormalization", {"epsilon": 1e-5}, [ids, segments, *tables, gamma, beta,
               mask], outputs=2)  # fmt: skip
    yield Case("EmbedLayerNormalization", {}, [ids, None, *tables[:2], None, gamma, beta],
               outputs=2, name="without segments")  # fmt: skip


def attention() -> Iterator[Case]:
    x, w, b = normal(0, 2, 4, 8), normal(1, 8, 24) / 3, normal(2, 24)
    lengths, raw = np.array([3, 4], np.int32), np.array([[1, 1, 1, 0], [1, 0, 1, 1]], np.int32)
    both = np.array([3, 4, 1, 0], np.int32)
    square = (rng(5).random((2, 4, 4)) < 0.7).astype(np.int32)
    past = normal(3, 2, 2, 2, 3, 4)
    given = {"num_heads": 2}
    yield Case("Attention", given, [x, w, b])
    for name, mask in [("lengths", lengths), ("raw", raw), ("ends", both), ("square", square)]:
        yield Case("Attention", given, [x, w, b, mask], name=name)
    yield Case("Attention", {**given, "unidirectional": 1}, [x, w, b], name="causal")
    yield Case("Attention", given, [x, w, b, None, past], outputs=2, name="past")
    yield Case("Attention", {**given, "unidirectional": 1}, [x, w, b, None, past], outputs=2,
               name="causal past")  # fmt: skip
    yield Case("Attention", {**given, "scale": 0.3, "qkv_hidden_sizes": [8, 8, 12]},
               [x, normal(6, 8, 28), normal(7, 28)], name="sizes")  # fmt: skip
    yield Case("Attention", given, [x, w, b, None, None, normal(8, 1, 2, 4, 4)], name="bias")
    q, k, v, bias = (normal(n, *s) for n, s in enumerate([(2, 3, 8), (2, 5, 8), (2, 5, 8), (24,)]))
    yield Case("MultiHeadAttention", given, [q, k, v])
    yield Case("MultiHeadAttention", {**given, "scale": 0.2}, [q, k, v, bias], name="bias")
    seen = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 1]], np.int32)
    yield Case("MultiHeadAttention", given, [q, k, v, None, seen], name="mask")
    yield Case("MultiHeadAttention", given, [q, k, v, None, lengths], name="lengths")
    yield Case("MultiHeadAttention", given, [q, k, v, None, None, normal(9, 1, 2, 3, 5)],
               name="added")  # fmt: skip
    heads = [normal(n, 2, 2, 5, 4) for n in (3, 4)]
    yield Case("MultiHeadAttention", given, [q, *heads], name="keys with heads")
    own = [normal(n, 2, 3, 8) for n in (0, 1, 2)]
    cached = [None, None, None, *[normal(n, 2, 2, 2, 4) for n in (5, 6)]]
    yield Case("MultiHeadAttention", given, [*own, *cached], outputs=3, name="past")
    yield Case("MultiHeadAttention", {**given, "unidirectional": 1}, [*own, *cached], outputs=3,
               name="causal past")  # fmt: skip
    yield Case("MultiHeadAttention", {**given, "unidirectional": 1}, own, name="causal")


def rotations() -> Iterator[Case]:
    cos, sin = normal(1, 9, 2), normal(2, 9, 2)
    ids, offset = np.array([[0, 3, 1], [2, 8, 4]], np.int64), np.array([4], np.int64)
    for turned in (0, 1):
        given = {"interleaved": turned}
        yield Case("RotaryEmbedding", given, [normal(0, 2, 3, 8), ids, cos, sin], name=f"{turned}")
        yield Case("RotaryEmbedding", given, [normal(0, 2, 2, 3, 4), offset, cos, sin],
                   name=f"offset {turned}")  # fmt: skip
    part = {"num_heads": 2, "rotary_embedding_dim": 4}
    yield Case("RotaryEmbedding", part, [normal(0, 2, 3, 12), ids, cos, sin], name="part")
    query, key, value = normal(0, 2, 1, 64), normal(1, 2, 1, 32), normal(2, 2, 1, 32)
    past = [normal(n, 2, 2, 5, 16) for n in (3, 4)]
    for cache in past:
        cache[0, :, 3:] = 0  # what is behind a sample's end is nobody's
    ends, total = np.array([3, 5], np.int32), np.array(6, np.int32)
    given = {"num_heads": 4, "kv_num_heads": 2}
    step = [query, key, value, *past, ends, total]
    yield Case("GroupQueryAttention", given, step, outputs=3, name="step")
    yield Case("GroupQueryAttention", {**given, "local_window_size": 2}, step, outputs=3,
               name="window")  # fmt: skip
    yield Case("GroupQueryAttention", {**given, "softcap": 2.0}, step, outputs=3, name="softcap")
    yield Case("GroupQueryAttention", {**given, "smooth_softmax": 1}, step, outputs=3,
               name="smooth")  # fmt: skip
    cos, sin = normal(1, 9, 8), normal(2, 9, 8)
    yield Case("GroupQueryAttention", {**given, "do_rotary": 1}, [*step, cos, sin], outputs=3,
               name="rotary")  # fmt: skip
    packed = normal(0, 2, 3, 128)
    first = [packed, None, None, None, None, np.array([2, 2], np.int32), np.array(3, np.int32)]
    yield Case("GroupQueryAttention", given, first, outputs=3, name="prompt")
    rotary = {**given, "do_rotary": 1, "rotary_interleaved": 1}
    yield Case("GroupQueryAttention", rotary, [*first, cos, sin], outputs=3, name="rotary prompt")


def quantized_pairs() -> Iterator[Case]:
    for dtype, low in ((np.uint8, 0), (np.int8, -128)):
        a, b = (codes(n, 3, 5, dtype=dtype, low=low, high=low + 256) for n in (0, 1))
        point = byte(low + 120, dtype)
        for op in ("QLinearAdd", "QLinearMul"):
            yield Case(op, {}, [a, scale(0.02), point, b, scale(0.03), point, scale(0.07), point],
                       name=np.dtype(dtype).name)  # fmt: skip
            yield Case(op, {}, [a, scale(0.02), point, b[:1], scale(0.03), point, scale(0.1),
                       point],
                       name=f"{np.dtype(dtype).name} broadcast", tolerance=1)  # fmt: skip
    a, one = codes(0, 2, 3, 4), [scale(0.05), byte(100)]
    yield Case("QLinearLeakyRelu", {"alpha": 0.2}, [a, *one, scale(0.04), byte(60)])
    yield Case("QLinearSigmoid", {}, [a, *one, scale(1 / 256), byte(0)])
    for opset, axis in ((13, -1), (13, 1), (12, 1)):
        yield Case("QLinearSoftmax", {"opset": opset, "axis": axis}, [a, *one, scale(1 / 256),
                   byte(0)], name=f"{opset} {axis}", tolerance=1)  # fmt: skip
    image, out = codes(2, 2, 3, 6, 6), [scale(0.06), byte(90)]
    yield Case("QLinearGlobalAveragePool", {}, [image, *one, *out])
    yield Case("QLinearGlobalAveragePool", {"channels_last": 1}, [image, *one, *out], name="last")
    for given in ({"strides": [2, 2]}, {"pads": [1] * 4}, {"pads": [1] * 4, "count_include_pad": 1},
                  {"channels_last": 1}):  # fmt: skip
        yield Case("QLinearAveragePool", {"kernel_shape": [3, 3], **given}, [image, *one, *out],
                   name=str(given), tolerance=1)  # fmt: skip
    pieces = [codes(1, 2, 3), *one, codes(2, 2, 4), scale(0.03), byte(7)]
    yield Case("QLinearConcat", {"axis": 1}, [scale(0.06), byte(90), *pieces])
    condition = rng(3).random((2, 3)) < 0.5
    yield Case("QLinearWhere", {}, [condition, *pieces[:3], codes(4, 2, 3), scale(0.03), byte(7),
               *out])  # fmt: skip


def quantized_layers() -> Iterator[Case]:
    """One row of a batch: more of them ONNX Runtime quantizes alone or together, by its threads."""
    for count, dtype, low in ((1, np.uint8, 0), (2, np.int8, -128)):
        codes_of = [codes(n, count, s, 16, dtype=dtype, low=low, high=low + 256)
                    for n, s in ((0, 3), (1, 4))]  # fmt: skip
        scales, points = np.full(count, 0.01, np.float32), np.full(count, low + 128, dtype)
        states = [None] * 2 if count == 1 else [normal(n, 2, 1, 4) for n in (2, 3)]
        given = [normal(0, 9, 1, 3), *codes_of, normal(1, count, 32), None, *states, None]
        way = {"direction": "forward" if count == 1 else "bidirectional"}
        yield Case("DynamicQuantizeLSTM", {"hidden_size": 4, **way}, [*given, scales, points,
                   scales, points], 3, (1, 2, 8, 9, 10, 11), name=f"{count}")  # fmt: skip


def quantized_products() -> Iterator[Case]:
    a, b = codes(0, 3, 8), codes(1, 8, 5, high=100)
    row = codes(2, 5, dtype=np.int32, low=-900, high=900)
    point = [scale(0.02), byte(100)]
    each = [rng(3).random(5).astype(np.float32), codes(4, 5, high=100)]
    yield Case("QGemm", {"alpha": 0.5}, [a, *point, b, scale(0.03), byte(50), row, scale(0.4),
               byte(120)])  # fmt: skip
    yield Case("QGemm", {"transB": 1}, [a, *point, b.T.copy(), *each, row], name="floats")
    yield Case("MatMulIntegerToFloat", {}, [a, b, scale(0.02), scale(0.03)])
    yield Case("MatMulIntegerToFloat", {}, [a, b, scale(0.02), each[0], byte(100), each[1],
               normal(5, 5)], name="each")  # fmt: skip
    x = normal(0, 3, 8)
    yield Case("DynamicQuantizeMatMul", {}, [x, b, scale(0.03), byte(50), normal(5, 5)])
    yield Case("DynamicQuantizeMatMul", {}, [x, b, each[0], each[1]], name="each")
    wide = [codes(n, *s, dtype=np.int16, low=-999, high=999) for n, s in [(0, (3, 4)), (1, (4, 2))]]
    yield Case("MatMulInteger16", {}, wide)
    rows, weights = codes(0, 2, 4, 8), codes(1, 8, 24, high=100)
    given = [rows, weights, normal(2, 24), scale(0.01), scale(0.02)]
    yield Case("QAttention", {"num_heads": 2}, [*given, None, byte(120), byte(50)], tolerance=1e-4)
    image, kernel = codes(0, 1, 3, 5, 5), codes(1, 4, 3, 3, 3, high=60)
    conv = [image, *point, kernel, scale(0.03), byte(30), scale(0.7), byte(10)]
    yield Case("QLinearConv", {}, conv)
    last = [image.transpose(0, 2, 3, 1).copy(), *conv[1:]]
    yield Case("QLinearConv", {"channels_last": 1}, last, constant=(3, 4, 5), name="last")
    yield from quantized_layers()
    for axis in (0, 1):
        many = [scale(0.1) * np.arange(1, 4).astype(np.float32), codes(6, 3, high=90)]
        shape = (3, 4) if axis == 0 else (4, 3)
        yield Case("DequantizeLinear", {"axis": axis}, [codes(0, *shape), *many], name=f"{axis}")
        yield Case("QuantizeLinear", {"axis": axis}, [normal(0, *shape), *many], name=f"{axis}")
    halves = codes(0, 6, dtype=np.uint16, high=60000)
    yield Case("DequantizeLinear", {}, [halves, scale(0.1), byte(700, np.uint16)], name="16 bits")


def blocks() -> Iterator[Case]:
    for bits in (2, 4, 8):
        for k, size in ((64, 32), (40, 16)):
            n, count = 6, -(-k // size)
            b = codes(bits, n, count, size * bits // 8)
            steps = rng(1).random((n, count)).astype(np.float32)
            zeros = codes(2, n, -(-count * bits // 8))
            a = normal(0, 2, 3, k)
            given = {"K": k, "N": n, "bits": bits, "block_size": size}
            for name, more in [("", []), ("zeros", [zeros]), ("bias", [zeros, None, normal(3, n)])]:
                yield Case("MatMulNBits", given, [a, b, steps, *more], constant=(1, 2, 3, 5),
                           tolerance=1e-4, name=f"{bits} {k} {name}")  # fmt: skip
    floats = rng(4).random((6, 2)).astype(np.float32) * 15
    yield Case("MatMulNBits", {"K": 64, "N": 6, "block_size": 32, "bits": 4}, [normal(0, 3, 64),
               codes(1, 6, 2, 16), rng(2).random((6, 2)).astype(np.float32), floats],
               constant=(1, 2, 3), tolerance=1e-4, name="float zeros")  # fmt: skip
    for kind in (0, 1):
        for k in (48, 40):
            given = {"K": k, "N": 6, "block_size": 16, "quant_type": kind}
            levels = [codes(1, 3 * k), rng(2).random(3 * k // 8).astype(np.float32)]
            yield Case("MatMulBnb4", given, [normal(0, 3, k), *levels], constant=(1, 2),
                       name=f"{kind} {k}")  # fmt: skip
    indices = np.array([[3, 0], [1, 3]], np.int64)
    for bits in (4, 8):
        data = codes(0, 5, 32 * bits // 8)
        steps, zeros = rng(1).random((5, 2)).astype(np.float32), codes(2, 5, 2 * bits // 8 or 1)
        given = {"block_size": 16, "bits": bits}
        for name, more in (("", []), (" zeros", [zeros])):
            yield Case("GatherBlockQuantized", given, [data, indices, steps, *more],
                       constant=(0, 2, 3), name=f"{bits}{name}")  # fmt: skip


def moves() -> Iterator[Case]:
    x = normal(0, 2, 3, 4)
    yield Case("Trilu", {"upper": 0}, [x, np.array(1, np.int64)])
    yield Case("Pad", {}, [x, np.array([0, 1, 0, 1, 0, 2], np.int64), scale(7)], constant=(1,))
    yield Case("GatherND", {}, [x, np.array([[0, 1], [1, 2]], np.int64)])
    yield Case("Range", {}, [scale(1), scale(4), scale(0.5)])
    yield Case("Range", {}, [np.array([2], np.int64), np.array([9], np.int64)], name="no step")
    yield Case("ExpandDims", {}, [x, np.array(1, np.int32)], constant=(1,))
    yield Case("SampleOp", {}, [x])
    yield Case("Unique", {}, [np.array([2, 1, 1, 3, 4, 3], np.float32)], outputs=3)
    yield Case("UnfoldTensor", {"dim": 1, "size": 2, "step": 1}, [x])
    yield Case("UnfoldTensor", {"size": 2, "step": 2}, [x], name="last")
    yield Case("Inverse", {}, [x[:, :, :3] + 3 * np.eye(3, dtype=np.float32)], tolerance=1e-4)
    yield Case("GridSample", {"align_corners": 1}, [normal(0, 1, 2, 4, 4), normal(1, 1, 3, 3, 2)])
    boxes = np.array([[0, 0, 1, 1], [0.12, 0.2, 0.74, 0.9], [-0.2, 0.3, 1.2, 0.1]], np.float32)
    which, size = np.array([0, 1, 0], np.int32), np.array([3, 4], np.int32)
    for mode in ("bilinear", "nearest"):
        given = {"mode": mode, "extrapolation_value": 3.0}
        image = [normal(0, 2, 3, 6, 5), boxes, which, size]
        yield Case("CropAndResize", given, image, constant=(3,), name=mode)


def words() -> Iterator[Case]:
    for positive in (0, 1):
        for x in (codes(0, 4, dtype=np.int32), np.array(["", "a", "abc", "abcde"], object),
                  codes(0, 4, dtype=np.uint32), normal(0, 3)):  # fmt: skip
            yield Case("MurmurHash3", {"positive": positive, "seed": 7}, [x],
                       name=f"{positive} {x.dtype}")  # fmt: skip
    ids, scores = np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]], np.int64), normal(0, 2, 6)
    for size in (1, 2, 3, 7):
        yield Case("NGramRepeatBlock", {"ngram_size": size}, [ids, scores], name=f"{size}")
    text = np.array([["Hello World", "I love computer science !"], ["a-b", ""]], object)
    cut = {"pad_value": "#", "mark": 1, "mincharnum": 1}
    yield Case("Tokenizer", {**cut, "separators": [" ", "-"]}, [text])
    yield Case("Tokenizer", {**cut, "tokenexp": "[a-z]+"}, [text], name="expression")
    yield Case("Tokenizer", {**cut, "separators": [""]}, [text], name="characters")
    spelt = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [1, 1, 1, 1], [5, 2, 1, 3]], np.int32)
    weights = [normal(0, 5, 1, 2, 3), normal(1, 5), normal(2, 6, 3)]
    given = {"char_embedding_size": 3, "conv_window_size": 2, "embedding_size": 5}
    yield Case("WordConvEmbedding", given, [spelt, *weights])


def experts() -> Iterator[Case]:
    x, router = normal(0, 2, 3, 8), normal(1, 6, 4)
    layers = [normal(2, 4, 16, 8) / 3, normal(3, 4, 16), normal(4, 4, 8, 16) / 3, normal(5, 4, 8)]
    for name, k, normalised in (("relu", 1, 0), ("gelu", 2, 1), ("silu", 2, 0), ("identity", 3, 1)):
        given = {"activation_type": name, "k": k, "normalize_routing_weights": normalised}
        yield Case("MoE", given, [x, router, *layers], name=name, tolerance=1e-4)
    wide = [normal(2, 4, 32, 8) / 3, normal(3, 4, 32), *layers[2:]]
    given = {"activation_type": "swiglu", "k": 2, "swiglu_fusion": 1, "activation_alpha": 1.702,
             "activation_beta": 1.0, "swiglu_limit": 7.0}  # fmt: skip
    yield Case("MoE", given, [x, router, *wide], name="swiglu", tolerance=1e-4)


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    activations, products, norms, attention, rotations, quantized_pairs, quantized_products,
    blocks, moves, words, experts,
)  # fmt: skip
CASES = [case for family in FAMILIES for case in family()]


def model(case: Case, free: bool = False) -> tuple[bytes, dict[str, Any]]:
    """A case's model and its feeds; `free` leaves every dim of what is fed to the feed."""
    names = [f"x{n}" if a is not None else "" for n, a in enumerate(case.inputs)]
    given = {name: np.asarray(a) for name, a in zip(names, case.inputs, strict=True) if name}
    kept = {f"x{n}" for n in case.constant}
    count = abs(case.outputs)
    outputs = [f"y{n}" if case.outputs > 0 or n in (0, count - 1) else "" for n in range(count)]
    settings = {k: v for k, v in case.settings.items() if v is not None}
    node = helper.make_node(case.op, names, outputs, domain="com.microsoft", **settings)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim if free else a.shape
        )
        for name, a in given.items()
        if name not in kept
    ]
    constants = [onnx.numpy_helper.from_array(a, n) for n, a in given.items() if n in kept]
    made = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    graph = helper.make_graph([node], case.op, inputs, made, constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    feeds = {n: a for n, a in given.items() if n not in kept}
    made_model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return made_model.SerializeToString(), feeds


def expected(case: Case) -> Arrays:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    raw, feeds = model(case)
    session = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def agree(case: Case, found: Arrays, wanted: Arrays) -> None:
    assert len(found) == len(wanted)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if want.dtype.kind not in "biuf":
            np.testing.assert_array_equal(got, want)
        elif want.dtype.kind in "biu":
            apart = np.abs(got.astype(np.int64) - want.astype(np.int64))
            assert apart.max(initial=0) <= int(case.tolerance)
        else:
            np.testing.assert_allclose(got, want, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize("provider", ["native", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.op} {c.name}".strip())
def test_gives_what_onnx_runtime_gives(case: Case, provider: str) -> None:
    raw, feeds = model(case)
    session = sx.InferenceSession(raw, providers=[provider])
    agree(case, session.run(None, feeds), expected(case))


@pytest.mark.parametrize("bits", range(1, 9))
def test_bits_are_unpacked_as_their_bytes_say(bits: int) -> None:
    x = codes(bits, 3, 2, 9)
    count = 9 * 8 // bits
    agrees(UnpackedBits(bits=bits, count=count), [x], [[0, 1]])
    (row,) = UnpackedBits(bits=bits, count=count).reference(x)[0, :1]
    whole = int.from_bytes(x[0, 0].tobytes(), "little")
    assert row.tolist() == [(whole >> bits * n) % (1 << bits) for n in range(count)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_first_of_a_byte_may_be_in_its_highest_bits(bits: int) -> None:
    x = codes(bits, 2, 5)
    count = 5 * 8 // bits
    agrees(UnpackedBits(bits=bits, count=count, order="high"), [x], [[0, 1]])
    (row,) = UnpackedBits(bits=bits, count=count, order="high").reference(x)[:1]
    whole = int.from_bytes(x[0].tobytes(), "big")
    shifts = [bits * (count - 1 - n) for n in range(count)]
    assert row.tolist() == [(whole >> n) % (1 << bits) for n in shifts]


def test_packed_heads_are_attended_as_those_given_apart() -> None:
    parts = [normal(n, 2, 4, 3, 5) for n in range(3)]
    apart = Case("MultiHeadAttention", {"num_heads": 3}, [p.reshape(2, 4, 15) for p in parts])
    every = Case("MultiHeadAttention", {"num_heads": 3}, [np.stack(parts, 3)])
    pairs = Case("MultiHeadAttention", {"num_heads": 3},
                 [parts[0].reshape(2, 4, 15), np.stack(parts[1:], 3)])  # fmt: skip
    found = []
    for case in (apart, every, pairs):
        raw, feeds = model(case, free=False)
        found.append(sx.InferenceSession(raw).run(None, feeds)[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5, atol=1e-6)


def test_a_form_that_is_not_supported_is_refused_by_name() -> None:
    given = {"K": 32, "N": 4, "bits": 4, "block_size": 32, "weight_prepacked": 1}
    inputs = [normal(0, 2, 32), codes(1, 4, 1, 16), np.ones((4, 1), np.float32)]
    raw, _ = model(Case("MatMulNBits", given, inputs))
    found = [(f.code, f.severity) for f in sx.check(raw)]
    assert found == [("E0316", "error"), ("E0401", "warning")]  # the output has no type
    with pytest.raises(sx.UnsupportedOperator, match="packed for another device"):
        sx.InferenceSession(raw)

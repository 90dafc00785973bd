"""Matrix products of floats and integers, and attention."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sardonyx.core.dtype import DType
from singles.case import Case, Data, Dim, Made, Maker, below, normal

I8, U8 = DType.INT8, DType.UINT8
WEIGHTS = below(128, -127)


def _thin(depth: int) -> Data:
    """Weights that keep the size of what they are multiplied by."""
    return lambda rng, shape: normal(rng, shape) * np.float32(depth**-0.5)


def _matmul(g: Maker, m: Dim, k: int, n: int) -> Made:
    """Rows by constant weights."""
    x = g.input((m, k))
    w = g.weights(k, n, data=_thin(k))
    return g.node("MatMul", x, w)


def _both(g: Maker, m: Dim, k: int, n: int) -> Made:
    """A product of two inputs."""
    x = g.input((m, k))
    y = g.input((k, n), _thin(k))
    return g.node("MatMul", x, y)


def _batched(g: Maker, b: Dim, m: int, k: int, n: int) -> Made:
    x = g.input((b, m, k))
    y = g.input((b, k, n), _thin(k))
    return g.node("MatMul", x, y)


def _scores(g: Maker, b: Dim, m: int, k: int) -> Made:
    """Queries by transposed keys."""
    q = g.input((b, m, k))
    keys = g.input((b, m, k), _thin(k))
    turned = g.node("Transpose", keys, perm=(0, 2, 1))
    return g.node("MatMul", q, turned)


def _gemm(flipped: int) -> Callable[..., Made]:
    def make(g: Maker, m: Dim, k: int, n: int) -> Made:
        shape = (n, k) if flipped else (k, n)
        x = g.input((m, k))
        w = g.weights(*shape, data=_thin(k))
        bias = g.weights(n)
        return g.node("Gemm", x, w, bias, transB=flipped)

    return make


def _einsum(g: Maker, b: Dim, h: int, m: int, k: int) -> Made:
    """The scores of attention heads that lie side by side."""
    q = g.input((b, m, h, k))
    keys = g.input((b, m, h, k), _thin(k))
    return g.node("Einsum", q, keys, equation="bihd,bjhd->bhij")


def _integer(first: DType) -> Callable[..., Made]:
    """MatMulInteger by constant int8 weights, with a zero point on the left."""
    numbers = below(256) if first is U8 else below(128, -128)
    zero = first.numpy.type(128 if first is U8 else 3)

    def make(g: Maker, m: Dim, k: int, n: int) -> Made:
        x = g.input((m, k), numbers, first)
        w = g.weights(k, n, data=WEIGHTS, dtype=I8)
        return g.node("MatMulInteger", x, w, g.const(zero))

    return make


def _qlinear(g: Maker, m: Dim, k: int, n: int) -> Made:
    x = g.input((m, k), below(256), U8)
    w = g.weights(k, n, data=WEIGHTS, dtype=I8)
    return g.quantized("QLinearMatMul", x, w, 0.003 * k**0.5)


def _attention(causal: int) -> Callable[..., Made]:
    def make(g: Maker, b: Dim, heads: int, length: int, size: int) -> Made:
        dims = (b, heads, length, size)
        given = [g.input(dims) for _ in range(3)]
        return g.node("Attention", *given, is_causal=causal)

    return make


def _decode(g: Maker, b: Dim, heads: int, length: int, size: int) -> Made:
    """One query by a long cache of keys and values."""
    q = g.input((b, heads, 1, size))
    k = g.input((b, heads, length, size))
    v = g.input((b, heads, length, size))
    return g.node("Attention", q, k, v)


GEMM = "256x1024x1024 4x64x32 251x1021x509"
HEADS = "1x12x384x64 1x2x8x16 1x5x197x67"

CASES = (
    Case("MatMul 512", _matmul, "512x512x512 8x32x16 511x509x513"),
    Case("MatMul 128x768x3072", _matmul, "128x768x3072 4x64x256 127x771x1021"),
    Case("MatMul 16 rows", _matmul, "16x768x768 3x48x48 13x771x769"),
    Case("MatMul 1 row", _matmul, "1x2048x1000 1x64x10 1x2047x1001"),
    Case("MatMul of inputs", _both, "256x1024x512 8x32x16 251x1021x509"),
    Case("MatMul batched", _batched, "12x197x64x197 2x8x16x8 7x131x67x129"),
    Case("MatMul by a transpose", _scores, "12x197x64 2x8x16 7x131x67"),
    Case("Gemm", _gemm(0), GEMM),
    Case("Gemm transB", _gemm(1), GEMM),
    Case("Einsum heads", _einsum, "2x12x128x64 1x2x8x16 1x7x131x67"),
    Case("MatMulInteger u8", _integer(U8), GEMM),
    Case("MatMulInteger i8", _integer(I8), GEMM),
    Case("QLinearMatMul", _qlinear, GEMM),
    Case("Attention", _attention(0), HEADS),
    Case("Attention causal", _attention(1), HEADS),
    Case("Attention decode", _decode, "1x12x1024x64 1x2x16x16 1x5x1021x67"),
)

"""Contractions of floats: every shape, tail, layout and prologue computes the plain sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kernels.agree import LEVELS, agrees_interpreted, agrees_natively, machine
from kernels.contracts import Case, Finishing, matmul
from kernels.images import Window, conv
from kernels.native import run
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, exp, load, symbol, unary
from sardonyx.kernels.gemm import gemm
from sardonyx.loops.ir import Contract, Store
from sardonyx.loops.target import make

M, N, K, B = (symbol(s) for s in "MNKB")
F32, F64 = DType.FLOAT32, DType.FLOAT64

SHAPES = [(1, 1, 1), (2, 3, 1), (1, 40, 70), (13, 32, 5), (15, 33, 17), (29, 64, 48), (43, 10, 9)]


def _bias(n: int) -> Finishing:
    """The sum plus a number for each column."""
    bias = np.linspace(-1, 1, n, dtype=np.float32)
    return Finishing(
        lambda acc, m, n: acc + load("bias", [n], acc.dtype), {"bias": bias}, lambda y: y + bias
    )


def _long(n: int) -> Finishing:
    """A body too long to be written for every accumulator."""
    plain = _bias(n)

    def value(acc: Expr, m: Expr, n: Expr) -> Expr:
        x = plain.value(acc, m, n) * 0.01
        return unary("tanh", exp(x) - exp(-x)) + unary("erf", x)

    def apply(y: Array) -> Array:
        x = plain.apply(y) * 0.01
        return np.asarray(np.tanh(np.exp(x) - np.exp(-x)) + np.vectorize(math.erf)(x))

    return Finishing(value, plain.extra, apply)


CASES: dict[str, Callable[[], Case]] = {
    "symbolic everything": lambda: matmul(M, N, K, env={M: 17, N: 41, K: 600}),
    "symbolic, transposed": lambda: matmul(
        M, N, K, env={M: 17, N: 41, K: 600}, transposed=(True, True)
    ),
    "symbolic, batched, many columns": lambda: matmul(
        M, N, K, batch=B, env={M: 5, N: 300, K: 530, B: 3}, transposed=(True, False)
    ),
    "attention scores": lambda: matmul(M, M, 64, batch=4, env={M: 37}, transposed=(False, True)),
    "attention values": lambda: matmul(M, 64, M, batch=4, env={M: 37}),
    "left transposed": lambda: matmul(20, 33, 21, transposed=(True, False)),
    "rows on the same cache sets": lambda: matmul(17, 20, 1024),
    "bias": lambda: matmul(M, 70, 31, env={M: 19}, finishing=_bias(70)),
    "long body": lambda: matmul(M, 70, 31, env={M: 19}, finishing=_long(70)),
    "float64": lambda: matmul(15, 19, 33, dtype=F64),
    "float64, symbolic": lambda: matmul(M, 19, 33, dtype=F64, env={M: 9}),
    "float16 in memory": lambda: matmul(15, 35, 33, stored=DType.FLOAT16),
    "bfloat16 in memory": lambda: matmul(15, 35, 33, stored=DType.BFLOAT16),
    "int32": lambda: matmul(15, 35, 33, dtype=DType.INT32),
    "int64": lambda: matmul(15, 35, 33, dtype=DType.INT64),
    "conv 3x3": lambda: conv(M, 8, 12, (7, 9), Window(), env={M: 2}),
    "conv 3x3, few channels, stride 2": lambda: conv(2, 3, 20, (9, 8), Window(3, 2, 1)),
    "conv 5x5, stride 2": lambda: conv(M, 5, 7, (11, 9), Window(5, 2, 2), env={M: 1}),
    "conv 1x1": lambda: conv(M, 20, 12, (5, 6), Window(1, 1, 0), env={M: 3}),
    "conv 1x1, stride 2": lambda: conv(2, 20, 12, (6, 6), Window(1, 2, 0)),
    "conv wider than the image": lambda: conv(1, 4, 5, (2, 3), Window(5, 1, 3)),
    "conv channels first": lambda: conv(M, 6, 9, (7, 9), Window(), env={M: 2}, planar=True),
    "conv of very many channels": lambda: conv(1, 2100, 3, (4, 3), Window()),
    "very long rows, transposed": lambda: matmul(5, 7, 16500, transposed=(True, False)),
    "very long rows": lambda: matmul(5, 7, 16500),
    "conv 7x7 channels first": lambda: conv(1, 3, 9, (13, 9), Window(7, 2, 3), planar=True),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_native(name: str, level: str) -> None:
    """Machine code, with one thread and with the work of two done in turn."""
    for threads in (1, 2):
        agrees_natively(gemm, CASES[name](), level, threads)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_tails(m: int, n: int, k: int, level: str) -> None:
    """Every kind of remainder, sizes known and not."""
    agrees_natively(gemm, matmul(m, n, k), level)
    agrees_natively(gemm, matmul(M, N, K, env={M: m, N: n, K: k}), level, 2)
    agrees_natively(gemm, matmul(M, n, k, env={M: m}, finishing=_bias(n)), level, 2)


@pytest.mark.parametrize("rows", range(1, 31))
def test_every_row_count(rows: int) -> None:
    """The pieces that a symbolic row count is made of cover it exactly."""
    level = "avx512" if machine("avx512") else "generic"
    agrees_natively(gemm, matmul(M, 33, 4, env={M: rows}, batch=2), level, 2)


INTERPRETED = {
    "plain": lambda: matmul(5, 9, 6),
    "symbolic": lambda: matmul(M, N, K, env={M: 5, N: 9, K: 3}, batch=2),
    "symbolic, copied": lambda: matmul(M, 7, K, env={M: 3, K: 6}, transposed=(True, True)),
    "long body": lambda: matmul(3, 7, 5, finishing=_long(7)),
    "conv": lambda: conv(M, 3, 4, (4, 3), Window(), env={M: 1}),
    "conv channels first": lambda: conv(1, 2, 3, (4, 3), Window(), planar=True),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", INTERPRETED)
def test_interpreted(name: str, level: str) -> None:
    """The schedule itself, on machines that cannot run it too."""
    agrees_interpreted(gemm, INTERPRETED[name](), level, 2)


def test_nothing_to_do() -> None:
    """No rows or no terms: nothing is written, or sums of nothing."""
    for level in LEVELS:
        if machine(level) is None:
            continue
        rows, depth = symbol("rows", 0), symbol("depth", 0)
        agrees_natively(gemm, matmul(rows, 20, 8, env={rows: 0}), level, 2)
        agrees_natively(gemm, matmul(7, 20, depth, env={depth: 0}), level, 2)
        case = matmul(7, 20, depth, env={depth: 0}, transposed=(True, True))
        agrees_natively(gemm, case, level, 2)


def test_non_finite_elements_stay_in_their_rows() -> None:
    """A row or column of infinities and NaN does not leak through padding."""
    case = matmul(17, 33, 20)
    a, w = (case.arrays[1].reshape(17, 20), case.arrays[2].reshape(20, 33))
    a[3, 5], a[16, 19], w[0, 32], w[19, 0] = (np.inf, np.nan, -np.inf, np.nan)
    with np.errstate(invalid="ignore"):
        wanted = np.matmul(a.astype(np.float64), w.astype(np.float64))
    for level in LEVELS:
        target = machine(level)
        if target is None:
            continue
        made = gemm(case.closed.kernel, target)
        assert not isinstance(made, str)
        got = run(target, case.closed.kernel, made, case.arrays, [])
        np.testing.assert_allclose(got.reshape(17, 33), wanted, rtol=1e-3, atol=1e-4)


def test_refusals_say_why() -> None:
    """What is not taken is left alone, with a reason."""
    target = make("avx2")
    case = matmul(3, 4, 5)
    kernel = case.closed.kernel
    (contract,) = kernel.body
    assert isinstance(contract, Contract)
    twice = replace(kernel, body=(contract, contract))
    assert gemm(twice, target) == "the kernel is not one contraction"
    other = matmul(3, 4, 5, dtype=DType.UINT8).closed.kernel
    assert gemm(other, target) == "sums of uint8 have no register tile"
    deep = conv(1, 2, 3, (4, 4), Window()).closed.kernel
    c = deep.body[0]
    assert isinstance(c, Contract)
    inner = replace(c, body=(*c.body, *(s for s in c.body if isinstance(s, Store))))
    assert not isinstance(gemm(replace(deep, body=(inner,)), target), str)


def test_several_long_axes_are_refused() -> None:
    """Rows of hundreds of thousands of terms over several axes do not fit a thread's scratch."""
    kernel = conv(1, 1, 1, (600, 601), Window(600, 1, 0)).closed.kernel
    reason = gemm(kernel, make("avx2"))
    assert reason == "K has several axes and is too long, or of unknown size"


def test_weights_do_not_stay_parameters() -> None:
    """The main kernel reads the packed operand only; the packing reads the weights only."""
    made = gemm(matmul(M, 64, 48, env={M: 3}).closed.kernel, make("avx512"))
    assert not isinstance(made, str)
    (packed,) = made.packed
    assert packed.sources == (2,)
    assert made.params == (0, 1, 3)
    assert packed.kernel.params[0].role == "out"

"""Products of matrices and tensors, of floats and of integers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from ops.lanes import symbolic
from ops.nn import agrees, contracts, normal, whole
from sardonyx.core.errors import InvalidGraph
from sardonyx.ops.product.einsum import Einsum
from sardonyx.ops.product.matmul import Gemm, MatMul
from sardonyx.ops.quantized.matmul import MatMulInteger, QLinearMatMul

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 6)),
    ((1, 3, 4), (2, 4, 5)),
    ((7, 2, 3, 4), (7, 1, 4, 5)),
    ((4,), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_matmul_is_numpys(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = normal(0, *left), normal(1, *right)
    free = [[0] if len(left) > 1 else [], []]
    assert contracts(MatMul(), symbolic([a, b], free)[0])
    agrees(MatMul(), [a, b], free, np.matmul(a, b))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, np.int32])
def test_matmul_sums_narrow_floats_in_float32(dtype: Any) -> None:
    a, b = (normal(n, 5, 5) * 4 for n in (0, 1))
    made = agrees(MatMul(), [a.astype(dtype), b.astype(dtype)], tolerance=1e-2)
    wide = np.float64 if dtype is np.float64 else np.float32
    exact = np.matmul(a.astype(dtype).astype(wide), b.astype(dtype).astype(wide))
    assert (made[0] == exact.astype(dtype)).all()


def test_a_weight_shared_by_the_batch_makes_one_product_of_many_rows() -> None:
    types, _ = symbolic([normal(0, 2, 3, 4), normal(1, 4, 5)], [[0]])
    from ops.lanes import Given

    operands = [Given(n, t) for n, t in enumerate(types) if t is not None]
    made = MatMul().contract(MatMul().infer(*types), *operands)
    assert made.batch == ()
    assert len(made.m) == 2


def test_matmul_refuses_depths_that_differ() -> None:
    types, _ = symbolic([normal(0, 3, 4), normal(1, 5, 6)], [])
    with pytest.raises(InvalidGraph, match="E0322"):
        MatMul().infer(*types)


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("bias", [None, (), (5,), (3, 1), (3, 5)])
def test_gemm(turned: tuple[int, int], bias: tuple[int, ...] | None) -> None:
    a = normal(0, *((4, 3) if turned[0] else (3, 4)))
    b = normal(1, *((5, 4) if turned[1] else (4, 5)))
    c = None if bias is None else normal(2, *bias)
    op = Gemm(alpha=0.5, beta=2.0, transA=turned[0], transB=turned[1])
    wanted = 0.5 * (a.T if turned[0] else a) @ (b.T if turned[1] else b)
    wanted = wanted if c is None else wanted + 2 * c
    agrees(op, [a, b, c], [[turned[0]]], wanted)


@pytest.mark.parametrize(
    "equation",
    [
        "ij,jk->ik",
        "bij,bjk->bik",
        "bqhd,bkhd->bhqk",
        "ij,kj",
        "i,i->",
        "ii->i",
        "ijk->kji",
        "...ij,...jk->...ik",
        "ab,bc,cd->ad",
        "i,j->ij",
        "bij,jk->kbi",
    ],
)
def test_einsum_is_numpys(equation: str) -> None:
    sizes = dict(zip("abcdijkqh", (2, 3, 4, 5, 3, 4, 5, 2, 3), strict=True))
    if equation == "ii->i":
        arrays = [normal(0, 3, 3)]
    else:
        terms = equation.split("->", maxsplit=1)[0].replace("...", "a").split(",")
        arrays = [normal(n, *(sizes[x] for x in t)) for n, t in enumerate(terms)]
    agrees(Einsum(equation=equation), arrays, [], np.einsum(equation, *arrays), 1e-4)


def test_einsum_of_two_operands_is_a_contraction() -> None:
    types, _ = symbolic([normal(0, 2, 3, 4, 5), normal(1, 2, 6, 4, 5)], [[0]])
    assert contracts(Einsum(equation="bqhd,bkhd->bhqk"), types)
    assert not contracts(Einsum(equation="bqhd,bkhd->hq"), types)


@pytest.mark.parametrize("equation", ["ij,jk->il", "ij->ij", "i1,jk->ij", "ij,jk->ii", "ij,j"])
def test_einsum_refuses(equation: str) -> None:
    types, _ = symbolic([normal(0, 3, 4), normal(1, 4, 5)], [])
    with pytest.raises(InvalidGraph, match="E034"):
        Einsum(equation=equation).infer(*types)


@pytest.mark.parametrize("rows", [(), (1,), (3,), (3, 1)])
@pytest.mark.parametrize("columns", [(), (1,), (5,)])
def test_integer_product(rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    a = whole(0, 0, 256, 3, 4, dtype=np.uint8)
    b = whole(1, -128, 128, 4, 5)
    za, zb = (whole(2, 0, 256, *rows, dtype=np.uint8), whole(3, -128, 128, *columns))
    left = za.reshape(-1, 1) if za.ndim == 1 else za
    wanted = (a.astype(np.int32) - left) @ (b.astype(np.int32) - zb)
    agrees(MatMulInteger(), [a, b, za, zb], [[0]], wanted, 0)
    agrees(MatMulInteger(), [a, b, None, None], [[0]], a.astype(np.int32) @ b, 0)


def test_quantized_product_rounds_half_to_even_and_saturates() -> None:
    a = np.array([[1, 3, 100]], np.uint8)
    b = np.array([[1], [0], [0]], np.uint8)
    one, zero = np.float32(1), np.uint8(0)
    for value, wanted in ((1, 0), (3, 2), (5, 2), (200, 100)):
        a[0, 0] = value
        scalars = [np.asarray(x) for x in (one, zero, one, zero, np.float32(2), zero)]
        args = [a, *scalars[:2], b, *scalars[2:]]
        agrees(QLinearMatMul(), args, [], [[wanted]], 0)


def test_quantized_product_is_exact_until_it_is_rounded() -> None:
    a, b = (whole(0, 0, 256, 6, 8, dtype=np.uint8), whole(1, -128, 128, 8, 5))
    scales = np.linspace(0.01, 0.03, 5, dtype=np.float32)
    arrays = [
        a,
        np.asarray(np.float32(0.02)),
        np.asarray(np.uint8(120)),
        b,
        scales,
        np.zeros(5, np.int8),
        np.asarray(np.float32(0.5)),
        np.asarray(np.uint8(130)),
    ]
    sums = (a.astype(np.int64) - 120) @ b.astype(np.int64)
    wanted = sums * (np.float64(arrays[1]) * scales / 0.5) + 130
    assert np.abs(wanted % 1 - 0.5).min() > 1e-3, "no sum is near a tie"
    agrees(QLinearMatMul(), arrays, [[0]], np.clip(np.rint(wanted), 0, 255), 0)

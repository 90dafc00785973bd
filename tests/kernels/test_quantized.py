"""Products of bytes less zero points: exact on every instruction set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kernels.agree import LEVELS, agrees_interpreted, agrees_natively, machine, needed, taken
from kernels.contracts import Case, matmul_bytes
from kernels.images import Window, conv_bytes
from sardonyx.core.dtype import DType
from sardonyx.core.expr import symbol
from sardonyx.kernels.gemm import gemm
from sardonyx.kernels.quantized import of_bytes
from sardonyx.loops.ir import Contract, Tile, statements
from sardonyx.loops.target import make

M, N, K = (symbol(s) for s in "MNK")
U8, S8 = DType.UINT8, DType.INT8

TYPES = [(U8, S8), (S8, S8), (U8, U8), (S8, U8)]
ZEROS = [(None, None), ("one", None), (None, "one"), ("one", "columns"), ("rows", "one")]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize(("a", "w"), TYPES)
def test_products(a: DType, w: DType, zeros: tuple[str | None, str | None], level: str) -> None:
    """Every signedness and granularity of zero points, K no multiple of the group."""
    agrees_natively(gemm, matmul_bytes(19, 37, 23, (a, w), zeros), level, 2)
    agrees_natively(gemm, matmul_bytes(M, 16, 64, (a, w), zeros, env={M: 6}), level)


CASES: dict[str, Callable[[], Case]] = {
    "symbolic": lambda: matmul_bytes(M, N, K, (U8, S8), ("one", None), env={M: 9, N: 18, K: 601}),
    "symbolic signed": lambda: matmul_bytes(
        M, N, K, (S8, S8), ("one", None), env={M: 9, N: 18, K: 601}
    ),
    "symbolic, zero points on both sides": lambda: matmul_bytes(
        M, N, K, (S8, U8), ("one", "columns"), env={M: 9, N: 18, K: 601}
    ),
    "batched": lambda: matmul_bytes(5, 9, 13, (S8, U8), ("one", "one"), batch=3),
    "conv": lambda: conv_bytes(M, 5, 7, (6, 7), Window(), (U8, S8), env={M: 2}),
    "conv signed": lambda: conv_bytes(2, 4, 18, (6, 7), Window(3, 2, 1), (S8, S8)),
    "conv 1x1": lambda: conv_bytes(2, 8, 18, (3, 4), Window(1, 1, 0), (U8, U8)),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_native(name: str, level: str) -> None:
    """Padding adds nothing: outside the image the element is its zero point."""
    agrees_natively(gemm, CASES[name](), level, 2)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("a", "w"), TYPES)
def test_interpreted(a: DType, w: DType, level: str) -> None:
    """The schedules, on machines that cannot run them too."""
    agrees_interpreted(gemm, matmul_bytes(3, 5, 6, (a, w), ("one", "columns")), level)
    agrees_interpreted(gemm, conv_bytes(1, 2, 3, (3, 3), Window(), (a, w)), level)


def test_extreme_bytes_do_not_saturate() -> None:
    """The largest magnitudes of every type, whose pairs overflow 16 bits."""
    for a, w in TYPES:
        case = matmul_bytes(6, 17, 40, (a, w), (None, None))
        case.arrays[1][:] = 255 if a is U8 else -128
        case.arrays[2][:] = 255 if w is U8 else -128
        product = int(case.arrays[1][0]) * int(case.arrays[2][0]) * 40
        wanted = replace(case, wanted=np.full(6 * 17, product))
        for level in LEVELS:
            if machine(level) is not None:
                agrees_natively(gemm, wanted, level)


def test_which_instructions() -> None:
    """Bytes go to the byte instruction where there is one, else to pairs of 16 bits."""
    case = matmul_bytes(8, 16, 16, (U8, S8), ("one", None))
    for level, kind in (("avx512", U8), ("generic", DType.INT16)):
        made = taken(gemm, case, make(level))
        tile = next(s for s in statements(made.kernel.body) if isinstance(s, Tile))
        assert made.kernel.buffers[tile.a].dtype is kind


def test_symmetric_weights_need_no_row_sums() -> None:
    """Unsigned activations and signed weights without zero point: one correction, by column."""
    made = taken(gemm, matmul_bytes(8, 16, 16, (U8, S8), ("one", None)), make("avx512"))
    assert [p.dtype for p in made.packed] == [S8, DType.INT32]
    assert not made.kernel.scratch
    plain = taken(gemm, matmul_bytes(8, 16, 16, (U8, S8), (None, None)), make("avx512"))
    assert [p.dtype for p in plain.packed] == [S8]


def test_other_integers_are_left_alone() -> None:
    """Only differences of bytes are taken for bytes."""
    kernel = matmul_bytes(4, 4, 4, (U8, S8), ("one", None)).closed.kernel
    c = kernel.body[0]
    assert isinstance(c, Contract)
    assert of_bytes(replace(c, left=c.left * c.left), make("avx512")) is None
    needed("generic")

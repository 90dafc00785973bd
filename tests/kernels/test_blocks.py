"""Products with codes of a few bits: every form is exact within the rounding of its sums."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kernels.agree import LEVELS, agrees_interpreted, agrees_natively, machine, taken
from kernels.contracts import Case, Dim, Memory, flat
from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, binary, cast, const, fresh, load, scalar, symbol
from sardonyx.kernels.blocks import blocks
from sardonyx.kernels.gemm import gemm
from sardonyx.loops.ir import Contract, Loop, Store, Tile, statements

M = symbol("M")
F32, U8, U32 = DType.FLOAT32, DType.UINT8, DType.UINT32


@dataclass(frozen=True)
class Form:
    """Bits of a code, codes of a block (0: all of a column), types of the scale and zero point.

    `used` are how many of the codes occur (0: all).
    """

    bits: int = 4
    block: int = 32
    zero: DType | None = None
    scale: DType = F32
    signed: bool = False
    used: int = 0


def weights(memory: Memory, form: Form, n: int, k: int, at: tuple[Expr, Expr]) -> tuple[Expr, Any]:
    """The element of the right operand at (k, n), and all of them in float64."""
    rng = np.random.default_rng(form.bits)
    length = form.block or k
    count = -(-k // length)
    low = -(1 << form.bits - 1) if form.signed else 0
    many = form.used or 1 << form.bits
    codes = rng.integers(low, low + many, (n, k))
    scale = (rng.random((n, count)) + 0.5).astype(form.scale.numpy)
    zero = rng.integers(0, many, (n, count))
    k_, n_ = at
    block = (n_, k_ // length if form.block else const(0))
    value = _element(memory, form, codes, (n_, k_))
    wanted = codes.astype(np.float64)
    if form.zero is not None:
        memory.add("zero", zero.astype(form.zero.numpy), (n, count))
        value = value - cast(memory.at("zero", block), F32)
        wanted = wanted - np.repeat(zero, length, 1)[:, :k]
    memory.add("scale", scale, (n, count))
    value = value * cast(memory.at("scale", block), F32)
    wanted = wanted * np.repeat(scale.astype(np.float64), length, 1)[:, :k]
    return value, wanted.T


def _element(memory: Memory, form: Form, codes: Any, at: tuple[Expr, Expr]) -> Expr:
    """A code as the number that it is, read from bytes where it fills one, else from bits."""
    n, k = codes.shape
    if form.bits == 8:
        dtype = DType.INT8 if form.signed else U8
        memory.add("codes", codes.astype(dtype.numpy), (n, k))
        return cast(memory.at("codes", at), F32)
    single = codes.reshape(-1, 1) >> np.arange(form.bits) & 1
    data = np.packbits(single.astype(np.uint8).reshape(-1), bitorder="little")
    memory.add("codes", np.append(data, np.uint8(0)), (len(data) + 1,))
    start = flat((n, k), at) * form.bits
    low, high = (cast(load("codes", [i], U8), U32) for i in (start // 8, start // 8 + 1))
    both = binary("bitor", low, binary("shl", high, const(8, U32)))
    moved = binary("shr", both, cast(start % 8, U32))
    code = binary("bitand", moved, const((1 << form.bits) - 1, U32))
    if not form.signed:
        return cast(cast(code, U8), F32)
    half = 1 << form.bits - 1
    turned = binary("bitxor", code, const(half, U32))
    return cast(cast(cast(turned, DType.INT32) - half, DType.INT8), F32)


def case(m: Dim, n: int, k: int, form: Form, rows: int = 0) -> Case:
    """out[m, n] = sum over k of a[m, k] * right(k, n) + bias[n]."""
    memory = Memory({M: rows})
    m_, n_, k_ = (fresh(d) for d in (m, n, k))
    a = np.random.default_rng(1).standard_normal((*memory.shape((m,)), k)).astype(np.float32)
    memory.add("a", a, (m, k))
    right, exact = weights(memory, form, n, k, (k_, n_))
    bias = memory.add("bias", np.random.default_rng(2).random(n).astype(np.float32), (n,))
    memory.out((m, n), F32)
    acc = scalar("acc", F32)
    store = Store(0, flat((m, n), (m_, n_)), acc + memory.at("bias", (n_,)))
    left = memory.at("a", (m_, k_))
    contract = Contract((), (m_,), (n_,), (k_,), acc, left, right, (store,))
    return memory.contraction(contract, a.astype(np.float64) @ exact + bias)


FORMS = [
    *(Form(bits, zero=U8) for bits in (2, 3, 4, 8)),
    Form(4),
    Form(8, signed=True),
    Form(4, 16, zero=U8, scale=DType.FLOAT16),
    Form(3, 16),
    Form(4, 32, zero=F32),
    Form(4, 128, signed=True),
    Form(8, 0, signed=True),
    Form(4, 0, signed=True, zero=DType.INT8),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("form", "rows"), list(zip(FORMS, itertools.cycle((3, 11)))), ids=str)
def test_every_form(form: Form, rows: int, level: str) -> None:
    """A few rows or more, columns and depth that fill no panel, word or block."""
    agrees_natively(blocks, case(rows, 37, 75, form), level, 2)


@pytest.mark.parametrize("bits", [5, 7])
def test_bits_that_fill_no_byte(bits: int) -> None:
    agrees_natively(blocks, case(1, 9, 75, Form(bits, zero=U8)), "generic", 1)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rows", [1, 7, 250])
def test_rows_known_in_the_run_only(rows: int, level: str) -> None:
    made = agrees_natively(blocks, case(M, 40, 600, Form(4, zero=U8), rows), level, 2)
    assert {type(s) for s in statements(made.kernel.body)} >= {Loop, Tile}


@pytest.mark.parametrize("level", [*LEVELS, "neon"])
@pytest.mark.parametrize("form", [Form(4, zero=U8), Form(3, 16), Form(8, 0, signed=True)], ids=str)
def test_interpreted(form: Form, level: str) -> None:
    agrees_interpreted(blocks, case(2, 5, 40, form), level)
    agrees_interpreted(blocks, case(9, 3, 40, form), level)


def test_codes_far_from_their_zero_point_lose_nothing() -> None:
    """Eight bits of which two are used: sums of codes in the range's middle would be inexact."""
    for rows in (2, 9):
        agrees_natively(blocks, case(rows, 20, 96, Form(8, zero=U8, used=4)), "generic")


@pytest.mark.parametrize(
    ("form", "reason"),
    [(Form(4, 4), "do not go by blocks"), (Form(4, 1), "do not go by blocks")],
    ids=str,
)
def test_what_is_not_taken(form: Form, reason: str) -> None:
    """A scale for each few codes: the product of floats takes it."""
    found, target = case(2, 8, 16, form), machine("generic")
    assert target is not None
    assert reason in str(blocks(found.closed.kernel, target))
    taken(gemm, found, target)

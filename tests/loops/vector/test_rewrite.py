"""Kernels put into lanes: what is decided, what it means, and texts of the stage that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import Expr, const, load, scalar, symbol, unary, var, where
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Buffer, Fold, For, Kernel, Let, Loop, Stmt, Store, Tile, statements
from sardonyx.loops.target import make
from sardonyx.loops.text import canonical, from_text, to_text
from sardonyx.loops.vector.rewrite import reasons, vectorise

F32 = DType.FLOAT32
N = symbol("n", 0)
AT = var("i", N)
LEVELS = ("generic", "avx2", "avx512")


def copied(value: Expr, at: Expr = AT, size: Expr = N * 4, extent: Expr | int = N) -> Kernel:
    """out[at] = value for every i."""
    params = (Buffer(0, F32, size), Buffer(1, F32, size), Buffer(2, F32, N * 4, "out"))
    loop = For(var("i", extent), (Store(2, at, value),), "vector")
    return Kernel(params, (N,), (loop,), N)


def text(kernel: Kernel, level: str = "avx512") -> str:
    """What stands below the declarations at the stage `vector`."""
    whole = to_text(canonical(vectorise(kernel, make(level))))
    return whole.partition("work s0\n")[2]


def test_strips_and_a_masked_rest() -> None:
    assert text(copied(load(0, [AT], F32))) == (
        "if (0 < s0):\n"
        "  sure loop i0 from 0 to bitand(s0, -16) step 16:\n"
        "    b2[i0 : 16] = b0[i0 : 16]\n"
        "  sure once i1 from bitand(s0, -16) to s0 step 16:\n"
        "    v0: boolx16 = below.16((s0 + (-1 * i1)))\n"
        "    b2[i1 : 16 if v0] = b0[i1 : 16 if v0]\n"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (load(0, [AT * 3], F32), "b0[(3 * i0) : 16 by 3]"),
        (load(0, [const(7)], F32), "= b0[7]"),
        (load(0, [AT // 2], F32), "b0[((i0 + lane(16)) // 2)]"),
        (where(AT < 5, load(0, [AT - 9], F32), const(1.0, F32)), ": 16 if $0], 1.0:float32)"),
        (where(N < 5, load(0, [AT - 9], F32), const(1.0, F32)), "where((s0 < 5), b0["),
    ],
)
def test_how_memory_is_read(value: Expr, said: str) -> None:
    assert said in text(copied(value))


def test_loads_that_may_fault_read_where_they_are_chosen_only() -> None:
    value = where(const(3) <= AT, unary("exp", load(0, [AT - 3], F32)), const(0.0, F32))
    for level in LEVELS:
        kernel = vectorise(copied(value), make(level))
        source, out = np.ones(12, np.float32), np.zeros(12, np.float32)
        interpret(kernel, [source, source, out], [3])
        source, out = np.ones(80, np.float32), np.zeros(80, np.float32)
        interpret(kernel, [source, source, out], [20])
        np.testing.assert_allclose(out[:20], [0] * 3 + [np.exp(np.float32(1))] * 17, rtol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_what_differs_between_strips_only_is_read_once(level: str) -> None:
    at = var("i", 37)
    holds = load(0, [at], F32) < const(30.0, F32)
    value = where(holds, load(1, [at // 16 + 5], F32), const(1.0, F32))
    body = (For(at, (Store(2, at, value), Store(2, at // 16 + 37, load(0, [at], F32))), "vector"),)
    params = tuple(Buffer(n, F32, N, "out" if n == 2 else "in") for n in range(3))
    kernel = Kernel(params, (N,), body, N)
    made = vectorise(kernel, make(level))
    check(made)
    source = np.arange(40, dtype=np.float32)
    want, got = np.zeros(40, np.float32), np.zeros(40, np.float32)
    interpret(kernel, [source, source, want], [40])
    interpret(made, [source, source, got], [40])
    np.testing.assert_array_equal(got, want)
    assert (want[0], want[16], want[36]) == (5, 6, 1)
    np.testing.assert_array_equal(want[37:], [15, 31, 36])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("extent", [0, 1, 5, 16, 40, 100])
def test_no_lanes_are_left_to_decide(level: str, extent: int) -> None:
    total, k = scalar("t", F32), var("k", extent)
    body: tuple[Stmt, ...] = (
        Fold(total, "add", (k,), load(0, [k], F32), "vector"),
        For(AT, (Let(scalar("v", F32), load(0, [AT], F32)), Store(2, AT, total)), "vector"),
    )
    params = (Buffer(0, F32, N + extent), Buffer(2, F32, N, "out"))
    made = vectorise(Kernel(params, (N,), body, N), make(level))
    check(made)
    for s in statements(made.body):
        assert isinstance(s, Let | Loop | Store) or type(s).__name__ in ("If", "For")
        assert not isinstance(s, For) or s.kind == "serial"
    assert vectorise(made, make(level)) == made
    closed = canonical(made)
    assert from_text(to_text(closed)) == closed


def test_reasons() -> None:
    told = reasons(copied(load(0, [AT // 2], F32) + load(1, [AT * 2], F32)), make("avx2"))
    assert told == [
        "i: 8 lanes, a register of float32",
        "b1 is read by strides of 2",
        "b0 is gathered, its index being no fixed step from lane to lane",
        "i: what is left over runs under a mask",
    ]
    told = reasons(copied(load(0, [AT], F32)), make("generic"))
    assert told[-1] == "i: what is left over runs one by one, masks being dear here"


HEAD = """kernel
symbol n >= 0
in b0: float32[(4 * n)]
out b1: float32[(4 * n)]
work n
"""
BAD = {
    "joins vectors of [4, 8] lanes": "b1[0 : 4] = (b0[0 : 4] + b0[0 : 8])",
    "`v` has no place for the lanes": "v: float32 = b0[0 : 4]",
    "has no place for its lanes": "b1[0] = b0[0 : 4]",
    "a subscript of b0 differs between lanes": "b1[0 : 4] = b0[lane(4) : 4]",
    "the condition differs between lanes": "if (lane(4) < 2):\n  b1[0] = b0[0]",
    "the mask of b0": "b1[0] = b0[0 if below.8(3)]",
    "the mask of b0 has other lanes": "b1[0 : 4] = b0[0 : 4 if below.8(3)]",
    "the start differs between lanes": "loop i from lane(4) to n step 4:\n  b1[i] = b0[i]",
    "the step is -1": "loop i from 0 to n step -1:\n  b1[i] = b0[i]",
    "`c` is float32, its value int64": (
        "loop i from 0 to n step 1:\n  carry c: float32 = 0.0:float32\n  next c = i"
    ),
    "`i` is used where nothing": "loop i from 0 to n step 4:\n  b1[i] = b0[i]\nb1[i] = b0[i]",
}


@pytest.mark.parametrize("said", BAD)
def test_texts_that_break_a_rule_are_refused(said: str) -> None:
    with pytest.raises(EngineError) as caught:
        check(from_text(HEAD + BAD[said] + "\n"))
    assert said in caught.value.message


def run(body: str, n: int) -> Any:
    """b1 after the statements, b0 being 0, 1, .."""
    kernel = from_text(HEAD + body)
    check(kernel)
    assert from_text(to_text(kernel)) == kernel
    source, out = np.arange(4 * n, dtype=np.float32), np.zeros(4 * n, np.float32)
    interpret(kernel, [source, out], [n])
    return out


def test_carried_values_move_together_and_last() -> None:
    out = run(
        """loop i from 0 to 3 step 1:
  carry a: float32x4 = 1.0:float32
  carry c: float32x4 = b0[0 : 4]
  next a = c
  next c = (a + c)
b1[0 : 4] = a
b1[4 : 4] = c
""",
        2,
    )
    a, c = np.ones(4), np.arange(4.0)
    for _ in range(3):
        a, c = c, a + c
    np.testing.assert_array_equal(out, [*a, *c])


def test_lanes_that_are_off_touch_nothing() -> None:
    out = run("b1[6 : 4 by 2 if below.4(1)] = b0[7 : 4 if below.4(1)]\n", 2)
    np.testing.assert_array_equal(out, [0] * 6 + [7, 0])


def test_across_reduces_halves_with_halves() -> None:
    assert run("b1[0] = across.max(b0[0 : 8])\nb1[1] = across.add(b0[4 : 4])\n", 2)[1] == 22


def test_a_rest_has_one_trip() -> None:
    with pytest.raises(EngineError, match="has 2 trips, not one"):
        run("once i from 0 to n step 1:\n  b1[i] = b0[i]\n", 2)


def test_tiles_take_vectors_of_columns() -> None:
    body = """t: float32 = tile 2 x 32:
  depth 1
  a b0 at 0 stride 1
  b b0 at 0 stride 32
  row i < 2 valid 2
  col j < 32 valid n
  do:
    b1[((32 * i) + j)] = t
"""
    kernel = from_text(HEAD + body)
    made = vectorise(kernel, make("avx512"))
    (tile,) = made.body
    assert isinstance(tile, Tile)
    assert (tile.lanes, tile.mask is not None) == (16, True)
    source, n = np.arange(80, dtype=np.float32), 20
    want, got = np.zeros(80, np.float32), np.zeros(80, np.float32)
    interpret(kernel, [source, want], [n])
    interpret(made, [source, got], [n])
    np.testing.assert_array_equal(got, want)

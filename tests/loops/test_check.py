"""Every rule of the loop language has a program that breaks it, and one that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import Expr, const, load, reduce, scalar, symbol, var, where
from sardonyx.loops.check import check
from sardonyx.loops.ir import (
    Buffer,
    Contract,
    Fold,
    For,
    Kernel,
    Let,
    Role,
    Space,
    Stmt,
    Store,
    Tile,
)
from sardonyx.loops.text import from_text

HEAD = """\
kernel
symbol n >= 1
in b0: float32[n]
out b1: float32[(4 * n)]
thread b2: int16[32]
work (4 * n)
"""

GOOD = {
    "let": """
        parallel for a < n:
          v: float32 = b0[a]
          b1[a] = v
    """,
    "fold": """
        for a < n:
          v: float32 = fold add vector:
            over k < 8
            of b0[k]
          b1[a] = v
    """,
    "boolean fold": """
        f: bool = fold and serial:
          over k < 8
          of (b0[k] < 1.0:float32)
        if f:
          b1[0] = b0[0]
    """,
    "contract": """
        v: float32 = contract:
          m a < n
          n b < 4
          k k < 8
          left b0[(a + k)]
          right b0[(b + k)]
          do:
            b1[((4 * a) + b)] = v
    """,
    "tile": """
        parallel for a < n:
          v: float32 = tile 2 x 4:
            depth n
            a b0 at 0 stride n
            b b0 at 0 stride n
            row r < 2 valid n
            col c < 4 valid 3
            do:
              b1[((4 * r) + c)] = v
    """,
    "branch": """
        parallel for a < n:
          if (a < 3):
            v: float32 = b0[a]
            b1[a] = v
          else:
            b1[a] = 0.0:float32
    """,
    "siblings": """
        for a < n:
          b1[a] = b0[a]
        for a < n:
          b1[a] = b0[a]
    """,
    "lanes": """
        parallel for a < n:
          vector for b < 4:
            b1[((4 * a) + b)] = b0[a]
    """,
}

BAD = {
    "`a` is bound twice": """
        for a < n:
          for a < n:
            b1[a] = b0[a]
    """,
    "`v` is bound twice": """
        v: float32 = b0[0]
        v: float32 = b0[0]
    """,
    "`v` is float32, its value int64": "v: float32 = n",
    "a parallel loop is inside another": """
        parallel for a < n:
          parallel for b < n:
            b1[b] = b0[a]
    """,
    "a vector loop is inside another": """
        vector for a < n:
          vector for b < n:
            b1[b] = b0[a]
    """,
    "a parallel loop is inside a vector loop": """
        vector for a < n:
          parallel for b < n:
            b1[b] = b0[a]
    """,
    "b0 is an input": "b0[0] = 0.0:float32",
    "b7 is not declared": "b7[0] = 0.0:float32",
    "int64 is stored to b1": "b1[0] = n",
    "the subscript is float32": "b1[0.0:float32] = 0.0:float32",
    "read with 2 subscripts": "b1[0] = b0[0, 0]",
    "a subscript of b0 is float32": "b1[0] = b0[0.0:float32]",
    "the condition is no bool": """
        if n:
          b1[0] = b0[0]
    """,
    "`sub` is no reduction": """
        v: float32 = fold sub serial:
          over k < 8
          of b0[k]
    """,
    "and does not reduce float32": """
        v: float32 = fold and serial:
          over k < 8
          of b0[k]
    """,
    "left depends on": """
        v: float32 = contract:
          m a < n
          n b < 4
          left b0[(a + b)]
          right b0[b]
          do:
            b1[a] = v
    """,
    "right depends on": """
        v: float32 = contract:
          m a < n
          n b < 4
          left b0[a]
          right b0[(a + b)]
          do:
            b1[a] = v
    """,
    "`k` is used where": """
        v: float32 = contract:
          m a < n
          k k < 8
          left b0[a]
          right b0[k]
          do:
            b1[k] = v
    """,
    "`w` is used where": """
        if (n < 3):
          w: float32 = b0[0]
        b1[0] = w
    """,
    "does not run over the tile": GOOD["tile"].replace("2 x 4", "3 x 4"),
    "does not add up": GOOD["tile"].replace("b b0", "b b2"),
    "a part of the tile is float32": GOOD["tile"].replace("depth n", "depth 1.0:float32"),
    "the first sum is int64": GOOD["tile"].replace("    do:", "    start c\n            do:"),
}


def program(body: str) -> Kernel:
    lines = body.strip("\n").splitlines()
    inset = len(lines[0]) - len(lines[0].lstrip())
    return from_text(HEAD + "\n".join(line[inset:] for line in lines))


@pytest.mark.parametrize("name", GOOD)
def test_kernels_that_keep_the_rules_pass(name: str) -> None:
    check(program(GOOD[name]))


def refuse(kernel: Kernel, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        check(kernel)
    assert caught.value.code == "E0801"
    assert said in caught.value.message


@pytest.mark.parametrize("said", BAD)
def test_kernels_that_break_a_rule_are_refused(said: str) -> None:
    refuse(program(BAD[said]), said)


A, V = var("a", symbol("n")), scalar("v", DType.FLOAT32)
ZERO = const(0, DType.FLOAT32)
UNPRINTABLE: dict[str, Stmt] = {
    "`a` is used where nothing binds it": Store(1, A, ZERO),
    "`v` is used where nothing": Store(1, const(0), V),
    "there is no unroll fold": Fold(V, "add", (), ZERO, "unroll"),  # type: ignore[arg-type]
    "there is no wavy loop": For(A, (), "wavy"),  # type: ignore[arg-type]
    "`v` is not a loop variable": For(V, ()),
    "is not a scalar": Let(A, ZERO),
    "b8 is not declared": Let(V, load(8, [0], DType.FLOAT32)),
    "read as int8": Let(V, load(0, [0], DType.INT8)),
    "chooses by no bool": Let(V, where(symbol("n"), ZERO + 1, ZERO)),
    "a reduction is inside": Let(V, reduce("add", 4, lambda k: load(0, [k], V.dtype))),
}


@pytest.mark.parametrize("said", UNPRINTABLE)
def test_statements_without_a_text_are_refused(said: str) -> None:
    good = program(GOOD["let"])
    refuse(replace(good, body=(UNPRINTABLE[said],)), said)


def buffer(number: int, size: Expr, space: Space = "param", role: Role = "in") -> Buffer:
    return Buffer(number, DType.FLOAT32, size, role, space)


N = symbol("n")
DECLARATIONS: dict[str, dict[str, Any]] = {
    "has no constant size": {"scratch": (buffer(2, N, "thread"),)},
    "two buffers have one number": {"scratch": (buffer(1, const(4), "thread"),)},
    "b3 is no parameter": {"params": (buffer(3, N, role="inout"),)},  # type: ignore[arg-type]
    "the size of b0 is float32": {"params": (buffer(0, ZERO),)},
    "the work estimate is float32": {"work": ZERO},
    "`a` is not a symbol": {"symbols": (A,)},
    "`n` is bound twice": {"symbols": (N, symbol("n", 2))},
}


@pytest.mark.parametrize("said", DECLARATIONS)
def test_wrong_declarations_are_refused(said: str) -> None:
    empty = replace(program(GOOD["let"]), body=())
    refuse(replace(empty, **DECLARATIONS[said]), said)


def test_the_statement_is_shown() -> None:
    with pytest.raises(EngineError, match=r"b1\[0\] = n"):
        check(program("b1[0] = n"))


def test_every_kind_of_statement_is_covered() -> None:
    kinds = {type(s) for name in GOOD for s in program(GOOD[name]).body}
    assert kinds >= {For, Fold, Contract}
    (loop,) = program(GOOD["tile"]).body
    assert isinstance(loop, For)
    assert isinstance(loop.body[0], Tile)

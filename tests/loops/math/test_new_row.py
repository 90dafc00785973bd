"""A scalar operation is one row, and a formula where it has no instruction: the rest follows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from engine.machine import Native, levels
from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, symbol
from sardonyx.core.operations import OPERATIONS, SIGNS, Operation, Spelling, register
from sardonyx.core.read import Reader
from sardonyx.loops.build import cost
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import For, Store
from sardonyx.loops.math.formulas import RULES, formula
from sardonyx.loops.math.parts import size
from sardonyx.loops.text import from_text, to_text

KERNEL = """kernel
in b0: float32[37]
out b1: float32[37]
work 37
vector for i0 < 37:
  b1[i0] = (softsign(b0[i0]) # 2.0:float32)
"""


@pytest.fixture
def rows() -> Iterator[None]:
    """Two operations more: one with a formula, one that LLVM has and that is a sign."""
    register(Operation("softsign", 1, lambda x: x / (1 + abs(x)), cost=5))
    larger = Spelling("llvm.maxnum", "llvm.smax")
    register(Operation("larger", 2, np.fmax, max, cost=2, sign="#", llvm=larger))

    @formula("softsign", DType.FLOAT32)
    def softsign(x: Expr) -> Expr:
        return x / (size(x) + 1.0)

    yield
    for name in ("softsign", "larger"):
        del OPERATIONS[name]
    del RULES["softsign", DType.FLOAT32], SIGNS["#"]


class Dims(Reader):
    """Expressions of symbols."""

    def variable(self, name: str) -> Expr:
        return symbol(name)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("level", levels())
def test_one_row_is_all(level: str, rng: np.random.Generator) -> None:
    kernel = from_text(KERNEL)
    check(kernel)
    assert to_text(kernel) == KERNEL
    loop = kernel.body[0]
    assert isinstance(loop, For)
    store = loop.body[0]
    assert isinstance(store, Store)
    assert cost(store.value) == 1 + 5 + 2
    x = rng.standard_normal(37).astype(np.float32)
    want = np.maximum(x / (1 + np.abs(x)), np.float32(2))
    meant, native = np.zeros_like(x), np.zeros_like(x)
    interpret(kernel, [x, meant])
    Native(kernel, level)([x, native])
    np.testing.assert_array_equal(meant, want)
    np.testing.assert_array_equal(native, want)


@pytest.mark.usefixtures("rows")
def test_dims_know_the_row_too() -> None:
    assert repr(Dims("N # 2").expression()) == "(N # 2)"

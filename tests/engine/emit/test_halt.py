"""A run that is to end: parallel loops are left after their trip, and nothing behind them runs."""

import numpy as np
import pytest

from engine.machine import Native, levels
from sardonyx.core.dtype import DType
from sardonyx.core.expr import const, symbol, var
from sardonyx.loops.ir import Buffer, For, Kernel, Store

N = symbol("n", 0)
I32 = DType.INT32


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("around", [False, True])
def test_a_halted_kernel_ends_within_a_trip(level: str, around: bool) -> None:
    i, j, k = var("i", N), var("j", N), var("k", const(3))
    loops = (
        For(i, (Store(0, i, const(1, I32)),), "parallel"),
        For(j, (Store(0, j + N, const(2, I32)),), "parallel"),
    )
    body = (For(k, loops, "serial"),) if around else loops
    native = Native(Kernel((Buffer(0, I32, N * 2, "out"),), (N,), body, const(1)), level)
    for halted, wanted in ((False, [1] * 5 + [2] * 5), (True, [1] + [0] * 9)):
        out = np.zeros(10, np.int32)
        native([out], [5], halted=halted)
        assert out.tolist() == wanted
    out = np.zeros(10, np.int32)
    native([out], [5], threads=2, halted=True)
    assert out.tolist() == [1, 0, 1] + [0] * 7

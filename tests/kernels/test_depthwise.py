"""Sliding windows with channels in lanes: borders, strides and every width of an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kernels.agree import LEVELS, agrees_interpreted, agrees_natively
from kernels.contracts import Case, matmul
from kernels.images import Window, depthwise, pool
from kernels.native import run
from sardonyx.core.expr import symbol
from sardonyx.kernels.depthwise import depthwise as strategy
from sardonyx.loops.target import make

N = symbol("N")

CASES: dict[str, Callable[[], Case]] = {
    "3x3": lambda: depthwise(N, 20, (9, 11), Window(), env={N: 2}),
    "3x3, stride 2": lambda: depthwise(N, 33, (10, 12), Window(3, 2, 1), env={N: 1}),
    "3x3, no padding": lambda: depthwise(2, 16, (6, 7), Window(3, 1, 0)),
    "5x5": lambda: depthwise(1, 18, (9, 9), Window(5, 1, 2)),
    "7x7": lambda: depthwise(1, 9, (11, 10), Window(7, 1, 3)),
    "window wider than the image": lambda: depthwise(1, 8, (3, 2), Window(5, 1, 2)),
    "many channels, few rows": lambda: depthwise(1, 256, (3, 9), Window()),
    "average pool": lambda: pool(N, 20, (9, 8), Window(3, 2, 1), "add", env={N: 2}),
    "max pool": lambda: pool(N, 20, (9, 8), Window(3, 2, 1), "max", env={N: 2}),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_native(name: str, level: str) -> None:
    """Machine code, with one thread and with the work of two done in turn."""
    for threads in (1, 2):
        agrees_natively(strategy, CASES[name](), level, threads)


@pytest.mark.parametrize("width", range(1, 12))
def test_every_width(width: int) -> None:
    """The columns are covered once, whatever is left of the blocks."""
    agrees_natively(strategy, depthwise(1, 5, (3, width), Window()), "generic", 2)
    agrees_natively(strategy, depthwise(1, 5, (4, 2 * width), Window(3, 2, 1)), "generic")


@pytest.mark.parametrize("level", LEVELS)
def test_interpreted(level: str) -> None:
    """The schedule itself, on machines that cannot run it too."""
    agrees_interpreted(strategy, depthwise(N, 3, (4, 8), Window(), env={N: 1}), level, 2)
    agrees_interpreted(strategy, pool(1, 3, (5, 5), Window(3, 2, 1), "max"), level)


def test_non_finite_elements_stay_under_their_windows() -> None:
    """What lies outside a window, or beyond the border, has no part in the sum."""
    case = depthwise(1, 4, (5, 9), Window())
    case.arrays[case.closed.params.index("x")].reshape(5, 9, 4)[0, 0] = np.inf
    wanted = case.wanted.reshape(5, 9, 4)
    target = make("generic")
    made = strategy(case.closed.kernel, target)
    assert not isinstance(made, str)
    got = run(target, case.closed.kernel, made, case.arrays, []).reshape(5, 9, 4)
    np.testing.assert_allclose(got[2:], wanted[2:], atol=1e-4)
    np.testing.assert_allclose(got[:, 2:], wanted[:, 2:], atol=1e-4)
    assert not np.isfinite(got[:2, :2]).any() or (got[:2, :2] == 0).any()


def test_refusals_say_why() -> None:
    """Contractions, reductions over everything and strided channels are for other strategies."""
    target = make("avx2")
    assert strategy(matmul(3, 4, 5).closed.kernel, target) == (
        "the kernel is not folds inside three loops"
    )
    wide = depthwise(1, 4, (20, 20), Window(13, 1, 6)).closed.kernel
    assert strategy(wide, target) == "the taps are too many, or not a known number"

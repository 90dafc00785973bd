"""Winograd convolutions: every border, odd sizes, both filterings, as exact as promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kernels.agree import LEVELS, agrees_interpreted, machine, needed, taken
from kernels.contracts import Case, matmul
from kernels.images import Window, conv
from kernels.native import run
from sardonyx.core import knobs
from sardonyx.core.expr import symbol
from sardonyx.kernels.filtering import F2, F4, Filtering
from sardonyx.kernels.gemm import gemm
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.kernels.winograd import filtered, winograd
from sardonyx.loops.ir import Contract, Kernel
from sardonyx.loops.target import Target, make

N = symbol("N")

CASES: dict[str, Callable[[], Case]] = {
    "even": lambda: conv(N, 32, 40, (8, 12), Window(), env={N: 2}),
    "odd": lambda: conv(N, 33, 32, (9, 13), Window(), env={N: 3}),
    "no padding": lambda: conv(1, 32, 32, (13, 11), Window(3, 1, 0)),
    "wide padding": lambda: conv(1, 32, 70, (9, 10), Window(3, 1, 2)),
    "many columns, few rows": lambda: conv(N, 64, 288, (6, 14), Window(), env={N: 1}),
}


def _by(filtering: Filtering) -> Callable[[Kernel, Target], Scheduled | str]:
    def strategy(kernel: Kernel, target: Target) -> Scheduled | str:
        c = kernel.body[0]
        assert isinstance(c, Contract)
        return filtered(kernel, c, target, filtering)

    return strategy


def _error(case: Case, target: Target, made: Scheduled, threads: int) -> float:
    arrays = [np.full_like(case.arrays[0], np.nan), *case.arrays[1:]]
    got = run(target, case.closed.kernel, made, arrays, case.symbols, threads)
    return float(np.abs(got - case.wanted).max() / np.abs(case.wanted).max())


BEST = next(level for level in reversed(LEVELS) if machine(level) is not None)
PLACES = [*((name, BEST) for name in CASES), *(("odd", level) for level in LEVELS[:-1])]


@pytest.mark.parametrize(("name", "level"), PLACES)
def test_exactness(name: str, level: str) -> None:
    """F(2x2) stays within twice the plain sum's error, F(4x4) within a few digits more."""
    target, case = needed(level), CASES[name]()
    plain = gemm(case.closed.kernel, target)
    assert isinstance(plain, Scheduled)
    base = max(_error(case, target, plain, 1), 2e-7)
    for threads in (1, 2):
        made = taken(_by(F2), case, target)
        assert _error(case, target, made, threads) <= 2 * base
    assert _error(case, target, taken(_by(F4), case, target), 2) <= 40 * base


def test_interpreted() -> None:
    """The schedule itself, for a machine that this one need not be."""
    agrees_interpreted(_by(F2), conv(N, 32, 32, (4, 8), Window(), env={N: 1}), "avx512", 2)


def test_precision_chooses() -> None:
    """Only where a lower precision is asked for are patches larger."""
    case, target = CASES["even"](), make("avx2")
    assert taken(winograd, case, target).strategy == "winograd 2x2"
    with knobs.override(precision="high"):
        assert taken(winograd, case, target).strategy == "winograd 4x4"


def test_an_infinity_stays_in_its_patch() -> None:
    """Outputs whose patches do not hold the element are as without it."""
    level = "avx2" if machine("avx2") else "generic"
    case, target = conv(1, 32, 32, (12, 12), Window()), needed(level)
    x = case.arrays[case.closed.params.index("x")].reshape(12, 12, 32)
    x[0, 0] = np.inf
    got = run(target, case.closed.kernel, taken(winograd, case, target), case.arrays, [])
    wanted, found = (a.reshape(12, 12, 32) for a in (case.wanted, got))
    np.testing.assert_allclose(found[2:], wanted[2:], atol=1e-4)
    np.testing.assert_allclose(found[:, 2:], wanted[:, 2:], atol=1e-4)


@pytest.mark.parametrize("by", [F2, F4])
def test_matrices_make_the_sums_of_a_window(by: Filtering) -> None:
    """At ((G g) * (Bt d)) is the plain correlation of 3 weights with a line of the patch."""
    at, bt, g = (np.array(m) for m in (by.at, by.bt, by.g))
    rng = np.random.default_rng(0)
    weights, line = rng.standard_normal(3), rng.standard_normal(by.patch)
    found = at @ ((g @ weights) * (bt @ line))
    np.testing.assert_allclose(found, np.correlate(line, weights), atol=1e-12)


def test_refusals_say_why() -> None:
    """Other windows, strides and layouts, and few channels, are for the plain product."""
    target = make("avx512")

    def reason(case: Case) -> str:
        made = winograd(case.closed.kernel, target)
        assert isinstance(made, str)
        return made

    assert reason(matmul(64, 64, 64)) == "the contraction is not a convolution of images"
    moved = "the window is not 3 by 3, or moves by more than one"
    assert reason(conv(1, 32, 32, (12, 12), Window(3, 2, 1))) == moved
    assert reason(conv(1, 32, 32, (12, 12), Window(5, 1, 2))) == moved
    assert reason(conv(1, 32, 32, (9, 9), Window(), planar=True)) == (
        "the channels are not contiguous"
    )
    assert reason(conv(1, 16, 32, (12, 12), Window())).startswith("the channels are too few")
    assert reason(conv(1, 32, 32, (2, 3), Window())) == "the image is too small"
    kernel = conv(1, 32, 32, (9, 9), Window()).closed.kernel
    twice = replace(kernel, body=(*kernel.body, *kernel.body))
    assert winograd(twice, target) == "the kernel is not one contraction"

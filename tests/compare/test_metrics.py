"""Figures of differences, on arrays whose distance is known."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.compare import Tally, difference
from sardonyx.compare.metrics import Statistics, spacing
from sardonyx.core.dtype import DType


def test_equal_arrays_differ_in_nothing() -> None:
    x = np.array([[1.0, -2.0, np.nan], [np.inf, 0.0, -np.inf]], np.float32)
    found = difference("y", x, x.copy())
    assert (found.max_abs, found.max_rel, found.max_ulp) == (0.0, 0.0, 0)
    assert (found.argmax, found.differing) == (1.0, 0)
    assert found.cosine == pytest.approx(1.0, abs=1e-12)
    assert (found.elements, found.rows, found.reason) == (6, 2, "")


def test_figures_of_a_known_difference() -> None:
    a = np.array([[4.0, 1.0], [1.0, 2.0]], np.float32)
    b = np.array([[4.0, 1.5], [2.5, 2.0]], np.float32)
    found = difference("y", a, b)
    assert (found.max_abs, found.max_rel) == (1.5, 0.375)
    assert (found.differing, found.elements, found.argmax) == (2, 4, 0.5)
    assert found.max_ulp == round(1.5 / np.spacing(np.float32(1.0)))
    flat = a.ravel() @ b.ravel()
    wanted = flat / np.linalg.norm(a) / np.linalg.norm(b)
    assert found.cosine == pytest.approx(wanted, rel=1e-6)


def test_one_unit_in_the_last_place() -> None:
    for dtype in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16):
        a = np.array([1.0, 3.0, 100.0], dtype)
        bits = a.view(f"u{a.dtype.itemsize}")
        b = (bits + 1).view(dtype)
        assert difference("y", a, b).max_ulp == 1


def test_ulps_of_tiny_values_do_not_count() -> None:
    a = np.array([1000.0, 1e-6], np.float32)
    b = np.array([1000.0, 2e-6], np.float32)
    assert difference("y", a, b).max_ulp == 0
    alone = difference("y", a[1:], b[1:])
    assert alone.max_ulp == round((b[1] - a[1]) / np.spacing(a[1]))


def test_ulps_follow_the_narrower_type() -> None:
    a = np.array([1.0], np.float64)
    b = np.array([1.0 + 2.0**-10], np.float16)
    assert difference("y", a, b).max_ulp == 1


@given(st.floats(1e-300, 1e300))
def test_spacing_is_that_of_numpy(x: float) -> None:
    array = np.array([x])
    assert spacing(array, DType.FLOAT64)[0] == np.spacing(x)


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (np.zeros(2), np.zeros(3), "shape [2] against [3]"),
        (np.zeros(2), np.array([0.0, np.nan]), "NaN in different places"),
        (np.zeros(2), np.zeros(2, np.int64), "float64 against int64"),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), "1 strings differ"),
    ],
)
def test_what_cannot_be_compared(a: object, b: object, reason: str) -> None:
    found = difference("y", a, b)
    assert found.reason == reason
    assert found.max_abs == float("inf") or "strings" in reason


def test_infinities() -> None:
    a = np.array([np.inf, 1.0], np.float32)
    b = np.array([-np.inf, 1.0], np.float32)
    assert difference("y", a, b).max_abs == float("inf")
    assert difference("y", a, a).max_abs == 0.0


def test_large_integers_are_told_apart() -> None:
    a = np.array([2**62, 5], np.int64)
    b = np.array([2**62 + 1, 5], np.int64)
    assert difference("y", a, b).differing == 1
    assert difference("y", a, b).max_ulp is None


def test_strings_bools_complex_and_empty_arrays() -> None:
    text = np.array(["a", "ü"], object)
    assert difference("y", text, text).differing == 0
    flags = np.array([True, False])
    assert difference("y", flags, ~flags).differing == 2
    x = np.array([1 + 1j, 2], np.complex64)
    assert difference("y", x, x * 1j).max_abs == pytest.approx(8**0.5)
    empty = np.zeros((0, 3), np.float32)
    found = difference("y", empty, empty)
    assert (found.max_abs, found.cosine, found.argmax) == (0.0, 1.0, None)


def test_angles_of_nothing() -> None:
    zero, one = np.zeros(2), np.ones(2)
    assert difference("y", zero, zero).cosine == 1.0
    assert difference("y", zero, one).cosine == 0.0
    assert difference("y", one, -one).cosine == pytest.approx(-1.0)


def test_a_tally_is_the_difference_of_all_runs(rng: np.random.Generator) -> None:
    a = rng.standard_normal((20, 5)).astype(np.float32)
    b = a + rng.standard_normal((20, 5)).astype(np.float32) * np.float32(0.1)
    tally = Tally("y")
    for start in range(0, 20, 6):
        tally.add(a[start : start + 6], b[start : start + 6])
    whole, found = (difference("y", a, b), tally.difference())
    assert (found.max_abs, found.max_rel) == (whole.max_abs, whole.max_rel)
    assert (found.argmax, found.differing) == (whole.argmax, whole.differing)
    assert found.cosine == pytest.approx(whole.cosine, rel=1e-12)


def test_the_share_of_signal_in_noise_and_of_the_largest() -> None:
    a = np.arange(40, dtype=np.float64).reshape(4, 10)
    b = a + 0.1
    found = difference("y", a, b)
    assert found.snr == pytest.approx(10 * np.log10(np.sum(a**2) / (40 * 0.01)))
    assert found.top5 == 1.0
    assert difference("y", a, a).snr is None
    assert difference("y", a, -a).top5 == 0.0
    assert difference("y", a[:, :5], b[:, :5]).top5 is None
    moved = a.copy()
    moved[:, 5], moved[:, 0] = a[:, 0], a[:, 5]
    assert difference("y", a, moved).top5 == pytest.approx(0.8)


def test_statistics_leave_out_what_is_not_finite() -> None:
    found = Statistics.of(np.array([1.0, 3.0, np.nan, np.inf], np.float32))
    assert (found.low, found.high, found.mean, found.spread, found.strange) == (1, 3, 2, 1, 2)
    assert Statistics.of(np.array([np.nan])).strange == 1

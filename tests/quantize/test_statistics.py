"""Ranges from batches seen once: what they contain, how exact they are, what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sardonyx.core.dtype import Array
from sardonyx.quantize.statistics import BINS, Range, Statistics

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ANY = st.floats(width=32)
MODERATE = st.floats(-1000.0, 1000.0, width=32)


def _batches(elements: st.SearchStrategy[float]) -> st.SearchStrategy[list[Array]]:
    one = arrays(np.float32, st.integers(1, 20), elements=elements)
    return st.lists(one, min_size=1, max_size=5)


def _seen(batches: list[Array]) -> Statistics:
    seen = Statistics()
    for batch in batches:
        seen.update(batch)
    return seen


@given(_batches(FINITE))
def test_extremes_are_those_of_all_batches_and_zero(batches: list[Array]) -> None:
    whole = np.concatenate(batches)
    found = _seen(batches).extremes()
    assert found.low == min(0.0, whole.min())
    assert found.high == max(0.0, whole.max())


@given(_batches(ANY))
def test_what_is_not_finite_is_counted_and_left_out(batches: list[Array]) -> None:
    whole = np.concatenate(batches)
    seen = _seen(batches)
    good = np.isfinite(whole)
    assert seen.finite == good.sum()
    assert seen.dropped == (~good).sum()
    assert seen.counts.sum() == seen.finite


@given(_batches(FINITE))
def test_every_finite_element_stays_in_the_histogram(batches: list[Array]) -> None:
    seen = _seen(batches)
    assert seen.counts.sum() == seen.finite
    assert seen.reach >= float(np.abs(np.concatenate(batches)).max())


@given(_batches(MODERATE))
def test_order_of_batches_does_not_matter(batches: list[Array]) -> None:
    forth, back = _seen(batches), _seen(batches[::-1])
    assert forth.reach == back.reach
    assert np.array_equal(forth.counts, back.counts)


@given(_batches(MODERATE))
def test_widening_merges_bins_as_if_the_reach_had_been_known(batches: list[Array]) -> None:
    seen = _seen(batches)
    whole = np.concatenate(batches).astype(np.float64)
    edges = np.arange(1, BINS) * (2 * seen.reach / BINS) - seen.reach
    direct = np.bincount(np.searchsorted(edges, whole, "right"), minlength=BINS)
    assert np.array_equal(seen.counts, direct)


@given(_batches(MODERATE), st.floats(50.1, 100.0))
def test_percentile_holds_its_share_within_a_bin(batches: list[Array], share: float) -> None:
    whole = np.concatenate(batches)
    seen = _seen(batches)
    found = seen.percentile(share)
    width = 2 * seen.reach / BINS
    inside = (whole >= found.low - width) & (whole <= found.high + width)
    assert inside.mean() >= share / 100 - 1e-9
    assert found.low <= 0.0 <= found.high


@given(_batches(MODERATE))
def test_the_hundredth_percentile_is_everything(batches: list[Array]) -> None:
    seen = _seen(batches)
    assert seen.percentile(100.0) == seen.extremes()


def test_percentile_cuts_outliers_on_both_sides() -> None:
    near = np.linspace(-1, 1, 100_000, dtype=np.float32)
    far = np.array([900, -900], np.float32)
    seen = _seen([near, far])
    found = seen.percentile(99.9)
    assert found.low == pytest.approx(-1, abs=2 * 900 * 2 / BINS)
    assert found.high == pytest.approx(1, abs=2 * 900 * 2 / BINS)
    assert seen.extremes() == Range(-900.0, 900.0)


def test_without_bins_no_histogram_is_kept() -> None:
    seen = Statistics(binned=False)
    seen.update(np.array([1, 2], np.float32))
    assert seen.counts.sum() == 0
    assert seen.extremes() == Range(0.0, 2.0)


@given(FINITE, FINITE)
def test_codes_reach_both_ends_and_zero_is_a_code(a: float, b: float) -> None:
    found = Range(min(a, b, 0.0), max(a, b, 0.0))
    scale, zero = found.scale_and_zero()
    assert 0 <= zero <= 255
    assert scale > 0
    assert scale == np.float32(scale)
    largest = max(abs(found.low), abs(found.high))
    assert (0 - zero) * scale <= found.low + scale / 2 + 1e-6 * largest
    assert (255 - zero) * scale >= found.high - scale / 2 - 1e-6 * largest


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-40, 3e38])
def test_constant_tensors_have_a_range(value: float) -> None:
    seen = _seen([np.full(100, value, np.float32)])
    for found in (seen.extremes(), seen.percentile(99.0)):
        scale, zero = found.scale_and_zero()
        code = np.clip(np.rint(np.float32(value) / np.float32(scale)) + zero, 0, 255)
        assert (code - zero) * scale == pytest.approx(value, rel=1e-2, abs=1e-18)

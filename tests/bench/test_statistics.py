"""Ratios from pairs of times: the median, the interval, and the pairs that do not count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.bench.statistics import (
    Pair,
    bootstrap,
    geometric_mean,
    keep_steady,
    running_median,
    summarise,
)


def _pairs(ratios: list[float], restart: int = 0, baseline: float = 1.0) -> list[Pair]:
    return [Pair(baseline / ratio, baseline, restart) for ratio in ratios]


def test_ratio_is_above_one_where_the_subject_is_faster() -> None:
    assert Pair(subject=0.5, baseline=1.0, restart=0).ratio == 2.0


def test_median_ignores_one_slow_block_of_the_subject() -> None:
    assert summarise(_pairs([2.0] * 20 + [0.1])).median == 2.0


def test_stray_baselines_are_dropped_on_both_sides_and_counted() -> None:
    steady = _pairs([1.0] * 20)
    slow = Pair(1.0, 1.3, 0)
    fast = Pair(1.0, 0.7, 0)
    pairs = [*steady[:7], slow, *steady[7:15], fast, *steady[15:]]
    found = summarise(pairs)
    assert found.pairs == 20
    assert found.dropped == 2


def test_a_slow_drift_of_the_machine_drops_nothing() -> None:
    pairs = [Pair(t, t, 0) for t in np.linspace(1.0, 3.0, 60)]
    assert len(keep_steady(pairs)) == 60


def test_restarts_are_judged_each_by_its_own_median() -> None:
    quick = _pairs([1.0] * 5, 0, baseline=1.0)
    slow = _pairs([1.0] * 5, 1, baseline=2.0)
    kept = keep_steady(quick + slow)
    assert len(kept) == 10


def test_interval_covers_the_truth_about_nineteen_times_in_twenty(rng: np.random.Generator) -> None:
    hits = 0
    for seed in range(60):
        noise = rng.normal(0.0, 0.1, 30)
        found = summarise(_pairs(list(1.5 * np.exp(noise))), seed)
        hits += found.low <= 1.5 <= found.high
    assert 52 <= hits <= 60


def test_what_differs_between_restarts_widens_the_interval() -> None:
    alike: list[Pair] = []
    apart: list[Pair] = []
    for restart in range(3):
        alike += _pairs([1.0, 1.02] * 4, restart)
        apart += _pairs([0.8 + 0.2 * restart] * 8, restart)
    narrow = summarise(alike)
    wide = summarise(apart)
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


def test_interval_is_the_same_for_the_same_seed() -> None:
    groups = [np.array([1.0, 1.1, 1.3, 0.9])]
    once = bootstrap(groups, 3)
    again = bootstrap(groups, 3)
    assert once == again


def test_no_steady_pair_is_an_error() -> None:
    with pytest.raises(ValueError, match="no steady pair"):
        summarise([])


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=30))
def test_running_median_lies_between_the_extremes(values: list[float]) -> None:
    found = running_median(values)
    assert len(found) == len(values)
    assert min(values) <= min(found)
    assert max(found) <= max(values)


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert np.isnan(geometric_mean([]))

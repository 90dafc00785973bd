"""What a list of paired times says: which pairs count, their ratio, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRAY = 0.20
WINDOW = 9
RESAMPLES = 1000


@dataclass(frozen=True)
class Pair:
    """Seconds for one run of the subject and of the baseline, measured next to each other."""

    subject: float
    baseline: float
    restart: int

    @property
    def ratio(self) -> float:
        """Above 1 where the subject is faster."""
        return self.baseline / self.subject


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios with its 95 % bootstrap interval; above 1 = subject faster."""

    median: float
    low: float
    high: float
    pairs: int
    dropped: int
    restarts: int

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def running_median(values: Sequence[float], window: int = WINDOW) -> list[float]:
    """The median of the `window` values around each place, fewer at the ends."""
    half = window // 2
    array = np.asarray(values, np.float64)
    return [float(np.median(array[max(0, i - half) : i + half + 1])) for i in range(len(array))]


def keep_steady(pairs: Sequence[Pair], stray: float = STRAY) -> list[Pair]:
    """The pairs whose baseline stays within `stray` of its running median in the same restart."""
    kept: list[Pair] = []
    for restart in sorted({pair.restart for pair in pairs}):
        group = [pair for pair in pairs if pair.restart == restart]
        middle = running_median([pair.baseline for pair in group])
        kept += [
            pair
            for pair, median in zip(group, middle, strict=True)
            if abs(pair.baseline - median) <= stray * median
        ]
    return kept


def bootstrap(groups: Sequence[NDArray[np.float64]], seed: int) -> tuple[float, float]:
    """The 95 % interval of the median over all groups, resampling groups and then members.

    A group is one start of the processes: what differs between starts counts as uncertainty.
    """
    rng = np.random.default_rng(seed)
    medians = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = rng.integers(0, len(groups), len(groups))
        sample = [groups[g][rng.integers(0, len(groups[g]), len(groups[g]))] for g in drawn]
        medians[i] = np.median(np.concatenate(sample))
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


def summarise(pairs: Sequence[Pair], seed: int = 0) -> Ratio:
    """Median and interval of the steady pairs; ValueError when none is steady."""
    kept = keep_steady(pairs)
    if not kept:
        raise ValueError("no steady pair")
    restarts = sorted({pair.restart for pair in kept})
    groups = [np.array([p.ratio for p in kept if p.restart == r]) for r in restarts]
    low, high = bootstrap(groups, seed)
    median = float(np.median(np.concatenate(groups)))
    return Ratio(median, low, high, len(kept), len(pairs) - len(kept), len(restarts))


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values; NaN of none."""
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")

"""The range of a tensor, from batches seen once: exact extremes, and a histogram that widens.

The histogram covers [-reach, reach] with `reach` a power of two; when a batch goes beyond, reach
doubles and neighbouring bins merge, so memory is constant and no batch is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BINS = 4096


@dataclass(frozen=True)
class Range:
    """The real interval that an integer type is to cover; always contains 0."""

    low: float
    high: float

    def scale_and_zero(self) -> tuple[float, int]:
        """Scale and zero point of uint8 codes: low is code 0, high is code 255."""
        scale = max((self.high - self.low) / 255.0, 2.0**-100)
        return scale, round(-self.low / scale)


def _counts() -> Array:
    return np.zeros(BINS, np.int64)


@dataclass
class Statistics:
    """What has been seen of one tensor: `low`, `high` and `counts` of the finite elements."""

    low: float = math.inf
    high: float = -math.inf
    reach: float = 0.0
    finite: int = 0
    dropped: int = 0
    counts: Array = field(default_factory=_counts)

    def update(self, batch: Array) -> None:
        """Takes a batch in; NaN and infinities are left out and counted in `dropped`."""
        values = np.asarray(batch, np.float32).ravel()
        good = values[np.isfinite(values)]
        self.dropped += values.size - good.size
        if not good.size:
            return
        self.finite += good.size
        self.low = min(self.low, float(good.min()))
        self.high = max(self.high, float(good.max()))
        self._widen(max(abs(self.low), abs(self.high)))
        edges = (-self.reach, self.reach)
        self.counts += np.histogram(good, BINS, edges)[0]

    def _widen(self, needed: float) -> None:
        if needed == 0.0:
            needed = 2.0**-20
        wanted = 2.0 ** math.ceil(math.log2(needed))
        if self.reach == 0.0:
            self.reach = wanted
        while self.reach < wanted:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = _counts()
            self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
            self.reach *= 2

    def extremes(self) -> Range:
        """From the smallest to the largest element seen."""
        return Range(min(self.low, 0.0), max(self.high, 0.0))

    def percentile(self, share: float) -> Range:
        """The interval holding `share` percent of the elements, cut equally on both sides.

        A side that is never negative (or positive) keeps its bound at 0.
        """
        total = np.cumsum(self.counts)
        cut = self.finite * (1.0 - share / 100.0) / 2.0
        width = 2 * self.reach / BINS
        first = int(np.searchsorted(total, cut, side="right"))
        last = int(np.searchsorted(total, self.finite - cut, side="left"))
        low = max(self.low, -self.reach + first * width)
        high = min(self.high, -self.reach + (last + 1) * width)
        return Range(min(low, 0.0), max(high, 0.0))

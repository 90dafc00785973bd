"""The range of a tensor, from batches seen once: exact extremes, and a histogram that widens.

The histogram covers [-reach, reach] with `reach` a power of two; when a batch goes beyond, reach
doubles and neighbouring bins merge, so memory is constant and no batch is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sardonyx.core.dtype import Array

BINS = 4096
TOP = 255
SMALLEST = 2.0**-60


@dataclass(frozen=True)
class Range:
    """The real interval that an integer type is to cover; always contains 0."""

    low: float
    high: float

    def scale_and_zero(self) -> tuple[float, int]:
        """Scale and zero point of uint8 codes: low is code 0, high is code 255.

        An interval that is only 0 has scale 1: any would do.
        """
        if self.low == self.high:
            return 1.0, 0
        scale = float(np.float32(max((self.high - self.low) / TOP, SMALLEST)))
        return scale, min(round(-self.low / scale), TOP)


def _counts() -> Array:
    return np.zeros(BINS, np.int64)


@dataclass
class Statistics:
    """What has been seen of one tensor: `low`, `high` and `counts` of the finite elements.

    With `binned` False no histogram is kept, and `percentile` cannot be asked for.
    """

    binned: bool = True
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
        if self.binned:
            self._widen(max(abs(self.low), abs(self.high)))
            self.counts += np.bincount(self._bins(good), minlength=BINS)

    def _bins(self, values: Array) -> Array:
        """The bin of each element; exact, since bins per unit are a power of two."""
        per_unit = np.float64(BINS / 2 / self.reach)
        places = np.floor(values.astype(np.float64) * per_unit).astype(np.int64)
        return np.minimum(places + BINS // 2, BINS - 1)

    def _widen(self, needed: float) -> None:
        wanted = 2.0 ** (math.floor(math.log2(max(needed, SMALLEST))) + 1)
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
        """An interval that holds `share` percent of the elements, as much cut on either side.

        It is exact to one bin of the histogram, and contains 0 whatever was cut.
        """
        total = np.cumsum(self.counts)
        cut = self.finite * (1.0 - share / 100.0) / 2.0
        width = 2 * self.reach / BINS
        first = int(np.searchsorted(total, cut, side="right"))
        last = int(np.searchsorted(total, self.finite - cut, side="left"))
        low = max(self.low, -self.reach + first * width)
        high = min(self.high, -self.reach + (last + 1) * width)
        return Range(min(low, 0.0), max(high, 0.0))

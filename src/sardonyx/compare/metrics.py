"""How far two arrays are apart, in the figures that tell a rounding difference from a wrong one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """The figures of one output.

    `max_abs`: largest |a - b|. `max_rel`: that over the largest |a|. `max_ulp`: largest distance
    in units in the last place of the narrower float type, elements below 1e-3 of the largest left
    out (cancellation makes ulps of tiny values meaningless); None for other types. `cosine`: of
    the flattened arrays. `argmax`: share of rows (last axis) with the same largest element; None
    for scalars. `differing`: number of unequal elements; `reason` when not comparable at all.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    max_ulp: int | None
    cosine: float
    argmax: float | None
    differing: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)


def difference(name: str, a: Any, b: Any) -> Difference:
    """The figures of `b` against the reference `a`; NaN equals NaN, an infinity itself."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return _incomparable(name, b, f"shape {list(a.shape)} against {list(b.shape)}")
    if a.dtype.kind in "OUS" or b.dtype.kind in "OUS":
        unequal = int(np.count_nonzero(a != b))
        reason = f"{unequal} strings differ" if unequal else ""
        return Difference(name, str(b.dtype), b.shape, 0.0, 0.0, None, 1.0, None, unequal, reason)
    x, y = a.astype(np.float64), b.astype(np.float64)
    if not np.array_equal(np.isnan(x), np.isnan(y)):
        return _incomparable(name, b, "NaN in different places")
    same = (x == y) | np.isnan(x)
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(x - y))
    largest = float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))
    max_abs = float(gap.max(initial=0.0))
    return Difference(
        name, str(b.dtype), b.shape, max_abs, max_abs / largest if largest else max_abs,
        _ulps(x, gap, largest, a.dtype, b.dtype), _cosine(x, y), _argmax(a, b),
        int(np.count_nonzero(~same)),
    )  # fmt: skip


def _incomparable(name: str, b: Array, reason: str) -> Difference:
    inf = float("inf")
    return Difference(name, str(b.dtype), b.shape, inf, inf, None, 0.0, None, b.size, reason)


def _ulps(
    x: Array, gap: Array, largest: float, a: np.dtype[Any], b: np.dtype[Any]
) -> int | None:
    kinds = [d for d in (a, b) if d.kind == "f"]
    if not kinds or not x.size:
        return None
    narrow = min(kinds, key=lambda d: d.itemsize)
    with np.errstate(all="ignore"):
        spacing = np.spacing(np.abs(x).astype(narrow)).astype(np.float64)
    big = np.isfinite(spacing) & (spacing > 0) & (np.abs(x) >= 1e-3 * largest)
    found = np.max(gap[big] / spacing[big], initial=0.0)
    return int(min(round(found), 1 << 52)) if np.isfinite(found) else None


def _cosine(x: Array, y: Array) -> float:
    x, y = np.nan_to_num(x.ravel()), np.nan_to_num(y.ravel())
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.dot(x, y) / scale) if scale else float(np.array_equal(x, y))


def _argmax(a: Array, b: Array) -> float | None:
    if not a.ndim or not a.size or a.shape[-1] < 2:
        return None
    return float(np.mean(a.argmax(-1) == b.argmax(-1)))

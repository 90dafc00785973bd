"""How far arrays are apart, in the figures that tell a rounding difference from a wrong one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument

_SMALL = 1e-3
_MOST_ULPS = 1 << 52
_TOP = 5


@dataclass(frozen=True)
class Statistics:
    """The finite elements of an array, and how many are not finite."""

    low: float
    high: float
    mean: float
    spread: float
    strange: int

    @classmethod
    def of(cls, x: Array) -> Statistics:
        """Of numbers; zeros where no element is finite."""
        wide = np.abs(x) if np.iscomplexobj(x) else x.astype(np.float64)
        plain = wide[np.isfinite(wide)]
        strange = int(wide.size - plain.size)
        if not plain.size:
            return cls(0.0, 0.0, 0.0, 0.0, strange)
        mean, spread = float(plain.mean()), float(plain.std())
        return cls(float(plain.min()), float(plain.max()), mean, spread, strange)

    def __str__(self) -> str:
        text = f"{self.low:.3g} to {self.high:.3g}, mean {self.mean:.3g}, spread {self.spread:.3g}"
        return text + (f", {self.strange} not finite" if self.strange else "")


@dataclass(frozen=True)
class Difference:
    """The figures of one output over all runs.

    `max_abs`: largest |a - b|. `max_rel`: that over the largest |a|. `max_ulp`: largest distance
    in units in the last place of the narrower float type, elements below 1e-3 of the largest left
    out (cancellation makes ulps of tiny values meaningless); None for other types. `cosine`: of
    all elements as two vectors. `argmax`: share of the `rows` (last axis) with the same largest
    element; None where there are no rows. `differing` of `elements` are unequal. `reason` is
    filled when the arrays cannot be compared at all. `snr`: 10 log10 of the power of `a` over that
    of a - b, in decibels; None without an error or a signal. `top5`: the share of the five largest
    elements of `a`'s rows that are among the five largest of `b`'s; None for rows of five or fewer.
    """

    name: str
    dtype: str
    max_abs: float
    max_rel: float
    max_ulp: int | None
    cosine: float
    argmax: float | None
    rows: int
    differing: int
    elements: int
    reason: str = ""
    snr: float | None = None
    top5: float | None = None

    @property
    def equal_share(self) -> float:
        """The share of elements that are equal; 1 for none."""
        return 1.0 - self.differing / self.elements if self.elements else 1.0

    @property
    def is_float(self) -> bool:
        """Whether rounding can make elements differ."""
        return self.max_ulp is not None or self.dtype.startswith("complex")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return asdict(self)


def difference(name: str, a: Any, b: Any) -> Difference:
    """The figures of `b` against the reference `a`; NaN equals NaN, an infinity itself."""
    tally = Tally(name)
    tally.add(a, b)
    return tally.difference()


@dataclass
class Tally:
    """The figures of one output, gathered run by run."""

    name: str
    dtype: str = ""
    max_abs: float = 0.0
    largest: float = 0.0
    max_ulp: int | None = None
    rows: int = 0
    agreeing: int = 0
    differing: int = 0
    elements: int = 0
    reason: str = ""
    shared: int = 0
    ranked: int = 0
    noise: float = 0.0
    _dots: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def add(self, a: Any, b: Any) -> None:
        """One run's arrays: the reference first."""
        a, b = np.asarray(a), np.asarray(b)
        self.dtype = str(b.dtype) if a.dtype == b.dtype else f"{a.dtype}, {b.dtype}"
        if a.dtype == object or b.dtype == object:
            self.dtype = "string"
        self.elements += b.size
        if a.shape != b.shape:
            self._incomparable(b, f"shape {list(a.shape)} against {list(b.shape)}")
        elif _kind(a) != _kind(b):
            self._incomparable(b, f"{a.dtype} against {b.dtype}")
        elif _kind(a) == "text":
            self._texts(a, b)
        else:
            self._numbers(a, b)

    def _incomparable(self, b: Array, reason: str) -> None:
        self.reason = self.reason or reason
        self.differing += b.size

    def _texts(self, a: Array, b: Array) -> None:
        unequal = int(np.count_nonzero(a.astype(object) != b.astype(object)))
        self.differing += unequal
        if unequal:
            self.reason = self.reason or f"{unequal} strings differ"

    def _numbers(self, a: Array, b: Array) -> None:
        x, y = _wide(a), _wide(b)
        if not np.array_equal(np.isnan(x), np.isnan(y)):
            self._incomparable(b, "NaN in different places")
            return
        same = _equal(a, b) | (np.isnan(x) & np.isnan(y))
        with np.errstate(all="ignore"):
            gap = np.where(same, 0.0, np.abs(x - y))
        size = np.abs(x)
        self.largest = max(self.largest, _top(size))
        self.max_abs = max(self.max_abs, float(gap.max(initial=0.0)))
        self.differing += int(np.count_nonzero(~same))
        self._angle(x, y)
        self.noise += float(np.sum(np.square(gap), where=np.isfinite(gap)))
        self._ulps(size, gap, a, b)
        self._labels(x, y)

    def _angle(self, x: Array, y: Array) -> None:
        plain = np.isfinite(x) & np.isfinite(y)
        left, right = x[plain], y[plain]
        pairs = ((left, right), (left, left), (right, right))
        for n, (p, q) in enumerate(pairs):
            self._dots[n] += float(np.real(np.vdot(p, q)))

    def _ulps(self, size: Array, gap: Array, a: Array, b: Array) -> None:
        kinds = [DType.from_numpy(d) for d in (a.dtype, b.dtype)]
        if not all(d.is_float for d in kinds):
            return
        narrow = min(kinds, key=lambda d: d.bits)
        unit = spacing(size, narrow)
        big = np.isfinite(size) & np.isfinite(gap) & (size >= _SMALL * self.largest)
        found = float(np.max(gap[big] / unit[big], initial=0.0))
        most = int(min(round(found), _MOST_ULPS))
        self.max_ulp = max(self.max_ulp or 0, most)

    def _labels(self, x: Array, y: Array) -> None:
        if np.iscomplexobj(x) or not x.ndim or not x.size or x.shape[-1] < 2:
            return
        agree = x.argmax(-1) == y.argmax(-1)
        self.rows += agree.size
        self.agreeing += int(np.count_nonzero(agree))
        if x.shape[-1] > _TOP:
            p, q = (np.argsort(-z, axis=-1, kind="stable")[..., :_TOP] for z in (x, y))
            self.shared += int(np.count_nonzero(p[..., None] == q[..., None, :]))
            self.ranked += p.size

    def difference(self) -> Difference:
        """The figures so far."""
        failed = bool(self.reason)
        max_rel = self.max_abs / self.largest if self.largest else self.max_abs
        return Difference(
            name=self.name,
            dtype=self.dtype,
            max_abs=float("inf") if failed else self.max_abs,
            max_rel=float("inf") if failed else max_rel,
            max_ulp=self.max_ulp,
            cosine=0.0 if failed else self._cosine(),
            argmax=self.agreeing / self.rows if self.rows else None,
            rows=self.rows,
            differing=self.differing,
            elements=self.elements,
            reason=self.reason,
            snr=None if failed else self._snr(),
            top5=self.shared / self.ranked if self.ranked else None,
        )

    def _snr(self) -> float | None:
        signal = self._dots[1]
        return 10 * float(np.log10(signal / self.noise)) if signal and self.noise else None

    def _cosine(self) -> float:
        dot, left, right = self._dots
        if left == 0.0 or right == 0.0:
            return 1.0 if left == right else 0.0
        scale: float = left**0.5 * right**0.5
        return min(1.0, dot / scale)


def spacing(size: Array, dtype: DType) -> Array:
    """The distance from each magnitude to the next one that `dtype` has, in float64."""
    info: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
    exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))[1] - 1
    lowest = np.maximum(exponent, info.minexp)
    found: Array = np.ldexp(1.0, lowest - info.nmant)
    return found


def _kind(a: Array) -> str:
    if a.dtype.kind in "OUST":
        return "text"
    try:
        dtype = DType.from_numpy(a.dtype)
    except InvalidArgument:
        return str(a.dtype)
    if dtype.is_float:
        return "float"
    return "complex" if dtype.is_complex else "whole"


def _wide(a: Array) -> Array:
    return a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)


def _equal(a: Array, b: Array) -> Array:
    """Equality without a detour over float64, which merges large integers."""
    found: Array = a == b if a.dtype == b.dtype else _wide(a) == _wide(b)
    return found


def _top(size: Array) -> float:
    return float(np.max(size, initial=0.0, where=np.isfinite(size)))

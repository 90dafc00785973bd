"""Resampling along one axis: where an output element looks, at which taps, with which weights.

The formulas are written once for arrays and for expressions; `Kit` has the few functions that
differ between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, cast, eq, maximum, minimum, unary, where
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import refuse

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Kit:
    """What arithmetic on numbers, arrays or expressions needs besides operators."""

    where: Callable[[Any, Any, Any], Any]
    equal: Callable[[Any, float], Any]
    floor: Callable[[Any], Any]
    ceil: Callable[[Any], Any]


ARRAYS = Kit(np.where, np.equal, np.floor, np.ceil)
EXPRS = Kit(where, eq, lambda e: unary("floor", e), lambda e: unary("ceil", e))


@dataclass(frozen=True)
class Axis:
    """One axis to resample: float64 numbers or expressions.

    `target` is the output length before it was rounded to `length`; the scale is `up / down`;
    `roi` is (start, end) or None.
    """

    kit: Kit
    source: Any
    target: Any
    length: Any
    up: Any
    down: Any
    roi: tuple[Any, Any] | None = None

    def at(self, mode: str, o: Any) -> Any:
        """The coordinate in the input of output position `o`."""
        ways: dict[str, Callable[[Any], Any]] = {
            "half_pixel": self._half_pixel,
            "half_pixel_symmetric": self._symmetric,
            "pytorch_half_pixel": lambda o: self._unless_one(self._half_pixel(o), o * 0.0),
            "align_corners": lambda o: self._unless_one(self._corners(o), o * 0.0),
            "asymmetric": lambda o: o * self.down / self.up,
            "tf_crop_and_resize": self._cropped,
        }
        if mode not in ways:
            given = ", ".join(COORDINATES)
            raise refuse("E0341", "`coordinate_transformation_mode` is unknown", mode, given)
        return ways[mode](o)

    def _unless_one(self, many: Any, one: Any) -> Any:
        return self.kit.where(self.kit.equal(self.target + o_like(many), 1.0), one, many)

    def _half_pixel(self, o: Any) -> Any:
        return (o + 0.5) * self.down / self.up - 0.5

    def _symmetric(self, o: Any) -> Any:
        adjustment = self.length / self.target
        return self.source / 2.0 * (1.0 - adjustment) + self._half_pixel(o)

    def _last(self) -> Any:
        """One less than the output length, and not zero."""
        one = self.kit.equal(self.target, 1.0)
        return self.kit.where(one, self.target, self.target - 1.0)

    def _corners(self, o: Any) -> Any:
        return o * (self.source - 1.0) / self._last()

    def _cropped(self, o: Any) -> Any:
        assert self.roi is not None
        start, end = self.roi
        last = self.source - 1.0
        many = o * (end - start) * last / self._last() + start * last
        return self._unless_one(many, o * 0.0 + (start + end) * last * 0.5)

    def rounded(self, mode: str, x: Any) -> Any:
        """A coordinate as a whole number."""
        if mode not in ROUNDINGS:
            raise refuse("E0341", "`nearest_mode` is unknown", mode, ", ".join(ROUNDINGS))
        if mode == "round_prefer_floor":
            return self.kit.ceil(x - 0.5)
        if mode == "round_prefer_ceil":
            return self.kit.floor(x + 0.5)
        return self.kit.floor(x) if mode == "floor" else self.kit.ceil(x)


def o_like(x: Any) -> Any:
    """Zero in the form of `x`."""
    return x * 0.0 if isinstance(x, Expr) else 0.0


def cubic_weights(t: Any, a: float) -> list[Any]:
    """The weights of the four neighbours of a coordinate whose fraction is `t`."""
    far, rest = t + 1.0, 1.0 - t
    beyond = 2.0 - t
    return [
        ((far - 5.0) * far * a + 8.0 * a) * far - 4.0 * a,
        (t * (a + 2.0) - (a + 3.0)) * t * t + 1.0,
        (rest * (a + 2.0) - (a + 3.0)) * rest * rest + 1.0,
        ((beyond - 5.0) * beyond * a + 8.0 * a) * beyond - 4.0 * a,
    ]


def _cubic(x: Array, a: float) -> Array:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def smooth_taps(x: Array, scale: float, mode: str, a: float) -> tuple[Array, Array]:
    """(positions, weights) of the taps of an antialiased resize, [outputs, taps] each."""
    shrink = min(scale, 1.0)
    radius = (1.0 if mode == "linear" else 2.0) / shrink
    base = np.where(x == np.floor(x), x - 1, np.floor(x))
    first = int(math.floor(-radius) + 1)
    positions = base[:, None] + np.arange(first, 2 - first)
    distance = (positions - x[:, None]) * shrink
    weights = np.clip(1 - np.abs(distance), 0, 1) if mode == "linear" else _cubic(distance, a)
    return positions.astype(np.int64), weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class SmoothTaps:
    """The same as expressions: tap k reads base + first + k; `extent` bounds taps that count."""

    at: Expr
    base: Expr
    first: int
    count: int
    shrink: float
    mode: str
    sharpness: float
    extent: Expr | None

    @classmethod
    def of(
        cls, at: Expr, scale: float, mode: str, sharpness: float, extent: Expr | None
    ) -> SmoothTaps:
        """The taps about coordinate `at` for a known scale."""
        shrink = min(scale, 1.0)
        first = math.floor(-(1.0 if mode == "linear" else 2.0) / shrink) + 1
        low = unary("floor", at)
        base = whole_number(where(eq(at, low), low - 1.0, low))
        return cls(at, base, first, 2 - 2 * first, shrink, mode, sharpness, extent)

    def position(self, k: Expr) -> Expr:
        """The subscript that tap k reads, which may lie outside."""
        return self.base + self.first + k

    def weight(self, k: Expr) -> Expr:
        """The weight of tap k, not normalised."""
        position = self.position(k)
        x = unary("abs", (real(position) - self.at) * self.shrink)
        if self.mode == "linear":
            weight = where(x < 1.0, 1.0 - x, 0.0)
        else:
            a = self.sharpness
            near = (x * (a + 2.0) - (a + 3.0)) * x * x + 1.0
            far = ((x * a - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
            weight = where(x <= 1.0, near, where(x < 2.0, far, 0.0))
        if self.extent is None:
            return weight
        inside = both([self.base.like(0) <= position, position < self.extent])
        return where(inside, weight, 0.0)


def plain_taps(x: Array, mode: str, a: float) -> tuple[Array, Array]:
    """(positions, weights) of the taps of a linear or cubic resize, [outputs, taps] each."""
    base = np.floor(x)
    t = x - base
    if mode == "linear":
        return np.stack([base, base + 1], 1).astype(np.int64), np.stack([1 - t, t], 1)
    positions = base[:, None] + np.arange(-1, 3)
    return positions.astype(np.int64), np.stack(cubic_weights(t, a), 1)


def within(position: Expr, extent: Expr) -> Expr:
    """A subscript forced into the axis."""
    return maximum(minimum(position, extent - 1), 0)


def whole_number(e: Expr) -> Expr:
    """A float that is a whole number as a subscript."""
    return cast(e, INDEX)


def real(e: Expr) -> Expr:
    """A subscript or dim as a float64."""
    return cast(e, DType.FLOAT64)

"""Sliding windows over spatial axes: padding, strides, dilations, and the dims that come out.

Trip t of a window and tap k of its kernel read the position t * stride + k * dilation - begin of
the input, which is padding where it lies outside [0, extent).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, floordiv, maximum, number, where
from sardonyx.core.limits import Limits
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import at_most, check_size, refuse

Ints: TypeAlias = tuple[int, ...]

# Taps of all windows, seconds of work, from which those of one window are taken for trips: numpy
# goes through all at once, mere padding too.
_SUSPECT = 1 << 31


@dataclass(frozen=True)
class Window:
    """A kernel's path along the spatial axes; every field has one item per axis."""

    extent: tuple[Expr, ...]
    size: tuple[Expr, ...]
    stride: Ints
    dilation: Ints
    begin: tuple[Expr, ...]
    end: tuple[Expr, ...]
    trips: tuple[Expr, ...]
    loose: bool = False

    def source(self, trip: Sequence[Expr], tap: Sequence[Expr]) -> tuple[Expr, ...]:
        """The input position a tap reads at a trip; it may lie in the padding."""
        steps = zip(trip, self.stride, tap, self.dilation, self.begin, strict=True)
        return tuple(t * s + k * d - b for t, s, k, d, b in steps)

    def inside(self, position: Sequence[Expr]) -> Expr:
        """Whether a position is an element, not padding; what cannot happen is not asked."""
        found = []
        for p, n, begin, end in zip(position, self.extent, self.begin, self.end, strict=True):
            if number(begin) != 0:
                found.append(const(0) <= p)
            if self.loose or number(end) != 0:
                found.append(p < n)
        return both(found)

    def counted(self, position: Sequence[Expr]) -> Expr:
        """Whether a position is an element or declared padding, as a loose last trip may miss."""
        if not self.loose:
            return both(())
        sides = zip(position, self.extent, self.end, strict=True)
        return both([p < n + end for p, n, end in sides])


def reach(size: Expr, dilation: int) -> Expr:
    """How far a dilated kernel reaches."""
    return (size - 1) * dilation + 1


def settings(
    values: Sequence[int] | None, count: int, what: str, default: int = 1, least: int = 1
) -> Ints:
    """A per-axis attribute, or its default; E0341 where its length or a value is wrong."""
    if not values:
        return (default,) * count
    if len(values) != count or min(values) < least:
        wanted = f"{count} numbers of at least {least}"
        raise refuse("E0341", f"`{what}` does not fit the input", list(values), wanted)
    return tuple(values)


def slide(
    extent: Sequence[Expr],
    size: Sequence[Expr],
    *,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil: bool = False,
) -> Window:
    """The window that ONNX's attributes describe; E0341 and E0342 where they are wrong."""
    n = len(extent)
    if len(size) != n:
        raise refuse("E0341", "`kernel_shape` does not fit the input", len(size), f"{n} numbers")
    stride = settings(strides, n, "strides")
    dilation = settings(dilations, n, "dilations")
    reaches = [reach(k, d) for k, d in zip(size, dilation, strict=True)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        begin, end, trips = _same(extent, reaches, stride, auto_pad == "SAME_UPPER")
        return Window(tuple(extent), tuple(size), stride, dilation, begin, end, trips)
    if auto_pad not in ("NOTSET", "VALID", ""):
        raise refuse("E0341", "`auto_pad` is unknown", auto_pad, "SAME_UPPER, SAME_LOWER, VALID")
    given = () if auto_pad == "VALID" or pads is None else pads
    fixed = settings(given, 2 * n, "pads", default=0, least=0)
    begin, end = tuple(map(const, fixed[:n])), tuple(map(const, fixed[n:]))
    trips = tuple(
        _trips(*row, ceil) for row in zip(extent, reaches, stride, begin, end, strict=True)
    )
    return Window(tuple(extent), tuple(size), stride, dilation, begin, end, trips, ceil)


def _same(
    extent: Sequence[Expr], reaches: Sequence[Expr], stride: Ints, upper: bool
) -> tuple[tuple[Expr, ...], tuple[Expr, ...], tuple[Expr, ...]]:
    begin, end, trips = [], [], []
    for n, k, s in zip(extent, reaches, stride, strict=True):
        count = floordiv(n + (s - 1), s)
        missing = maximum((count - 1) * s + k - n, 0)
        less = floordiv(missing, 2)
        begin.append(less if upper else missing - less)
        end.append(missing - less if upper else less)
        trips.append(count)
    return tuple(begin), tuple(end), tuple(trips)


def _trips(n: Expr, k: Expr, stride: int, begin: Expr, end: Expr, ceil: bool) -> Expr:
    room = n + begin + end - k
    known = number(room)
    if known is not None and known < 0:
        raise refuse("E0342", "the window is larger than the padded input", f"{n} and {k}")
    if known is None:
        at_most(k, n + begin + end)
    if not ceil or stride == 1:
        return floordiv(room, stride) + 1
    count = floordiv(room + (stride - 1), stride) + 1
    return count - where((count - 1) * stride < n + begin, const(0), const(1))


def whole(values: Sequence[Expr]) -> Ints:
    """Expressions that are known numbers, as integers."""
    found = [number(v) for v in values]
    assert None not in found, found
    return tuple(v for v in found if v is not None)


def gather(x: Array, window: Window, fill: float) -> Array:
    """Every window of `x` [lead..., spatial...] as a view [lead..., trips..., kernel...]."""
    n = len(window.extent)
    lead = x.ndim - n
    trips, size, begin = (whole(window.trips), whole(window.size), whole(window.begin))
    pads = [(0, 0)] * lead
    steps = []
    for axis in range(n):
        s, d = window.stride[axis], window.dilation[axis]
        length = (trips[axis] - 1) * s + (size[axis] - 1) * d + 1
        have = x.shape[lead + axis] + begin[axis]
        pads.append((begin[axis], max(0, length - have)))
        steps.append((s, d))
    check_size(
        DType.from_numpy(x.dtype), [d + a + b for d, (a, b) in zip(x.shape, pads, strict=True)]
    )
    if math.prod((*x.shape[:lead], *trips, *size)) > _SUSPECT:
        Limits.current().check_trips(math.prod(size))
    padded = np.pad(x, pads, constant_values=fill) if any(map(any, pads)) else x
    strides = padded.strides
    # A step that is never taken may be of any length.
    far = strides[lead:]
    return np.lib.stride_tricks.as_strided(
        padded,
        (*x.shape[:lead], *trips, *size),
        (
            *strides[:lead],
            *(b * (s if n > 1 else 0) for b, (s, _), n in zip(far, steps, trips, strict=True)),
            *(b * (d if n > 1 else 0) for b, (_, d), n in zip(far, steps, size, strict=True)),
        ),
        writeable=False,
    )

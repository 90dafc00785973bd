"""What Resize and Upsample share: every output axis reads taps of its input axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, const, number, reduce, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, Trait
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.nest import both, total
from sardonyx.ops.base.shapes import like, refuse, unknown_dim
from sardonyx.ops.quantized.linear import saturate, saturated
from sardonyx.ops.resample.interpolation import (
    ARRAYS,
    EXPRS,
    Axis,
    SmoothTaps,
    cubic_weights,
    plain_taps,
    real,
    smooth_taps,
    whole_number,
    within,
)

_MODES = ("nearest", "linear", "cubic")


def scaled(dim: Expr, scale: float) -> Expr:
    """A dim times a scale, rounded down."""
    n = number(dim)
    if n is not None:
        return const(int(np.float32(scale) * np.float32(n)))
    part = as_fraction(scale)
    return dim * part.numerator // part.denominator


def as_fraction(scale: float) -> Fraction:
    """The simple fraction that a 32-bit scale stands for, or its exact value."""
    part = Fraction(scale).limit_denominator(1000)
    return part if np.float32(part) == np.float32(scale) else Fraction(scale)


@dataclass(frozen=True)
class Scaling:
    """For every axis: its output length, its scale (None: output over input), its part of roi."""

    lengths: tuple[Expr, ...]
    scales: tuple[float | None, ...]
    resized: tuple[int, ...]
    roi: tuple[tuple[Any, Any], ...] | None = None


class Resampling(Op, abstract=True):
    """What Resize and Upsample share."""

    tolerance = "reduction"
    traits = Trait.BY_CHANNEL
    antialias = 0
    coordinate_transformation_mode = "asymmetric"
    cubic_coeff_a = -0.75
    exclude_outside = 0
    extrapolation_value = 0.0
    mode = "nearest"
    nearest_mode = "floor"

    @property
    def way(self) -> str:
        """nearest, linear or cubic."""
        mode = "linear" if self.mode == "bilinear" else self.mode
        if mode not in _MODES:
            raise refuse("E0341", "`mode` is unknown", mode, ", ".join(_MODES))
        return mode

    def plan(self, x: Type, *extras: Type | None) -> Scaling | None:
        """The axes' lengths and scales, None where they are not known before running."""
        raise NotImplementedError

    def typed(self, x: Type, *extras: Type | None) -> Type:
        """The type of the output."""
        if x.shape is None:
            return like(x)
        plan = self.plan(x, *extras)
        if plan is None:
            return x.with_shape(unknown_dim("resized") for _ in x.shape)
        return x.with_shape(plan.lengths)

    def computed(self, x: Array, *extras: Array | None) -> Array:
        """The output of arrays."""
        plan = self.plan(_typed(x), *(None if e is None else _typed(e) for e in extras))
        if plan is None:
            raise InvalidArgument("E0211", "there are no sizes and no scales for every axis")
        a = x if self.way == "nearest" else widen(x)
        if a.dtype.kind in "iub" and self.way != "nearest":
            a = a.astype(np.float64)
        for axis in plan.resized:
            a = self._along(a, axis, plan)
        if x.dtype.kind in "iu":
            return saturated(np.rint(a), DType.from_numpy(x.dtype))
        return settle(a, x.dtype)

    def _along(self, a: Array, axis: int, plan: Scaling) -> Array:
        length, extent = number(plan.lengths[axis]), a.shape[axis]
        assert length is not None
        if length and not extent:
            raise InvalidArgument("E0211", f"dim {axis} has nothing to resize", wanted=length)
        if not length:
            return np.take(a, [], axis)
        scale = plan.scales[axis]
        roi = None if plan.roi is None else tuple(float(e.arg) for e in plan.roi[axis])
        up, down = (length, extent) if scale is None else as_fraction(scale).as_integer_ratio()
        target = float(up) * extent / down
        line = Axis(
            ARRAYS,
            float(extent),
            target,
            float(length),
            float(up),
            float(down),
            None if roi is None else (roi[0], roi[1]),
        )
        x = line.at(self.coordinate_transformation_mode, np.arange(length, dtype=np.float64))
        if self.way == "nearest":
            at = np.clip(line.rounded(self.nearest_mode, x), 0, extent - 1).astype(np.int64)
            found = np.take(a, at, axis)
        else:
            found = self._weighted(a, axis, x, up / down)
        if self.coordinate_transformation_mode == "tf_crop_and_resize":
            out = (x < 0) | (x > extent - 1)
            shape = (-1, *[1] * (a.ndim - axis - 1))
            found = np.where(
                out.reshape(shape), np.asarray(self.extrapolation_value, a.dtype), found
            )
        return np.asarray(found)

    def _weighted(self, a: Array, axis: int, x: Array, scale: float) -> Array:
        if self.antialias:
            positions, weights = smooth_taps(x, scale, self.way, self.cubic_coeff_a)
        else:
            positions, weights = plain_taps(x, self.way, self.cubic_coeff_a)
        extent = a.shape[axis]
        if self.exclude_outside:
            weights = np.where((positions < 0) | (positions >= extent), 0, weights)
            total = weights.sum(axis=1, keepdims=True)
            weights = weights / np.where(total == 0, 1, total)
        found: Array = np.zeros((), a.dtype)
        for k in range(positions.shape[1]):
            shape = (-1, *[1] * (a.ndim - axis - 1))
            part = np.take(a, np.clip(positions[:, k], 0, extent - 1), axis)
            found = found + part * weights[:, k].astype(a.dtype).reshape(shape)
        return found

    def element(self, idx: Index, x: Operand, plan: Scaling | None) -> Expr:
        """The Expr of one output element."""
        if plan is None:
            raise NotImplementedError(f"{self.op_type} needs scales known before running")
        if self.antialias:
            return self._smooth(idx, x, plan)
        lines = [self._line(idx[axis], axis, x, plan) for axis in plan.resized]

        def read(rest: Sequence[int], at: tuple[Expr, ...]) -> Expr:
            if not rest:
                return self._lifted(x[at])
            n = rest[0]
            return lines[n](lambda i: read(rest[1:], _with(at, plan.resized[n], i)))

        value = read(range(len(lines)), tuple(idx))
        if x.dtype.is_int:
            return value if self.way == "nearest" else saturate(unary("round", value), x.dtype)
        return cast(value, x.dtype)

    def _smooth(self, idx: Index, x: Operand, plan: Scaling) -> Expr:
        """An element of an antialiased resize: weights over as many taps as the scale asks."""
        taps = [self._taps(idx[axis], axis, x, plan) for axis in plan.resized]
        counts = [const(t.count) for t in taps]

        def term(k: Subscripts) -> Expr:
            at, weight = tuple(idx), None
            for tap, axis, n in zip(taps, plan.resized, k, strict=True):
                own = tap.weight(n)
                weight = own if weight is None else weight * own
                at = _with(at, axis, within(tap.position(n), x.shape[axis]))
            value = self._lifted(x[at])
            return value if weight is None else value * cast(weight, value.dtype)

        value = total("add", counts, term)
        for tap, n in zip(taps, counts, strict=True):
            weights = reduce("add", n, tap.weight)
            value = value / cast(weights, value.dtype)
        if x.dtype.is_int:
            return saturate(unary("round", value), x.dtype)
        return cast(value, x.dtype)

    def _taps(self, o: Expr, axis: int, x: Operand, plan: Scaling) -> SmoothTaps:
        scale = plan.scales[axis]
        if scale is None:
            length, extent = number(plan.lengths[axis]), number(x.shape[axis])
            if length is None or not extent:
                reason = "an antialiased resize needs its scale before running"
                raise NotImplementedError(reason)
            scale = length / extent
        at = self._axis(axis, x, plan).at(self.coordinate_transformation_mode, real(o))
        inside = x.shape[axis] if self.exclude_outside else None
        return SmoothTaps.of(at, scale, self.way, self.cubic_coeff_a, inside)

    def _lifted(self, e: Expr) -> Expr:
        if self.way == "nearest":
            return e
        return cast(e, DType.FLOAT32) if e.dtype.is_int else lift(e)

    def _line(
        self, o: Expr, axis: int, x: Operand, plan: Scaling
    ) -> Callable[[Callable[[Expr], Expr]], Expr]:
        """Reads along one axis: takes how an element of it is read."""
        extent = x.shape[axis]
        exact = self._exact(o, axis, x, plan)
        if exact is not None:
            return lambda read: read(within(exact, extent))
        line = self._axis(axis, x, plan)
        at = line.at(self.coordinate_transformation_mode, real(o))
        value = self._reader(line, at, extent)
        if self.coordinate_transformation_mode != "tf_crop_and_resize":
            return value
        last = real(extent) - 1.0
        inside = both([at.like(0.0) <= at, at <= last])
        return lambda read: where(inside, value(read), self.extrapolation_value)

    def _axis(self, axis: int, x: Operand, plan: Scaling) -> Axis:
        """One axis as expressions."""
        source, target = real(x.shape[axis]), real(plan.lengths[axis])
        scale = plan.scales[axis]
        up, down = target, source
        if scale is not None:
            part = as_fraction(scale)
            up, down = (source.like(float(n)) for n in (part.numerator, part.denominator))
        roi = None if plan.roi is None else (real(plan.roi[axis][0]), real(plan.roi[axis][1]))
        return Axis(EXPRS, source, up * source / down, target, up, down, roi)

    def _reader(
        self, line: Axis, at: Expr, extent: Expr
    ) -> Callable[[Callable[[Expr], Expr]], Expr]:
        if self.way == "nearest":
            chosen = whole_number(line.rounded(self.nearest_mode, at))
            return lambda read: read(within(chosen, extent))
        base = unary("floor", at)
        first, t = whole_number(base), at - base
        weights = [1.0 - t, t] if self.way == "linear" else cubic_weights(t, self.cubic_coeff_a)
        start = first if self.way == "linear" else first - 1
        positions = [start + k for k in range(len(weights))]
        if self.exclude_outside:
            inside = [both([const(0) <= p, p < extent]) for p in positions]
            weights = [where(i, w, 0.0) for i, w in zip(inside, weights, strict=True)]
            sum_of = weights[0]
            for w in weights[1:]:
                sum_of = sum_of + w
            weights = [w / sum_of for w in weights]

        def mix(read: Callable[[Expr], Expr]) -> Expr:
            parts = [read(within(p, extent)) for p in positions]
            terms = [p * cast(w, p.dtype) for p, w in zip(parts, weights, strict=True)]
            out = terms[0]
            for t in terms[1:]:
                out = out + t
            return out

        return mix

    def _exact(self, o: Expr, axis: int, x: Operand, plan: Scaling) -> Expr | None:
        """The nearest element in whole numbers, where the scale is one or one over one."""
        scale = plan.scales[axis]
        if scale is None:
            up = number(plan.lengths[axis] // x.shape[axis])
            scale = float(up) if up and plan.lengths[axis] is x.shape[axis] * up else None
        half = self.coordinate_transformation_mode in ("half_pixel", "pytorch_half_pixel")
        rounds = self.nearest_mode.startswith("round")
        plain = self.coordinate_transformation_mode == "asymmetric" and self.nearest_mode == "floor"
        if self.way != "nearest" or scale is None or not (plain or (half and rounds)):
            return None
        if scale >= 1 and scale == int(scale):
            return o // int(scale)
        down = round(1 / scale)
        if plain and down > 1 and np.float32(1 / down) == np.float32(scale):
            return o * down
        return None


def _with(at: tuple[Expr, ...], axis: int, i: Expr) -> tuple[Expr, ...]:
    return (*at[:axis], i, *at[axis + 1 :])


def _typed(a: Array) -> Type:
    dtype = DType.from_numpy(a.dtype)
    dims = tuple(const(d) for d in a.shape)
    value = None if a.ndim != 1 else tuple(const(v, dtype) for v in a.tolist())
    return Type(dtype, dims, value)


def floats(x: Type | None) -> tuple[float, ...] | None:
    """The elements of a float tensor, None where they are not known (or it is empty)."""
    if x is None or not x.value or not all(e.is_const for e in x.value):
        return None
    return tuple(float(e.arg) for e in x.value)


def by_scales(x: Type, scales: Sequence[float], axes: Sequence[int]) -> Scaling:
    """The plan that scales of the axes give; E0341 where they are wrong."""
    if len(scales) != len(axes) or not all(0 < s < math.inf for s in scales):
        raise refuse("E0341", "scales do not fit the axes", list(scales), f"{len(axes)} above 0")
    given = dict(zip(axes, scales, strict=True))
    lengths = [scaled(d, given[i]) if i in given else d for i, d in enumerate(x.dims)]
    resized = tuple(i for i in sorted(given) if given[i] != 1)
    factors = tuple(given.get(i, 1.0) for i in range(len(x.dims)))
    return Scaling(tuple(lengths), factors, resized)

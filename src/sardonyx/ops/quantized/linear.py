"""Linear quantization: QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.

One scale (and zero point) serves the whole tensor (a scalar), one index of an axis (1-D), or a
block of `block_size` along an axis (a scale of the input's rank).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, eq, maximum, minimum, number, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait, stretched
from sardonyx.ops.base.element import is_narrow, lift, quiet, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import axis_of, fit_into, like, refuse, same_dim

_FLOATS8 = (DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ)


def extremes(dtype: DType) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    half = 1 << (dtype.bits - 1)
    return (-half, half - 1) if dtype.is_signed else (0, 2 * half - 1)


def saturate(e: Expr, dtype: DType) -> Expr:
    """A rounded float kept within an integer type, and cast to it; NaN becomes the smallest."""
    low, high = extremes(dtype)
    kept = where(e < high, e, e.like(high))
    return cast(where(e.like(low) < e, kept, e.like(low)), dtype)


def saturated(a: Array, dtype: DType) -> Array:
    """An array of rounded floats kept within an integer type; NaN becomes the smallest."""
    low, high = extremes(dtype)
    kept = np.where(a > low, np.minimum(a, high), low)
    return kept.astype(np.int64).astype(dtype.numpy)


def quantize(e: Expr, zero: Expr | None, dtype: DType) -> Expr:
    """A scaled float rounded half to even, shifted by the zero point and saturated."""
    rounded = unary("round", e)
    return saturate(rounded if zero is None else rounded + cast(zero, e.dtype), dtype)


def quantized(a: Array, zero: Array | None, dtype: DType) -> Array:
    """The same of an array."""
    rounded = np.rint(a)
    return saturated(rounded if zero is None else rounded + zero.astype(a.dtype), dtype)


class _Linear(Op, abstract=True):
    axis = 1
    block_size = 0
    output_dtype = 0
    precision = 0
    saturate = 1

    def fits(self, x: Type, scale: Type, zero: Type | None) -> None:
        """InvalidGraph unless the scale's shape is one of the three granularities."""
        for extra in (scale, zero):
            if extra is None or extra.shape is None or x.shape is None:
                continue
            if len(extra.shape) == 0:
                continue
            if self.block_size:
                self._fits_blocks(x, extra)
            elif len(extra.shape) != 1:
                raise refuse("E0320", "a scale has 0 or 1 dims unless blocked", extra)
            elif number(extra.shape[0]) != 1:
                each = x.shape[axis_of(self.axis, len(x.shape))]
                fit_into(extra, (each,), "a scale or zero point")

    def _fits_blocks(self, x: Type, scale: Type) -> None:
        if self.block_size < 0 or len(scale.dims) != len(x.dims):
            raise refuse("E0320", "a blocked scale has as many dims as the input", scale, x)
        axis = axis_of(self.axis, len(x.dims))
        for i, (s, d) in enumerate(zip(scale.dims, x.dims, strict=True)):
            same_dim(s, (d + (self.block_size - 1)) // self.block_size if i == axis else d)

    def own(self, idx: Sequence[Expr], scale: Operand) -> Expr:
        """The scale (or zero point) of the element at `idx`."""
        if scale.rank == 0:
            return scale[()]
        if not self.block_size:
            one = number(scale.shape[0]) == 1
            axis = 0 if one else axis_of(self.axis, len(idx))
            return scale[0 if one else stretched(idx[axis], scale.shape[0])]
        axis = axis_of(self.axis, len(idx))
        return scale[(*idx[:axis], idx[axis] // self.block_size, *idx[axis + 1 :])]

    def spread(self, values: Array, shape: tuple[int, ...]) -> Array:
        """The scale (or zero point) of every element, or one that broadcasts to them."""
        if values.ndim == 0 or values.size == 1:
            return values.reshape(())
        axis = axis_of(self.axis, len(shape))
        if not self.block_size:
            return values.reshape(-1, *[1] * (len(shape) - axis - 1))
        codes = np.repeat(values, self.block_size, axis=axis)
        return codes[(slice(None),) * axis + (slice(shape[axis]),)]


class QuantizeLinearV10(_Linear):
    """saturate(round(x / scale) + zero point), rounding half to even."""

    tolerance = "exact"

    def target(self, zero: DType | None) -> DType:
        """The element type of the output."""
        chosen = self.output_dtype
        if not chosen:
            return zero or DType.UINT8
        if zero is not None and zero.value != chosen:
            raise refuse("E0323", "output_dtype is not the zero point's type", chosen, zero)
        return DType.from_onnx(chosen)

    def divisor(self, scale: DType) -> DType:
        """The element type that division rounds to."""
        found = DType.from_onnx(self.precision) if self.precision else scale
        return found if found.is_float and found.bits >= 16 else DType.FLOAT32

    def infer(self, x: Type, scale: Type, zero: Type | None = None) -> Type:
        self.fits(x, scale, zero)
        return like(x, self.target(None if zero is None else zero.dtype))

    @quiet
    def reference(self, x: Array, scale: Array, zero: Array | None = None) -> Array:
        dtype = self.target(None if zero is None else DType.from_numpy(zero.dtype))
        precision = self.divisor(DType.from_numpy(scale.dtype)).numpy
        divided = x.astype(precision) / self.spread(scale, x.shape).astype(precision)
        a = widen(np.asarray(divided))
        shift = None if zero is None else self.spread(zero, x.shape)
        if dtype.is_int:
            return quantized(a, shift, dtype)
        if shift is not None:
            a = a + widen(shift)
        return self._rounded(a, dtype)

    def _rounded(self, a: Array, dtype: DType) -> Array:
        if dtype in _FLOATS8 and self.saturate:
            top = float(ml_dtypes.finfo(dtype.numpy).max)  # type: ignore[no-untyped-call]
            a = np.clip(a, -top, top)
        return a.astype(dtype.numpy)

    def at(self, idx: Index, x: Operand, scale: Operand, zero: Operand | None = None) -> Expr:
        dtype = self.target(None if zero is None else zero.dtype)
        if not dtype.is_int:
            raise NotImplementedError(f"QuantizeLinear to {dtype} has no native code yet")
        precision = self.divisor(scale.dtype)
        value, step = (cast(x[idx], precision), cast(self.own(idx, scale), precision))
        divided = lift(cast(lift(value) / lift(step), precision))
        return quantize(divided, None if zero is None else self.own(idx, zero), dtype)


class QuantizeLinearV13(QuantizeLinearV10):
    """QuantizeLinear with a scale for every index of an axis."""

    axis: int = 1


class QuantizeLinearV19(QuantizeLinearV13):
    """QuantizeLinear to 8-bit floats too, which saturate or not."""

    saturate: int = 1


class QuantizeLinearV21(QuantizeLinearV19):
    """QuantizeLinear with blocks and with a named output type."""

    block_size: int = 0
    output_dtype: int = 0


class QuantizeLinear(QuantizeLinearV21):
    """QuantizeLinear with a named precision of the division."""

    since = 23
    precision: int = 0


class DequantizeLinearV10(_Linear):
    """(x - zero point) * scale."""

    traits = Trait.WIDENS

    def target(self, scale: DType) -> DType:
        """The element type of the output."""
        if self.output_dtype:
            return DType.from_onnx(self.output_dtype)
        return DType.FLOAT32 if scale is DType.FLOAT8E8M0 else scale

    def infer(self, x: Type, scale: Type, zero: Type | None = None) -> Type:
        self.fits(x, scale, zero)
        return like(x, None if scale.dtype is None else self.target(scale.dtype))

    @quiet
    def reference(self, x: Array, scale: Array, zero: Array | None = None) -> Array:
        dtype = self.target(DType.from_numpy(scale.dtype))
        working = (DType.FLOAT32 if is_narrow(dtype) else dtype).numpy
        a = x.astype(working)
        if zero is not None:
            a = a - self.spread(zero, x.shape).astype(working)
        return settle(a * self.spread(scale, x.shape).astype(working), dtype.numpy)

    def at(self, idx: Index, x: Operand, scale: Operand, zero: Operand | None = None) -> Expr:
        dtype = self.target(scale.dtype)
        working = DType.FLOAT32 if is_narrow(dtype) else dtype
        a = cast(x[idx], working)
        if zero is not None:
            a = a - cast(self.own(idx, zero), working)
        return cast(a * cast(self.own(idx, scale), working), dtype)


class DequantizeLinearV13(DequantizeLinearV10):
    """DequantizeLinear with a scale for every index of an axis."""

    axis: int = 1


class DequantizeLinearV21(DequantizeLinearV13):
    """DequantizeLinear with blocks."""

    block_size: int = 0


class DequantizeLinear(DequantizeLinearV21):
    """DequantizeLinear with a named output type."""

    since = 23
    output_dtype: int = 0


class DynamicQuantizeLinear(Op):
    """Quantizes to uint8 with the scale and zero point that the data's own range gives."""

    since = 11

    def infer(self, x: Type) -> Any:
        return (like(x, DType.UINT8), Type(DType.FLOAT32, ()), Type(DType.UINT8, ()))

    @quiet
    def reference(self, x: Array) -> Any:
        low, high = min(x.min(initial=0), 0), max(x.max(initial=0), 0)
        scale = np.float32(high - low) / np.float32(255)
        scale = scale if scale != 0 else np.float32(1)
        zero = quantized(np.asarray(-low / scale), None, DType.UINT8)
        return (quantized(x / scale, zero, DType.UINT8), np.asarray(scale, np.float32), zero)

    def _scale(self, x: Operand) -> tuple[Expr, Expr]:
        zero = const(0.0, x.dtype)
        low = minimum(total("min", x.shape, lambda k: x[k]), zero)
        high = maximum(total("max", x.shape, lambda k: x[k]), zero)
        scale = (high - low) / 255.0
        scale = where(eq(scale, 0.0), scale.like(1.0), scale)
        return scale, quantize(-low / scale, None, DType.UINT8)

    def at_output(self, which: int, idx: Index, x: Operand) -> Expr:
        """The quantized element, the scale (1) or the zero point (2)."""
        scale, zero = self._scale(x)
        if which:
            return scale if which == 1 else zero
        return quantize(x[idx] / scale, zero, DType.UINT8)

"""Signals: Fourier transforms (DFT, STFT), windows, and the mel scale."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import Expr, cast, const, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import (
    axis_of,
    check_size,
    known,
    known_ints,
    need_rank,
    refuse,
    unknown_dim,
)

# Elements of a window made at once: what is on the way to them stays small.
_BLOCK = 1 << 18


def _one(a: Array | None) -> int | None:
    return None if a is None else int(a.reshape(-1)[0])


def _known_one(t: Type | None) -> Expr | None:
    found = known(t)
    return found[0] if found else None


class _Transform(Op, abstract=True):
    tolerance = "reduction"
    inverse: Any
    onesided: Any

    def transformed(self, x: Array, axis: int, length: int | None) -> Array:
        """The discrete Fourier transform along an axis."""
        if length is not None and length < 1:
            raise RuntimeException("E0404", "the transform's length is not positive", given=length)
        a = widen(x)
        complex_ = a[..., 0] + 1j * a[..., 1] if x.shape[-1] == 2 else a[..., 0]
        if self.inverse and self.onesided:
            return settle(np.fft.irfft(complex_, length, axis)[..., None], x.dtype)
        if self.onesided:
            made = np.fft.rfft(complex_.real, length, axis)
        else:
            way = np.fft.ifft if self.inverse else np.fft.fft
            made = way(complex_, length, axis)
        return settle(np.stack([made.real, made.imag], axis=-1), x.dtype)

    def typed(self, x: Type, axis: int | None, length: Expr | None, given: bool) -> Type:
        """The type of the transform; `given`: a length is, whether known or not."""
        need_rank(x, 2)
        if x.shape is None:
            return Type(x.dtype)
        dims = [*x.shape[:-1], const(1 if self.inverse and self.onesided else 2)]
        if axis is None:
            return Type(x.dtype, (*(unknown_dim("dft") for _ in dims[:-1]), dims[-1]))
        if axis_of(axis, len(dims)) == len(dims) - 1:
            raise refuse("E0321", "the last axis holds real and imaginary parts", axis)
        extent = dims[axis_of(axis, len(dims))]
        if given:
            extent = unknown_dim("dft") if length is None else length
        elif self.inverse and self.onesided:
            extent = (extent - 1) * 2
        if self.onesided and not self.inverse:
            extent = extent // 2 + 1
        dims[axis_of(axis, len(dims))] = extent
        return Type(x.dtype, tuple(dims))


class DFTV17(_Transform):
    """DFT of opsets 17 to 19, whose axis is an attribute."""

    redefined = (20,)
    axis: int = 1
    inverse: int = 0
    onesided: int = 0

    def infer(self, x: Type, length: Type | None = None) -> Type:
        return self.typed(x, self.axis, _known_one(length), length is not None)

    @quiet
    def reference(self, x: Array, length: Array | None = None) -> Array:
        return self.transformed(x, axis_of(self.axis, x.ndim), _one(length))


class DFT(_Transform):
    """The discrete Fourier transform along an axis; the last axis is (real, imaginary)."""

    since = 20
    inverse: int = 0
    onesided: int = 0

    def infer(self, x: Type, length: Type | None = None, axis: Type | None = None) -> Type:
        chosen = (-2,) if axis is None else known_ints(axis)
        at = chosen[0] if chosen else None
        return self.typed(x, at, _known_one(length), length is not None)

    @quiet
    def reference(self, x: Array, length: Array | None = None, axis: Array | None = None) -> Array:
        at = -2 if axis is None else int(axis.reshape(-1)[0])
        return self.transformed(x, axis_of(at, x.ndim), _one(length))


class STFT(Op):
    """The transforms of overlapping frames of a signal [batch, length, 1 or 2]."""

    since = 17
    tolerance = "reduction"
    onesided: int = 1

    def infer(
        self, x: Type, step: Type, window: Type | None = None, length: Type | None = None
    ) -> Type:
        need_rank(x, 2, 3)
        if x.shape is None:
            return Type(x.dtype)
        size = _known_one(length)
        if size is None and window is not None and window.shape:
            size = window.shape[0]
        elif size is None and window is None and length is None:
            size = x.shape[1]
        hop = _known_one(step)
        if size is None or hop is None:
            dims = (unknown_dim("frames"), unknown_dim("bins"))
            return Type(x.dtype, (x.shape[0], *dims, const(2)))
        frames = (x.shape[1] - size) // hop + 1
        bins = size // 2 + 1 if self.onesided else size
        return Type(x.dtype, (x.shape[0], frames, bins, const(2)))

    @quiet
    def reference(
        self, x: Array, step: Array, window: Array | None = None, length: Array | None = None
    ) -> Array:
        signal = x[..., None] if x.ndim == 2 else x
        size = _one(length) or (len(window) if window is not None else signal.shape[1])
        hop = _one(step) or 0
        if hop < 1 or size < 1:
            raise RuntimeException("E0404", "frames need a positive length and step", given=hop)
        count = max(0, (signal.shape[1] - size) // hop + 1)
        check_size(DType.COMPLEX128, (len(signal), max(count, 1), size))
        at = np.arange(count)[:, None] * hop + np.arange(size)
        frames = widen(signal)[:, at]
        if window is not None:
            frames = frames * widen(window)[:, None]
        wide = frames[..., 0] + 1j * frames[..., 1] if signal.shape[-1] == 2 else frames[..., 0]
        made = np.fft.rfft(wide, axis=2) if self.onesided else np.fft.fft(wide, axis=2)
        return settle(np.stack([made.real, made.imag], axis=-1), x.dtype)


class _Window(Op, abstract=True):
    """A window made of cosines: the sum of (-1) ** n * terms[n] * cos(2 pi n k / N)."""

    terms: ClassVar[tuple[float, ...]]
    output_datatype: int = 1
    periodic: int = 1

    def infer(self, size: Type) -> Type:
        length = _known_one(size)
        dim = unknown_dim("window") if length is None else length
        return Type(DType.from_onnx(self.output_datatype), (dim,))

    def reference(self, size: Array) -> Array:
        length, dtype = _one(size) or 0, DType.from_onnx(self.output_datatype)
        if length < 0:
            raise RuntimeException("E0404", "a window's length is negative", given=length)
        check_size(dtype, (length,))
        made, period = np.empty(length, dtype.numpy), max(1, length - (not self.periodic))
        for first in range(0, length, _BLOCK):
            angle = 2 * math.pi * np.arange(first, min(first + _BLOCK, length)) / period
            parts = [(-1) ** n * t * np.cos(n * angle) for n, t in enumerate(self.terms)]
            made[first : first + _BLOCK] = settle(sum(parts), dtype.numpy)
        return made

    def at(self, idx: Index, size: Operand) -> Expr:
        del size
        period = idx.shape[0] - (not self.periodic)
        period = where(period < 1, const(1), period)
        angle = cast(idx[0], DType.FLOAT64) * (2 * math.pi) / cast(period, DType.FLOAT64)
        out = angle.like(self.terms[0])
        for n, t in enumerate(self.terms[1:], 1):
            out = out + unary("cos", angle * float(n)) * ((-1) ** n * t)
        return cast(out, DType.from_onnx(self.output_datatype))


class HannWindow(_Window):
    """0.5 - 0.5 cos."""

    since = 17
    terms = (0.5, 0.5)


class HammingWindow(_Window):
    """25/46 - 21/46 cos."""

    since = 17
    terms = (25 / 46, 21 / 46)


class BlackmanWindow(_Window):
    """0.42 - 0.5 cos + 0.08 cos of the double."""

    since = 17
    terms = (0.42, 0.5, 0.08)


class MelWeightMatrix(Op):
    """The weights [spectrum bins, mel bins] summing a spectrum into bands even on the mel scale."""

    since = 17
    tolerance = "reduction"
    output_datatype: int = 1

    def infer(self, bins: Type, length: Type, rate: Type, low: Type, high: Type) -> Type:
        del rate, low, high
        wide, size = _known_one(bins), _known_one(length)
        rows = unknown_dim("bins") if size is None else size // 2 + 1
        columns = unknown_dim("bands") if wide is None else wide
        return Type(DType.from_onnx(self.output_datatype), (rows, columns))

    @quiet
    def reference(self, bins: Array, length: Array, rate: Array, low: Array, high: Array) -> Array:
        bands, size, dtype = (_one(bins) or 0, _one(length) or 0, self.output_datatype)
        rows = size // 2 + 1
        if bands < 1 or size < 0 or not (_one(rate) or 0) > 0:
            raise RuntimeException("E0404", "bands and rate must be positive", given=bands)
        check_size(DType.from_onnx(dtype), (rows, bands))
        edges = [2595 * math.log10(1 + float(e.reshape(-1)[0]) / 700) for e in (low, high)]
        mels = np.arange(bands + 2) * ((edges[1] - edges[0]) / (bands + 2)) + edges[0]
        hertz = 700 * (10 ** (mels / 2595) - 1)
        spots = np.floor((size + 1) * hertz / (_one(rate) or 1)).astype(np.int64)
        left, centre, right = spots[:-2], spots[1:-1], spots[2:]
        row = np.arange(rows)[:, None]
        rising = (row - left) / np.where(centre == left, 1, centre - left)
        falling = (right - row) / np.where(right == centre, 1, right - centre)
        y = np.where((left <= row) & (row < centre), rising, 0.0)
        y = np.where((centre <= row) & (row < right), falling, y)
        y = np.where(row == centre, 1.0, y)
        return settle(y, DType.from_onnx(dtype).numpy)

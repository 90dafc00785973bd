"""Signals: Fourier transforms (DFT, STFT), windows, and the mel scale."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, RuntimeException
from sardonyx.core.expr import Expr, cast, const, number, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.given import finite, whole
from sardonyx.ops.base.shapes import (
    axis_of,
    check_size,
    known,
    known_ints,
    need_rank,
    refuse,
    same_dim,
    unknown_dim,
)

# Elements of a window made at once: what is on the way to them stays small.
_BLOCK = 1 << 18


def _one(a: Array | None) -> int | None:
    return None if a is None else whole(a, "a length, a step or an axis")


def _known_one(t: Type | None) -> Expr | None:
    found = known(t)
    return found[0] if found else None


# A transform as a product with its matrix takes n * n steps, and the matrix must be kept. It is
# made in float64: what cancels would leave float32's rounding of the largest element.
_LONGEST = 1024


def _waves(rows: int, columns: int, length: int) -> Array:
    """exp(-2 pi i * row * column / length): the cosines, and the negative sines."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % length
    angle = 2 * math.pi * turns / length
    return np.stack([np.cos(angle), -np.sin(angle)])


def _as_pairs(waves: Array, parts: int) -> Array:
    """[n, parts, bins, 2]: what an element's real and imaginary part give to those of each bin."""
    cosine, sine = waves
    pairs = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)
    return pairs[:, :parts]


def _number(v: Value | None) -> int | None:
    """The only element of a value, where it is known before running."""
    found = None if v is None else _known_one(v.type)
    return None if found is None else number(found)


def _is_told(v: Value | None) -> bool:
    return v is None or _number(v) is not None


class _Transform(Op, abstract=True):
    tolerance = "reduction"
    inverse: Any
    onesided: Any

    def transformed(self, x: Array, axis: int, length: int | None) -> Array:
        """The discrete Fourier transform along an axis."""
        if length is None:
            length = x.shape[axis]
            length = 2 * (length - 1) if self.inverse and self.onesided else length
        if length < 1:
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

    def product(self, graph: Graph, x: Value, axis: int, length: int | None) -> Value | None:
        """The transform as a product with its matrix; None where it is long or not known."""
        rank = len(x.type.dims)
        size, parts = number(x.type.dims[axis]), number(x.type.dims[-1])
        if size is None or parts is None or (length is not None and not 0 < length <= _LONGEST):
            return None
        matrix = self._matrix(size, parts, length)
        if matrix is None:
            return None
        assert x.type.dtype is not None
        body = Body(graph, self.op_type)
        order = [*(a for a in range(rank - 1) if a != axis), axis, rank - 1]
        a = x if order == list(range(rank)) else body.transpose(x, *order)
        kept = [0] * (rank - 2)
        rows = matrix.shape[0]
        if rows < size:
            ends = (body.constant(np.array([n])) for n in (0, rows, rank - 2))
            a = body("Slice", a, *ends)
        flat = body("Cast", body.reshape(a, (*kept, rows * parts)), to=DType.FLOAT64.value)
        y = body("MatMul", flat, body.constant(matrix.reshape(rows * parts, -1)))
        y = body("Cast", body.reshape(y, (*kept, *matrix.shape[2:])), to=x.type.dtype.value)
        back = [order.index(a) for a in range(rank)]
        return y if back == list(range(rank)) else body.transpose(y, *back)

    def _matrix(self, size: int, parts: int, length: int | None) -> Array | None:
        """[elements read, their parts, bins, parts of a bin]."""
        if self.inverse and self.onesided:
            whole = 2 * (size - 1) if length is None else length
            if not 0 < whole <= _LONGEST:
                return None
            bins = min(size, whole // 2 + 1)
            share = np.where(np.isin(np.arange(bins) * 2, (0, whole)), 1, 2) / whole
            return (_waves(bins, whole, whole) * share[:, None]).transpose(1, 0, 2)[
                :, :parts, :, None
            ]
        whole = size if length is None else length
        if not 0 < whole <= _LONGEST:
            return None
        bins = whole // 2 + 1 if self.onesided else whole
        waves = _waves(min(size, whole), bins, whole)
        if self.inverse:
            waves = np.stack([waves[0], -waves[1]]) / whole
        # One-sided transforms are of real signals: an imaginary part is not looked at.
        pairs = _as_pairs(waves, parts)
        if self.onesided and parts == 2:
            pairs[:, 1] = 0
        return pairs


class DFTV17(_Transform):
    """DFT of opsets 17 to 19, whose axis is an attribute."""

    redefined = (20,)
    axis: int = 1
    inverse: int = 0
    onesided: int = 0

    def express(self, write: Body, opset: int, x: Value, length: Value | None = None) -> Value:
        del opset
        axis = write.constant(np.int64(self.axis))
        return write(DFT(inverse=self.inverse, onesided=self.onesided), x, length, axis)

    def infer(self, x: Type, length: Type | None = None) -> Type:
        return self.typed(x, self.axis, _known_one(length), length is not None)

    @quiet
    def reference(self, x: Array, length: Array | None = None) -> Array:
        return self.transformed(x, axis_of(self.axis, x.ndim), _one(length))

    def expand(self, graph: Graph, x: Value, length: Value | None = None) -> Value | None:
        if x.type.shape is None or not _is_told(length):
            return None
        axis = axis_of(self.axis, len(x.type.shape))
        return self.product(graph, x, axis, _number(length))


class DFT(_Transform):
    """The discrete Fourier transform along an axis; the last axis is (real, imaginary)."""

    since = 20
    inverse: int = 0
    onesided: int = 0

    def express(
        self,
        write: Body,
        opset: int,
        x: Value,
        length: Value | None = None,
        axis: Value | None = None,
    ) -> Any:
        if opset < DFTV17.since:
            return None
        found = (-2,) if axis is None else known_ints(axis.type)
        if not found:
            return "its input `axis` is not known before running"
        at = found[0] if found[0] >= 0 or x.type.rank is None else found[0] + x.type.rank
        return write(DFTV17(axis=at, inverse=self.inverse, onesided=self.onesided), x, length)

    def infer(self, x: Type, length: Type | None = None, axis: Type | None = None) -> Type:
        chosen = (-2,) if axis is None else known_ints(axis)
        at = chosen[0] if chosen else None
        return self.typed(x, at, _known_one(length), length is not None)

    @quiet
    def reference(self, x: Array, length: Array | None = None, axis: Array | None = None) -> Array:
        at = -2 if axis is None else whole(axis, "the axis")
        return self.transformed(x, axis_of(at, x.ndim), _one(length))

    def expand(
        self, graph: Graph, x: Value, length: Value | None = None, axis: Value | None = None
    ) -> Value | None:
        if x.type.shape is None or not _is_told(length) or not _is_told(axis):
            return None
        at = -2 if axis is None else _number(axis)
        assert at is not None
        return self.product(graph, x, axis_of(at, len(x.type.shape)), _number(length))


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
        if window is not None and window.shape is not None:
            need_rank(window, 1, 1, "the window")
            wide = window.shape[0]
            size = wide if length is None else None if size is None else same_dim(size, wide)
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
            if len(window) != size:
                said = "the window is not as long as a frame"
                raise InvalidArgument("E0211", said, given=len(window), wanted=size)
            frames = frames * widen(window)[:, None]
        wide = frames[..., 0] + 1j * frames[..., 1] if signal.shape[-1] == 2 else frames[..., 0]
        made = np.fft.rfft(wide.real, axis=2) if self.onesided else np.fft.fft(wide, axis=2)
        return settle(np.stack([made.real, made.imag], axis=-1), x.dtype)

    def expand(
        self,
        graph: Graph,
        x: Value,
        step: Value,
        window: Value | None = None,
        length: Value | None = None,
    ) -> Value | None:
        """A convolution with the waves, by which the window is multiplied."""
        shape, hop = x.type.shape, _number(step)
        if shape is None or not hop or hop < 1 or not _is_told(length):
            return None
        size = _number(length)
        if size is None:
            size = number(shape[1] if window is None else window.type.dims[0])
        parts = 1 if len(shape) == 2 else number(shape[2])
        if not size or size > _LONGEST or parts is None:
            return None
        kind = x.type.dtype
        assert kind is not None
        bins = size // 2 + 1 if self.onesided else size
        pairs = _as_pairs(_waves(size, bins, size), parts)
        if self.onesided and parts == 2:
            pairs[:, 1] = 0
        waves = pairs.transpose(3, 2, 1, 0).reshape(2 * bins, parts, size)
        body = Body(graph, "STFT")
        weights = body.constant(waves)
        if window is not None:
            weights = body("Mul", weights, body("Cast", window, to=DType.FLOAT64.value))
        x = body("Cast", x, to=DType.FLOAT64.value)
        signal = body.reshape(x, (0, 1, -1)) if len(shape) == 2 else body.transpose(x, 0, 2, 1)
        y = body("Cast", body("Conv", signal, weights, strides=(hop,)), to=kind.value)
        return body.transpose(body.reshape(y, (0, 2, bins, -1)), 0, 3, 2, 1)


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
        ends = [1 + float(finite(e, "a frequency")) / 700 for e in (low, high)]
        if min(ends) <= 0:
            raise RuntimeException("E0404", "a frequency is not on the mel scale", given=ends)
        edges = [2595 * math.log10(e) for e in ends]
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

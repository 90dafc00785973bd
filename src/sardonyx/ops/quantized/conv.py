"""Integer convolutions: ConvInteger and QLinearConv."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Operand, SumOfProducts, stretched
from sardonyx.ops.base.element import lift, quiet, widen
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import fit_into, same_dims
from sardonyx.ops.product.matmul import Read
from sardonyx.ops.quantized.linear import quantize, quantized
from sardonyx.ops.quantized.matmul import centred, difference
from sardonyx.ops.window.conv import Windowed


def _by_filter(values: Array | None, rank: int) -> Array | None:
    """One number a filter, shaped to broadcast over weights of that rank."""
    if values is None or values.size == 1:
        return None if values is None else values.reshape(())
    return values.reshape(-1, *[1] * (rank - 1))


def _own(x: Operand | None, which: Expr) -> Expr | None:
    """The number belonging to filter `which`, or to all."""
    if x is None:
        return None
    if x.rank == 0:
        return x[()]
    return x[stretched(which, x.shape[0])]


def _only(x: Operand) -> Expr:
    return x[(0,) * x.rank]


def _readers(zeros: Sequence[Operand | None]) -> tuple[Read, Read]:
    """How inputs and weights are read, less their zero points."""
    of_x, of_w = filled(zeros, 2)

    def left(x: Operand, at: Sequence[Expr]) -> Expr:
        return difference(x[at], None if of_x is None else _only(of_x))

    return left, lambda w, at: difference(w[at], _own(of_w, at[0]))


def _one_each(of_all: Sequence[Type | None], w: Type, *of_filters: Type | None) -> None:
    """Scales and zero points must be one for all, or one for each filter where they may be."""
    for extra in of_all:
        fit_into(extra, (const(1),), "a scale or zero point")
    for extra in of_filters if w.shape is not None else ():
        fit_into(extra, w.dims[:1], "a scale or zero point")


class ConvInteger(Windowed):
    """The convolution of integers less their zero points, in int32."""

    since = 10
    tolerance = "exact"

    def infer(
        self, x: Type, w: Type, x_zero: Type | None = None, w_zero: Type | None = None
    ) -> Type:
        _one_each((x_zero,), w, w_zero)
        return Type(DType.INT32, self.shape(x, w))

    def reference(
        self, x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None
    ) -> Array:
        left = centred(x, None if x_zero is None else x_zero.reshape(()))
        right = centred(w, _by_filter(w_zero, w.ndim))
        return self.convolve(left, right).astype(np.int64).astype(np.int32)

    def at(self, idx: Index, x: Operand, w: Operand, *zeros: Operand | None) -> Expr:
        return self.element(idx, x, w, *_readers(zeros))

    def contract(
        self, out: Type, x: Operand, w: Operand, *zeros: Operand | None
    ) -> SumOfProducts | None:
        del out
        return self.product(x, w, DType.INT32, *_readers(zeros), lambda acc, _: acc)


class QLinearConv(Windowed):
    """The convolution of quantized tensors, quantized again; weights have scales by filter."""

    since = 10

    def infer(
        self,
        x: Type,
        x_scale: Type,
        x_zero: Type,
        w: Type,
        w_scale: Type,
        w_zero: Type,
        y_scale: Type,
        y_zero: Type,
        b: Type | None = None,
    ) -> Type:
        _one_each((x_scale, x_zero, y_scale, y_zero), w, w_scale, w_zero)
        if w.shape is not None:
            same_dims(b, w.shape[:1], "the bias")
        return Type(y_zero.dtype, self.shape(x, w))

    @quiet
    def reference(
        self,
        x: Array,
        x_scale: Array,
        x_zero: Array,
        w: Array,
        w_scale: Array,
        w_zero: Array,
        y_scale: Array,
        y_zero: Array,
        b: Array | None = None,
    ) -> Array:
        right = centred(w, _by_filter(w_zero, w.ndim))
        acc = self.convolve(centred(x, x_zero.reshape(())), right)
        if b is not None:
            acc = acc + b.astype(np.float64).reshape(-1, *[1] * (x.ndim - 2))
        scale = _by_filter(widen(w_scale), x.ndim - 1)
        assert scale is not None
        factor = widen(x_scale).reshape(()) * scale / widen(y_scale).reshape(())
        zero = y_zero.reshape(())
        return quantized(acc.astype(np.float32) * factor, zero, DType.from_numpy(zero.dtype))

    def at(self, idx: Index, *inputs: Operand) -> Expr:
        x, _, x_zero, w, _, w_zero, *_ = inputs
        return _finish(self.element(idx, x, w, *_readers((x_zero, w_zero))), idx, inputs)

    def contract(self, out: Type, *inputs: Operand) -> SumOfProducts | None:
        del out
        x, _, x_zero, w, _, w_zero, *_ = inputs
        left, right = _readers((x_zero, w_zero))
        return self.product(
            x, w, DType.INT32, left, right, lambda acc, idx: _finish(acc, idx, inputs)
        )


def _finish(acc: Expr, idx: Index, inputs: Sequence[Operand]) -> Expr:
    x_scale, w_scale, y_scale, y_zero = (inputs[i] for i in (1, 4, 6, 7))
    b = inputs[8] if len(inputs) > 8 else None
    if b is not None:
        acc = acc + b[idx[1]]
    own = _own(w_scale, idx[1])
    assert own is not None
    factor = lift(_only(x_scale)) * lift(own) / lift(_only(y_scale))
    return quantize(cast(acc, factor.dtype) * factor, _only(y_zero), y_zero.dtype)

"""Integer matrix products: MatMulInteger and QLinearMatMul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, SumOfProducts, stretched
from sardonyx.ops.base.element import lift, quiet, widen
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import Dims, fit_into
from sardonyx.ops.product.matmul import Read, matmul_shape, multiply, multiply_at
from sardonyx.ops.quantized.linear import quantize, quantized


def centred(x: Array, zero: Array | None) -> Array:
    """The elements less their zero point, as float64, in which sums of products are exact."""
    a = x.astype(np.float64)
    return a if zero is None else a - zero.astype(np.float64)


def difference(e: Expr, zero: Expr | None) -> Expr:
    """An element less its zero point, as int32."""
    wide = cast(e, DType.INT32)
    return wide if zero is None else wide - cast(zero, DType.INT32)


def _by_row(values: Array) -> Array:
    """A zero point or scale of the left operand, shaped to broadcast."""
    return values[:, None] if values.ndim == 1 and values.size > 1 else values


def _own(x: Operand | None, at: Sequence[Expr], axis: int) -> Expr | None:
    """The zero point or scale belonging to row (axis -2) or column (-1) `at[axis]`."""
    if x is None:
        return None
    if x.rank == 0:
        return x[()]
    if x.rank == 1:
        return x[0 if len(at) < 2 else stretched(at[axis], x.shape[0])]
    lead = at[len(at) - x.rank : -2]
    tail = [0, 0]
    fixed = [stretched(i, d) for i, d in zip(lead, x.shape, strict=False)]
    return x[[*fixed, *(at[a] if a == axis else t for a, t in zip((-2, -1), tail, strict=True))]]


def _readers(zeros: Sequence[Operand | None]) -> tuple[Read, Read]:
    """How the elements of both operands are read, less their zero points."""

    def reader(zero: Operand | None, axis: int) -> Read:
        return lambda x, at: difference(x[at], _own(zero, at, axis))

    left, right = filled(zeros, 2)
    return reader(left, -2), reader(right, -1)


def _by_rows(a: Type, out: Dims | None, *extras: Type | None) -> None:
    """Scales and zero points must be one for all, for each row of `a`, or for each of many."""
    if a.shape is not None and out is not None:
        rows = (a.shape[-2:-1] or (const(1),))[0]
        _fit(extras, rows, (*out[: max(0, len(a.shape) - 2)], rows, const(1)))


def _by_columns(b: Type, out: Dims | None, *extras: Type | None) -> None:
    """The same of the columns of `b`."""
    if b.shape is not None and out is not None:
        columns = b.shape[-1] if len(b.shape) > 1 else const(1)
        _fit(extras, columns, (*out[: max(0, len(b.shape) - 2)], const(1), columns))


def _fit(extras: Sequence[Type | None], each: Expr, many: Sequence[Expr]) -> None:
    for extra in extras:
        few = extra is not None and extra.rank is not None and extra.rank < 2
        fit_into(extra, (each,) if few else many, "a scale or zero point")


class MatMulInteger(Op):
    """(A - its zero point) @ (B - its zero point) in int32, a zero point being one for all, for
    each row of A, or for each column of B."""

    since = 10
    tolerance = "exact"

    def infer(
        self, a: Type, b: Type, a_zero: Type | None = None, b_zero: Type | None = None
    ) -> Type:
        out = matmul_shape(a, b)
        _by_rows(a, out, a_zero)
        _by_columns(b, out, b_zero)
        return Type(DType.INT32, out)

    def reference(
        self, a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None
    ) -> Array:
        left = centred(a, None if a_zero is None else _by_row(a_zero))
        product = np.matmul(left, centred(b, b_zero))
        return np.asarray(product).astype(np.int64).astype(np.int32)

    def at(self, idx: Index, a: Operand, b: Operand, *zeros: Operand | None) -> Expr:
        return multiply_at(idx, a, b, *_readers(zeros))

    def contract(self, out: Type, a: Operand, b: Operand, *zeros: Operand | None) -> SumOfProducts:
        return multiply(out, a, b, *_readers(zeros), lambda acc, _: acc, DType.INT32)


class QLinearMatMul(Op):
    """The product of two quantized matrices, quantized again."""

    since = 10

    def infer(
        self,
        a: Type,
        a_scale: Type,
        a_zero: Type,
        b: Type,
        b_scale: Type,
        b_zero: Type,
        y_scale: Type,
        y_zero: Type,
    ) -> Type:
        out = matmul_shape(a, b)
        _by_rows(a, out, a_scale, a_zero, y_scale, y_zero)
        _by_columns(b, out, b_scale, b_zero)
        return Type(y_zero.dtype, out)

    @quiet
    def reference(
        self,
        a: Array,
        a_scale: Array,
        a_zero: Array,
        b: Array,
        b_scale: Array,
        b_zero: Array,
        y_scale: Array,
        y_zero: Array,
    ) -> Array:
        left = centred(a, _by_row(a_zero))
        right = centred(b if b.ndim > 1 else b[:, None], b_zero)
        acc = np.asarray(np.matmul(np.atleast_2d(left), right)).astype(np.float32)
        factor = _by_row(widen(a_scale)) * widen(b_scale) / _by_row(widen(y_scale))
        made = quantized(acc * factor, _by_row(y_zero), DType.from_numpy(y_zero.dtype))
        alone = tuple(axis for axis, x in ((-2, a), (-1, b)) if x.ndim < 2)
        return np.asarray(made.squeeze(alone))

    def at(self, idx: Index, *inputs: Operand) -> Expr:
        a, _, a_zero, b, _, b_zero, *_ = inputs
        acc = multiply_at(idx, a, b, *_readers((a_zero, b_zero)))
        return _requantized(acc, idx, inputs)

    def contract(self, out: Type, *inputs: Operand) -> SumOfProducts:
        a, _, a_zero, b, _, b_zero, *_ = inputs

        def finish(acc: Expr, idx: Index) -> Expr:
            return _requantized(acc, idx, inputs)

        return multiply(out, a, b, *_readers((a_zero, b_zero)), finish, DType.INT32)


def _requantized(acc: Expr, idx: Index, inputs: Sequence[Operand]) -> Expr:
    a, a_scale, b, b_scale, y_scale, y_zero = (inputs[i] for i in (0, 1, 3, 4, 6, 7))
    at: Subscripts = tuple(idx) if b.rank > 1 else (*idx, const(0))
    at = at if a.rank > 1 else (*at[:-1], const(0), at[-1])
    left, right = _own(a_scale, at, -2), _own(b_scale, at, -1)
    down, zero = _own(y_scale, at, -2), _own(y_zero, at, -2)
    assert left is not None
    assert right is not None
    assert down is not None
    factor = lift(left) * lift(right) / lift(down)
    return quantize(cast(acc, factor.dtype) * factor, zero, y_zero.dtype)

"""Reductions over axes, which are an attribute or, in later opsets, an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, exp, product, sqrt, unary, where
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import axes_of, known_ints, length_of, unknown_dim

Element: TypeAlias = Callable[[Sequence[Expr]], Expr]
Axes: TypeAlias = "tuple[int, ...] | None"


class Reduction(Op, abstract=True):
    """One value for each row of elements along the axes; no axes means all of them."""

    tolerance = "reduction"
    keepdims: int = 1

    def no_axes(self, rank: int) -> tuple[int, ...]:
        """The axes reduced where none are given."""
        return tuple(range(rank))

    def chosen(self, axes: Sequence[int] | None, rank: int) -> tuple[int, ...]:
        """The axes reduced, counted from 0; E0321 when one does not exist."""
        return tuple(sorted(axes_of(axes, rank))) if axes else self.no_axes(rank)

    def result(self, x: Type, axes: tuple[int, ...]) -> Type:
        """The type of the output."""
        one = const(1)
        kept = (one if n in axes else d for n, d in enumerate(x.dims))
        if not self.keepdims:
            kept = (d for n, d in enumerate(x.dims) if n not in axes)
        return x.with_shape(kept)

    @quiet
    def evaluate(self, x: Array, axes: Sequence[int] | None) -> Array:
        """The reduction of an array."""
        over = self.chosen(axes, x.ndim)
        if not over:
            return settle(self.alone(widen(x)), x.dtype)
        return settle(self.compute(widen(x), over, bool(self.keepdims)), x.dtype)

    def alone(self, x: Array) -> Any:
        """The result where no axis is reduced."""
        return self.compute(x[None], (0,), keep=False)

    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        """The reduction of an array of a type that numpy computes with."""
        raise NotImplementedError

    def row(self, idx: Index, x: Operand, axes: tuple[int, ...]) -> Expr:
        """The output element at `idx`."""
        kept = iter(idx)
        subscripts = [
            next(kept) if n not in axes or self.keepdims else const(0) for n in range(x.rank)
        ]

        def element(inner: Sequence[Expr]) -> Expr:
            at = dict(zip(axes, inner, strict=True))
            return lift(x[[at.get(n, i) for n, i in enumerate(subscripts)]])

        return cast(self.fold([x.shape[a] for a in axes], element), x.dtype)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        """The reduction of element(subscripts) for all subscripts below the extents."""
        raise NotImplementedError


class ByInput(Reduction, abstract=True):
    """The axes are an input; without any, `noop_with_empty_axes` reduces none instead of all."""

    since = 18
    noop_with_empty_axes: int = 0

    def no_axes(self, rank: int) -> tuple[int, ...]:
        return () if self.noop_with_empty_axes else tuple(range(rank))

    def infer(self, x: Type, axes: Type | None = None) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        wanted = () if axes is None else known_ints(axes)
        if wanted is not None:
            return self.result(x, self.chosen(wanted, len(x.shape)))
        assert axes is not None
        if self.keepdims:
            return x.with_shape(unknown_dim("reduced", 1) for _ in x.shape)
        count = length_of(axes)
        if not count:
            return Type(x.dtype)
        return x.with_shape(unknown_dim("reduced", 1) for _ in range(len(x.shape) - count))

    def reference(self, x: Array, axes: Array | None = None) -> Array:
        return self.evaluate(x, None if axes is None else [int(a) for a in axes.reshape(-1)])

    def at(self, idx: Index, x: Operand, axes: Operand | None = None) -> Expr:
        wanted = () if axes is None else known_ints(axes.type)
        if wanted is None:
            raise NotImplementedError("the axes are not known before running")
        return self.row(idx, x, self.chosen(wanted, x.rank))


class ByAttribute(Reduction, abstract=True):
    """The axes are an attribute."""

    since = 1
    made_inputs = (18, ("axes",))
    axes: tuple[int, ...] | None = None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        axes = inputs[1] if len(inputs) > 1 else None
        some = axes is not None and axes.type.shape is not None and length_of(axes.type)
        if given.pop("noop_with_empty_axes") and not some:
            return "before there is no axes' input every axis is reduced where none is given"
        return None

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        return self.result(x, self.chosen(self.axes, len(x.shape)))

    def reference(self, x: Array) -> Array:
        return self.evaluate(x, self.axes)

    def at(self, idx: Index, x: Operand) -> Expr:
        return self.row(idx, x, self.chosen(self.axes, x.rank))


def _along(ufunc: Any, x: Array, axes: tuple[int, ...], keep: bool, **options: Any) -> Any:
    return ufunc.reduce(x, axes, keepdims=keep, **options)


class _Sum(Reduction, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return _along(np.add, x, axes, keep, dtype=x.dtype)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return total("add", extents, element)


class _Mean(Reduction, abstract=True):
    traits = Trait.AVERAGES

    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        count = int(np.prod([x.shape[a] for a in axes]))
        added = _along(np.add, x, axes, keep, dtype=x.dtype)
        return np.trunc(added / count) if x.dtype.kind in "iu" else added / x.dtype.type(count)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        added = total("add", extents, element)
        count = cast(product(extents), added.dtype)
        return binary("truncdiv" if added.dtype.is_int else "div", added, count)


class _Product(Reduction, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return _along(np.multiply, x, axes, keep, dtype=x.dtype)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return total("mul", extents, element)


class _Max(Reduction, abstract=True):
    tolerance = "exact"

    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return _along(np.maximum, x, axes, keep, initial=_extreme(x.dtype, lowest=True))

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        probe = element([const(0) for _ in extents])
        return total("or" if probe.dtype.is_bool else "max", extents, element)


class _Min(Reduction, abstract=True):
    tolerance = "exact"

    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return _along(np.minimum, x, axes, keep, initial=_extreme(x.dtype, lowest=False))

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        probe = element([const(0) for _ in extents])
        return total("and" if probe.dtype.is_bool else "min", extents, element)


def _extreme(dtype: np.dtype[Any], lowest: bool) -> Any:
    if dtype.kind == "b":
        return not lowest
    if dtype.kind == "f":
        return dtype.type(-np.inf if lowest else np.inf)
    limits = np.iinfo(dtype)
    return limits.min if lowest else limits.max


class _L1(_Sum, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return super().compute(np.abs(x), axes, keep)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return total("add", extents, lambda inner: unary("abs", element(inner)))


class _SumSquare(_Sum, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return super().compute(np.square(x), axes, keep)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return total("add", extents, lambda inner: element(inner) * element(inner))


def _real(e: Expr) -> Expr:
    return cast(e, DType.FLOAT64) if e.dtype.is_int else e


class _L2(_SumSquare, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return np.sqrt(super().compute(x, axes, keep))

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return sqrt(_real(super().fold(extents, element)))


class _LogSum(_Sum, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        return np.log(super().compute(x, axes, keep))

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        return unary("log", _real(super().fold(extents, element)))


class _LogSumExp(Reduction, abstract=True):
    def compute(self, x: Array, axes: tuple[int, ...], keep: bool) -> Any:
        x = x.astype(np.float64) if x.dtype.kind in "iu" else x
        top = _along(np.maximum, x, axes, True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, x.dtype.type(0))
        added = _along(np.add, np.exp(x - top), axes, True)
        found = np.log(added) + top
        return found if keep else np.squeeze(found, axes)

    def fold(self, extents: Sequence[Expr], element: Element) -> Expr:
        top = total("max", extents, lambda inner: _real(element(inner)))
        finite = where(unary("isinf", top), top.like(0.0), top)
        added = total("add", extents, lambda inner: exp(_real(element(inner)) - finite))
        return unary("log", added) + finite


class ReduceSum(ByInput, _Sum):
    """The sum."""

    since = 13


class ReduceMean(ByInput, _Mean):
    """The mean; of integers rounded towards zero."""


class ReduceProd(ByInput, _Product):
    """The product."""


class ReduceMax(ByInput, _Max):
    """The largest element, the least value of the type where there is none."""


class ReduceMin(ByInput, _Min):
    """The smallest element, the greatest value of the type where there is none."""


class ReduceL1(ByInput, _L1):
    """The sum of the absolute values."""


class ReduceL2(ByInput, _L2):
    """The square root of the sum of squares."""


class ReduceSumSquare(ByInput, _SumSquare):
    """The sum of squares."""


class ReduceLogSum(ByInput, _LogSum):
    """The logarithm of the sum."""


class ReduceLogSumExp(ByInput, _LogSumExp):
    """The logarithm of the sum of exponentials, without overflow."""


class ReduceSumV1(ByAttribute, _Sum):
    """ReduceSum of opsets 1 to 12."""

    made_inputs = (13, ("axes",))


class ReduceMeanV1(ByAttribute, _Mean):
    """ReduceMean of opsets 1 to 17."""


class ReduceProdV1(ByAttribute, _Product):
    """ReduceProd of opsets 1 to 17."""


class ReduceMaxV1(ByAttribute, _Max):
    """ReduceMax of opsets 1 to 17."""


class ReduceMinV1(ByAttribute, _Min):
    """ReduceMin of opsets 1 to 17."""


class ReduceL1V1(ByAttribute, _L1):
    """ReduceL1 of opsets 1 to 17."""


class ReduceL2V1(ByAttribute, _L2):
    """ReduceL2 of opsets 1 to 17."""


class ReduceSumSquareV1(ByAttribute, _SumSquare):
    """ReduceSumSquare of opsets 1 to 17."""


class ReduceLogSumV1(ByAttribute, _LogSum):
    """ReduceLogSum of opsets 1 to 17."""


class ReduceLogSumExpV1(ByAttribute, _LogSumExp):
    """ReduceLogSumExp of opsets 1 to 17."""

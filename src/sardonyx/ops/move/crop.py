"""CenterCropPad: chosen axes cut or padded about their centre."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.given import wholes
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import axes_of, check_size, known, refuse, unknown_dim


class CenterCropPad(Op):
    """The middle of the input, or the input in the middle of zeros, to the lengths of `shape`."""

    since = 18
    tolerance = "exact"
    axes: tuple[int, ...] | None = None

    def _axes(self, rank: int) -> tuple[int, ...]:
        return tuple(range(rank)) if self.axes is None else axes_of(self.axes, rank)

    def infer(self, x: Type, shape: Type) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        dims = list(x.shape)
        axes, lengths = self._axes(len(dims)), known(shape)
        if lengths is not None and len(lengths) != len(axes):
            raise refuse("E0341", "`shape` does not fit the axes", len(lengths), len(axes))
        for n, axis in enumerate(axes):
            dims[axis] = unknown_dim("centred") if lengths is None else lengths[n]
        return Type(x.dtype, tuple(dims))

    def reference(self, x: Array, shape: Array) -> Array:
        axes = self._axes(x.ndim)
        for axis, length in zip(axes, wholes(shape, len(axes), "the lengths"), strict=True):
            extent = x.shape[axis]
            if length < extent:
                start = (extent - length) // 2
                x = x[(slice(None),) * axis + (slice(start, start + length),)]
            elif length > extent:
                before = (length - extent) // 2
                pads = [(0, 0)] * x.ndim
                pads[axis] = (before, length - extent - before)
                dims = (*x.shape[:axis], length, *x.shape[axis + 1 :])
                check_size(DType.from_numpy(x.dtype), dims)
                x = np.pad(x, pads)
        return x

    def at(self, idx: Index, x: Operand, shape: Operand) -> Expr:
        del shape
        at: list[Expr] = list(idx)
        inside = []
        for axis in self._axes(x.rank):
            shift = _shift(x.shape[axis], idx.shape[axis])
            at[axis] = idx[axis] + shift
            fits = idx.shape[axis] <= x.shape[axis]
            if not (fits.is_const and fits.arg):
                inside += [const(0) <= at[axis], at[axis] < x.shape[axis]]
        zero = const(0, x.dtype)
        return where(both(inside), x[at], zero)


def _shift(extent: Expr, length: Expr) -> Expr:
    """How far the input position is from the output position."""
    return where(length < extent, (extent - length) // 2, -((length - extent) // 2))

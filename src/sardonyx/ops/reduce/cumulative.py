"""Running sums and products along an axis."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import axis_of, known_ints, like, need_rank


class Cumulative(Op, abstract=True):
    """The fold of every element with those before it along the axis.

    `exclusive` leaves the element itself out; `reverse` goes from the end.
    """

    tolerance = "reduction"
    ufunc: ClassVar[np.ufunc]
    exclusive: int = 0
    reverse: int = 0

    def infer(self, x: Type, axis: Type) -> Type:
        need_rank(axis, 0, 1, "the axis")
        wanted = known_ints(axis)
        if wanted and x.rank is not None:
            axis_of(wanted[0], x.rank)
        return like(x)

    @quiet
    def reference(self, x: Array, axis: Array) -> Array:
        n = axis_of(int(axis.reshape(-1)[0]), x.ndim)
        real = np.moveaxis(widen(x), n, 0)
        real = real[::-1] if self.reverse else real
        out = type(self).ufunc.accumulate(real, 0, dtype=real.dtype)
        if self.exclusive and len(real):
            first = np.full_like(real[:1], type(self).ufunc.identity)
            out = np.concatenate([first, out[:-1]])
        return settle(np.moveaxis(out[::-1] if self.reverse else out, 0, n), x.dtype)


class CumSum(Cumulative):
    """The running sum along the axis."""

    since = 11
    ufunc = np.add


class CumProd(Cumulative):
    """The running product along the axis."""

    since = 26
    ufunc = np.multiply

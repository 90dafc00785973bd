"""What is asked of a tensor rather than of its elements: Shape and Size."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.shapes import choose, unknown_dim


class Shape(Op):
    """The dims from `start` on, up to `end`; both may count from the last dim."""

    since = 15
    tolerance = "exact"
    start: int = 0
    end: int | None = None

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(DType.INT64, (unknown_dim("rank"),))
        dims = x.shape[self.start : self.end]
        return Type(DType.INT64, (const(len(dims)),), dims)

    def reference(self, x: Array) -> Array:
        return np.array(x.shape[self.start : self.end], np.int64)

    def at(self, idx: Index, x: Operand) -> Expr:
        return choose(x.shape[self.start : self.end], idx[0])

    def express(self, write: Body, opset: int, x: Value) -> Value:
        del opset
        end = np.iinfo(np.int64).max if self.end is None else self.end
        return write.slice(write("Shape", x), 0, self.start, end)


class ShapeV1(Op):
    """Shape of opsets 1 to 14: all dims."""

    tolerance = "exact"

    def infer(self, x: Type) -> Type:
        return Shape().infer(x)

    def reference(self, x: Array) -> Array:
        return Shape().reference(x)

    def at(self, idx: Index, x: Operand) -> Expr:
        return Shape().at(idx, x)


class Size(Op):
    """The number of elements."""

    since = 1
    tolerance = "exact"

    def infer(self, x: Type) -> Type:
        value = None if x.shape is None else (x.count,)
        return Type(DType.INT64, (), value)

    def reference(self, x: Array) -> Array:
        return np.array(x.size, np.int64)

    def at(self, idx: Index, x: Operand) -> Expr:
        del idx
        return x.type.count

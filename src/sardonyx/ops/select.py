"""Ops that choose between elements by a condition or a position: Where, Trilu, OneHot and kin."""

from __future__ import annotations

import numpy as np

from sardonyx.core.expr import Expr, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.element import Array
from sardonyx.ops.shapes import (
    broadcast,
    common_dtype,
)


class Where(Op):
    """x where the condition holds, else y; all three broadcast as numpy does."""

    since = 9
    tolerance = "exact"

    def infer(self, condition: Type, x: Type, y: Type) -> Type:
        return Type(common_dtype(x, y), broadcast(condition.shape, x.shape, y.shape))

    def reference(self, condition: Array, x: Array, y: Array) -> Array:
        return np.where(condition, x, y)

    def at(self, idx: Index, condition: Operand, x: Operand, y: Operand) -> Expr:
        return where(condition.broadcast(idx), x.broadcast(idx), y.broadcast(idx))

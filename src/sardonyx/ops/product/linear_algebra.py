"""Linear algebra: Det."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, cast, number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.shapes import need_rank, same_dim

_SMALL = 4


class Det(Op):
    """The determinants of the square matrices in the last two axes."""

    since = 11
    tolerance = "reduction"

    def infer(self, x: Type) -> Type:
        need_rank(x, 2)
        if x.shape is None:
            return Type(x.dtype)
        same_dim(x.shape[-1], x.shape[-2])
        return x.with_shape(x.shape[:-2])

    def reference(self, x: Array) -> Array:
        return settle(np.linalg.det(widen(x)), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        size = number(x.shape[-1])
        if size is None or not 1 <= size <= _SMALL:
            raise NotImplementedError("only determinants of small matrices have native code")
        rows = [[lift(x[(*idx, i, j)]) for j in range(size)] for i in range(size)]
        return cast(_expanded(rows), x.dtype)


def _expanded(rows: list[list[Expr]]) -> Expr:
    """Laplace's expansion along the first row."""
    if len(rows) == 1:
        return rows[0][0]
    out: Expr | None = None
    for j, first in enumerate(rows[0]):
        minor = _expanded([[e for n, e in enumerate(row) if n != j] for row in rows[1:]])
        term = first * minor
        out = term if out is None else out - term if j % 2 else out + term
    assert out is not None
    return out

"""The least and greatest of what counts elements, beside what it may be: compiled code's E0210."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, binary, cast, const, eq, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.nest import total


class SubscriptSpan(Op):
    """[least, greatest, lowest allowed, highest allowed] of subscripts along `axis` of `data`.

    Subscripts may count from the end where `from_end`; of rows of subscripts, `column` says which
    is looked at; those equal to `ignored` are not. With a `window`, that many elements of its dim
    `axis` are counted from each subscript on. The subscript after the last is allowed if `ends`.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
    traits = Trait.ASIDE
    axis: int = 0
    from_end: bool = True
    column: int | None = None
    ignored: int | None = None
    ends: bool = False

    def infer(self, indices: Type, data: Type, window: Type | None = None) -> Type:
        del indices, data, window
        return Type(DType.INT64, (const(4),))

    def reference(self, indices: Array, data: Array, window: Array | None = None) -> Array:
        found = indices if self.column is None else indices[..., self.column]
        found = found.astype(np.int64).reshape(-1)
        if self.ignored is not None:
            found = found[found != self.ignored]
        size = data.shape[self.axis]
        high = size - (int(not self.ends) if window is None else window.shape[self.axis])
        low = -size if self.from_end else 0
        least, most = (found.min(), found.max()) if found.size else (low, high)
        return np.array([least, most, low, high], np.int64)

    def at(
        self, idx: Index, indices: Operand, data: Operand, window: Operand | None = None
    ) -> Expr:
        size = data.shape[self.axis]
        low = -size if self.from_end else const(0)
        high = size - (int(not self.ends) if window is None else window.shape[self.axis])

        def most(op: str, none: Expr) -> Expr:
            def read(place: Sequence[Expr]) -> Expr:
                found = indices[place if self.column is None else (*place, const(self.column))]
                found = cast(found, INDEX)
                return (
                    found if self.ignored is None else where(eq(found, self.ignored), none, found)
                )

            return total(op, indices.shape[: None if self.column is None else -1], read)

        # A choice by the place would look at all subscripts for each of the four, and a sum of
        # integers has no order of its own that the kernel's text could keep.
        rows = (most("min", high), most("max", low), low, high)
        out = const(0)
        for n, value in enumerate(rows):
            out = binary("bitor", out, cast(eq(idx[0], n), INDEX) * value)
        return out

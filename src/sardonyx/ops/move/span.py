"""The worst of what counts elements, beside what it may be: compiled code's E0210."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, binary, cast, const, eq, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.nest import total


class SubscriptSpan(Op):
    """[worst, lowest allowed, highest allowed] of subscripts along `axis` of `data`.

    The worst is the farthest above the lowest allowed, numbers below that being above all others,
    as unsigned numbers are: one look at each decides. Subscripts may count from the end where
    `from_end`; of rows of subscripts, `column` says which is looked at; those equal to `ignored`
    are not. With a `window`, that many elements of its dim `axis` are counted from each subscript
    on. The subscript after the last is allowed if `ends`.
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
        return Type(DType.INT64, (const(3),))

    def reference(self, indices: Array, data: Array, window: Array | None = None) -> Array:
        found = indices if self.column is None else indices[..., self.column]
        found = found.astype(np.int64).reshape(-1)
        if self.ignored is not None:
            found = found[found != self.ignored]
        size = data.shape[self.axis]
        high = size - (int(not self.ends) if window is None else window.shape[self.axis])
        low = -size if self.from_end else 0
        beyond = found.view(np.uint64) - np.array(low).astype(np.uint64)
        worst = int(beyond.max(initial=0).astype(np.int64)) + low
        return np.array([worst, low, high], np.int64)

    def at(
        self, idx: Index, indices: Operand, data: Operand, window: Operand | None = None
    ) -> Expr:
        size = data.shape[self.axis]
        low = -size if self.from_end else const(0)
        high = size - (int(not self.ends) if window is None else window.shape[self.axis])

        def beyond(place: Sequence[Expr]) -> Expr:
            at = place if self.column is None else (*place, const(self.column))
            found = cast(indices[at], INDEX)
            far = cast(found - low, DType.UINT64)
            return far if self.ignored is None else where(eq(found, self.ignored), far.like(0), far)

        rows = indices.shape[: None if self.column is None else -1]
        worst = cast(total("max", rows, beyond), INDEX) + low
        # A choice by the place would look at all subscripts for each of the three, and a sum of
        # integers has no order of its own that the kernel's text could keep.
        out = const(0)
        for n, value in enumerate((worst, low, high)):
            out = binary("bitor", out, cast(eq(idx[0], n), INDEX) * value)
        return out

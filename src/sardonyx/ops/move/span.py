"""The least and greatest of what counts elements, beside what it may be: compiled code's E0210."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, cast, const, eq, fresh, load, scalar, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.loops.ir import Buffer, Fold, Kernel, Stmt, Store


class SubscriptSpan(Op):
    """[least, greatest, lowest allowed, highest allowed] of subscripts along `axis` of `data`.

    Subscripts may count from the end where `from_end`; of rows of subscripts, `column` says which
    is looked at; those equal to `ignored` are not. With a `window`, that many elements of its dim
    `axis` are counted from each subscript on. The subscript after the last is allowed if `ends`.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
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

    def build(self, outs: tuple[Type, ...], *inputs: Type | None) -> Kernel:
        """Two folds over the subscripts; the least of none is the greatest number."""
        del outs
        indices, data, window = (*inputs, None)[:3]
        assert indices is not None and indices.dtype is not None and data is not None  # noqa: PT018
        shape = indices.dims if self.column is None else indices.dims[:-1]
        step = 1 if self.column is None else indices.dims[-1]
        loops = tuple(fresh(d) for d in shape) or (fresh(1),)
        place = const(0)
        for v in loops:
            place = place * v.args[0] + v
        at = cast(load(1, [place * step + (self.column or 0)], indices.dtype), INDEX)
        size = data.dims[self.axis]
        low = -size if self.from_end else const(0)
        high = size - (int(not self.ends) if window is None else window.dims[self.axis])
        body: list[Stmt] = []
        for n, (op, none) in enumerate((("min", high), ("max", low))):
            found = at if self.ignored is None else where(eq(at, self.ignored), none, at)
            value = scalar(op, INDEX)
            body += [Fold(value, op, loops, found), Store(0, const(n), value)]
        body += [Store(0, const(2), low), Store(0, const(3), high)]
        params = [Buffer(0, DType.INT64, const(4), "out")]
        for n, t in enumerate((indices, data, window)):
            if t is not None and t.dtype is not None:
                params.append(Buffer(n + 1, t.dtype, t.count))
        work: Expr = indices.count
        return Kernel(tuple(params), (), tuple(body), work)

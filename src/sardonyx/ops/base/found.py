"""What selects as many elements as the data says: all that may be, how many there are, and a cut.

    y = NonZero(x)      p, n = FoundPlaces(x);  y = Cut(p, n)

Native code makes as much as there can be, so that its size is known before it runs.
"""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, fresh, maximum, minimum, scalar
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.loops.ir import For, Kernel, Let, Stmt, Store
from sardonyx.ops.base.element import lift
from sardonyx.ops.base.loops import Memory
from sardonyx.ops.base.shapes import place, unknown_dim


class FoundPlaces(Op):
    """The subscripts of elements that are not 0, a column for each, and how many there are.

    There is a column more than elements; those past the number hold nothing of meaning.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"

    def infer(self, x: Type) -> tuple[Type, Type]:
        rows = const(len(x.dims))
        return Type(DType.INT64, (rows, x.count + 1)), Type(DType.INT64, (const(1),))

    def reference(self, x: Array) -> tuple[Array, Array]:
        found = np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)
        padded = np.zeros((x.ndim, x.size + 1), np.int64)
        padded[:, : found.shape[1]] = found
        return padded, np.array([found.shape[1]], np.int64)

    def build(self, outs: tuple[Type, ...], x: Type) -> Kernel:
        """Every subscript is written where the next found one belongs, which then moves or not."""
        memory, width = Memory(outs, (x,)), x.count + 1
        loops = [fresh(d) for d in x.dims]
        at: Expr = const(0)
        for v, d in zip(loops, x.dims, strict=True):
            at = at * d + v
        element, next_ = lift(memory.read(2, at)), scalar("next", DType.INT64)
        held = element if element.dtype.is_bool else binary("ne", element, element.like(0))
        body: tuple[Stmt, ...] = (
            Let(next_, minimum(maximum(memory.read(1, const(0)), 0), x.count)),
            *(Store(0, next_ + width * n, v) for n, v in enumerate(loops)),
            Store(1, const(0), next_ + cast(held, DType.INT64)),
        )
        for v in reversed(loops):
            body = (For(v, body),)
        return memory.kernel(Store(1, const(0), const(0)), *body)


class Cut(Op):
    """The first `count` elements along an axis."""

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
    axis: int = 0

    def infer(self, x: Type, count: Type) -> Type:
        del count
        return x.with_shape(place(x.dims, (self.axis,), (unknown_dim("found"),)))

    def reference(self, x: Array, count: Array) -> Array:
        kept = (slice(None),) * self.axis + (slice(int(count[0])),)
        return np.ascontiguousarray(x[kept])

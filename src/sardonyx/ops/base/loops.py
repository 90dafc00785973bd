"""What kernels that are said in statements share: buffers, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, load, product
from sardonyx.graph.ir import Type
from sardonyx.loops.ir import Buffer, Kernel, Role, Stmt


class Memory:
    """The outputs, then the inputs that are there, as buffers 0, 1, ..; then scratch of threads."""

    def __init__(self, outs: Sequence[Type], inputs: Sequence[Type | None]) -> None:
        kinds = [*outs, *(t for t in inputs if t is not None)]
        self.params: list[Buffer] = []
        for n, kind in enumerate(kinds):
            assert kind.dtype is not None
            role: Role = "out" if n < len(outs) else "in"
            self.params.append(Buffer(n, kind.dtype, kind.count, role))
        self.scratch: list[Buffer] = []

    def take(self, dtype: DType, size: int) -> int:
        """The number of a buffer of that many elements for each thread."""
        number = len(self.params) + len(self.scratch)
        self.scratch.append(Buffer(number, dtype, const(size), "out", "thread"))
        return number

    def read(self, number: int, index: Expr) -> Expr:
        """An element of a buffer."""
        return load(number, [index], [*self.params, *self.scratch][number].dtype)

    def kernel(self, *body: Stmt) -> Kernel:
        """The statements over these buffers."""
        work = product(b.size for b in self.params[:1])
        return Kernel(tuple(self.params), (), body, work, tuple(self.scratch))

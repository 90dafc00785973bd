"""How a loop is cut into vectors: the width, what is left over, and whether masks are cheap."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import INDEX, Expr, nonnegative, number, polynomial, sub, walk
from sardonyx.engine.emit.memory import Memory
from sardonyx.engine.emit.types import HALVES
from sardonyx.loops.ir import Fold, For, Let, Stmt, Store, statements

CHAINS = 4


class Strips(Memory):
    """Decides the form of vector loops for one kernel and target."""

    def trips(self, extent: Expr) -> bool:
        """Whether a loop provably has a trip."""
        return nonnegative(sub(extent, 1))

    def chained(self, body: Sequence[Stmt]) -> bool:
        """Whether lanes fold: several vectors at once then hide the latency of each."""
        folds = [s for s in body if isinstance(s, Fold)]
        return bool(folds) and len(body) <= 4 and not all(unrolls(s) for s in folds)

    def split(self, extent: Expr, width: int) -> tuple[str, str | None]:
        """How many trips whole vectors make, and how many are left (None: surely none)."""
        known = number(extent)
        if known is not None:
            left = known % width
            return str(known - left), str(left) if left else None
        count = self.expr(extent)
        if all(c % width == 0 for c in polynomial(extent).values()):
            return count, None
        full = self.let(f"and i64 {count}, {-width}")
        return full, self.let(f"sub i64 {count}, {full}")

    def masks(self, body: Sequence[Stmt]) -> bool:
        """Whether the target reads and writes lanes under a mask in one instruction."""
        if self.target.has("avx512bw"):
            return True
        if not self.target.has("avx2"):
            return False
        return all(dtype.bits >= 32 for dtype in self.touched(body))

    def touched(self, body: Sequence[Stmt]) -> set[DType]:
        """The types of memory that statements touch, apart from subscripts."""
        out: set[DType] = set()
        for stmt in statements(tuple(body)):
            for e in _values(stmt):
                out.update(x.dtype for x in walk(e) if x.op == "load")
            if isinstance(stmt, Store):
                out.add(self.buffers[stmt.buffer].dtype)
        return out

    def fitting(self, stmt: For) -> int:
        """Lanes of a vector loop; no more than its trips need."""
        width, extent = self.width(stmt.body), number(stmt.extent)
        return width if extent is None else min(width, 1 << (extent - 1).bit_length())

    def short(self, body: Sequence[Stmt], trips: int) -> bool:
        """Whether that many copies of a body are better than a loop."""
        if trips > 4 or any(isinstance(s, For) for s in body):
            return False
        return trips * len(walk(*(e for s in statements(tuple(body)) for e in _values(s)))) <= 200

    def width(self, body: Sequence[Stmt]) -> int:
        """Lanes of a vector loop: a register of the widest type that its body computes with."""
        types = self.touched(body)
        for stmt in statements(tuple(body)):
            for e in _values(stmt):
                types.update(x.dtype for x in walk(e) if x.dtype is not INDEX)
        types.discard(DType.BOOL)
        widest = max((d.bits for d in types), default=8)
        if any(d in HALVES for d in types):
            widest = max(widest, 32)
        return max(1, self.target.vector_bits // widest)


def unrolls(stmt: Fold) -> bool:
    """Whether a reduction is short enough to be written without loops."""
    extents = [number(v.args[0]) for v in stmt.vars]
    trips = math.prod(e if e is not None else 1 << 30 for e in extents)
    return trips <= 32 and trips * len(walk(stmt.value)) <= 512


def _values(stmt: Stmt) -> tuple[Expr, ...]:
    return (stmt.value,) if isinstance(stmt, Let | Fold | Store) else ()

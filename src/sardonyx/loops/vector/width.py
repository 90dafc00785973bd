"""How a loop is cut into vectors: the width, what is left over, and whether masks are cheap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import INDEX, Expr, binary, const, nonnegative, number, polynomial, walk
from sardonyx.loops.ir import Buffer, Fold, For, Let, Stmt, Store, statements
from sardonyx.loops.target import Target

CHAINS = 4
ACCUMULATORS = 4
# Parts of expressions up to which a body needs hardly a register of its own.
_LIGHT = 24
# Additions of one chain: with n of them the error of a sum grows like n, of sums of sums like the
# sum of the lengths of their chains. Between two joins of as many accumulators that is a hundredth.
CHAIN = 256
# Trips from which a sum within a loop is one of its own: an addition more in each of the loop's.
_APART = 16
HALVES = (DType.FLOAT16, DType.BFLOAT16)


class Widths:
    """Decides the form of the vector loops of one kernel for one target."""

    def __init__(self, target: Target, buffers: Mapping[int, Buffer]) -> None:
        self.target, self.buffers = target, buffers

    def masks(self, body: Sequence[Stmt], v: Expr) -> bool:
        """Whether the target reads and writes lanes of v under a mask in one instruction."""
        if self.target.has("avx512bw"):
            return True
        if not self.target.has("avx2"):
            return False
        return all(dtype.bits >= 32 for dtype in self._touched(body, v))

    def _touched(self, body: Sequence[Stmt], v: Expr) -> set[DType]:
        """The types of memory that statements touch along v, apart from subscripts."""
        found = {x.dtype for x in _along(body, v) if x.op == "load"}
        stores = (s for s in statements(tuple(body)) if isinstance(s, Store))
        return found | {self.buffers[s.buffer].dtype for s in stores}

    def of(self, body: Sequence[Stmt], v: Expr) -> tuple[int, DType]:
        """Lanes of a loop over a body along v, and the type that decides.

        They fill a register with the widest type that the body computes with, what is the same in
        all lanes apart, and are no more than the trips need.
        """
        types = self._touched(body, v)
        types.update(x.dtype for x in _along(body, v) if x.dtype is not INDEX)
        types.discard(DType.BOOL)
        if types.intersection(HALVES):
            types.add(DType.FLOAT32)
        widest = max(types, key=lambda d: (d.bits, str(d)), default=DType.UINT8)
        width, trips = max(1, self.target.vector_bits // widest.bits), number(v.args[0])
        return (width if trips is None else min(width, whole(trips))), widest

    def chains(self, body: Sequence[Stmt]) -> tuple[int, ...]:
        """How many vectors at once are worth it where lanes fold: their latency is hidden then.

        As many as half of the registers hold, where each is little work: more of a row is read.
        """
        folds = [s for s in body if isinstance(s, Fold)]
        if not folds or len(body) > 4 or all(unrolls(s) for s in folds):
            return ()
        light = len(walk(*_values(body))) <= _LIGHT
        return (self.target.registers // 2, CHAINS) if light else (CHAINS,)

    @property
    def fused(self) -> bool:
        """Whether the target multiplies and adds in one instruction."""
        return self.target.can("fma")


def _values(body: Sequence[Stmt]) -> Iterable[Expr]:
    return [s.value for s in statements(tuple(body)) if isinstance(s, Let | Fold | Store)]


def _along(body: Sequence[Stmt], v: Expr) -> list[Expr]:
    """What is computed anew for each v, subscripts apart unless they are read from memory."""
    moving = {v}
    for s in statements(tuple(body)):
        if isinstance(s, Fold):
            moving.update(s.vars)
        if isinstance(s, Let | Fold) and not moving.isdisjoint(s.value.free):
            moving.add(s.var)
    return [x for x in walk(*_values(body)) if not moving.isdisjoint(x.free)]


def whole(trips: int) -> int:
    """The least power of two that is not below a number of trips."""
    return 1 << max(0, trips - 1).bit_length()


def has_trip(extent: Expr) -> bool:
    """Whether a loop provably has a trip."""
    return nonnegative(extent - 1)


def unrolls(s: Fold) -> bool:
    """Whether a reduction is short enough to be written without loops."""
    extents = [number(v.args[0]) for v in s.vars]
    trips = math.prod(e if e is not None else 1 << 30 for e in extents)
    return trips <= 32 and trips * len(walk(s.value)) <= 512


def parts(s: Fold, extent: Expr, step: int) -> list[int]:
    """How far one trip goes in the loops around the innermost one of a long sum, inner ones first.

    None where it is short, or where its order does not matter.
    """
    if s.op != "add" or not s.var.dtype.is_float:
        return []
    trips, found = number(extent), [step * CHAIN]
    if trips is None:
        return found
    while found[-1] * CHAIN < trips:
        found.append(found[-1] * CHAIN)
    return found if found[0] < trips else []


def apart(s: Fold, depth: int) -> bool:
    """Whether the loops of a sum from `depth` on are worth a sum of their own."""
    if s.op != "add" or not s.var.dtype.is_float:
        return False
    extents = [number(v.args[0]) for v in s.vars[depth:]]
    return math.prod(_APART if e is None else e for e in extents) >= _APART


def short(body: Sequence[Stmt], trips: int) -> bool:
    """Whether that many copies of a body are better than a loop."""
    if trips > 4 or any(isinstance(s, For) for s in body):
        return False
    return trips * len(walk(*_values(body))) <= 200


def multiple(extent: Expr, width: int) -> Expr:
    """The greatest multiple of a width (a power of two where `extent` is unknown) <= extent."""
    known = number(extent)
    if known is not None:
        return const(known // width * width)
    if all(c % width == 0 for c in polynomial(extent).values()):
        return extent
    return binary("bitand", extent, -width)

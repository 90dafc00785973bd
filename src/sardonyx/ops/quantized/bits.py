"""Numbers of a few bits each, side by side in bytes."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import at_most, need_rank, refuse


class UnpackedBits(Op):
    """`count` numbers of a few bits for each row of bytes.

    The first of a byte is in its lowest bits, or, where `order` is "high" and numbers fill bytes,
    in its highest. Signed ones are in two's complement.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
    traits = Trait.WIDENS
    bits: int = 4
    count: int = 0
    signed: int = 0
    order: str = "low"

    @property
    def dtype(self) -> DType:
        """The element type of the output."""
        return DType.INT8 if self.signed else DType.UINT8

    def infer(self, x: Type) -> Type:
        need_rank(x, 1)
        if not 1 <= self.bits <= 8:
            raise refuse("E0341", "`bits` is not from 1 to 8", self.bits)
        if self.order != "low" and (self.order != "high" or 8 % self.bits):
            raise refuse("E0341", "`order` is unknown, or bits do not fill bytes", self.order)
        if x.shape is None:
            return Type(self.dtype)
        at_most(const((self.count * self.bits + 7) // 8), x.shape[-1])
        return Type(self.dtype, (*x.shape[:-1], const(self.count)))

    def reference(self, x: Array) -> Array:
        single = np.unpackbits(x, axis=-1, bitorder="little")
        if self.order == "high":
            pairs = single.reshape(*x.shape, 8 // self.bits, self.bits)
            single = pairs[..., ::-1, :].reshape(single.shape)
        codes = single[..., : self.count * self.bits].reshape(*x.shape[:-1], self.count, self.bits)
        weights = 1 << np.arange(self.bits, dtype=np.int16)
        if self.signed:
            weights[-1] *= -1
        return np.asarray((codes * weights).sum(axis=-1)).astype(self.dtype.numpy)

    def at(self, idx: Index, x: Operand) -> Expr:
        start = idx[-1] * self.bits
        place, off = start // 8, start % 8
        shift = cast(8 - self.bits - off if self.order == "high" else off, DType.UINT32)
        found = cast(x[(*idx[:-1], place)], DType.UINT32)
        if 8 % self.bits:
            ends = (start + (self.bits - 1)) // 8
            high = cast(x[(*idx[:-1], ends)], DType.UINT32)
            found = binary("bitor", found, binary("shl", high, found.like(8)))
        codes = binary("bitand", binary("shr", found, shift), found.like((1 << self.bits) - 1))
        if not self.signed:
            return cast(codes, DType.UINT8)
        half = 1 << (self.bits - 1)
        turned = binary("bitxor", codes, codes.like(half))
        return cast(cast(turned, DType.INT32) - half, DType.INT8)

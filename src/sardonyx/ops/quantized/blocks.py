"""Formats of weights of a few bits in blocks: what is declared, and what follows from it.

    NF4 = BlockFormat(bits=4, block=64, order="high", levels=(-1.0, -0.6961928, ..., 1.0))
    weights = NF4.numbers(body, data, scales, None, count)

A declared format is written in operators: their reference is the format's, and what the strategy
`blocks` finds in their elements is its layout and its products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, operate
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import refuse
from sardonyx.ops.quantized.bits import UnpackedBits


class Levels(Op, kw_only=True):
    """The float32 that a code names, of a table of as many as a power of two."""

    domain = "ai.sardonyx"
    since = 1
    tolerance = "exact"
    traits = Trait.WIDENS
    levels: tuple[float, ...]

    def infer(self, codes: Type) -> Type:
        if not self.levels or len(self.levels) & (len(self.levels) - 1):
            raise refuse("E0341", "the levels are no power of two", len(self.levels))
        return Type(DType.FLOAT32, codes.shape)

    def reference(self, codes: Array) -> Array:
        return np.asarray(np.array(self.levels, np.float32)[codes % len(self.levels)])

    def at(self, idx: Index, codes: Operand) -> Expr:
        table = (const(x, DType.FLOAT32) for x in self.levels)
        return operate("lookup", (cast(codes[idx], DType.INT32), *table))


@dataclass(frozen=True)
class BlockFormat:
    """Rows of codes of `bits` each, `block` of which share a scale and a zero point.

    A code stands for (code - zero) * scale, the zero point being the middle of the codes where
    none is given, or for its level times the scale. `order` says where a byte holds the first of
    its codes: in its lowest bits ("low") or its highest ("high").
    """

    bits: int
    block: int
    order: str = "low"
    levels: tuple[float, ...] = ()

    def codes(self, body: Body, data: Value, count: int) -> Value:
        """The first `count` codes of each row of bytes."""
        return body(UnpackedBits(bits=self.bits, count=count, order=self.order), data)

    def numbers(
        self, body: Body, data: Value, scales: Value, zeros: Value | None, count: int
    ) -> Value:
        """[..., count] numbers of bytes [..., n], with a scale for each block of a row.

        Zero points are as many: in bytes of their own like the codes, or floats.
        """
        codes, blocks = self.codes(body, data, count), -(-count // self.block)
        if self.levels:
            named = body("Cast", body(Levels(levels=self.levels), codes), to=_type(scales))
            return body("Mul", named, self._spread(body, scales, blocks, count))
        if zeros is not None and zeros.type.dtype is not DType.UINT8:
            shift, steps = (self._spread(body, x, blocks, count) for x in (zeros, scales))
            return body("Mul", body("Sub", body("Cast", codes, to=_type(scales)), shift), steps)
        if zeros is None:
            middle = body.constant(np.array(1 << (self.bits - 1), np.uint8))
            zeros = body("Expand", middle, body("Shape", scales))
        elif self.bits < 8:
            zeros = self.codes(body, zeros, blocks)
        return body("DequantizeLinear", codes, scales, zeros, axis=-1, block_size=self.block)

    def _spread(self, body: Body, x: Value, blocks: int, count: int) -> Value:
        """[..., count] of one for each block."""
        lead = body("Shape", x, end=-1)
        shape = body("Concat", lead, body.ints(blocks, self.block), axis=0)
        wide = body("Expand", body("Unsqueeze", x, body.ints(-1)), shape)
        flat = body("Reshape", wide, body("Concat", lead, body.ints(-1), axis=0))
        whole = blocks * self.block == count
        return flat if whole else body.slice(flat, len(x.type.dims) - 1, 0, count)


def _type(x: Value) -> int:
    assert x.type.dtype is not None
    return int(x.type.dtype.value)

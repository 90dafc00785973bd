"""DepthToSpace and SpaceToDepth: blocks of pixels to channels and back."""

from __future__ import annotations

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import assume, need_rank, refuse, text

MODES = ("DCR", "CRD")


class Blocks(Op, abstract=True):
    """What both directions share: the block size and the order in which channels are counted.

    In mode DCR a channel's number is (row in block, column in block, channel), the last fastest;
    in mode CRD it is (channel, row in block, column in block).
    """

    tolerance = "exact"
    traits = Trait.SELECTS
    mode = "DCR"
    blocksize: int

    def check(self, x: Type) -> None:
        """E0320 or E0325 unless the input and the attributes can be used."""
        need_rank(x, 4, 4)
        if self.blocksize < 1:
            raise refuse("E0325", "the block size is below 1", self.blocksize, "1 or more")
        if self.mode not in MODES:
            raise refuse("E0325", "an unknown mode", self.mode, "DCR or CRD")

    def joined(self, row: Expr, column: Expr, channel: Expr, channels: Expr) -> Expr:
        """The channel number of a place in a block."""
        inner = row * self.blocksize + column
        if self.mode == "DCR":
            return inner * channels + channel
        return channel * (self.blocksize * self.blocksize) + inner

    def parted(self, number: Expr, channels: Expr) -> tuple[Expr, Expr, Expr]:
        """(row, column, channel) of a channel number."""
        size = self.blocksize * self.blocksize
        if self.mode == "DCR":
            inner, channel = number // channels, number % channels
        else:
            inner, channel = number % size, number // size
        return inner // self.blocksize, inner % self.blocksize, channel


def divided(d: Expr, by: int, x: Type) -> Expr:
    """A dim divided by a number that must divide it; E0325 where it is known not to."""
    whole = number(d)
    if whole is not None and whole % by:
        raise refuse("E0325", f"a dim is no multiple of {by}", text(x.shape))
    assume(d // by * by, d)
    return d // by


class DepthToSpaceV1(Blocks):
    """DepthToSpace of opsets 1 to 10, in mode DCR."""

    def infer(self, x: Type) -> Type:
        self.check(x)
        if x.shape is None:
            return Type(x.dtype)
        n, c, h, w = x.shape
        b = self.blocksize
        return x.with_shape((n, divided(c, b * b, x), h * b, w * b))

    def reference(self, x: Array) -> Array:
        n, c, h, w = x.shape
        b = self.blocksize
        if self.mode == "DCR":
            rows = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            rows = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
        return rows.reshape(n, c // (b * b), h * b, w * b)

    def at(self, idx: Index, x: Operand) -> Expr:
        n, c, h, w = idx
        b = self.blocksize
        return x[n, self.joined(h % b, w % b, c, idx.shape[1]), h // b, w // b]


class DepthToSpace(DepthToSpaceV1):
    """Groups of blocksize² channels become blocks of pixels."""

    since = 11
    mode: str = "DCR"


class SpaceToDepthV1(Blocks):
    """SpaceToDepth of opsets 1 to 27, in mode DCR."""

    def infer(self, x: Type) -> Type:
        self.check(x)
        if x.shape is None:
            return Type(x.dtype)
        n, c, h, w = x.shape
        b = self.blocksize
        return x.with_shape((n, c * (b * b), divided(h, b, x), divided(w, b, x)))

    def reference(self, x: Array) -> Array:
        n, c, h, w = x.shape
        b = self.blocksize
        blocks = x.reshape(n, c, h // b, b, w // b, b)
        order = (0, 3, 5, 1, 2, 4) if self.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return blocks.transpose(order).reshape(n, c * b * b, h // b, w // b)

    def at(self, idx: Index, x: Operand) -> Expr:
        n, c, h, w = idx
        row, column, channel = self.parted(c, x.shape[1])
        return x[n, channel, h * self.blocksize + row, w * self.blocksize + column]


class SpaceToDepth(SpaceToDepthV1):
    """Blocks of blocksize² pixels become channels."""

    since = 28
    mode: str = "DCR"

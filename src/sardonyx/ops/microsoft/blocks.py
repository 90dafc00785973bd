"""Weights of a few bits in blocks: MatMulNBits, MatMulBnb4 and GatherBlockQuantized."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import refuse, same_dims
from sardonyx.ops.microsoft.attention import size_of
from sardonyx.ops.microsoft.composed import Composed, Made, like
from sardonyx.ops.quantized.bits import UnpackedBits
from sardonyx.ops.quantized.blocks import BlockFormat

# The levels of a normal distribution and of a float with two bits of exponent (QLoRA, and
# bitsandbytes' tables, where the sign is the highest bit).
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
_POSITIVE = (0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
_FP4 = (*_POSITIVE, *(-v for v in _POSITIVE))


def unpacked(body: Body, x: Value, bits: int, count: int) -> Value:
    """The numbers of a few bits each in the bytes of the last axis."""
    return x if bits == 8 else body(UnpackedBits(bits=bits, count=count), x)


class MatMulNBits(Composed, kw_only=True):
    """A @ W' + bias; W is [N, K] in blocks of `bits` each with a scale and a zero point."""

    K: int
    N: int
    accuracy_level: int = 0
    bits: int = 4
    block_size: int
    weight_prepacked: int = 0

    def compose(self, body: Body, a: Value, b: Value, scales: Value, *rest: Made) -> Value:
        zeros, groups, bias = filled(rest, 3)
        weights = self._weights(body, b, scales, zeros, groups)
        y = body("MatMul", a, body.transpose(weights, 1, 0))
        return y if bias is None else body("Add", y, bias)

    def _weights(self, body: Body, b: Value, scales: Value, zeros: Made, groups: Made) -> Value:
        if self.weight_prepacked:
            raise NotImplementedError("MatMulNBits with weights packed for another device")
        if self.block_size < 1 or not 2 <= self.bits <= 8:
            raise refuse("E0341", "`block_size` or `bits` is out of range", self.block_size)
        blocks = -(-self.K // self.block_size)
        size = self.block_size * self.bits // 8
        same_dims(b.type, (const(self.N), const(blocks), const(size)), "B")
        form = BlockFormat(self.bits, self.block_size)
        rows = body.reshape(b, (self.N, blocks * size))
        steps = body.reshape(scales, (self.N, blocks))
        if zeros is not None:
            zeros = body.reshape(zeros, (self.N, -1))
        if groups is None:
            return form.numbers(body, rows, steps, zeros, self.K)
        return self._by_groups(body, form, rows, (steps, zeros), groups)

    def _by_groups(
        self, body: Body, form: BlockFormat, rows: Value, given: tuple[Value, Made], groups: Value
    ) -> Value:
        """The weights where every column says which scale and zero point are its own."""
        steps, zeros = given
        assert steps.type.dtype is not None
        codes, kind = form.codes(body, rows, self.K), steps.type.dtype.value
        columns = body.reshape(groups, (-1,))
        if zeros is None:
            points = like(body, steps, 1 << (self.bits - 1))
        else:
            packed = zeros.type.dtype is DType.UINT8 and self.bits < 8
            blocks = -(-self.K // self.block_size)
            points = form.codes(body, zeros, blocks) if packed else zeros
            points = body("Gather", body("Cast", points, to=kind), columns, axis=1)
        shifted = body("Sub", body("Cast", codes, to=kind), points)
        return body("Mul", shifted, body("Gather", steps, columns, axis=1))


class MatMulBnb4(Composed, kw_only=True):
    """A @ W' (or A @ W) of W [N, K] in blocks of 4 bits, of which each names a level."""

    K: int
    N: int
    block_size: int
    quant_type: int
    training_mode: int = 0
    transB: int = 1  # noqa: N815 - ONNX Runtime's name

    def compose(self, body: Body, a: Value, b: Value, absmax: Value) -> Value:
        if self.quant_type not in (0, 1):
            raise refuse("E0341", "`quant_type` is unknown", self.quant_type, "0 (FP4), 1 (NF4)")
        assert a.type.dtype is not None
        count = self.N * self.K
        same_dims(b.type, (const((count + 1) // 2),), "B")
        form = BlockFormat(4, self.block_size, "high", _NF4 if self.quant_type else _FP4)
        # Blocks that do not end with the rows make one row of all.
        rows = 1 if self.K % self.block_size or self.K % 2 else self.N
        data = body.reshape(b, (rows, -1))
        numbers = form.numbers(body, data, body.reshape(absmax, (rows, -1)), None, count // rows)
        weights = body.reshape(numbers, (self.N, self.K))
        return body("MatMul", a, body.transpose(weights, 1, 0) if self.transB else weights)


class GatherBlockQuantized(Composed):
    """Slices of a tensor of a few bits in blocks, dequantized."""

    bits: int = 4
    block_size: int = 128
    gather_axis: int = 0
    quantize_axis: int = 1

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        assert inputs[2] is not None
        return (Type(inputs[2].dtype),)

    def compose(
        self, body: Body, data: Value, indices: Value, scales: Value, zeros: Made = None
    ) -> Value:
        rank = len(data.type.dims)
        axis, blocked = self.gather_axis % rank, self.quantize_axis % rank
        if data.type.dtype is DType.UINT8:
            data, zeros = self._unpacked(body, data, scales, zeros)
        taken = [
            None if v is None else body("Gather", v, indices, axis=axis)
            for v in (data, scales, zeros)
        ]
        own = blocked + len(indices.type.dims) - 1 if blocked > axis else blocked
        return body("DequantizeLinear", *taken, axis=own, block_size=self.block_size)

    def _unpacked(self, body: Body, data: Value, scales: Value, zeros: Made) -> tuple[Value, Value]:
        if self.bits < 8:
            each = size_of(data, -1, "the last dim") * 8 // self.bits
            data = unpacked(body, data, self.bits, each)
        if zeros is None:
            middle = body.constant(np.array([1 << (self.bits - 1)], np.uint8))
            zeros = body("Expand", middle, body("Shape", scales))
        elif self.bits < 8:
            zeros = unpacked(body, zeros, self.bits, size_of(scales, -1, "the last dim"))
        return data, zeros

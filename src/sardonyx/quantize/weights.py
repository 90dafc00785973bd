"""Weights as int8 codes with one scale per output channel, and biases that fit their products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Node, Value
from sardonyx.quantize.statistics import SMALLEST
from sardonyx.quantize.targets import weight_axis

_LARGEST_BIAS = 2.0**30


class Weights:
    """Quantizes the weights and biases of nodes; a weight that several share is written once."""

    def __init__(self, body: Body, per_channel: bool, top: int) -> None:
        self.body = body
        self.per_channel = per_channel
        self.top = top
        self._made: dict[tuple[Value, int, bytes], Value] = {}

    def quantize(self, node: Node, scales: Mapping[Value, float]) -> None:
        """Gives a node its weight, and its bias where that is possible, in integers."""
        x, weight, *rest = node.inputs
        assert x is not None
        assert weight is not None
        axis = weight_axis(node)
        assert axis is not None
        own = self._scales(weight, axis)
        bias = rest[0] if rest else None
        data = None if bias is None else _elements(bias, own)
        if bias is not None and data is not None:
            own = usable(np.maximum(own, _least(data, scales[x], own.ndim)))
            bias = self._bias(bias, data, scales[x] * own)
        kept = self._weight(weight, axis, usable(own))
        inputs = [x, kept] if bias is None else [x, kept, bias]
        self.body.graph.set_inputs(node, inputs)

    def _scales(self, weight: Value, axis: int) -> Array:
        """What the largest code stands for, in each channel or in all, over that code."""
        sizes = np.abs(_data(weight))
        if not self.per_channel:
            return np.asarray(sizes.max() / self.top)
        others = tuple(a for a in range(sizes.ndim) if a != axis)
        return np.asarray(sizes.max(others) / self.top)

    def _weight(self, weight: Value, axis: int, scales: Array) -> Value:
        key = weight, axis, scales.tobytes()
        if key not in self._made:
            data = _data(weight)
            behind = data.ndim - 1 - axis
            spread = scales.reshape(-1, *(1,) * behind) if scales.ndim else scales
            codes = np.rint(data / spread)
            kept = np.clip(codes, -self.top, self.top)
            self._made[key] = self._dequantized(kept.astype(np.int8), scales, weight, axis)
        return self._made[key]

    def _bias(self, bias: Value, data: Array, scales: Array) -> Value:
        """The bias as int32 codes of the products' scale."""
        kept = scales.astype(np.float32)
        codes = np.rint(data / kept.astype(np.float64))
        return self._dequantized(codes.astype(np.int32), kept, bias, 0)

    def _dequantized(self, codes: Array, scales: Array, like: Value, axis: int) -> Value:
        name = like.name
        zeros = np.zeros(scales.shape, codes.dtype)
        parts = {"quantized": codes, "scale": scales, "zero_point": zeros}
        inputs = [self.body.constant(part, f"{name}_{what}") for what, part in parts.items()]
        settings = {"axis": axis} if scales.ndim else {}
        return self.body("DequantizeLinear", *inputs, name=f"{name}_dequantized", **settings)


def _data(v: Value) -> Array:
    assert isinstance(v.const, Tensor)
    return v.const.numpy()


def usable(scales: Array) -> Array:
    """The scales as float32, none so small that products leave its range; 1 for all zeros."""
    least = np.maximum(scales, SMALLEST)
    return np.where(scales == 0, 1.0, least).astype(np.float32)


def _least(bias: Array, scale: float, rank: int) -> Any:
    """The weight scales below which the codes of a bias would not fit 32 bits."""
    least = np.abs(bias) / (scale * _LARGEST_BIAS)
    return least if rank else least.max(initial=0.0)


def _elements(bias: Value, scales: Array) -> Array | None:
    """The bias, if it is constant, finite and has one element per channel."""
    if not isinstance(bias.const, Tensor) or bias.type.rank != 1:
        return None
    data = _data(bias).astype(np.float64)
    fits = not scales.ndim or data.shape == scales.shape
    return data if fits and np.isfinite(data).all() else None

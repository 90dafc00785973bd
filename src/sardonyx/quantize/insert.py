"""Writes quantize-dequantize pairs around the chosen operators.

    x  ->  QuantizeLinear -> DequantizeLinear  ->  op        one pair per activation
    w  ->  int8 codes -> DequantizeLinear(axis)              one scale per output channel
    b  ->  int32 codes -> DequantizeLinear(axis)             scale of x times scale of w
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node, Type, Value
from sardonyx.graph.op import Op, find
from sardonyx.quantize.statistics import Range
from sardonyx.quantize.targets import WEIGHTED, Targets, weight_axis

Array = np.ndarray[Any, Any]
_LOWEST_OPSET = 13


def insert(
    graph: Graph, targets: Targets, ranges: Mapping[str, Range], per_channel: bool, top: int
) -> None:
    """Rewrites `graph` in place; `top` is the largest weight code (127, or 63 for 7 bits)."""
    opset = graph.opsets.get("", 0)
    if opset < _LOWEST_OPSET:
        raise Unsupported(
            "E0712", f"scales per channel need opset {_LOWEST_OPSET}, the model has {opset}",
            hint="convert the model again with a newer opset",
        )  # fmt: skip
    _Inserter(graph, opset, ranges, per_channel, top).run(targets)


class _Inserter:
    def __init__(
        self, graph: Graph, opset: int, ranges: Mapping[str, Range], per_channel: bool, top: int
    ) -> None:
        self.graph, self.opset, self.ranges = graph, opset, ranges
        self.per_channel, self.top = per_channel, top
        self.scales: dict[Value, float] = {}
        self.weights: dict[Value, tuple[Value, Array]] = {}

    def run(self, targets: Targets) -> None:
        for v in targets.activations:
            self._pair(v)
        for node in targets.nodes:
            if node.op.op_type in WEIGHTED:
                self._weighted(node)
        self.graph.sort()
        _drop_unused(self.graph)

    def _op(self, name: str, **settings: Any) -> Op:
        found = find("", name, self.opset)
        assert found is not None
        return found(**settings)

    def _constant(self, array: Array, name: str) -> Value:
        return self.graph.constant(Tensor.of(array), name)

    def _pair(self, v: Value) -> None:
        """Every reader of `v` reads it quantized and dequantized; an output keeps its name."""
        scale, zero = self.ranges[v.name].scale_and_zero()
        source = self._renamed(v) if v in self.graph.outputs else v
        back = Value(v.name if source is not v else f"{v.name}_dequantized", v.type)
        codes = Value(f"{v.name}_quantized", Type(None, v.type.shape))
        self.graph.replace(source, back)
        s = self._constant(np.float32(scale), f"{v.name}_scale")
        z = self._constant(np.uint8(zero), f"{v.name}_zero_point")
        self.graph.append(self._op("QuantizeLinear"), [source, s, z], [codes])
        self.graph.append(self._op("DequantizeLinear"), [codes, s, z], [back])
        self.scales[back] = scale

    def _renamed(self, v: Value) -> Value:
        v.name = f"{v.name}_float"
        return v

    def _weighted(self, node: Node) -> None:
        x, weight, *rest = node.inputs
        assert x is not None
        assert weight is not None
        codes, scales = self._weight(weight, weight_axis(node))
        inputs: list[Value | None] = [x, codes]
        bias = rest[0] if rest else None
        if bias is not None:
            inputs.append(self._bias(bias, self.scales.get(x), scales))
        self.graph.set_inputs(node, inputs)

    def _weight(self, weight: Value, axis: int) -> tuple[Value, Array]:
        if weight not in self.weights:
            assert isinstance(weight.const, Tensor)
            data = weight.const.numpy()
            others = tuple(a for a in range(data.ndim) if a != axis)
            largest = np.abs(data).max(others if self.per_channel else None)
            scales = np.maximum(largest / self.top, np.float32(2.0**-100)).astype(np.float32)
            shape = [-1 if a == axis else 1 for a in range(data.ndim)]
            spread = scales.reshape(shape) if self.per_channel else scales
            codes = np.clip(np.rint(data / spread), -self.top, self.top).astype(np.int8)
            settings = {"axis": axis} if self.per_channel else {}
            made = self._dequantized(codes, scales, weight, settings)
            self.weights[weight] = made, scales
        return self.weights[weight]

    def _dequantized(
        self, codes: Array, scales: Array, like: Value, settings: dict[str, int]
    ) -> Value:
        out = Value(self.graph.fresh_name(f"{like.name}_dequantized"), like.type)
        q = self._constant(codes, f"{like.name}_quantized")
        s = self._constant(scales, f"{like.name}_scale")
        z = self._constant(np.zeros(scales.shape, codes.dtype), f"{like.name}_zero_point")
        self.graph.append(self._op("DequantizeLinear", **settings), [q, s, z], [out])
        return out

    def _bias(self, bias: Value, scale: float | None, weight_scales: Array) -> Value:
        """The bias as int32 codes of the products' scale; as it is, where that is not possible."""
        if scale is None or not isinstance(bias.const, Tensor) or bias.type.rank != 1:
            return bias
        data = bias.const.numpy().astype(np.float64)
        scales = (np.float64(scale) * weight_scales.astype(np.float64)).astype(np.float32)
        codes = np.rint(data / scales)
        if np.abs(codes).max(initial=0) >= 2**31:
            return bias
        settings = {"axis": 0} if self.per_channel else {}
        return self._dequantized(codes.astype(np.int32), scales, bias, settings)


def _drop_unused(graph: Graph) -> None:
    for name, v in list(graph.initializers.items()):
        if not v.uses and v not in graph.outputs:
            del graph.initializers[name]

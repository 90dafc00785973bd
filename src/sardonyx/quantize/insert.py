"""Writes quantize-dequantize pairs around the chosen operators.

x  ->  QuantizeLinear -> DequantizeLinear  ->  op        one pair per activation
w  ->  int8 codes -> DequantizeLinear(axis)              one scale per output channel
b  ->  int32 codes -> DequantizeLinear(axis)             scale of x times scale of w
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.quantize.statistics import Range
from sardonyx.quantize.targets import Targets, is_weighted
from sardonyx.quantize.weights import Weights

LOWEST_OPSET = 13


def insert(
    graph: Graph, targets: Targets, ranges: Mapping[str, Range], per_channel: bool, top: int
) -> None:
    """Rewrites `graph` in place; `top` is the largest weight code (127, or 63 for 7 bits).

    NotImplemented (E0712) for a model whose opset has no scales per channel.
    """
    opset = graph.opsets.get("", 0)
    if opset < LOWEST_OPSET:
        raise Unsupported(
            "E0712",
            f"scales per channel need opset {LOWEST_OPSET}, the model has {opset}",
            hint="convert the model again with a newer opset",
        )
    body = Body(graph, "quantized", opset)
    scales = _Pairs(body, targets).write(ranges)
    weights = Weights(body, per_channel, top)
    for node in targets.nodes:
        if is_weighted(node):
            weights.quantize(node, scales)
    graph.sort()
    drop_unused(graph)


class _Pairs:
    """The pairs of the activations."""

    def __init__(self, body: Body, targets: Targets) -> None:
        self.body = body
        self.targets = targets
        self.whole = targets.whole()
        self.integer = set(targets.nodes)
        self.integer.update(v.producer for v in targets.same if v.producer)

    def write(self, ranges: Mapping[str, Range]) -> dict[Value, float]:
        """Writes every pair; the scales by dequantized value."""
        scales = {}
        for v in self.targets.activations:
            measured = ranges[self.origin(v).name]
            scale, zero = measured.scale_and_zero()
            readers = [n for n in v.uses if v in self.whole or n in self.integer]
            back = self.pair(v, scale, zero)
            for node in readers:
                _exchange(self.body.graph, node, v, back)
            scales[back] = scale
        return scales

    def origin(self, v: Value) -> Value:
        """The activation whose elements `v` holds, moved."""
        while v in self.targets.same:
            v = self.targets.same[v]
        return v

    def pair(self, v: Value, scale: float, zero: int) -> Value:
        """The value quantized and dequantized."""
        s = self.body.constant(np.float32(scale), f"{v.name}_scale")
        z = self.body.constant(np.uint8(zero), f"{v.name}_zero_point")
        codes = self.body("QuantizeLinear", v, s, z, name=f"{v.name}_quantized")
        return self.body("DequantizeLinear", codes, s, z, name=f"{v.name}_dequantized")


def _exchange(graph: Graph, node: Node, old: Value, by: Value) -> None:
    inputs = [by if v is old else v for v in node.inputs]
    graph.set_inputs(node, inputs)


def drop_unused(graph: Graph) -> None:
    """Takes away the initializers that nothing reads any more."""
    held = graph.initializers.values()
    dropped = {v for v in held if not v.uses and not graph.gives(v)}
    for v in dropped:
        del graph.initializers[v.name]
    graph.inputs = [v for v in graph.inputs if v not in dropped]

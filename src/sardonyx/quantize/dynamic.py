"""Dynamic int8: weights as codes, activations quantized by the range that each run shows.

x -> DynamicQuantizeLinear -> MatMulInteger(codes of w) -> Cast -> Mul(scale of x * scale of w)
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import numpy as np

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.core.tensor import Tensor
from sardonyx.formats import Loadable, load
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.passes.pipeline import optimize
from sardonyx.quantize.insert import drop_unused
from sardonyx.quantize.quantize import Quantization, check_names, check_settings
from sardonyx.quantize.targets import choose, label
from sardonyx.quantize.weights import usable

PRODUCTS = ("MatMul", "Gemm")
LOWEST_OPSET = 11


def quantize_dynamic(
    model: Loadable | Graph,
    *,
    per_channel: bool = True,
    ops: Collection[str] = PRODUCTS,
    exclude: Collection[str] = (),
    weight_bits: int = 8,
) -> Quantization:
    """A model whose products with constant weights are of integers; no calibration is needed.

    `ops` are some of MatMul and Gemm, the rest as in `quantize`. InvalidArgument (E0713, E0714),
    NotImplemented (E0712) below opset 11.
    """
    check_settings("minmax", 100.0, ops, weight_bits, PRODUCTS)
    graph = model if isinstance(model, Graph) else load(model)
    better = optimize(graph).graph
    check_names(exclude, graph, better)
    opset = better.opsets.get("", 0)
    if opset < LOWEST_OPSET:
        raise Unsupported("E0712", f"DynamicQuantizeLinear needs opset {LOWEST_OPSET}, not {opset}")
    targets = choose(better, ops, exclude)
    if not targets.nodes:
        wanted = f"float32 {', '.join(ops)} with a constant weight"
        raise InvalidArgument("E0714", "nothing in the model can be quantized", wanted=wanted)
    body = Body(better, "dynamic", opset)
    write = _Products(body, per_channel, 2 ** (weight_bits - 1) - 1)
    names = tuple(map(label, targets.nodes))
    for node in targets.nodes:
        made, out = write.product(node), node.output
        better.replace(out, made)
        better.remove(node)
        made.name, out.name = out.name, made.name
    better.sort()
    drop_unused(better)
    return Quantization(better, names, targets.skipped, {})


class _Products:
    """Writes the products; an input or a weight that several read is quantized once."""

    def __init__(self, body: Body, per_channel: bool, top: int) -> None:
        self.body, self.per_channel, self.top = body, per_channel, top
        self.codes = cache(self._codes)
        self.weight = cache(self._weight)

    def product(self, node: Node) -> Value:
        """The value that stands for the result of a MatMul or Gemm."""
        x, w, *rest = node.inputs
        assert x is not None
        assert w is not None
        codes, scale, zero = self.codes(x)
        weights, own = self.weight(w, bool(getattr(node.op, "transB", 0)))
        write = self.body
        sums = write("MatMulInteger", codes, weights, zero, name=f"{label(node)}_products")
        found = write("Mul", write("Cast", sums, to=1), write("Mul", scale, own))
        return found if not rest or rest[0] is None else write("Add", found, rest[0])

    def _codes(self, x: Value) -> tuple[Value, ...]:
        return self.body.all("DynamicQuantizeLinear", x, name=f"{x.name}_quantized")

    def _weight(self, w: Value, transposed: bool) -> tuple[Value, Value]:
        """The codes with output channels last, and what they stand for."""
        assert isinstance(w.const, Tensor)
        data: Any = w.const.numpy()
        data = data.T if transposed else data
        axes = tuple(range(data.ndim - 1)) if self.per_channel and data.ndim == 2 else None
        scales = usable(np.asarray(np.abs(data).max(axes) / self.top))
        codes = np.clip(np.rint(data / scales), -self.top, self.top).astype(np.int8)
        made = (("quantized", codes), ("scale", scales))
        first, second = (self.body.constant(a, f"{w.name}_{what}") for what, a in made)
        return first, second

"""What a model of single operators must do at least: arithmetic operations, bytes read and written.

Arithmetic is counted for products, convolutions, attention and recurrent layers, multiply and add
as two; everything else is bound by memory, or ought to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sardonyx.core.dtype import Array
from sardonyx.core.expr import evaluate, symbol
from sardonyx.graph.ir import Node, Value
from singles.case import Model, Sizes

_READS_WHAT_IT_WRITES = {"Gather", "GatherND", "Slice"}


@dataclass(frozen=True)
class Work:
    """Operations, and bytes of inputs, constants and outputs; `working` for all runs in turns."""

    flops: int
    read: int
    written: int
    working: int


def work(model: Model, feeds: Sequence[Mapping[str, Array]], outputs: Sequence[Array]) -> Work:
    """The work of one run of a model that is fed these sets in turns and gives such outputs."""
    fed = [sum(array.nbytes for array in one.values()) for one in feeds]
    kept = sum(
        v.const.numpy().nbytes for v in model.graph.initializers.values() if v.const is not None
    )
    written = sum(array.nbytes for array in outputs)
    read = fed[0] + kept
    if any(node.op.op_type in _READS_WHAT_IT_WRITES for node in model.graph):
        read = min(read, written)
    return Work(_flops(model), read, written, sum(fed) + kept + written)


def _flops(model: Model) -> int:
    env = {symbol(name): size for name, size in model.dims.items()}

    def shape(v: Value | None) -> Sizes:
        assert v is not None
        return tuple(evaluate(d, env) for d in v.type.dims)

    total = 0
    for node in model.graph:
        count = _FLOPS.get(node.op.op_type)
        total += 2 * count(node, shape) if count else 0
    return total


Shapes = Callable[[Value | None], Sizes]


def _product(node: Node, shape: Shapes) -> int:
    return math.prod(shape(node.output)) * shape(node.inputs[0])[-1]


def _gemm(node: Node, shape: Shapes) -> int:
    turned: Any = node.op.attributes().get("transA", 0)
    return math.prod(shape(node.output)) * shape(node.inputs[0])[0 if turned else 1]


def _einsum(node: Node, shape: Shapes) -> int:
    """Every letter once."""
    equation: Any = node.op.attributes()["equation"]
    sizes: dict[str, int] = {}
    for letters, v in zip(equation.split("->")[0].split(","), node.inputs, strict=True):
        sizes.update(zip(letters, shape(v), strict=True))
    return math.prod(sizes.values())


def _windows(weights: int) -> Callable[[Node, Shapes], int]:
    """A convolution whose weights are that input."""

    def count(node: Node, shape: Shapes) -> int:
        return math.prod(shape(node.output)) * math.prod(shape(node.inputs[weights])[1:])

    return count


def _transposed(node: Node, shape: Shapes) -> int:
    return math.prod(shape(node.inputs[0])) * math.prod(shape(node.inputs[1])[1:])


def _attention(node: Node, shape: Shapes) -> int:
    *heads, queries, size = shape(node.inputs[0])
    length, wide = shape(node.inputs[2])[-2:]
    return math.prod(heads) * queries * length * (size + wide)


def _recurrent(node: Node, shape: Shapes) -> int:
    steps, batch = shape(node.inputs[0])[:2]
    return steps * batch * sum(math.prod(shape(w)) for w in node.inputs[1:3])


_FLOPS: dict[str, Callable[[Node, Shapes], int]] = {
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "Conv": _windows(1),
    "ConvInteger": _windows(1),
    "QLinearConv": _windows(3),
    "ConvTranspose": _transposed,
    "Attention": _attention,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}

"""What an int8 model says when its sums of products are exact."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.graph.evaluate import evaluate
from sardonyx.graph.ir import Graph, Value


def exact(graph: Graph, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs in order, in float64.

    Codes times a scale, and sums of products of such, lose nothing that matters in float64; codes
    are made in float32, as the standard says.
    """
    env: dict[Value, Array] = {v: _cast(feeds[v.name], np.float64) for v in graph.inputs}
    held = {v: v.const.numpy() for v in graph.initializers.values() if v.const is not None}
    env |= {v: _cast(a, np.float64) for v, a in held.items()}
    for node in graph.nodes:
        arrays = [None if v is None else env[v] for v in node.inputs]
        if node.op.op_type == "QuantizeLinear":
            arrays = [None if a is None else _cast(a, np.float32) for a in arrays]
        made = zip(node.outputs, evaluate(node.op, arrays), strict=False)
        env |= {v: array for v, array in made if v is not None}
    return [env[v] for v in graph.outputs]


def _cast(a: Array, to: type[np.floating]) -> Array:
    return a.astype(to) if a.dtype.kind == "f" else a

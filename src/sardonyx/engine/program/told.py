"""What a host step made against what inference said of it, which native code relies on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import evaluate, show
from sardonyx.graph.bind import Bindings
from sardonyx.graph.ir import Graph, Node, Type


def check_results(node: Node, results: Sequence[Any], env: Bindings, graph: Graph) -> None:
    """RuntimeException (E0405) for a result that is missing, or unlike its inferred type.

    Dims that nothing has told yet are whatever they are here.
    """
    for n, v in enumerate(node.outputs):
        if v is None or not (v.uses or graph.gives(v)):
            continue
        result: Any = results[n] if n < len(results) else None
        reason = _unlike(result, v.type, env)
        if reason:
            made = isinstance(result, np.ndarray)
            given = f"{result.dtype}{list(result.shape)}" if made else type(result).__name__
            raise RuntimeException(
                "E0405",
                f"{node.op.op_type} made {reason}",
                node=node.name,
                op=node.op.op_type,
                tensor=v.name,
                given=given,
                wanted=v.type,
                hint="its `infer` and its `reference` do not say the same",
            )


def _unlike(result: Any, t: Type, env: Bindings) -> str:
    if t.kind != "tensor" or t.dtype is None:
        return ""
    if not isinstance(result, np.ndarray):
        return "no array"
    if result.dtype != t.dtype.numpy:
        return "an array of another type"
    if t.shape is None:
        return ""
    if len(t.shape) != result.ndim:
        return "an array of another rank"
    for dim, size in zip(t.shape, result.shape, strict=True):
        if all(x in env for x in dim.free) and evaluate(dim, env) != size:
            return f"an array whose dim `{show(dim)}` is {size}"
    return ""

"""Graphs kept as text, whose large constants are made up from their names and types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

import sardonyx.ops  # noqa: F401
from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, symbol
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text
from sardonyx.passes.infer import infer

_CONST = re.compile(r"const (\S+): (\w+)\[([\d, ]*)\] = #(\w+)")


def load(text: str) -> Graph:
    """The graph of a text, types inferred; lines that begin with `;` are comments.

    A constant that the text gives by digest is random: floats of the size of weights, integers
    and booleans 0 or 1.
    """
    kept = (line for line in text.splitlines() if not line.startswith(";"))
    body = "\n".join(kept)
    table = {}
    for name, dtype, dims, digest in _CONST.findall(body):
        kind = DType.parse(dtype)
        shape = [int(n) for n in dims.split(",") if n.strip()]
        table[digest] = Tensor.of(_weights(name, shape, kind))
    graph = from_text(body, table)
    infer(graph)
    return graph


def _weights(name: str, shape: list[int], kind: DType) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(list(name.encode()))
    if kind.is_int or kind.is_bool:
        return np.asarray(rng.integers(0, 2, shape).astype(kind.numpy))
    size = max(1.0, float(np.prod(shape[1:]))) ** -0.5
    array = rng.standard_normal(shape) * size
    return np.asarray(array.astype(kind.numpy))


def dims_of(values: Iterable[int | str | Expr]) -> tuple[Expr, ...]:
    """Dims from integers, symbol names and expressions."""
    return tuple(symbol(d) if isinstance(d, str) else const(d) for d in values)

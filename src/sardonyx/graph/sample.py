"""Seeded random inputs for a graph, of the declared types and of any dims."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, evaluate, name_of, walk
from sardonyx.graph.ir import Graph, Value


def free_symbols(graph: Graph) -> list[str]:
    """The names of the symbols in the shapes of the inputs that must be fed, in order."""
    names = [name_of(s) for v in _fed(graph) for dim in v.shape or () for s in _symbols(dim)]
    return list(dict.fromkeys(names))


def sample_feeds(
    graph: Graph, dims: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Array]:
    """One array per input that must be fed; a symbol that `dims` does not bind is 1.

    Floats are normal, integers and booleans 0 or 1 (so that they are valid as indices, lengths and
    masks), strings short words. InvalidArgument for a dim below 0, for a name in `dims` that
    is no symbol, and for an input without a rank or that is no tensor.
    """
    sizes = dict(dims or {})
    known = free_symbols(graph)
    for name in sizes:
        if name not in known:
            symbols = ", ".join(known) or "none"
            raise InvalidArgument("E0230", f"`{name}` is no symbol of the inputs", wanted=symbols)
    rng = np.random.default_rng(seed)
    return {value.name: _sample(value, sizes, rng) for value in _fed(graph)}


def _fed(graph: Graph) -> list[Value]:
    return [v for v in graph.inputs if v.const is None and v.name not in graph.initializers]


def _symbols(dim: Expr) -> list[Expr]:
    return [x for x in walk(dim) if x.op == "var"]


def _sample(value: Value, sizes: Mapping[str, int], rng: np.random.Generator) -> Array:
    dtype = value.dtype
    if value.type.kind != "tensor" or dtype is None or value.shape is None:
        raise InvalidArgument(
            "E0231",
            f"input `{value.name}` cannot be made up: its type is {value.type}",
            tensor=value.name,
            hint="feed it yourself",
        )
    shape = tuple(_size(value, dim, sizes) for dim in value.shape)
    if dtype.is_string:
        return np.array(["a", "b"], object)[rng.integers(0, 2, shape)]
    if dtype.is_int or dtype.is_bool:
        return rng.integers(0, 2, shape).astype(dtype.numpy)
    return rng.standard_normal(shape).astype(dtype.numpy)


def _size(value: Value, dim: Expr, sizes: Mapping[str, int]) -> int:
    size = evaluate(dim, {s: sizes.get(name_of(s), 1) for s in _symbols(dim)})
    if size < 0:
        raise InvalidArgument(
            "E0232", f"a dim of input `{value.name}` would be {size}", tensor=value.name
        )
    return size

"""What a graph must give, and how far off an honest implementation may be.

The reference runs once as it is and a few times with every float that an operator rounds, and every
float fed, moved by a few units in the last place. How far that moves an output element is what
rounding anywhere in the graph may do to it; an integer, or a NaN, that it flips is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.graph.evaluate import evaluate
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import Op

RUNS = 5
ULPS = 8.0
SLACK = 6.0
CANCELLING = ("Gelu", "Mish", "Swish", "HardSwish")


@dataclass(frozen=True)
class Wanted:
    """An output as the reference has it, and by how much each element may differ."""

    array: Array
    allowed: Array

    def complaint(self, found: Array) -> str:
        """What is wrong with an output, or an empty string."""
        if found.dtype != self.array.dtype or found.shape != self.array.shape:
            return f"{found.dtype}{found.shape} for {self.array.dtype}{self.array.shape}"
        wrong = off(found, self.array) > self.allowed
        if not wrong.any():
            return ""
        at = tuple(int(n) for n in np.argwhere(wrong)[0])
        said = f"{int(wrong.sum())} of {wrong.size} elements, first {list(at)}: "
        return f"{said}{found[at]} for {self.array[at]} ± {self.allowed[at]:.3g}"


def off(found: Array, wanted: Array) -> Array:
    """The distance of elements in float64: 0 where equal, inf where only one is a number."""
    if found.dtype.kind not in "fV":
        return np.where(found == wanted, 0.0, np.inf)
    a, b = (found.astype(np.float64), wanted.astype(np.float64))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(a - b)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def wanted(graph: Graph, feeds: Mapping[str, Array]) -> list[Wanted]:
    """The outputs in order; raises what the reference raises."""
    exact = outputs(graph, feeds, None)
    spread = [np.zeros(a.shape) for a in exact]
    for n in range(RUNS):
        moved = outputs(graph, feeds, np.random.default_rng(n))
        for total, a, b in zip(spread, moved, exact, strict=True):
            np.maximum(total, off(a, b), out=total)
    return [Wanted(a, SLACK * total + floor(a)) for a, total in zip(exact, spread, strict=True)]


def floor(a: Array) -> Array:
    """Where everything is exact, functions may still differ by a few units in the last place."""
    if a.dtype.kind not in "fV":
        return np.zeros(a.shape)
    info = _info(a.dtype)
    size = np.abs(a.astype(np.float64))
    unit = float(info.eps) * 4
    return np.where(np.isfinite(size), size * unit + float(info.tiny) * 4, 0.0)


def outputs(
    graph: Graph, feeds: Mapping[str, Array], rng: np.random.Generator | None
) -> list[Array]:
    """The outputs of the reference, rounded otherwise where `rng` is given."""
    env: dict[Value, Array] = {v: _moved(feeds[v.name], rng) for v in graph.inputs}
    env |= {v: v.const.numpy() for v in graph.initializers.values() if v.const is not None}
    for node in graph.nodes:
        arrays = [None if v is None else env[v] for v in node.inputs]
        results = evaluate(node.op, _terms(node.op, arrays, rng))
        for v, made in zip(node.outputs, results, strict=False):
            if v is not None:
                env[v] = made if node.op.tolerance == "exact" else _moved(made, rng)
            if v is not None and node.op.op_type in CANCELLING:
                env[v] = _shaken(env[v], arrays[0], rng)
    return [np.asarray(env[v]) for v in graph.outputs]


def _info(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _terms(
    op: Op, arrays: list[Array | None], rng: np.random.Generator | None
) -> list[Array | None]:
    """The operands of a sum, moved as the products and partial sums in it may be."""
    if op.tolerance != "reduction":
        return arrays
    return [None if a is None else _moved(a, rng) for a in arrays]


def _shaken(made: Array, x: Array | None, rng: np.random.Generator | None) -> Array:
    """`made` moved by what is little beside the operand."""
    if rng is None or x is None or x.shape != made.shape:
        return made
    size = np.abs(x.astype(np.float64)) * 2 * float(_info(made.dtype).eps)
    return np.asarray((made + rng.uniform(-1, 1, made.shape) * size).astype(made.dtype))


def _moved(a: Array, rng: np.random.Generator | None) -> Array:
    if rng is None or a.dtype.kind not in "fV":
        return a
    eps = float(_info(a.dtype).eps)
    wide = a.astype(np.float64)
    factor = 1 + rng.uniform(-1, 1, a.shape) * (ULPS if eps < 1e-4 else 2.0) * eps
    with np.errstate(all="ignore"):
        return np.asarray((wide * factor).astype(a.dtype))

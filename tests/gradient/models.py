"""Small models of single operators, and their gradients by finite differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graph.sources import parse
from sardonyx.gradient import with_gradients
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
STEP = 1e-6


@dataclass(frozen=True)
class Case:
    """The text of nodes that make `y` from inputs of these shapes, elements between bounds."""

    body: str
    shapes: Mapping[str, tuple[int, ...]]
    low: float = -2.0
    high: float = 2.0
    wrt: tuple[str, ...] = ()
    opset: int = 24
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.body.splitlines()[0].strip()[:60]

    def graph(self, dtype: str, ends: Arrays, free: Mapping[str, int] | None = None) -> Graph:
        """The model for feeds of these shapes; with factors `k` its output q is the sum of y k.

        `free` are axes whose extents only a run tells.
        """
        rows = [
            f"input {name}: {array.dtype}[{', '.join(_dims(array, (free or {}).get(name)))}]"
            for name, array in ends.items()
        ]
        text = [*rows, self.body.replace("FLOAT", dtype), "output y"]
        if "k" in ends:
            text += ["p = Mul(y, k)", "q = ReduceSum<keepdims=0>(p)", "output q"]
        return parse("\n ".join(text), self.opset)

    def feeds(self, dtype: str) -> Arrays:
        """Random inputs; the factors are of the shape of y."""
        rng = np.random.default_rng(len(self.body))
        made: Arrays = {
            name: np.asarray(rng.uniform(self.low, self.high, shape), dtype)
            for name, shape in self.shapes.items()
        }
        made.update(self.more)
        y = run(self.graph(dtype, made), made)["y"]
        return {**made, "k": np.asarray(rng.uniform(-1, 1, y.shape), dtype)}

    def names(self) -> tuple[str, ...]:
        """What gradients are asked for."""
        return self.wrt or tuple(self.shapes)


def _dims(array: np.ndarray[Any, Any], free: int | None) -> list[str]:
    """The dims of an input, one of them a symbol."""
    return ["N" if n == free else str(d) for n, d in enumerate(array.shape)]


def gradients(case: Case, feeds: Arrays, dtype: str) -> Arrays:
    """Those of q, by the nodes that are written for them."""
    made = with_gradients(case.graph(dtype, feeds), case.names(), "q")
    found = run(made, feeds)
    return {name: found[f"{name}.grad"] for name in case.names()}


def slope(case: Case, feeds: Arrays, name: str, along: Any) -> float:
    """How fast q grows where an input moves along a direction, by central differences."""
    graph = case.graph("float64", feeds)
    ends = [run(graph, {**feeds, name: feeds[name] + s * STEP * along})["q"] for s in (1, -1)]
    return float((ends[0] - ends[1]) / (2 * STEP))

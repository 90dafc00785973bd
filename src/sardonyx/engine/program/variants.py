"""Programs of one graph: the usual one, and those for runs in which a dim is 0.

Code is made for symbols that are at least their lower bound; a run that feeds less (an empty batch)
uses a program of its own, in which those symbols are 0, made when first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from sardonyx.core.expr import Expr, const, substitute
from sardonyx.graph.bind import bind
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value

Made = TypeVar("Made")


class Variants(Generic[Made]):
    """What was made of a graph, `main`, and what `make` makes of copies with symbols that are 0."""

    def __init__(self, graph: Graph, main: Made, make: Callable[[Graph], Made], most: int) -> None:
        self.main = main
        self._graph, self._make, self._most = graph, make, most
        self._empty: dict[frozenset[Expr], Made] = {}

    def of(self, inputs: Sequence[Value], shapes: Mapping[str, Sequence[int]]) -> Made:
        """That for feeds of these shapes by the names of `inputs`."""
        if not any(0 in shape for shape in shapes.values()):
            return self.main
        env = bind(inputs, shapes)
        zero = frozenset(s for s, size in env.items() if size < (s.arg[1] or 0))
        if not zero:
            return self.main
        if zero not in self._empty:
            if len(self._empty) >= self._most:
                self._empty.clear()
            self._empty[zero] = self._make(_emptied(self._graph, zero))
        return self._empty[zero]


def _emptied(graph: Graph, zero: frozenset[Expr]) -> Graph:
    """A copy with these symbols 0 and all other types to be inferred again."""
    made = clone(graph)
    known = {s: const(0) for s in zero}
    for v in made.inputs:
        if v.shape is not None:
            dims = tuple(substitute(d, known) for d in v.shape)
            v.type = replace(v.type, shape=dims)
    for body in bodies(made):
        for v in body.values():
            if v.producer is not None and v.type.kind == "tensor":
                v.type = replace(v.type, shape=None, value=None)
    return made

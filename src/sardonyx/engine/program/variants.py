"""Programs of one graph: the usual one, and those for shapes that decide something about it.

    y = If(S == 1){ Squeeze(x) }{ x }        two programs, neither with an If; S chooses

Where the shapes of a feed decide which branch of an If is taken, the ranks of all that follows may
depend on it; so there is a program for each way through such branches. And code is made for symbols
that are at least their lower bound: a run that feeds less (an empty batch) uses a program in which
those symbols are 0. Programs but the usual one are made when they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, evaluate, substitute
from sardonyx.graph.bind import Bindings, bind
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.rewrite import Log
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import take_branches
from sardonyx.passes.pipeline import optimize

Made = TypeVar("Made")


@dataclass
class _Way(Generic[Made]):
    """A graph, the conditions in it that shapes decide, and what was made of it for zeros."""

    graph: Graph
    made: dict[frozenset[Expr], Made] = field(default_factory=dict)
    next: dict[tuple[bool, ...], _Way[Made]] = field(default_factory=dict)
    conditions: dict[Value, Expr] = field(default_factory=dict)


class Variants(Generic[Made]):
    """What was made of a graph, `main`, and what `make` makes of copies for shapes that decide.

    `latest` is the one that was last asked for: it serves all shapes that a run bound it to.
    """

    def __init__(self, graph: Graph, main: Made, make: Callable[[Graph], Made], most: int) -> None:
        self.latest = main
        self._make, self._most, self._count = make, most, 0
        self._root: _Way[Made] = _Way(graph, {frozenset(): main})
        if graph.functions or any(n.op.standard("If") for n in graph.nodes):
            self._root.conditions = _conditions(_settled(graph))

    def of(self, inputs: Sequence[Value], shapes: Mapping[str, Sequence[int]]) -> Made:
        """That for feeds of these shapes by the names of `inputs`."""
        way, zero = self._root, frozenset[Expr]()
        if way.conditions or any(0 in shape for shape in shapes.values()):
            env = bind(inputs, shapes)
            zero = frozenset(s for s, size in env.items() if size < (s.arg[1] or 0))
            way = self._decided(env)
        found = way.made.get(zero)
        if found is None:
            self._forget()
            found = self._make(_emptied(way.graph, zero) if zero else way.graph)
            way.made[zero] = found
        self.latest = found
        return found

    def _decided(self, env: Bindings) -> _Way[Made]:
        way = self._root
        while way.conditions:
            taken = tuple(bool(evaluate(e, env)) for e in way.conditions.values())
            if taken not in way.next:
                graph = _taken(way.graph, taken)
                way.next[taken] = _Way(graph, conditions=_conditions(graph))
            way = way.next[taken]
        return way

    def _forget(self) -> None:
        """Begins anew where there are too many."""
        self._count += 1
        if self._count > self._most:
            self._count = 0
            self._root.next.clear()
            self._root.made = {z: made for z, made in self._root.made.items() if not z}


def _settled(graph: Graph) -> Graph:
    """A copy whose types are inferred, without an If whose condition is known."""
    return optimize(graph, "off").graph


def _conditions(graph: Graph) -> dict[Value, Expr]:
    """The conditions of a graph's Ifs that the shapes of its inputs decide."""
    told = {d for v in graph.inputs for d in v.shape or () if d.op == "var"}
    found: dict[Value, Expr] = {}
    for node in graph.nodes:
        condition = node.inputs[0] if node.op.standard("If") else None
        value = None if condition is None else condition.type.value
        if condition is not None and value is not None and value[0].free <= told:
            found[condition] = value[0]
    return found


def _taken(graph: Graph, taken: Sequence[bool]) -> Graph:
    """A copy with the branches that are taken in the place of their Ifs."""
    made = _settled(graph)
    for v, way in zip(_conditions(made), taken, strict=True):
        v.type = replace(v.type, value=(const(int(way), DType.BOOL),))
    while take_branches(made, Log()):
        infer(made)
    return made


def _emptied(graph: Graph, zero: frozenset[Expr]) -> Graph:
    """A copy with these symbols 0 and all other types to be inferred again.

    What cannot be inferred of a body, which then never runs, is as it was.
    """
    made = clone(graph)
    known = {s: const(0) for s in zero}

    def emptied(v: Value) -> tuple[Expr, ...] | None:
        return v.shape and tuple(substitute(d, known) for d in v.shape)

    for v in made.inputs:
        v.type = replace(v.type, shape=emptied(v))
    for body in bodies(made):
        for v in body.values():
            if v.producer is not None and v.type.kind == "tensor":
                v.type = replace(v.type, shape=None if body is made else emptied(v), value=None)
    return made

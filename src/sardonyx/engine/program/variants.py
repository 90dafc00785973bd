"""Programs of one graph: the usual one, and those for shapes that decide something about it.

    y = If(S == 1){ Squeeze(x) }{ x }        two programs, neither with an If; S chooses

Where the shapes of a feed decide which branch of an If is taken, or which dims a Squeeze without
axes takes out, the ranks of all that follows may depend on it; so there is a program for each way
that shapes choose. And code is made for symbols that are at least their lower bound: a run that
feeds less (an empty batch) uses a program in which those symbols are 0. Programs but the usual one
are made when they are first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, eq, evaluate, number, substitute
from sardonyx.core.tensor import Tensor
from sardonyx.graph.bind import Bindings, bind
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import find
from sardonyx.graph.rewrite import Log
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import take_branches
from sardonyx.passes.pipeline import optimize

Made = TypeVar("Made")
_Choice: TypeAlias = tuple[Node, int, Expr]


@dataclass
class _Way(Generic[Made]):
    """A graph, the choices in it that shapes decide, and what was made of it for zeros."""

    graph: Graph
    made: dict[frozenset[Expr], Made] = field(default_factory=dict)
    next: dict[tuple[bool, ...], _Way[Made]] = field(default_factory=dict)
    choices: list[_Choice] = field(default_factory=list)


class Variants(Generic[Made]):
    """What was made of a graph, `main`, and what `make` makes of copies for shapes that decide.

    `latest` is the one that was last asked for: it serves all shapes that a run bound it to.
    """

    def __init__(self, graph: Graph, main: Made, make: Callable[[Graph], Made], most: int) -> None:
        self.latest = main
        self._make, self._most, self._count = make, most, 0
        self._root: _Way[Made] = _Way(graph, {frozenset(): main})
        if graph.functions or any(n.op.standard("If", "Squeeze") for n in graph.nodes):
            self._root.choices = _choices(_settled(graph))

    def of(self, inputs: Sequence[Value], shapes: Mapping[str, Sequence[int]]) -> Made:
        """That for feeds of these shapes by the names of `inputs`."""
        way, zero = self._root, frozenset[Expr]()
        if way.choices or any(0 in shape for shape in shapes.values()):
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
        while way.choices:
            taken = tuple(bool(evaluate(e, env)) for _, _, e in way.choices)
            if taken not in way.next:
                graph = _taken(way.graph, taken)
                way.next[taken] = _Way(graph, choices=_choices(graph))
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


def _choices(graph: Graph) -> list[_Choice]:
    """What the shapes of the inputs decide in a graph: each node, which dim of it, and when.

    Of an If it is the condition, and of a Squeeze without axes whether a dim is 1.
    """
    told = {d for v in graph.inputs for d in v.shape or () if d.op == "var"}
    found: list[_Choice] = []
    for node in graph.nodes:
        asked: list[_Choice] = []
        if node.op.standard("If") and node.inputs[0] is not None:
            asked = [(node, 0, e) for e in node.inputs[0].type.value or ()]
        elif _squeezes_all(node):
            asked = [(node, n, eq(d, 1)) for n, d in enumerate(_dims(node)) if not d.is_const]
        if all(e.free <= told for _, _, e in asked):
            found += asked
    return found


def _squeezes_all(node: Node) -> bool:
    absent = node.operand(1) is None and getattr(node.op, "axes", None) is None
    return node.op.standard("Squeeze") and absent


def _dims(node: Node) -> tuple[Expr, ...]:
    """The dims of the first input, none where its rank is not known."""
    return (None if node.inputs[0] is None else node.inputs[0].shape) or ()


def _taken(graph: Graph, taken: Sequence[bool]) -> Graph:
    """A copy in which the choices are made: branches in the place of their Ifs, and axes."""
    made = _settled(graph)
    gone: dict[Node, list[int]] = {}
    for (node, n, _), way in zip(_choices(made), taken, strict=True):
        if node.op.standard("Squeeze"):
            gone.setdefault(node, [k for k, d in enumerate(_dims(node)) if number(d) == 1])
            gone[node] += [n] * way
        elif node.inputs[0] is not None:
            v = node.inputs[0]
            v.type = replace(v.type, value=(const(int(way), DType.BOOL),))
    for node, axes in gone.items():
        _squeeze(made, node, axes)
    more = True
    while more:
        more = take_branches(made, Log())
        infer(made)
    return made


def _squeeze(graph: Graph, node: Node, axes: list[int]) -> None:
    """Says which axes a Squeeze takes out."""
    kind = find("", "Squeeze" if axes else "Identity")
    assert kind is not None
    graph.set_op(node, kind())
    listed = [graph.constant(Tensor.of(np.array(axes, np.int64)))] if axes else []
    graph.set_inputs(node, (node.inputs[0], *listed))


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

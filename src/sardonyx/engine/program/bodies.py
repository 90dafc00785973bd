"""Subgraphs as programs of their own: what a branch or a trip of a loop runs.

    y = If(c){ z = Add(x, w); z }        f(x) = Add(x, w), compiled; the If calls it where c holds

A body is closed first: what it reads from around becomes its input, or a constant of its own. So
its facts are its own, too, and the shapes it is entered with bind it as a model's feeds would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import LimitExceeded, RuntimeException, SardonyxError
from sardonyx.core.expr import Expr, symbol
from sardonyx.core.limits import Limits
from sardonyx.engine.native.memory import contiguous
from sardonyx.engine.program.repeat import Trips
from sardonyx.engine.program.variants import Variants
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph, Node, Type, Value, around, subgraphs
from sardonyx.passes.pipeline import prepare
from sardonyx.passes.spans import check, spans


class Inner(Protocol):
    """What entering a body needs of its program; see `program.Program`."""

    graph: Graph

    @property
    def gaps(self) -> dict[Node, str]:
        """The nodes that run on the host."""

    def quick(
        self, feeds: Sequence[Any], passed: float = 0.0, *, asked: bool = False
    ) -> list[Any] | None:
        """The outputs for shapes that are bound, else None."""

    def run_in(self, walk: Walk, feeds: Sequence[Any]) -> list[Any]:
        """The outputs."""

    def repeat(
        self, feeds: Sequence[Any], trips: Trips, walk: Walk
    ) -> tuple[dict[int, Array], dict[int, Array]] | None:
        """The states after many trips, and the outputs stacked."""


@dataclass(frozen=True)
class Closed:
    """A body without captures: `graph` has more inputs, which are the outer values `given`."""

    graph: Graph
    given: tuple[Value, ...]


def close(outer: Graph, body: Graph) -> Closed:
    """A copy of a body of one of `outer`'s nodes that reads nothing from around it."""
    read, defaults = around(body), outer.defaults()
    fixed = [v for v in read if v.const is not None and v not in defaults]
    given = [v for v in read if v.const is None or v in defaults]
    told = set(_told(body.inputs)).union(_told(given))
    # A symbol that only operands or formulas mention is told by an input of the graph around.
    wanted = {x for v in (*body.inputs, *given) for x in _mentioned(v.type)}
    for v in outer.inputs:
        if v not in given and not (wanted - told).isdisjoint(_told([v])):
            given.append(v)
            told.update(_told([v]))
    sizes: dict[Expr, Expr] = {}
    known = {v: Value(v.name, _fed(v.type, told, sizes)) for v in given}
    held = {v: Value(v.name, v.type, v.const, extra=v.extra) for v in fixed}
    made = clone(body, {**known, **held})
    made.opsets, made.overridable = {**outer.opsets, **made.opsets}, False
    for v in made.inputs:
        v.type = _fed(v.type, told, sizes)
    for v in held.values():
        v.name = made.free_name(v.name)
        made.initializers[v.name] = v
    for v in known.values():
        v.name = made.free_name(v.name)
        made.inputs.append(v)
    made.outputs = [known.get(v) or held.get(v) or v for v in made.outputs]
    return Closed(made, tuple(given))


def _told(values: Iterable[Value]) -> Iterable[Expr]:
    return (d for v in values for d in v.shape or () if d.op == "var")


def _mentioned(t: Type) -> set[Expr]:
    return {x for e in (*(t.shape or ()), *(t.value or ())) for x in e.free}


def _fed(t: Type, told: set[Expr], sizes: dict[Expr, Expr]) -> Type:
    """The type of an input whose facts are in symbols that shapes tell; other dims get new ones."""
    if t.kind != "tensor" or _mentioned(t) <= told:
        return t
    for d in t.shape or ():
        if not d.free <= told and d not in sizes:
            sizes[d] = _unlike(told | set(sizes.values()))
    dims = t.shape and tuple(d if d.free <= told else sizes[d] for d in t.shape)
    value = t.value if t.value is not None and all(e.free <= told for e in t.value) else None
    return replace(t, shape=dims, value=value)


def _unlike(symbols: set[Expr]) -> Expr:
    """A symbol that is none of these; the same one for the same body in every process."""
    taken = {s.arg[0] for s in symbols}
    return symbol(next(name for n in count() if (name := f"_given_{n}") not in taken), 0)


class Entry:
    """A closed body prepared, and where each of its outputs comes from.

    An output is computed, or is an input handed through, or a constant; only the computed ones are
    outputs of `graph`, so that nothing is copied and all of a body can be one native segment.
    """

    def __init__(self, closed: Graph) -> None:
        self.graph = prepare(closed)
        self._spans = spans(self.graph)
        count = len(closed.outputs)
        outputs, spanned = self.graph.outputs[:count], self.graph.outputs[count:]
        inputs = {v: n for n, v in enumerate(self.graph.inputs)}
        computed = dict.fromkeys(v for v in outputs if v not in inputs and v.const is None)
        places = {v: n for n, v in enumerate(computed)}
        self.graph.outputs = [*computed, *spanned]
        self._count = len(computed)
        self.spanned = range(len(computed), len(self.graph.outputs))
        self._plain = list(computed) == outputs and not spanned
        self._ways = [(places.get(v), inputs.get(v), v.const) for v in outputs]

    def places(self, outputs: Sequence[int]) -> list[int] | None:
        """Which outputs of `graph` some of the body's are; None where one is not computed."""
        found = [self._ways[n][0] for n in outputs]
        places = [n for n in found if n is not None]
        return places if len(places) == len(found) else None

    def check(self, stacked: Sequence[Array]) -> None:
        """Whether the subscripts of all trips were in range, by the spans of each."""
        for a in stacked:
            outside = (a[:, 0] < a[:, 1]) | (a[:, 0] > a[:, 2])
            if outside.any():
                first = int(outside.argmax())
                check(self._spans, [each[first] for each in stacked])

    def outputs(self, found: list[Any], feeds: Sequence[Any]) -> list[Any]:
        """The body's outputs from those of `graph`."""
        if self._plain:
            return found
        if self._spans:
            check(self._spans, found[self._count :])
        made: list[Any] = []
        for place, given, const in self._ways:
            if place is not None:
                made.append(found[place])
            elif given is not None:
                made.append(feeds[given])
            else:
                assert const is not None
                made.append(const.numpy().copy())
        return made


def prepared(outer: Graph, node: Node) -> list[tuple[Closed, Entry]] | str:
    """The bodies of a node of `outer`, in order, or why they are not compiled."""
    if not node.op.has("control"):
        return []
    try:
        closed = [close(outer, body) for body in subgraphs(node.op)]
        return [(one, Entry(one.graph)) for one in closed]
    except LimitExceeded:
        raise
    except SardonyxError as error:
        return f"its body cannot be compiled: {error.message}"


class Subprogram:
    """A body that is entered as machine code; any number of threads may be in it."""

    def __init__(
        self, closed: Closed, entry: Entry, make: Callable[[Graph], Inner], limits: Limits
    ) -> None:
        def again(graph: Graph) -> tuple[Entry, Inner]:
            other = Entry(graph)
            return other, make(other.graph)

        self.given = closed.given
        self._timed = limits.run_seconds is not None
        main = entry, make(entry.graph)
        self._variants = Variants(closed.graph, main, again, limits.variants)

    @property
    def gaps(self) -> dict[Node, str]:
        """The nodes that run on the host, as it was last entered."""
        return self._variants.latest[1].gaps

    def __call__(self, walk: Walk, inputs: Sequence[Any], env: Mapping[Value, Any]) -> list[Any]:
        """The outputs of the body for its inputs and what is around it."""
        # An element of an array is no array, and native code reads memory.
        feeds = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
        feeds += [env[v] for v in self.given]
        passed = walk.passed if self._timed else 0.0
        entry, program = self._variants.latest
        found = program.quick(feeds, passed, asked=walk.abort is not None)
        if found is not None:
            return entry.outputs(found, feeds)
        feeds = [contiguous(x) if isinstance(x, np.ndarray) else x for x in feeds]
        own = program.graph.inputs
        _fit(own, feeds)
        named = zip(own, feeds, strict=True)
        shapes = {v.name: x.shape for v, x in named if isinstance(x, np.ndarray)}
        entry, program = self._variants.of(own, shapes)
        found = program.quick(feeds, passed, asked=walk.abort is not None)
        return entry.outputs(found or program.run_in(walk, feeds), feeds)

    def many(
        self, walk: Walk, env: Mapping[Value, Any], trips: int, inputs: Sequence[Any],
        moving: Mapping[int, Array], states: Mapping[int, int], stacked: Sequence[int],
    ) -> tuple[list[Any], list[Array]] | None:  # fmt: skip
        """See `graph.evaluate.Repeated`."""
        entry, program = self._variants.latest
        feeds = [*inputs, *(env[v] for v in self.given)]
        plain = all(isinstance(x, np.ndarray) and x.flags.c_contiguous for x in feeds)
        places = entry.places([*states, *stacked])
        if not plain or places is None:
            return None
        carried, rows = places[: len(states)], places[len(states) :]
        if len(set(carried)) < len(carried):
            return None
        # What nobody wants, such as the condition of a loop that never stops, is made all the same.
        others = set(range(len(entry.graph.outputs))).difference(carried)
        every = tuple(dict.fromkeys((*rows, *sorted(others))))
        trips_of = Trips(trips, moving, dict(zip(carried, states.values(), strict=True)), every)
        found = program.repeat(feeds, trips_of, walk)
        if found is None:
            return None
        entry.check([found[1][n] for n in entry.spanned])
        return [found[0][n] for n in carried], [found[1][n] for n in rows]


def _fit(inputs: Sequence[Value], feeds: Sequence[Any]) -> None:
    """RuntimeException (E0404) where a body is entered with no array, or of another dtype."""
    for v, x in zip(inputs, feeds, strict=True):
        kind, wanted = v.type.kind, v.type.dtype
        same = x.dtype == wanted.numpy if isinstance(x, np.ndarray) and wanted else True
        if not same or ((kind == "tensor") is not isinstance(x, np.ndarray) and kind != "optional"):
            given = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise RuntimeException(
                "E0404", "a body is entered with another type than it is declared for",
                tensor=v.name, given=given, wanted=v.type,
            )  # fmt: skip

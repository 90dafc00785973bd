"""What a cause of a difference is tested with: one side is changed, and compared again.

Doubt    two sides that do not agree, the cases that show it, and the ways to try a change
Verdict  whether the sides agree after a change, and how far apart they are
Cause    proposes changes; one that makes the sides agree is a `Reason`
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.data import Case
from sardonyx.compare.metrics import Tally
from sardonyx.compare.sides import Outputs, Side, flat, of_model, paired
from sardonyx.compare.tolerance import Tolerance
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Node, Type
from sardonyx.graph.op import Op, Opaque
from sardonyx.graph.origin import source_line

Change = Callable[[Graph], None]
Answer = Callable[[Mapping[str, Any]], Outputs]


@dataclass(frozen=True)
class Verdict:
    """`error` is the largest difference over the largest value, infinite where the outputs cannot
    be compared or a size is refused. `refused` are the outputs that are not the same.
    """

    agree: bool
    error: float
    refused: frozenset[str] = frozenset()


@dataclass
class Doubt:
    """`side` is the one that is changed; `reference` says whether it is the first one, by whose
    values differences are measured. Nothing is tried after `until`, on the monotonic clock.
    """

    side: Side
    other: Side
    cases: Sequence[Case]
    judge: Tolerance
    reference: bool = False
    until: float = float("inf")
    node: str = ""
    _wanted: dict[int, Outputs | None] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The graph of the side; a graph of nothing where there is none."""
        return self.side.graph or Graph()

    @cached_property
    def before(self) -> Verdict:
        """How far the sides are apart as they are."""
        return self.judged(self.side.feed) or Verdict(False, float("inf"))

    def wanted(self, n: int) -> Outputs | None:
        """What the other side answers to a case; None where it refuses it."""
        if n not in self._wanted:
            try:
                self._wanted[n] = self.other.feed(self.cases[n].feeds)
            except SardonyxError:
                self._wanted[n] = None
        return self._wanted[n]

    @cached_property
    def same(self) -> dict[str, bool]:
        """Whether the sides agree on the case of each group that the other side answers."""
        found = {c.group: self.judged(self.side.feed, [n]) for n, c in enumerate(self.cases)}
        answered = [c.group for n, c in enumerate(self.cases) if self.wanted(n) is not None]
        return {g: bool(v and v.agree) for g, v in found.items() if g in answered}

    def judged(self, answer: Answer, only: Sequence[int] | None = None) -> Verdict | None:
        """The verdict on another way to answer all cases, or `only` these; None where it cannot."""
        if time.monotonic() > self.until:
            return None
        tallies: dict[tuple[int, str], Tally] = {}
        for n in range(len(self.cases)) if only is None else only:
            case = self.cases[n]
            wanted = self.wanted(n)
            if wanted is None:
                continue
            try:
                given = answer(case.feeds)
                pairs = paired(wanted, given)
            except (SardonyxError, ValueError, IndexError):
                tallies[n, ""] = Tally("", reason="refused")
                continue
            for name, x, y in pairs:
                tallies[n, name] = Tally(name)
                tallies[n, name].add(*((y, x) if self.reference else (x, y)))
        return self._verdict(tallies.values())

    def _verdict(self, tallies: Iterable[Tally]) -> Verdict | None:
        found = [t.difference() for t in tallies]
        if not found or all(d.reason == "refused" for d in found):
            return None
        refused = frozenset(d.name for d in found if self.judge.refusal(d))
        return Verdict(not refused, max(d.max_rel for d in found), refused)

    def edited(self, change: Change) -> Verdict | None:
        """The verdict on the side with its graph changed; None where that cannot run."""
        again = self.rebuilt(change)
        return None if again is None else self.judged(again.feed)

    def rebuilt(self, change: Change, provider: str = "") -> Side | None:
        """The side with its graph changed; None where it has none, or where that is no model."""
        if self.side.graph is None or time.monotonic() > self.until:
            return None
        graph = clone(self.side.graph)
        try:
            change(graph)
            graph.assumed.clear()
            for node in graph.nodes:
                _forget(node)
            return of_model(graph, provider or self.side.provider, self.side.threads)
        except SardonyxError:
            return None

    def outputs(self, change: Callable[[str, Any], Any]) -> Verdict | None:
        """The verdict on the side with the outputs that differ changed."""
        refused = self.before.refused

        def answer(feeds: Mapping[str, Any]) -> Outputs:
            found = flat(self.side.feed(feeds))
            alone = len(found) == 1
            return {n: change(n, x) if alone or n in refused else x for n, x in found.items()}

        return self.judged(answer)

    def partner(self, node: Node) -> Node | None:
        """The node of the other side that is the same as one of this side's graph."""
        return self._partners.get(node)

    @cached_property
    def _partners(self) -> dict[Node, Node]:
        mine, theirs = self.graph.nodes, (self.other.graph or Graph()).nodes
        kinds = [[n.op.op_type for n in nodes] for nodes in (mine, theirs)]
        if kinds[0] == kinds[1]:
            return dict(zip(mine, theirs, strict=True))
        known = {_key(n): n for n in theirs}
        return {n: known[_key(n)] for n in mine if _key(n) in known}

    def reason(self, cause: Cause, text: str, after: float, nodes: Sequence[Node] = ()) -> Reason:
        """A finding on this side, at the first of the nodes."""
        node = nodes[0] if nodes else None
        return Reason(
            cause=cause.name,
            side=self.side.label,
            text=text,
            remedy=cause.remedy,
            before=self.before.error,
            after=after,
            node="" if node is None else node.name or node.output.name,
            op="" if node is None else node.op.op_type,
            nodes=len(nodes),
            source="" if node is None else source_line(node) or "",
        )


def _key(node: Node) -> tuple[str, str]:
    return node.op.op_type, node.name or node.output.name


def _forget(node: Node) -> None:
    """Types are inferred anew."""
    for v in node.outputs:
        if v is not None and not isinstance(node.op, Opaque) and v.type.kind == "tensor":
            v.type = Type()


class Cause:
    """Something that makes a side answer otherwise, and the way to tell.

    `name` is what reports call it, `remedy` what its user can do. `rank` orders the causes: what is
    surer or cheaper to tell is told first. `inner` says whether it can be within a model.
    """

    name = ""
    remedy = ""
    rank = 50
    inner = True

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The reasons of this kind, with what was measured; nothing where it is not the cause."""
        raise NotImplementedError


class Alternatives(Cause):
    """A cause in the attributes of nodes: others are tried, those of the other side's node first.

    The nodes are tried one by one, then all of them with the same change.
    """

    def options(self, node: Node, partner: Op | None) -> Iterator[dict[str, Any]]:
        """Other values of attributes that the node could have."""
        raise NotImplementedError

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The first change that makes the sides agree."""
        tries: dict[tuple[tuple[str, Any], ...], list[int]] = {}
        nodes = doubt.graph.nodes
        order = sorted(range(len(nodes)), key=lambda n: nodes[n].name != doubt.node)
        for n in order:
            partner = doubt.partner(nodes[n])
            for option in self.options(nodes[n], None if partner is None else partner.op):
                tries.setdefault(tuple(sorted(option.items())), []).append(n)
        singles = [(option, [n]) for option, places in tries.items() for n in places]
        singles.sort(key=lambda one: order.index(one[1][0]))
        together = [(option, places) for option, places in tries.items() if len(places) > 1]
        for chosen, places in [*singles, *together]:
            option = dict(chosen)
            verdict = doubt.edited(partial(_set, places=places, option=option))
            if verdict is not None and verdict.agree:
                yield self._told(doubt, option, verdict, [nodes[n] for n in places])
                return

    def _told(
        self, doubt: Doubt, option: Mapping[str, Any], verdict: Verdict, nodes: Sequence[Node]
    ) -> Reason:
        held = ", ".join(f"{k}={getattr(nodes[0].op, k)}" for k in option)
        wanted = ", ".join(f"{k}={x}" for k, x in option.items())
        text = f"with {wanted} instead of {held} the sides agree"
        return doubt.reason(self, text, verdict.error, nodes)


def _set(graph: Graph, places: Sequence[int], option: Mapping[str, Any]) -> None:
    nodes = graph.nodes
    for n in places:
        graph.set_op(nodes[n], replace(nodes[n].op, **option))


def differing(op: Op, partner: Op | None, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The attributes (or those `names`) that the other side's node has with other values."""
    if partner is None or partner.op_type != op.op_type:
        return {}
    mine, theirs = op.attributes(), partner.attributes()
    wanted = (mine.keys() | theirs.keys()) if names is None else names
    plain = (int, float, str, tuple)
    return {
        k: getattr(partner, k)
        for k in sorted(wanted)
        if hasattr(op, k)
        and isinstance(getattr(partner, k, None), plain)
        and not np.array_equal(getattr(op, k), getattr(partner, k))
    }

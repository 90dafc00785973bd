"""Rows of a batch that change each other's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.data import Case, batched
from sardonyx.compare.diverge import chunks, kept, values_made
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.metrics import Difference, difference
from sardonyx.compare.sides import Side, flat
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.ir import Node

_MOST_ROWS = 8


class Mixing(Cause):
    """A side whose answer to a row depends on the other rows, where the other side's does not."""

    name = "batch mixed"
    remedy = "look for statistics or reductions over the batch dim (a layer that trains, mean(0))"
    rank = 25

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """Rows in company and alone, on both sides."""
        shape = doubt.side.graph or doubt.other.graph
        if shape is None:
            return
        for case in doubt.cases:
            rows = batched({n: np.asarray(x) for n, x in case.feeds.items()}, shape)
            count = min((len(case.feeds[n]) for n in rows), default=0)
            if count < 2:
                continue
            alone = list(_alone(case, rows, min(count, _MOST_ROWS)))
            mine, theirs = (_apart(s, case, alone, doubt) for s in (doubt.side, doubt.other))
            if mine is None or theirs is None or not mine[0] or theirs[0]:
                continue
            text = (
                f"a row answers otherwise in a batch of {count} than alone, by {mine[1]:.2g} of "
                f"the largest value; on the other side by {theirs[1]:.2g}"
            )
            yield doubt.reason(self, text, theirs[1], _place(doubt, case, alone[0]))
            return


def _alone(case: Case, rows: Sequence[str], count: int) -> Iterator[Case]:
    for n in range(count):
        feeds = {k: x[n : n + 1] if k in rows else x for k, x in case.feeds.items()}
        yield Case(f"row {n}", feeds)


def _apart(
    side: Side, case: Case, alone: Sequence[Case], doubt: Doubt
) -> tuple[bool, float] | None:
    """Whether rows change in company, and by how much; None where the side cannot be asked."""
    try:
        together = flat(side.feed(case.feeds))
        each = [flat(side.feed(one.feeds)) for one in alone]
    except (SardonyxError, ValueError):
        return None
    worst, refused = 0.0, False
    for name, x in together.items():
        for n, one in enumerate(each):
            found = _row(name, x, one.get(name), n)
            if found is not None:
                worst = max(worst, found.max_rel)
                refused |= bool(doubt.judge.refusal(found))
    return refused, worst


def _row(name: str, together: Any, alone: Any, n: int) -> Difference | None:
    x, y = np.asarray(together), np.asarray(alone)
    if not x.ndim or x.ndim != y.ndim or y.shape[0] != 1 or x.shape[1:] != y.shape[1:]:
        return None
    return difference(name, y, x[n : n + 1]) if n < len(x) else None


def _place(doubt: Doubt, case: Case, alone: Case) -> list[Node]:
    """The first node whose value for the first row is another in company."""
    graph = doubt.graph
    nodes = {v.name: v.producer for v in values_made(graph) if v.type.value is None}
    try:
        for names in chunks(list(nodes), graph, case):
            pairs = zip(kept(doubt.side, names, case), kept(doubt.side, names, alone), strict=True)
            for name, (x, y) in zip(names, pairs, strict=True):
                found = _changed(name, x, y)
                node = nodes[name]
                if node is not None and found is not None and doubt.judge.refusal(found):
                    return [node]
    except SardonyxError:
        return []
    return []


def _changed(name: str, together: Any, alone: Any) -> Difference | None:
    """How a value of floats changes in company, where it has a row, or no dim of the batch."""
    if np.asarray(together).dtype.kind != "f":
        return None
    if np.shape(together) == np.shape(alone):
        return difference(name, alone, together)
    return _row(name, together, alone, 0)


CAUSE = Mixing()

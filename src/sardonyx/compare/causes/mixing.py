"""Rows of a batch that change each other's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.data import Case, batched
from sardonyx.compare.diverge import kept, values_made
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.metrics import difference
from sardonyx.compare.sides import Side, flat
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.ir import Graph, Node

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


def _row(name: str, together: Any, alone: Any, n: int) -> Any:
    x, y = np.asarray(together), np.asarray(alone)
    if not x.ndim or x.ndim != y.ndim or y.shape[0] != 1 or x.shape[1:] != y.shape[1:]:
        return None
    return difference(name, y, x[n : n + 1]) if n < len(x) else None


def _place(doubt: Doubt, case: Case, alone: Case) -> list[Node]:
    """The first node whose value for the first row is another in company."""
    values = list(values_made(doubt.side.graph or Graph()))
    try:
        together = kept(doubt.side, [v.name for v in values], case)
        single = kept(doubt.side, [v.name for v in values], alone)
    except (SardonyxError, AssertionError):
        return []
    for v, x, y in zip(values, together, single, strict=True):
        found = _row(v.name, x, y, 0)
        summed = np.shape(x) == np.shape(y) and np.ndim(x) and not _near(v.name, x, y, doubt)
        if v.producer is not None and (
            summed or (found is not None and doubt.judge.refusal(found))
        ):
            return [v.producer]
    return []


def _near(name: str, x: Any, y: Any, doubt: Doubt) -> bool:
    return not doubt.judge.refusal(difference(name, y, x))


CAUSE = Mixing()

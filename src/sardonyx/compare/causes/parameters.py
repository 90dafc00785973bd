"""Weights that are others than those of the source."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.graph.ir import Graph, Value


class Parameters(Cause):
    """Initializers of one name, type and shape with other elements."""

    name = "other parameters"
    remedy = "load the same weights on both sides before exporting"
    rank = 55

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The sides agree once this one has the other's elements."""
        if doubt.other.graph is None or doubt.reference:
            return
        theirs = doubt.other.graph.initializers
        names = [n for n, v in doubt.graph.initializers.items() if _other(v, theirs.get(n))]
        if not names:
            return

        def adopt(graph: Graph) -> None:
            for name in names:
                graph.initializers[name].const = theirs[name].const
                graph.initializers[name].type = theirs[name].type

        verdict = doubt.edited(adopt)
        if verdict is not None and verdict.agree:
            text = f"`{names[0]}` and {len(names) - 1} more hold other elements"
            text = text if len(names) > 1 else f"`{names[0]}` holds other elements"
            first = doubt.graph.initializers[names[0]].uses
            said = f"{text}; with those of the other side they agree"
            yield doubt.reason(self, said, verdict.error, list(first)[:1])


def _other(mine: Value, theirs: Value | None) -> bool:
    if theirs is None or mine.const is None or theirs.const is None:
        return False
    a, b = mine.const.numpy(), theirs.const.numpy()
    return a.shape == b.shape and a.dtype == b.dtype and not np.array_equal(a, b)


CAUSE = Parameters()

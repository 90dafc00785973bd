"""Whole random graphs: `grown(7)` is the same graph everywhere and always."""

from __future__ import annotations

from fuzz import elements, moves, products, sums
from fuzz.grow import Grower, Skip
from sardonyx.graph.ir import Graph

STEPS = (*elements.STEPS, *moves.STEPS, *products.STEPS, *sums.STEPS)


def grown(seed: int) -> Graph:
    """A graph of 4 to 25 nodes or a few more."""
    g = Grower(seed)
    wanted = g.below(4, 26)
    for _ in range(40 * wanted):
        if len(g.graph) >= wanted:
            break
        try:
            g.one(*STEPS)(g)
        except Skip:
            continue
    return g.finish()

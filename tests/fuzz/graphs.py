"""Whole random graphs: `grown(7)` is the same graph everywhere and always."""

from __future__ import annotations

from fuzz import cases, elements, flow, moves, products, quantized, sums
from fuzz.grow import Grower, Skip
from sardonyx.graph.ir import Graph

PLAIN = (*elements.STEPS, *moves.STEPS, *products.STEPS, *sums.STEPS)
STEPS = (*PLAIN, *quantized.STEPS, *cases.STEPS, *flow.stepped(PLAIN))


def grown(seed: int) -> Graph:
    """A graph of 2 to 12 nodes or a few more."""
    g = Grower(seed)
    wanted = g.below(2, 13)
    for _ in range(40 * wanted):
        if len(g.graph) >= wanted:
            break
        try:
            g.one(*STEPS)(g)
        except Skip:
            continue
    return g.finish()

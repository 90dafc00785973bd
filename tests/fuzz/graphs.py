"""Whole random graphs: `grown(7)` is the same graph everywhere and always."""

from __future__ import annotations

from fuzz import cases, elements, flow, learned, moves, products, quantized, sequences, sums
from fuzz.grow import Grower, Skip
from sardonyx.graph.ir import Graph

PLAIN = (*elements.STEPS, *moves.STEPS, *products.STEPS, *sums.STEPS)
INNER = (*PLAIN, *learned.STEPS, *flow.stepped(PLAIN))
BODIES = (*flow.stepped(INNER), *sequences.stepped(INNER))
STEPS = (*PLAIN, *quantized.STEPS, *learned.STEPS, *cases.STEPS, *BODIES)


def grown(seed: int) -> Graph:
    """A graph of 2 to 12 nodes or a few more, smaller ones more often."""
    g = Grower(seed)
    wanted = g.below(2, g.one(4, 7, 13))
    for _ in range(40 * wanted):
        if len(g.graph) >= wanted:
            break
        try:
            g.one(*STEPS)(g)
        except Skip:
            continue
    return g.finish()

"""Operators that mean something else on the two sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sardonyx.compare.doubt import Alternatives, differing
from sardonyx.graph.ir import Node
from sardonyx.graph.op import Op


class Semantics(Alternatives):
    """Attributes that the other side's node has otherwise, and approximated activations."""

    name = "operator semantics"
    remedy = "export the layer with the attributes of the source, or replace it by what it computes"
    rank = 30

    def options(self, node: Node, partner: Op | None) -> Iterator[dict[str, Any]]:
        """What differs from the other side's node; the other form of Gelu."""
        theirs = differing(node.op, partner)
        if theirs:
            yield theirs
        if node.op.standard("Gelu"):
            held = getattr(node.op, "approximate", "none")
            yield {"approximate": "none" if held == "tanh" else "tanh"}


CAUSE = Semantics()

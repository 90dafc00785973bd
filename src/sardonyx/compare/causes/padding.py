"""Borders that windows see otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sardonyx.compare.doubt import Alternatives, differing
from sardonyx.graph.ir import Node
from sardonyx.graph.op import Op

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
_NAMES = ("pads", "auto_pad", "count_include_pad", "ceil_mode", "output_padding")


class Padding(Alternatives):
    """The pads of convolutions and pools, what an average counts, and how Pad fills."""

    name = "padding"
    remedy = "export with the source's own padding: which side gets the odd element, what it holds"
    rank = 20

    def options(self, node: Node, partner: Op | None) -> Iterator[dict[str, Any]]:
        """The other side's, pads at the other end, other counting, another filling."""
        op = node.op
        if op.standard("Pad"):
            held = getattr(op, "mode", "constant")
            modes = ("constant", "reflect", "edge", "wrap")
            yield from ({"mode": m} for m in modes if m != held)
        if not op.standard(*_WINDOWS):
            return
        theirs = differing(op, partner, _NAMES)
        if theirs:
            yield theirs
        yield from _ends(op)
        for name in ("count_include_pad", "ceil_mode"):
            if hasattr(op, name):
                yield {name: 1 - int(getattr(op, name))}


def _ends(op: Op) -> Iterator[dict[str, Any]]:
    auto = getattr(op, "auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        yield {"auto_pad": "SAME_LOWER" if auto == "SAME_UPPER" else "SAME_UPPER"}
    pads = tuple(getattr(op, "pads", None) or ())
    half = len(pads) // 2
    if pads and pads != pads[half:] + pads[:half]:
        yield {"pads": pads[half:] + pads[:half]}
    for n in range(half):
        total = pads[n] + pads[n + half]
        for before in range(total + 1):
            moved = list(pads)
            moved[n], moved[n + half] = before, total - before
            if tuple(moved) != pads:
                yield {"pads": tuple(moved)}
    if half and len(set(pads)) == 1 and pads[0]:
        total = 2 * pads[0]
        for before in (0, total):
            yield {"pads": (before,) * half + (total - before,) * half}


CAUSE = Padding()

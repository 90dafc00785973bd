"""Images resized by another rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from sardonyx.compare.doubt import Alternatives, differing
from sardonyx.graph.ir import Node
from sardonyx.graph.op import Op

_PLACES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
_ROUNDINGS = ("round_prefer_floor", "floor", "round_prefer_ceil", "ceil")
_NAMES = ("mode", "coordinate_transformation_mode", "nearest_mode", "antialias", "cubic_coeff_a",
          "exclude_outside", "align_corners", "padding_mode", "extrapolation_value")  # fmt: skip


class ResizeRule(Alternatives):
    """The mode, coordinates, rounding and filter of Resize, Upsample and GridSample."""

    name = "resize rule"
    remedy = "export with the rule of the source's own resize (align_corners, antialias, the mode)"
    rank = 20

    def options(self, node: Node, partner: Op | None) -> Iterator[dict[str, Any]]:
        """The other side's, one attribute changed, then coordinates and rounding together."""
        if not node.op.standard("Resize", "Upsample", "GridSample"):
            return
        theirs = differing(node.op, partner, _NAMES)
        if theirs:
            yield theirs
        for name, value in _single():
            if hasattr(node.op, name) and getattr(node.op, name) != value:
                yield {name: value}
        if getattr(node.op, "mode", "") == "nearest" and hasattr(node.op, "nearest_mode"):
            for place, rounding in product(_PLACES, _ROUNDINGS):
                yield {"coordinate_transformation_mode": place, "nearest_mode": rounding}


def _single() -> Iterator[tuple[str, Any]]:
    yield from (("mode", mode) for mode in ("linear", "nearest", "cubic"))
    yield from (("coordinate_transformation_mode", place) for place in _PLACES)
    yield from (("nearest_mode", rounding) for rounding in _ROUNDINGS)
    yield from (("antialias", flag) for flag in (0, 1))
    yield from (("align_corners", flag) for flag in (0, 1))
    yield from (("cubic_coeff_a", a) for a in (-0.75, -0.5))
    yield from (("exclude_outside", flag) for flag in (0, 1))


CAUSE = ResizeRule()

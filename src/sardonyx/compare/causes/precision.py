"""Arithmetic that is less exact, or another, than the model says."""

from __future__ import annotations

from collections.abc import Iterator

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.core import knobs
from sardonyx.graph.ir import Graph

_REFERENCE = "ReferenceExecutionProvider"


class Precision(Cause):
    """A precision below the highest, or a provider whose arithmetic is not the standard's."""

    name = "precision policy"
    remedy = "run with the highest precision (SARDONYX_PRECISION=highest), or by another provider"
    rank = 90

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The same graph in the highest precision, then by the reference."""
        if doubt.side.graph is None or doubt.side.provider == _REFERENCE:
            return
        held = knobs.PRECISION.get()
        if held != "highest":
            with knobs.override(precision="highest"):
                verdict = doubt.edited(_same)
            if verdict is not None and verdict.agree:
                text = f"runs in precision `{held}`; in the highest the sides agree"
                yield doubt.reason(self, text, verdict.error)
                return
        side = doubt.rebuilt(_same, _REFERENCE)
        verdict = None if side is None else doubt.judged(side.feed)
        if verdict is not None and verdict.agree:
            text = f"{doubt.side.provider} computes otherwise than the standard's definitions, "
            yield doubt.reason(self, text + "by which the sides agree", verdict.error)


def _same(graph: Graph) -> None:
    """The graph as it is."""
    del graph


CAUSE = Precision()

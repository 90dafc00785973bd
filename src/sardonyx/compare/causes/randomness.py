"""A side that answers otherwise each time."""

from __future__ import annotations

from collections.abc import Iterator

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.metrics import difference
from sardonyx.compare.sides import paired
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.ir import Node

_DRAWS = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
          "Multinomial", "Dropout")  # fmt: skip


class Randomness(Cause):
    """A side that does not agree with itself."""

    name = "randomness"
    remedy = "put the model into evaluation (model.eval()), or draw outside and feed what was drawn"
    rank = 11

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The same case twice, on this side."""
        for case in doubt.cases:
            try:
                pairs = paired(doubt.side.feed(case.feeds), doubt.side.feed(case.feeds))
            except SardonyxError:
                continue
            worst = [difference(name, x, y) for name, x, y in pairs if x is not None]
            if any(doubt.judge.refusal(d) for d in worst):
                most = max(d.max_rel for d in worst)
                text = f"two runs on the same inputs differ by {most:.2g} of the largest value"
                nodes = [n for n in doubt.graph.nodes if _draws(n)]
                yield doubt.reason(self, text, doubt.before.error, nodes)
                return


def _draws(node: Node) -> bool:
    return node.op.standard(*_DRAWS)


CAUSE = Randomness()

"""Random graphs give the same outputs before and after every pass, and after all of them."""

import numpy as np
import pytest

from passes.equal import apply
from passes.random_graphs import Grower
from sardonyx.graph.ir import Graph
from sardonyx.graph.rewrite import Log, Pass, Pipeline
from sardonyx.graph.text import from_text, tensors, to_text
from sardonyx.passes.affine import AFFINE
from sardonyx.passes.cse import CSE
from sardonyx.passes.dead import DEAD
from sardonyx.passes.fold import FOLD
from sardonyx.passes.infer import infer
from sardonyx.passes.layout import LAYOUT
from sardonyx.passes.lower import LOWER
from sardonyx.passes.pipeline import LEVELS, PREPARE
from sardonyx.passes.quant import QUANT
from sardonyx.passes.simplify import SIMPLIFY

PASSES = (AFFINE, CSE, DEAD, FOLD, LAYOUT, LOWER, QUANT, SIMPLIFY)
SEEDS = range(12)


def grown(seed: int) -> Graph:
    graph = Grower(np.random.default_rng(seed)).grow(40)
    assert infer(graph) == []
    return graph


def feeds(graph: Graph, seed: int, batch: int) -> dict[str, np.ndarray]:
    """Small whole numbers, so that sums are exact in any order; some of them zero or negative."""
    rng = np.random.default_rng(seed)
    shapes = {
        v.name: [batch if not d.is_const else d.arg for d in v.type.dims] for v in graph.inputs
    }
    return {
        name: rng.integers(-3, 4, shape).astype(np.float32) * np.float32(0.5)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("change", PASSES, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_pass_alone(seed: int, change: Pass) -> None:
    graph = grown(seed)
    apply(graph, change, feeds(graph, seed, 3))


def _ignore(log: Log) -> None:
    assert log.records is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_all_passes_together(seed: int) -> None:
    graph = grown(seed)
    everything = Pipeline((*LEVELS["all"], *PREPARE))
    together = Pass("all", lambda g, log: _ignore(everything.run(g, log=log)))
    for batch in (1, 2, 5):
        made, _ = apply(graph, together, feeds(graph, seed, batch))
        assert len(made) <= len(graph)


@pytest.mark.parametrize("seed", SEEDS)
def test_text_reads_back(seed: int) -> None:
    graph = grown(seed)
    printed = to_text(graph)
    again = from_text(printed, tensors(graph))
    assert to_text(again) == printed

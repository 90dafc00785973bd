"""What every pass owes: the same outputs, names, and a graph that is still well formed."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import sardonyx.ops  # noqa: F401
from sardonyx.graph.check import verify
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.graph.rewrite import Log, Pass
from sardonyx.graph.sample import sample_feeds
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import INLINE

Feeds = Mapping[str, Any]


def ready(graph: Graph) -> Graph:
    """The graph with functions inlined and types inferred."""
    INLINE(graph)
    infer(graph)
    return graph


def ops(graph: Graph) -> list[str]:
    """The operators in order."""
    return [n.op.op_type for n in graph]


def apply(
    graph: Graph,
    change: Pass,
    feeds: Feeds | None = None,
    close: Callable[[Any, Any], None] = np.testing.assert_array_equal,
) -> tuple[Graph, Log]:
    """A copy after the pass, its outputs compared with those before."""
    made = clone(graph)
    log = change(made)
    verify(made)
    infer(made)
    given = feeds if feeds is not None else sample_feeds(graph, dict.fromkeys(free(graph), 3))
    before, after = run(graph, given), run(made, given)
    assert list(before) == list(after)
    for name, array in before.items():
        assert np.asarray(after[name]).dtype == np.asarray(array).dtype
        close(after[name], array)
    return made, log


def free(graph: Graph) -> list[str]:
    """The symbols of the inputs."""
    names = {str(s.arg[0]) for v in graph.inputs for d in v.shape or () for s in d.free}
    return sorted(names)

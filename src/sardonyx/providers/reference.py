"""The definition of every operator in numpy: slow, and what everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sardonyx.core.dtype import Array
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.passes.inline import inlined
from sardonyx.providers.base import Abort, Options, Provider, Runnable
from sardonyx.providers.unknown import refuse_unknown


class ReferenceRunnable(Runnable):
    """A graph run node by node."""

    def __init__(self, graph: Graph, options: Options) -> None:
        self._graph = graph
        self._limits = options.limits
        self._names = [v.name for v in graph.outputs]

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        found = run(self._graph, feeds, limits=self._limits, abort=abort)
        return [found[name] for name in self._names]


class ReferenceProvider(Provider):
    """Runs every node with its numpy reference."""

    name = "ReferenceExecutionProvider"
    aliases = ("reference", "numpy")

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """The graph as it is, calls of its functions replaced by their bodies."""
        made = inlined(graph)
        refuse_unknown(made)
        return ReferenceRunnable(made, options)

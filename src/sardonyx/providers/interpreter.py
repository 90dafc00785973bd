"""Our engine without machine code: the kernels it would compile, interpreted access by access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sardonyx.core.dtype import Array
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.engine.fuse.launches import launches
from sardonyx.engine.program.interpreted import Interpreted
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph
from sardonyx.loops.target import host
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.passes.spans import check, spans
from sardonyx.providers.base import Abort, Gap, Options, Provider, Runnable
from sardonyx.providers.unknown import refuse_unknown


class InterpreterRunnable(Runnable):
    """The scheduled steps of a graph."""

    def __init__(self, graph: Graph, options: Options) -> None:
        better = graph if options.optimize == "off" else optimize(graph, options.optimize).graph
        self._graph, self._options = prepare(better), options
        self._steps = launches(fuse(self._graph), host())
        self._spans, self._outputs = spans(self._graph), len(graph.outputs)
        hosts = [s for s in self._steps if isinstance(s, Host)]
        self.gaps = [Gap(s.node.name, s.node.op.op_type, s.reason) for s in hosts]

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        arrays = [feeds[v.name] for v in self._graph.inputs]
        walk = Walk(self._options.limits, abort)
        found = Interpreted(self._graph, arrays, walk, self._options.threads).run(self._steps)
        check(self._spans, found[self._outputs :])
        return found[: self._outputs]


class InterpreterProvider(Provider):
    """Shows what is wrong with a kernel, above all with one edited by hand: minutes for small nets.

    A statement that breaks a rule, or an access outside a buffer, is an error with the statement.
    """

    name = "InterpreterExecutionProvider"
    aliases = ("interpreter",)

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """The graph fused and scheduled as for this machine."""
        refuse_unknown(graph)
        return InterpreterRunnable(graph, options)

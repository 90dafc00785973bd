"""Our own engine: the graph as one compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sardonyx.engine.program import Program
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.providers.base import Abort, Array, Gap, Options, Provider, Runnable


class NativeRunnable:
    """A compiled program behind the provider's interface."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.gaps = [Gap(n.name, n.op.op_type, reason) for n, reason in program.gaps.items()]
        self._names = [v.name for v in program.graph.inputs]
        self._count = len(self._names)

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        return self.program.run([feeds[name] for name in self._names], abort)

    def quick(self, feeds: Mapping[str, Any]) -> list[Any] | None:
        """The outputs for unchecked feeds, where they are arrays just as in an earlier run."""
        if len(feeds) != self._count:
            return None
        try:
            return self.program.quick([feeds[name] for name in self._names])
        except KeyError:
            return None


class NativeProvider(Provider):
    """Compiles with LLVM for this very CPU; what has no native code runs in numpy and says so."""

    name = "CPUExecutionProvider"
    aliases = ("native", "cpu", "sardonyx")

    def supports(self, graph: Graph) -> list[Gap]:
        """The nodes that would run as host steps."""
        return self.prepare(graph, Options()).gaps

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """Optimises, lowers and compiles the graph."""
        better = graph if options.optimize == "off" else optimize(graph, options.optimize).graph
        return NativeRunnable(Program(prepare(better), options.threads, options.limits))

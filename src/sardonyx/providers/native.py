"""Our own engine: the graph as one compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sardonyx.core.collector import held
from sardonyx.core.dtype import Array
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.program.program import Program
from sardonyx.engine.program.variants import Variants
from sardonyx.engine.program.watched import run_watched
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.passes.spans import check, spans
from sardonyx.providers.base import Abort, Gap, Options, Provider, Runnable, Step, Watch
from sardonyx.providers.unknown import refuse_unknown


class _Gaps(Sequence[Gap]):
    """The nodes that run in numpy, in what served the last run."""

    def __init__(self, variants: Variants[Program]) -> None:
        self._variants = variants

    def _now(self) -> list[Gap]:
        gaps = self._variants.latest.gaps.items()
        return [Gap(n.name, n.op.op_type, reason) for n, reason in gaps]

    def __len__(self) -> int:
        return len(self._now())

    def __getitem__(self, at: Any) -> Any:
        return self._now()[at]


class NativeRunnable(Runnable):
    """A compiled program behind the provider's interface."""

    def __init__(self, graph: Graph, options: Options) -> None:
        self.program = _compiled(graph, options)
        most = options.limits.variants
        self._variants = Variants(graph, self.program, lambda g: _compiled(g, options), most)
        self.gaps = _Gaps(self._variants)
        self._names = [v.name for v in self.program.graph.inputs]
        self._count = len(self._names)
        self._spans = spans(self.program.graph)
        self._outputs = len(graph.outputs)

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        program, arrays = self._program(feeds)
        return self._checked(program, program.run(arrays, abort))

    def watched(self, feeds: Mapping[str, Array], watch: Watch) -> list[Any]:
        """The same step by step: what threads or launches share between steps is not shared."""
        program, arrays = self._program(feeds)
        found = run_watched(program, arrays, lambda s, *at: watch(_told(s), *at))
        return self._checked(program, found)

    def _program(self, feeds: Mapping[str, Array]) -> tuple[Program, list[Array]]:
        arrays = [feeds[name] for name in self._names]
        shapes = {name: x.shape for name, x in feeds.items() if hasattr(x, "shape")}
        return self._variants.of(self.program.graph.inputs, shapes), arrays

    def _checked(self, program: Program, results: list[Any]) -> list[Any]:
        """The model's own outputs, once no subscript was out of range."""
        subscripts = self._spans if program is self.program else spans(program.graph)
        if not subscripts:
            return results
        check(subscripts, results[self._outputs :])
        return results[: self._outputs]

    def quick(self, feeds: Mapping[str, Any]) -> list[Any] | None:
        """The outputs for unchecked feeds, where they are arrays just as in an earlier run."""
        if len(feeds) != self._count:
            return None
        try:
            program = self._variants.latest
            results = program.quick([feeds[name] for name in self._names])
        except KeyError:
            return None
        return None if results is None else self._checked(program, results)


class NativeProvider(Provider):
    """Compiles with LLVM for this very CPU; what has no native code runs in numpy and says so."""

    name = "CPUExecutionProvider"
    aliases = ("native", "cpu", "sardonyx")

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """Optimises, lowers and compiles the graph."""
        refuse_unknown(graph)
        return NativeRunnable(graph, options)


def _compiled(graph: Graph, options: Options) -> Program:
    with held():
        better = graph if options.optimize == "off" else optimize(graph, options.optimize).graph
        return Program(prepare(better), options.threads, options.limits, flush=options.flush)


def _told(step: Launch | Host) -> Step:
    """A step in the model's words; the operator is the one that most of the work is for."""
    if isinstance(step, Host):
        return Step((step.node.name,), step.node.op.op_type, f"host: {step.reason}")
    names = tuple(n.name for n in step.nodes)
    return Step(names, "+".join(dict.fromkeys(n.op.op_type for n in step.nodes)), step.strategy)

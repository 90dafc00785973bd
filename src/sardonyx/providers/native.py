"""Our own engine: the graph as one compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sardonyx.core.collector import held
from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, const, substitute
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.program.program import Program
from sardonyx.engine.program.watched import run_watched
from sardonyx.graph.bind import bind
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.passes.spans import check, spans
from sardonyx.providers.base import Abort, Gap, Options, Provider, Runnable, Step, Watch
from sardonyx.providers.unknown import refuse_unknown


class NativeRunnable(Runnable):
    """A compiled program behind the provider's interface.

    Code is made for symbols that are at least their lower bound; a run that feeds less (an empty
    batch) uses a program of its own, in which those symbols are 0, made when first needed.
    """

    def __init__(self, graph: Graph, options: Options) -> None:
        self.program = _compiled(graph, options)
        gaps = self.program.gaps.items()
        self.gaps = [Gap(n.name, n.op.op_type, reason) for n, reason in gaps]
        self._names = [v.name for v in self.program.graph.inputs]
        self._count = len(self._names)
        self._spans = spans(self.program.graph)
        self._outputs = len(graph.outputs)
        self._graph, self._options = graph, options
        self._empty: dict[frozenset[Expr], Program] = {}

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
        empty = any(0 in getattr(x, "shape", ()) for x in arrays)
        return self._for_empty(feeds) if empty else self.program, arrays

    def _checked(self, program: Program, results: list[Any]) -> list[Any]:
        """The model's own outputs, once no subscript was out of range."""
        subscripts = self._spans if program is self.program else spans(program.graph)
        if not subscripts:
            return results
        check(subscripts, results[self._outputs :])
        return results[: self._outputs]

    def _for_empty(self, feeds: Mapping[str, Array]) -> Program:
        shapes = {name: x.shape for name, x in feeds.items() if hasattr(x, "shape")}
        env = bind(self.program.graph.inputs, shapes)
        zero = frozenset(s for s, size in env.items() if size < (s.arg[1] or 0))
        if not zero:
            return self.program
        if zero not in self._empty:
            if len(self._empty) >= self._options.limits.variants:
                self._empty.clear()
            self._empty[zero] = _compiled(_emptied(self._graph, zero), self._options)
        return self._empty[zero]

    def quick(self, feeds: Mapping[str, Any]) -> list[Any] | None:
        """The outputs for unchecked feeds, where they are arrays just as in an earlier run."""
        if len(feeds) != self._count:
            return None
        try:
            results = self.program.quick([feeds[name] for name in self._names])
        except KeyError:
            return None
        return None if results is None else self._checked(self.program, results)


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


def _emptied(graph: Graph, zero: frozenset[Expr]) -> Graph:
    """A copy with these symbols 0 and all other types to be inferred again."""
    made = clone(graph)
    known = {s: const(0) for s in zero}
    for v in made.inputs:
        if v.shape is not None:
            dims = tuple(substitute(d, known) for d in v.shape)
            v.type = replace(v.type, shape=dims)
    for body in bodies(made):
        for v in body.values():
            if v.producer is not None and v.type.kind == "tensor":
                v.type = replace(v.type, shape=None, value=None)
    return made

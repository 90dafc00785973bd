"""A graph run stage by stage: every pass, raw kernels, scheduled kernels, machine code.

Kernels are interpreted one element at a time, every access checked, on memory that starts as
rubbish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import evaluate
from sardonyx.engine.fuse.fuse import Computed, Host, Step, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.engine.program.program import Program
from sardonyx.graph.bind import Bindings, bind
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Value
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.target import Target
from sardonyx.passes.pipeline import optimize, prepare

Feeds = Mapping[str, Array]


def after_passes(graph: Graph, feeds: Feeds) -> Iterator[tuple[str, list[Array]]]:
    """The outputs by the reference after every pass, with the pass's name."""
    found: list[tuple[str, list[Array]]] = []

    def see(name: str, at: Graph) -> None:
        found.append((name, list(run(at, feeds).values())))

    prepare(optimize(graph, dump=see).graph, dump=see)
    yield from found


def ready(graph: Graph) -> Graph:
    """The graph as the engine gets it."""
    return prepare(optimize(graph).graph)


def in_loops(graph: Graph, feeds: Feeds) -> list[Array]:
    """The outputs by interpreting raw kernels."""
    return interpreted(graph, fuse(graph), feeds)


def in_schedule(graph: Graph, feeds: Feeds, target: Target) -> list[Array]:
    """The outputs by interpreting what strategies make of the kernels, shared by two threads."""
    return interpreted(graph, launches(fuse(graph), target), feeds, 2)


def in_code(graph: Graph, feeds: Feeds, target: Target, threads: int) -> list[Array]:
    """The outputs by machine code."""
    program = Program(graph, threads, target=target)
    return program.run([feeds[v.name] for v in graph.inputs])


def strategies(graph: Graph, target: Target) -> set[str]:
    """The first words of the strategies chosen."""
    steps = launches(fuse(graph), target)
    return {s.strategy.split()[0] for s in steps if isinstance(s, Launch)}


def interpreted(
    graph: Graph, steps: Sequence[Step | Launch], feeds: Feeds, threads: int = 1
) -> list[Array]:
    """The outputs of steps, none of which may be a host step."""
    shapes = {name: x.shape for name, x in feeds.items()}
    env = bind(graph.inputs, shapes, graph.assumed)
    memory: dict[Value, Array] = {}
    for v in graph.inputs:
        memory[v] = feeds[v.name].reshape(-1)
    for step in steps:
        assert not isinstance(step, Host), step.reason
        assert step.kernel is not None
        check(step.kernel)
        for v in step.params[: step.outs]:
            memory[v] = _rubbish(v, env)
        arrays = [_memory(v, memory) for v in step.params]
        sizes = [evaluate(e, env) for e in step.symbols]
        interpret(step.kernel, arrays, sizes, threads)
    return [_shaped(v, memory, env) for v in graph.outputs]


def _rubbish(v: Value, env: Bindings) -> Array:
    assert v.type.dtype is not None
    count = evaluate(v.type.count, env)
    kind = v.type.dtype.numpy
    if v.type.dtype is DType.BOOL:
        return np.ones(count, kind)
    return np.full(count * kind.itemsize, 0xFB, np.uint8).view(kind)


def _memory(v: Value, memory: dict[Value, Array]) -> Array:
    if v not in memory:
        assert v.const is not None, v.name
        memory[v] = np.ascontiguousarray(v.const.numpy()).reshape(-1)
    return memory[v]


def _shaped(v: Value, memory: dict[Value, Array], env: Bindings) -> Array:
    dims = [evaluate(d, env) for d in v.type.dims]
    return _memory(v, memory).reshape(dims)


__all__ = ["Computed", "after_passes", "in_code", "in_loops", "in_schedule", "ready", "strategies"]

"""A graph run stage by stage: passes, raw kernels, scheduled kernels, their lanes, machine code.

Kernels are interpreted one element at a time, every access checked, on memory that starts as
rubbish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sardonyx.core.dtype import Array
from sardonyx.core.limits import Limits
from sardonyx.engine.fuse.fuse import Host, Step, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.engine.program.interpreted import Interpreted
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import Walk, run
from sardonyx.graph.ir import Graph
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target
from sardonyx.loops.vector.rewrite import vectorise
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


def in_lanes(graph: Graph, feeds: Feeds, target: Target) -> list[Array]:
    """The outputs by interpreting scheduled kernels put into the target's lanes."""
    steps: list[Launch | Host] = []
    for step in launches(fuse(graph), target):
        if isinstance(step, Launch):
            assert step.kernel is not None
            step = replace(step, kernel=vectorise(step.kernel, target))
        steps.append(step)
    return interpreted(graph, steps, feeds, 2)


def in_code(graph: Graph, feeds: Feeds, target: Target, threads: int) -> list[Array]:
    """The outputs by machine code."""
    program = Program(graph, threads, target=target)
    return program.run([feeds[v.name] for v in graph.inputs])


def strategies(graph: Graph, target: Target) -> set[str]:
    """The first words of the strategies chosen."""
    steps = launches(fuse(graph), target)
    return {s.strategy.split()[0] for s in steps if isinstance(s, Launch)}


def scheduled(graph: Graph, target: Target) -> Iterator[Kernel]:
    """The kernels that run, and those that pack operands for them at load."""
    for step in launches(fuse(graph), target):
        if isinstance(step, Launch) and step.kernel is not None:
            yield step.kernel


def interpreted(
    graph: Graph, steps: Sequence[Step | Launch], feeds: Feeds, threads: int = 1
) -> list[Array]:
    """The outputs of steps, none of which may be a host step."""
    assert not [step.reason for step in steps if isinstance(step, Host)]
    arrays = [feeds[v.name] for v in graph.inputs]
    return Interpreted(graph, arrays, Walk(Limits.current()), threads).run(steps)

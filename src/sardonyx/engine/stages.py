"""Every stage between a graph and its machine code as text, for `dump` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sardonyx.core.expr import show
from sardonyx.engine.code.object import assembly_of
from sardonyx.engine.emit.kernel import emit
from sardonyx.engine.fuse.fuse import Host, Step, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.graph.ir import Graph, Node
from sardonyx.kernels.pick import explain
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target, host
from sardonyx.loops.text import canonical, digest, to_text

STAGES = ("loops", "schedule", "llvm", "asm")


@dataclass(frozen=True)
class StepText:
    """One step at one stage: the nodes it stands for and its text."""

    title: str
    nodes: tuple[Node, ...]
    text: str


def stage(graph: Graph, name: str, target: Target | None = None) -> Iterator[StepText]:
    """The steps of a prepared graph at stage loops, schedule, llvm or asm, in execution order."""
    chosen = target or host()
    steps = fuse(graph)
    for step in steps if name == "loops" else launches(steps, chosen):
        yield _step_text(step, name, chosen)


def _step_text(step: Step | Launch, name: str, target: Target) -> StepText:
    if isinstance(step, Host):
        title = f"host step `{step.node.name}` ({step.node.op.op_type})"
        return StepText(title, (step.node,), f"runs in numpy: {step.reason}")
    ops = "+".join(n.op.op_type for n in step.nodes)
    made = step.params[: step.outs]
    title = f"{', '.join(v.name for v in made)} = {ops}"
    assert step.kernel is not None
    own = step.kernel.symbols
    bound = ", ".join(f"{show(s)} = {show(e)}" for s, e in zip(own, step.symbols, strict=True))
    if isinstance(step, Launch):
        title += f"  [{step.strategy}{', once at load' if step.once else ''}]"
    buffers = ", ".join(f"{n} = {v.name}" for n, v in enumerate(step.params))
    head = f"; buffers: {buffers}\n; symbols: {bound or 'none'}\n"
    return StepText(title, step.nodes, head + _text(step.kernel, name, target))


def _text(kernel: Kernel, name: str, target: Target) -> str:
    if name in ("loops", "schedule"):
        return to_text(kernel)
    closed = canonical(kernel)
    code = emit(closed, target, f"k_{digest(closed)}")
    return code if name == "llvm" else assembly_of(code, target)


def reasons(graph: Graph, target: Target | None = None) -> Iterator[tuple[StepText, list[str]]]:
    """Each step with the strategy that took it and why the ones before it refused."""
    chosen = target or host()
    for step in fuse(graph):
        entry = _step_text(step, "loops", chosen)
        if isinstance(step, Host):
            yield entry, [f"host step: {step.reason}"]
            continue
        made, refused = explain(step.kernel, chosen)
        lines = [f"{strategy}: {why}" for strategy, why in refused]
        yield entry, [*lines, f"{made.strategy}: taken"]

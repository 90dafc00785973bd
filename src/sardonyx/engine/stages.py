"""Every stage between a graph and its machine code as text, for `dump` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sardonyx.core.errors import NoSuchFile
from sardonyx.core.escape import sanitise
from sardonyx.core.expr import show
from sardonyx.engine.code.object import assembly_of
from sardonyx.engine.emit.kernel import emit
from sardonyx.engine.fuse.edits import edited, file_of
from sardonyx.engine.fuse.fuse import Host, Step, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.graph.ir import Graph, Node
from sardonyx.kernels.pick import explain
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target, host
from sardonyx.loops.text import canonical, digest, to_text
from sardonyx.loops.vector.rewrite import reasons as in_lanes
from sardonyx.loops.vector.rewrite import vectorise

STAGES = ("loops", "schedule", "vector", "llvm", "asm")


@dataclass(frozen=True)
class StepText:
    """One step at one stage: its number, the nodes it stands for and its text.

    `is_kernel` tells whether the text is a kernel's, or says why the step runs in numpy.
    """

    number: int
    title: str
    nodes: tuple[Node, ...]
    text: str
    is_kernel: bool = True


def stage(graph: Graph, name: str, target: Target | None = None) -> Iterator[StepText]:
    """The steps of a prepared graph at one of `STAGES`, in execution order."""
    chosen = target or host()
    steps = fuse(graph)
    shown = edited(steps) if name == "loops" else launches(steps, chosen)
    for number, step in enumerate(shown):
        yield _step_text(number, step, name, chosen)


def _step_text(number: int, step: Step | Launch, name: str, target: Target) -> StepText:
    if isinstance(step, Host):
        title = f"host step `{step.node.name}` ({step.node.op.op_type})"
        return StepText(number, title, (step.node,), f"runs in numpy: {step.reason}", False)
    ops = "+".join(n.op.op_type for n in step.nodes)
    made = step.params[: step.outs]
    title = f"{', '.join(v.name for v in made)} = {ops}"
    assert step.kernel is not None
    own = step.kernel.symbols
    bound = ", ".join(f"{show(s)} = {show(e)}" for s, e in zip(own, step.symbols, strict=True))
    if isinstance(step, Launch):
        title += f"  [{step.strategy}{', once at load' if step.once else ''}]"
    buffers = ", ".join(f"{n} = {v.name}" for n, v in enumerate(step.params))
    told = sanitise(f"buffers: {buffers}"), sanitise(f"symbols: {bound or 'none'}")
    head = "".join(f"; {line}\n" for line in told)
    return StepText(number, title, step.nodes, head + _text(step.kernel, name, target))


def _text(kernel: Kernel, name: str, target: Target) -> str:
    if name in ("loops", "schedule"):
        return to_text(kernel)
    if name == "vector":
        return to_text(canonical(vectorise(kernel, target)))
    closed = canonical(kernel)
    code = emit(closed, target, f"k_{digest(closed)}")
    return code if name == "llvm" else assembly_of(code, target)


def write(folder: Path, name: str, shown: Sequence[StepText]) -> list[tuple[Path, str]]:
    """Writes the kernels of a stage where `engine.fuse.edits` looks for them: (file, title).

    NoSuchFile where a file is there already or cannot be written.
    """
    made = [(file_of(folder, name, step.number), step) for step in shown if step.is_kernel]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, step in made:
            with path.open("x", encoding="utf-8") as file:
                file.write(f"; {sanitise(step.title)}\n{step.text}")
    except OSError as problem:
        said = problem.strerror or str(problem)
        raise NoSuchFile("E0103", said, file=str(problem.filename or folder)) from None
    return [(path, step.title) for path, step in made]


def reasons(graph: Graph, target: Target | None = None) -> Iterator[tuple[StepText, list[str]]]:
    """Each step with why strategies refused it, which took it, and how it is put into lanes."""
    chosen = target or host()
    for number, step in enumerate(edited(fuse(graph))):
        entry = _step_text(number, step, "loops", chosen)
        if isinstance(step, Host):
            yield entry, [f"host step: {step.reason}"]
            continue
        made, refused = explain(step.kernel, chosen)
        lines = [f"{strategy}: {why}" for strategy, why in refused]
        kernels = (*(p.kernel for p in made.packed), made.kernel)
        lanes = [line for kernel in kernels for line in in_lanes(kernel, chosen)]
        yield entry, [*lines, f"{made.strategy}: taken", *(f"vector: {line}" for line in lanes)]

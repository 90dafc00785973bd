"""What running a graph will take, in closed form, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from sardonyx.core.expr import Expr, add, const, evaluate
from sardonyx.engine.aligned import nbytes
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.engine.program.arena import arrange
from sardonyx.engine.program.bodies import prepared
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.loops.target import Target, host


@dataclass(frozen=True)
class Analysis:
    """`operations`: arithmetic per run. `peak_bytes`: intermediate values, inputs and outputs that
    exist at once at most. Both are expressions of the model's symbols. `packed_bytes`: constants
    laid out again at load. `kernels` and `host_steps` count the steps; `gaps` are (node, reason).
    Bodies count with their kernels and gaps; what they compute and hold depends on the run.
    """

    operations: Expr
    peak_bytes: Expr
    packed_bytes: int
    kernels: int
    host_steps: int
    gaps: tuple[tuple[str, str], ...]


def analyse(graph: Graph, target: Target | None = None) -> Analysis:
    """The figures of a prepared graph; nothing is compiled."""
    steps = launches(fuse(graph), target or host())
    natives = [s for s in steps if isinstance(s, Launch)]
    running = [s for s in steps if not (isinstance(s, Launch) and s.once)]
    made = [s.made if isinstance(s, Launch) else () for s in running]
    read = [_touched(s) for s in running]
    outputs = set(graph.outputs)
    arena = arrange(made, read, lambda v: v not in outputs and v.type.shape is not None)
    total = arena.size
    for v in {*graph.inputs, *outputs}:
        if v.type.shape is not None and v.type.dtype is not None and not v.type.dtype.is_string:
            total = add(total, nbytes(v))
    operations = const(0)
    for s in natives:
        operations = operations if s.once else add(operations, s.work)
    hosts = [s.node for s in steps if isinstance(s, Host)]
    inside = {node: _inside(graph, node, target) for node in hosts}
    gaps = [(s.node.name, s.reason) for s in steps if isinstance(s, Host) and not inside[s.node]]
    parts = [part for found in inside.values() for part in found]
    return Analysis(
        operations,
        total,
        sum(evaluate(nbytes(v), {}) for s in natives if s.once for v in s.made),
        sum(not s.once for s in natives) + sum(part.kernels for part in parts),
        len(gaps) + sum(part.host_steps for part in parts),
        (*gaps, *(gap for part in parts for gap in part.gaps)),
    )


def _inside(graph: Graph, node: Node, target: Target | None) -> list[Analysis]:
    """The figures of a node's bodies, where these are compiled."""
    closed = prepared(graph, node)
    return [] if isinstance(closed, str) else [analyse(e.graph, target) for _, e in closed]


def _touched(step: Launch | Host) -> tuple[Value, ...]:
    if isinstance(step, Launch):
        return step.params
    return tuple(v for v in (*step.node.inputs, *step.node.outputs) if v is not None)

"""From what is to be computed to what is launched: strategies chosen, packed operands named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sardonyx.core.expr import Expr, evaluate, substitute
from sardonyx.core.limits import still_compiling
from sardonyx.core.tensor import Tensor
from sardonyx.engine.aligned import nbytes
from sardonyx.engine.fuse import edits
from sardonyx.engine.fuse.fuse import Computed, Step
from sardonyx.engine.fuse.steps import Host
from sardonyx.engine.fuse.steps import Launch as Launch
from sardonyx.graph.ir import Node, Type, Value
from sardonyx.kernels.pick import schedule
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.loops.ir import For, Kernel, expressions, statements
from sardonyx.loops.target import Target

# Bytes that load time may make of any model: packed weights and folded masks of small models stay
# far below, and no machine that runs models lacks them.
_FLOOR = 256 << 20


def in_model(e: Expr, own: Sequence[Expr], model: Sequence[Expr]) -> Expr:
    """A kernel's expression in the model's symbols."""
    return substitute(e, dict(zip(own, model, strict=True)))


class Constants:
    """What load time makes; more than twice the model's own constants, it is made at run time."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._made: set[Value] = set()
        self._size = 0
        own = {
            v: v.const.nbytes
            for s in steps
            if isinstance(s, Computed)
            for v in s.params
            if isinstance(v.const, Tensor)
        }
        self._most = max(_FLOOR, 2 * sum(own.values()))

    def admit(self, made: Sequence[Value], read: Sequence[Value]) -> bool:
        """Whether a step makes constants from constants, and may."""
        if any(v.const is None and v not in self._made for v in read):
            return False
        size = self._size + sum(evaluate(nbytes(v), {}) for v in made)
        if size > self._most:
            return False
        self._made.update(made)
        self._size = size
        return True


def launches(steps: Sequence[Step], target: Target) -> list[Launch | Host]:
    """Schedules every kernel; a packed operand becomes a launch of its own before its user.

    Kernels edited by hand (see `edits`) are taken in place of those made.
    """
    out: list[Launch | Host] = []
    constant = Constants(steps)
    packs = _Packs()
    known: dict[Kernel, Scheduled] = {}
    for step in edits.edited(steps):
        if isinstance(step, Host):
            out.append(step)
            continue
        if step.kernel not in known:
            still_compiling()
            known[step.kernel] = schedule(step.kernel, target)
        out.extend(_launches(step, known[step.kernel], constant, packs))
    for stage in ("schedule", "vector"):
        for n, kernel in edits.kernels(stage, out):
            own = out[n]
            assert isinstance(own, Launch)
            out[n] = replace(own, kernel=kernel, **_figures(kernel, own.symbols))
    return out


def _launches(step: Computed, done: Scheduled, constant: Constants, packs: _Packs) -> list[Launch]:
    found: list[Launch] = []
    params = list(step.params)
    for packed in done.packed:
        count = in_model(packed.count, packed.kernel.symbols, step.symbols)
        value = Value(f"{step.params[0].name}.packed", Type(packed.dtype, (count,)))
        sources = tuple(step.params[n] for n in packed.sources)
        kernel, symbols = packs.kernel(packed, step.symbols)
        same = packs.values.setdefault((id(kernel), symbols, sources), value)
        if same is value:
            given = (value, *sources)
            found.append(_launch(kernel, given, symbols, 1, step.nodes, "pack", constant))
        params.append(same)
    kept = tuple(params[n] for n in done.params) if done.params is not None else tuple(params)
    main = _launch(done.kernel, kept, step.symbols, step.outs, step.nodes, done.strategy, constant)
    return [*found, replace(main, promises=step.promises)]


class _Packs:
    """The packed operands of a program: what several kernels want alike is packed once.

    `values` are they by the id of their kernel, its symbols in the model, and what it reads.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[int, tuple[Expr, ...], tuple[Value, ...]], Value] = {}
        self._equal: dict[Kernel, Kernel] = {}
        self._seen: dict[int, tuple[Packed, Kernel, tuple[int, ...]]] = {}

    def kernel(self, packed: Packed, model: tuple[Expr, ...]) -> tuple[Kernel, tuple[Expr, ...]]:
        """The packing kernel, the same one for equal ones, without symbols that it leaves out."""
        if id(packed) not in self._seen:
            made, kept = _trimmed(packed.kernel)
            self._seen[id(packed)] = packed, self._equal.setdefault(made, made), kept
        _, kernel, places = self._seen[id(packed)]
        return kernel, tuple(model[n] for n in places)


def _trimmed(kernel: Kernel) -> tuple[Kernel, tuple[int, ...]]:
    """The kernel without the symbols that it does not mention, and the places of the others."""
    used = {s for stmt in statements(kernel.body) for e in expressions(stmt) for s in e.free}
    used.update(s for b in kernel.params for s in b.size.free)
    used.update(kernel.work.free)
    kept = tuple(n for n, own in enumerate(kernel.symbols) if own in used)
    return replace(kernel, symbols=tuple(kernel.symbols[n] for n in kept)), kept


def _launch(
    kernel: Kernel,
    params: tuple[Value, ...],
    symbols: tuple[Expr, ...],
    outs: int,
    nodes: tuple[Node, ...],
    strategy: str,
    constant: Constants,
) -> Launch:
    once = not symbols and constant.admit(params[:outs], params[outs:])
    return Launch(kernel, params, symbols, outs, nodes, once, strategy, **_figures(kernel, symbols))


def _figures(kernel: Kernel, symbols: tuple[Expr, ...]) -> dict[str, Any]:
    """The fields of a launch that follow from its kernel."""
    sizes = (evaluate(b.size, {}) * b.dtype.bits // 8 for b in kernel.scratch)
    scratch = sum(-(-size // 64) * 64 for size in sizes)
    shared = any(isinstance(s, For) and s.kind == "parallel" for s in statements(kernel.body))
    work = in_model(kernel.work, kernel.symbols, symbols)
    return {"work": work, "scratch": scratch, "parallel": shared}

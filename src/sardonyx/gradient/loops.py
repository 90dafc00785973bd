"""Gradients of If, Loop and Scan, and of recurrent layers, which are loops.

The trips of a loop are gone through again, to keep the states as each trip finds them, then from
the last to the first by a Scan, whose body computes a trip and its gradients:

    states ds, sums of dw;  for each trip from the end: s, x, dy  ->  ds, sums + dw, dx
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.gradient.step import Grads, Step, Writer, rule
from sardonyx.graph.clone import clone, transplant
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import find


@dataclass
class _Part:
    """A graph being made that holds a body's nodes again; `known` is what its values became."""

    graph: Graph
    write: Writer
    known: dict[Value, Value | None]
    seeds: dict[Value, Value] = field(default_factory=dict)

    def seed(self, v: Value, grad: Value) -> None:
        """Gives an output of the body a gradient."""
        inner = self.known.get(v) or v
        held = self.seeds.get(inner)
        self.seeds[inner] = grad if held is None else self.write("Add", held, grad)


def _again(s: Step, body: Graph, given: dict[Value, Value], inputs: Sequence[Value]) -> _Part:
    """The nodes of a body in a new graph with these inputs; `given` stands for the body's own."""
    graph = Graph(f"{body.name}_grad", inputs=list(inputs), opsets=dict(body.opsets))
    known: dict[Value, Value | None] = dict(given)
    for v in body.initializers.values():
        made = Value(graph.free_name(v.name), v.type, v.const, extra=v.extra)
        graph.initializers[made.name] = known[v] = made
    part = _Part(graph, Writer(graph, s.stem, s.opset), known)
    for v in body.inputs:
        # A Loop's condition held in every trip that was made.
        if v not in known and v.type.dtype is DType.BOOL:
            known[v] = part.write.constant(np.asarray(True))
    part.known.update(transplant(body.nodes, dict(known), graph, ""))
    return part


def _grads(s: Step, part: _Part, wrt: Sequence[Value]) -> dict[Value, Value]:
    """The gradients of `wrt`, written into the part."""
    found: dict[Value, Value] = s.walker(part.graph).walk(part.graph.nodes, part.seeds, wrt)
    return found


def _output(part: _Part, grad: Value | None, like: Value) -> None:
    """An output of the part that is a gradient, or zeros."""
    found = part.write.filled(like, 0.0) if grad is None else part.write("Identity", grad)
    part.graph.outputs.append(found)


@rule("If")
def _if(s: Step) -> Grads:
    """An If with the gradients of both branches."""
    bodies: dict[str, Any] = {}
    for name in ("then_branch", "else_branch"):
        branch: Graph = getattr(s.op, name)
        part = _again(s, branch, {}, ())
        for v, grad in zip(branch.outputs, s.grads, strict=True):
            if grad is not None:
                part.seed(v, grad)
        found = _grads(s, part, s.inner)
        for v in s.inner:
            _output(part, found.get(v), v)
        bodies[name] = part.graph
    made = s.all("If", s.input(0), outputs=len(s.inner), **bodies)
    s.around.update(zip(s.inner, made, strict=True))
    return [None]


@dataclass(frozen=True)
class _Scanned:
    """What a trip reads of a tensor: as which value of the body, along which axis, and whence."""

    inside: Value
    value: Value
    axis: int = 0
    backwards: int = 0


@rule("Scan")
def _scan(s: Step) -> Grads:
    """See the module."""
    op, body, inputs = s.op, s.op.body, [v for v in s.node.inputs if v is not None]
    states = len(inputs) - op.num_scan_inputs
    axes, turns = op.scan_input_axes, op.scan_input_directions
    xs = _placed(body.inputs[states:], inputs[states:], axes, turns)
    axes, turns = op.scan_output_axes, op.scan_output_directions
    ys = _placed(body.outputs[states:], s.grads[states:], axes, turns)
    kept_body, ins = _keeping(s, body, states, body.inputs[:states])
    again = replace(op, body=kept_body, outputs=2 * states)
    cleared: Any = {"scan_output_axes": None, "scan_output_directions": None}
    made = s.all(replace(again, **cleared), *inputs)
    kept = [_Scanned(v, m) for v, m in zip(ins, made[states:], strict=True)]
    turn = _Turn(s, body, inputs[:states], body.outputs[:states], kept, xs, ys)
    return [*turn.run(), *turn.of_inputs()]


def _placed(
    inside: Sequence[Value],
    values: Sequence[Value | None],
    axes: Sequence[int] | None,
    turns: Sequence[int] | None,
) -> list[_Scanned]:
    """What is scanned, along which axis and whether from the end; absent values left out."""
    zeros = [0] * len(inside)
    rows = zip(inside, values, axes or zeros, turns or zeros, strict=True)
    return [_Scanned(v, x, axis, turn) for v, x, axis, turn in rows if x is not None]


@rule("Loop")
def _loop(s: Step) -> Grads:
    """See the module; what its trips computed is gone through from the last to the first."""
    body = s.op.body
    states = len(s.node.inputs) - 2
    kept_body, ins = _keeping(s, body, 1 + states, [body.inputs[0], *body.inputs[2:]])
    op = _make(s, "Loop", body=kept_body, outputs=2 * states + 1)
    made = s.all(op, *s.node.inputs)
    firsts = [s.input(2 + n) for n in range(states)]
    kept = [_Scanned(v, m) for v, m in zip(ins, made[states:], strict=True)]
    pairs = zip(body.outputs[1 + states :], s.grads[states:], strict=True)
    ys = [_Scanned(v, grad) for v, grad in pairs if grad is not None]
    turn = _Turn(s, body, firsts, body.outputs[1 : 1 + states], kept[1:], [kept[0]], ys)
    return [None, None, *turn.run()]


def _keeping(
    s: Step, body: Graph, outputs: int, ins: Sequence[Value]
) -> tuple[Graph, Sequence[Value]]:
    """A copy of a body that gives its first outputs, and what comes in as states."""
    made = clone(body)
    places = [body.inputs.index(v) for v in ins]
    write = Writer(made, s.stem, s.opset)
    came = [write("Identity", made.inputs[n]) for n in places]
    made.outputs = [*made.outputs[:outputs], *came]
    return made, ins


def _make(s: Step, name: str, **settings: Any) -> Any:
    kind = find("", name, s.opset)
    assert kind is not None
    return kind(**settings)


@dataclass
class _Turn:
    """The Scan from the last trip to the first: `kept` are the states, `xs` what else was read."""

    s: Step
    body: Graph
    firsts: Sequence[Value]
    finals: Sequence[Value]
    kept: Sequence[_Scanned]
    xs: Sequence[_Scanned]
    ys: Sequence[_Scanned]
    made: tuple[Value, ...] = ()

    def run(self) -> list[Value | None]:
        """Writes it; the gradients of the first states."""
        s, states = self.s, len(self.kept)
        sums = [self._like(v.type) for v in s.inner]
        before = [self._like(k.inside.type) for k in self.kept]
        inner = {x.inside: self._like(x.inside.type) for x in (*self.kept, *self.xs)}
        slices = [self._like(y.inside.type) for y in self.ys]
        part = _again(s, self.body, inner, [*before, *sums, *inner.values(), *slices])
        pairs = [*zip(self.finals, before, strict=True)]
        pairs += [(y.inside, v) for y, v in zip(self.ys, slices, strict=True)]
        for v, grad in pairs:
            part.seed(v, grad)
        found = _grads(s, part, [*inner.values(), *s.inner])
        for k in self.kept:
            _output(part, found.get(inner[k.inside]), inner[k.inside])
        for v, total in zip(s.inner, sums, strict=True):
            more = found.get(v)
            _output(part, total if more is None else part.write("Add", total, more), total)
        for x in self._smooth():
            _output(part, found.get(inner[x.inside]), inner[x.inside])
        self._scan(part)
        s.around.update(zip(s.inner, self.made[states:], strict=False))
        return list(self.made[:states])

    def _smooth(self) -> list[_Scanned]:
        kinds = ((x, x.inside.type.dtype) for x in self.xs)
        return [x for x, dtype in kinds if dtype is not None and dtype.is_float]

    def _scan(self, part: _Part) -> None:
        s = self.s
        read = [*self.kept, *self.xs, *self.ys]
        op = _make(
            s, "Scan", body=part.graph, num_scan_inputs=len(read),
            outputs=len(part.graph.outputs),
            scan_input_axes=tuple(x.axis for x in read),
            scan_input_directions=tuple(1 - x.backwards for x in read),
            scan_output_axes=tuple(x.axis for x in self._smooth()),
            scan_output_directions=tuple(1 - x.backwards for x in self._smooth()),
        )  # fmt: skip
        pairs = zip(self.firsts, s.grads, strict=False)
        first = [s.filled(v, 0.0) if grad is None else grad for v, grad in pairs]
        sums = [s.filled(v, 0.0) for v in s.inner]
        self.made = s.all(op, *first, *sums, *(x.value for x in read))

    def of_inputs(self) -> list[Value | None]:
        """The gradients of the tensors that were scanned."""
        made = self.made[len(self.kept) + len(self.s.inner) :]
        found = dict(zip(self._smooth(), made, strict=True))
        return [found.get(x) for x in self.xs]

    def _like(self, t: Type) -> Value:
        self.count = getattr(self, "count", 0) + 1
        return Value(f"{self.s.stem}_{self.body.name}_{self.count}", t)

"""Recurrent layers as Scans, whose gradients are those of a loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.gradient.step import WRITTEN, NoGradient, Step, Term, Writer, dims
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.ops.recurrent.cells import gru, lstm


@dataclass(frozen=True)
class _Cell:
    """`cells.Cell` for nodes."""

    functions: Sequence[Any]
    clip: float | None

    def apply(self, which: int, x: Term) -> Term:
        """Activation `which` of a value clipped first."""
        if self.clip is not None:
            bounds = [x.write.number(side * self.clip, x.value) for side in (-1, 1)]
            x = Term(x.write, x.write("Clip", x.value, *bounds))
        return self.bare(which, x)

    def bare(self, which: int, x: Term) -> Term:
        """Activation `which` of a value as it is."""
        op = self.functions[which]
        alpha, beta = getattr(op, "alpha", 1.0), getattr(op, "beta", 0.0)
        if op.op_type == "_Affine":
            return x * float(alpha) + float(beta)
        if op.op_type == "_ScaledTanh":
            return float(alpha) * (x * float(beta)).of("Tanh")
        return Term(x.write, x.write(op, x.value))


@dataclass
class _Walk:
    """One direction: what is read around the steps, already cut to it."""

    s: Step
    cell: _Cell
    hidden: int
    r: Value
    rb: Value | None
    peepholes: Value | None

    def body(self, width: int, states: Sequence[Value], lengths: bool) -> Graph:
        """The graph of a step: states, its gates' inputs and whether it counts -> states, h."""
        s, dtype = self.s, self.r.type.dtype
        assert dtype is not None
        batch = dims(states[0])[0]
        graph = Graph(f"{s.stem}_step")
        before = [Value(f"{s.stem}_{name}", v.type) for name, v in zip("hc", states, strict=False)]
        gates = Value(f"{s.stem}_gates", tensor_type(dtype, (batch, width)))
        counts = Value(f"{s.stem}_counts", tensor_type(DType.BOOL, (batch, 1)))
        graph.inputs = [*before, gates, *([counts] if lengths else [])]
        write = Writer(graph, s.stem, s.opset)
        made = self.step(write, Term(write, gates), [Term(write, v) for v in before])
        last = made[0]
        if lengths:
            test = Term(write, counts)
            last = test.where(last, 0.0)
            made = [test.where(a, b) for a, b in zip(made, before, strict=True)]
        graph.outputs = [*(t.value for t in made), write("Identity", last.value)]
        return graph

    def step(self, write: Writer, g: Term, state: list[Term]) -> list[Term]:
        """The next states."""
        op, h, r = self.s.op, state[0], Term(write, self.r)
        if op.kind == "GRU":
            return [self._gru(write, g, h)]
        g = g + _matmul(h, r)
        if op.kind == "RNN":
            return [self.cell.apply(0, g)]
        holes = () if self.peepholes is None else _parts(write, self.peepholes, 3, 0)
        cell: Any = self.cell
        return [*lstm(cell, _parts(write, g.value, 4, 1), state[1], holes, bool(op.coupled))]

    def _gru(self, write: Writer, g: Term, h: Term) -> Term:
        parts = _parts(write, g.value, 3, 1)
        rows = _parts(write, self.r, 3, 1)
        update, reset = (self.cell.apply(0, parts[n] + _matmul(h, rows[n])) for n in (0, 1))
        if self.s.op.reset_after:
            inner = _matmul(h, rows[2])
            inner = inner if self.rb is None else inner + self.rb
            new = parts[2] + reset * inner
        else:
            new = parts[2] + _matmul(reset * h, rows[2])
        cell: Any = self.cell
        found: Term = gru(cell, update, new, h)
        return found


def _matmul(a: Term, b: Term) -> Term:
    return Term(a.write, a.write("MatMul", a.value, b.value))


def _parts(write: Writer, x: Value, count: int, axis: int) -> list[Term]:
    made = write.all("Split", x, axis=axis, num_outputs=count, outputs=count)
    return [Term(write, v) for v in made]


def _recurrence(s: Step) -> tuple[Value, ...]:
    """Each direction a Scan, their outputs joined."""
    op, hidden = s.op, number(dims(s.input(1))[2])
    if hidden is None:
        raise NoGradient("its hidden size is not known")
    cell = _Cell(op.cell(symbolic=True).functions, op.clip)
    ways = []
    for d in range(op.directions):
        r, rb, h, c, p = (_cut(s, s.node.operand(n), d) for n in (1, 2, 4, 5, 6))
        assert r is not None
        walk = _Walk(s, cell, hidden, s.transpose(r, 1, 0), rb, p)
        width = op.gates * hidden
        g = s.input(0)
        if op.directions > 1:
            g = s("Slice", g, s.ints(d * width), s.ints((d + 1) * width), s.ints(2))
        ways.append(_scanned(s, walk, g, [h, c][: 2 if op.kind == "LSTM" else 1], d))
    ys, *finals = zip(*ways, strict=True)
    return (_joined(s, ys, 1), *(_joined(s, vs, 0) for vs in finals))


def _joined(s: Step, parts: Sequence[Value], axis: int) -> Value:
    """The directions along an axis of their own."""
    place = s.ints(axis)
    wide = [s("Unsqueeze", v, place) for v in parts]
    return s("Concat", *wide, axis=axis)


def _cut(s: Step, x: Value | None, d: int) -> Value | None:
    """One direction's part of an operand."""
    return None if x is None else s("Gather", x, s.constant(np.asarray(d, np.int64)), axis=0)


def _scanned(
    s: Step, walk: _Walk, g: Value, given: Sequence[Value | None], d: int
) -> tuple[Value, ...]:
    """Every h of one direction, then the last states."""
    lengths = s.node.operand(3)
    width = s.op.gates * walk.hidden
    backward = s.op.direction == "reverse" or d == 1
    shape = s("Concat", s.extent(g, 1), s.ints(walk.hidden), axis=0)
    zero = s.number(0.0, g)
    states = [s("Expand", zero, shape) if v is None else v for v in given]
    rows = [g]
    turned = backward and lengths is not None
    if lengths is not None:
        spans = s("Cast", lengths, to=DType.INT64.value)
        rows = [_reversed(s, g, spans) if turned else g, _counted(s, g, spans)]
    body = walk.body(width, states, lengths is not None)
    direction = int(backward and not turned)
    made = s.all(
        "Scan",
        *states,
        *rows,
        body=body,
        num_scan_inputs=len(rows),
        outputs=len(states) + 1,
        scan_input_directions=(direction,) * len(rows),
        scan_output_directions=(direction,),
    )
    y = _reversed(s, made[-1], spans) if turned else made[-1]
    return (y, *made[:-1])


def _counted(s: Step, g: Value, spans: Value) -> Value:
    """Whether each step is one of each row's: [steps, batch, 1]."""
    steps = s("Squeeze", s.extent(g, 0), s.ints(0))
    first, one = (s.constant(np.asarray(n, np.int64)) for n in (0, 1))
    order = s("Unsqueeze", s("Range", first, steps, one), s.ints(1))
    return s("Unsqueeze", s("Less", order, spans), s.ints(2))


def _reversed(s: Step, x: Value, lengths: Value) -> Value:
    return s("ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


WRITTEN["Recurrence"] = _recurrence

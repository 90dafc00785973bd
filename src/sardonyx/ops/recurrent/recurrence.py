"""The recurrent half of RNN, GRU and LSTM: what is left once the inputs are projected.

for each direction and row of the batch:
    h, c = initial
    for each step t:    gates = G[t] + h @ R';  h, c = cell(gates, h, c);  Y[t] = h
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Counted, Op
from sardonyx.loops.ir import Kernel
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import check_lengths, same_dim
from sardonyx.ops.recurrent.cells import Cell, activation, gru, lstm
from sardonyx.ops.recurrent.loops import Steps


class Recurrence(Op):
    """The steps of an RNN, GRU or LSTM (`kind`) over projected inputs.

    Inputs: G [steps, batch, directions * gates * hidden], the projection of every step with the
    biases added; R [directions, gates * hidden, hidden]; then, each optional, Rb [directions,
    hidden] (a GRU's hidden bias inside the reset), lengths [batch] int32, h [directions, batch,
    hidden], c (an LSTM's), P [directions, 3 * hidden] (its peepholes i, o, f).
    With `rounded` an LSTM's products see each row of h in 255 steps of its range and of 0.
    Outputs: Y [steps, directions, batch, hidden], the last h, and an LSTM's last c.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "reduction"
    kind: str = "LSTM"
    direction: str = "forward"
    activations: tuple[str, ...] = ()
    alpha: tuple[float, ...] = ()
    beta: tuple[float, ...] = ()
    clip: float | None = None
    coupled: int = 0
    reset_after: int = 0
    rounded: int = 0

    @property
    def gates(self) -> int:
        """Gates of a cell."""
        return {"RNN": 1, "GRU": 3, "LSTM": 4}[self.kind]

    @property
    def directions(self) -> int:
        """How many times the sequence is walked."""
        return 2 if self.direction == "bidirectional" else 1

    def cell(self, symbolic: bool) -> Cell:
        """The cell for expressions, or for arrays."""
        rows = zip(self.activations, self.alpha, self.beta, strict=True)
        functions = tuple(
            activation(name, *(v for v in (a, b) if not math.isnan(v))) for name, a, b in rows
        )
        return Cell(functions, self.clip, symbolic)

    def infer(self, g: Type, r: Type, *rest: Type | None) -> Any:
        del rest
        steps, batch, width = g.dims
        directions, rows, hidden = r.dims
        same_dim(width, rows * self.directions)
        y = Type(g.dtype, (steps, directions, batch, hidden))
        last = Type(g.dtype, (directions, batch, hidden))
        return (y, last, last) if self.kind == "LSTM" else (y, last)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        lengths = inputs[3] if len(inputs) > 3 else None
        return [] if lengths is None else [Counted(3, 0, 0, from_end=False, ends=True)]

    def build(self, outs: tuple[Type, ...], *inputs: Type | None) -> Kernel | None:
        g, r = inputs[0], inputs[1]
        assert g is not None
        assert r is not None
        hidden = number(r.dims[2])
        if g.dtype not in (DType.FLOAT32, DType.FLOAT64) or hidden is None:
            return None
        backward = 0 if self.direction == "reverse" else 1
        steps = Steps(
            self.kind,
            self.cell(symbolic=True),
            hidden,
            self.directions,
            backward,
            bool(self.coupled),
            bool(self.reset_after),
            bool(self.rounded),
        )
        return steps.kernel(outs, inputs)

    @quiet
    def reference(
        self,
        g: Array,
        r: Array,
        rb: Array | None = None,
        lengths: Array | None = None,
        h: Array | None = None,
        c: Array | None = None,
        p: Array | None = None,
    ) -> Any:
        steps, batch, _ = g.shape
        hidden = r.shape[2]
        y = np.zeros((steps, self.directions, batch, hidden), g.dtype)
        state = np.zeros((2, self.directions, batch, hidden), g.dtype)
        for n, given in enumerate((h, c)):
            if given is not None:
                state[n] = given
        span = np.full(batch, steps) if lengths is None else lengths
        check_lengths(span, steps)
        per = self.gates * hidden
        walk = _Walk(self, self.cell(symbolic=False), span, hidden)
        for d in range(self.directions):
            backward = self.direction == "reverse" or d == 1
            extras = [None if x is None else x[d] for x in (rb, p)]
            part = g[:, :, d * per : (d + 1) * per]
            walk.run(part, r[d].T, extras, state[:, d], y[:, d], backward)
        return (y, state[0], state[1]) if self.kind == "LSTM" else (y, state[0])


def rounded(h: Array) -> Array:
    """Each row in 255 steps of the range of its elements and 0, as DynamicQuantizeLinear rounds."""
    low = np.minimum(h.min(axis=1, keepdims=True), 0)
    step = (np.maximum(h.max(axis=1, keepdims=True), 0) - low) / h.dtype.type(255)
    step = np.where(step > 0, step, h.dtype.type(1))
    zero = np.minimum(np.rint(-low / step), 255)
    return np.asarray((np.clip(np.rint(h / step) + zero, 0, 255) - zero) * step)


@dataclass(frozen=True)
class _Walk:
    """Walking one direction with arrays, in place: `state` holds h and c, `y` gets every h."""

    op: Recurrence
    cell: Cell
    span: Array
    hidden: int

    def run(
        self, g: Array, r: Array, extras: list[Array | None], state: Array, y: Array, backward: bool
    ) -> None:
        rows = np.arange(g.shape[1])
        for t in range(g.shape[0]):
            active = t < self.span
            at = np.where(active, self.span - 1 - t, t) if backward else np.full(len(rows), t)
            made = self._step(g[at, rows], r, extras, state)
            for n, new in enumerate(made):
                state[n] = np.where(active[:, None], new, state[n])
            y[at[active], rows[active]] = state[0][active]

    def _step(
        self, g: Array, r: Array, extras: list[Array | None], state: Array
    ) -> tuple[Array, ...]:
        h, c, n = state[0], state[1], self.hidden
        if self.op.kind == "RNN":
            return (self.cell.apply(0, g + h @ r),)
        if self.op.kind == "LSTM":
            seen = rounded(h) if self.op.rounded else h
            gates = np.split(g + seen @ r, 4, axis=1)
            peepholes = [] if extras[1] is None else np.split(extras[1], 3)
            return lstm(self.cell, gates, c, peepholes, bool(self.op.coupled))
        zr = g[:, : 2 * n] + h @ r[:, : 2 * n]
        update, reset = (self.cell.apply(0, x) for x in np.split(zr, 2, axis=1))
        if self.op.reset_after:
            inner = h @ r[:, 2 * n :] + (0 if extras[0] is None else extras[0])
            return (gru(self.cell, update, g[:, 2 * n :] + reset * inner, h),)
        return (gru(self.cell, update, g[:, 2 * n :] + (reset * h) @ r[:, 2 * n :], h),)

"""Recurrent layers: RNN, GRU and LSTM, with every attribute of the standard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const, number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import is_narrow, quiet, settle, widen
from sardonyx.ops.base.nest import filled, some
from sardonyx.ops.base.shapes import common_dtype, need_rank, refuse, same_dim, same_dims
from sardonyx.ops.recurrent.cells import ACTIVATIONS, activation
from sardonyx.ops.recurrent.recurrence import Recurrence

_DIRECTIONS = ("forward", "reverse", "bidirectional")


class Recurrent(Op, abstract=True):
    """X [steps, batch, input] (batch first where layout is 1), W, R, B, lengths, initial states."""

    kind: ClassVar[str]
    gates: ClassVar[int]
    usual: ClassVar[tuple[str, ...]]
    tolerance = "reduction"
    layout = 0
    input_forget = 0
    linear_before_reset = 0
    rounded = 0

    activation_alpha: tuple[float, ...] | None = None
    activation_beta: tuple[float, ...] | None = None
    activations: tuple[str, ...] | None = None
    clip: float | None = None
    direction: str = "forward"
    hidden_size: int | None = None

    @property
    def states(self) -> int:
        """How many tensors carry from step to step."""
        return 2 if self.kind == "LSTM" else 1

    @property
    def count(self) -> int:
        """How many directions are walked."""
        return 2 if self.direction == "bidirectional" else 1

    def infer(self, x: Type, w: Type, r: Type, *extras: Type | None) -> Any:
        if self.direction not in _DIRECTIONS:
            raise refuse("E0341", "`direction` is unknown", self.direction, ", ".join(_DIRECTIONS))
        need_rank(x, 3, 3, "X")
        need_rank(w, 3, 3, "W")
        need_rank(r, 3, 3, "R")
        dtype = common_dtype(x, w, r)
        if x.shape is None or r.shape is None:
            return some(self.outputs, *[Type(dtype)] * (1 + self.states))
        steps, batch = (x.shape[1], x.shape[0]) if self.layout else x.shape[:2]
        hidden = r.shape[2]
        self._fits(x, w, r, hidden)
        self._fits_extras(batch, hidden, *extras)
        count = const(self.count)
        y = (batch, steps, count, hidden) if self.layout else (steps, count, batch, hidden)
        last = (batch, count, hidden) if self.layout else (count, batch, hidden)
        kinds = [Type(dtype, y), *[Type(dtype, last)] * self.states]
        return some(self.outputs, *kinds)

    def _fits(self, x: Type, w: Type, r: Type, hidden: Expr) -> None:
        if self.hidden_size is not None:
            same_dim(hidden, const(self.hidden_size))
        same_dim(r.dims[0], const(self.count))
        same_dim(r.dims[1], hidden * self.gates)
        if w.shape is not None:
            same_dim(w.shape[0], const(self.count))
            same_dim(w.shape[1], hidden * self.gates)
            same_dim(w.shape[2], x.dims[2])

    def _fits_extras(self, batch: Expr, hidden: Expr, *extras: Type | None) -> None:
        b, lengths, h, c, p = filled(extras, 5)
        count = const(self.count)
        first = (batch, count, hidden) if self.layout else (count, batch, hidden)
        same_dims(b, (count, hidden * (2 * self.gates)), "B")
        same_dims(lengths, (batch,), "sequence_lens")
        same_dims(h, first, "initial_h")
        same_dims(c, first, "initial_c")
        same_dims(p, (count, hidden * 3), "P")

    def functions(self) -> list[list[tuple[str, float, float]]]:
        """For each direction its activations, each with alpha and beta (NaN: not given)."""
        names = self.activations or self.usual * self.count
        each = len(self.usual)
        if len(names) < each * self.count:
            wanted = f"{each * self.count} names"
            raise refuse("E0341", "`activations` has the wrong length", list(names), wanted)
        alphas, betas = (list(self.activation_alpha or ()), list(self.activation_beta or ()))
        rows = []
        for name in names:
            activation(name)
            takes = ACTIVATIONS[name.lower()][1]
            alpha = alphas.pop(0) if takes > 0 and alphas else math.nan
            beta = betas.pop(0) if takes > 1 and betas else math.nan
            rows.append((name, alpha, beta))
        return [rows[d * each : (d + 1) * each] for d in range(self.count)]

    def recurrence(self, direction: str, rows: Sequence[tuple[str, float, float]]) -> Recurrence:
        """The steps as an op, for one direction or for two with the same activations."""
        names, alphas, betas = zip(*rows, strict=True)
        return Recurrence(
            kind=self.kind,
            direction=direction,
            activations=names,
            alpha=alphas,
            beta=betas,
            clip=self.clip,
            coupled=self.input_forget,
            reset_after=self.linear_before_reset,
            rounded=self.rounded,
        )

    @quiet
    def reference(self, x: Array, w: Array, r: Array, *extras: Array | None) -> Any:
        b, lengths, h, c, p = filled(extras, 5)
        first = self.layout
        a = widen(x).swapaxes(0, 1) if first else widen(x)
        parts = []
        for d, rows in enumerate(self.functions()):
            direction = ("forward", "reverse")[d] if self.count > 1 else self.direction
            g = a @ widen(w[d]).T
            rb = None
            if b is not None:
                added, rb = self._biases(widen(b[d]))
                g = g + added
            own = [None if s is None else widen(s[:, d] if first else s[d])[None] for s in (h, c)]
            op = self.recurrence(direction, rows)
            peepholes = None if p is None else widen(p[d])[None]
            h0, c0 = own
            parts.append(op.reference(g, widen(r[d])[None], rb, lengths, h0, c0, peepholes))
        y = np.concatenate([made[0] for made in parts], axis=1)
        last = [np.concatenate([m[1 + s] for m in parts], axis=0) for s in range(self.states)]
        if first:
            y, last = y.transpose(2, 0, 1, 3), [s.swapaxes(0, 1) for s in last]
        return some(self.outputs, *(settle(v, x.dtype) for v in (y, *last)))

    def _biases(self, b: Array) -> tuple[Array, Array | None]:
        """What is added to every projected input, and a GRU's bias inside the reset."""
        of_input, of_state = np.split(b, 2)
        if not self.linear_before_reset:
            return of_input + of_state, None
        hidden = len(of_state) // 3
        outside = np.concatenate([of_state[: 2 * hidden], np.zeros_like(of_state[:hidden])])
        return of_input + outside, of_state[None, 2 * hidden :]

    def expand(self, graph: Graph, x: Value, w: Value, r: Value, *extras: Value | None) -> Any:
        """A MatMul for the inputs of all steps, then a Recurrence; None where it cannot be one."""
        functions = self.functions()
        hidden = None if r.type.shape is None else number(r.type.shape[2])
        if hidden is None or x.type.shape is None or functions[0] != functions[-1]:
            return None
        body = Body(graph, self.op_type.lower())
        b, lengths, *states = filled(extras, 5)
        dtype = x.type.dtype
        if dtype is not None and is_narrow(dtype):
            x, w, r = (body("Cast", v, to=DType.FLOAT32.value) for v in (x, w, r))
            b, *states = (v and body("Cast", v, to=DType.FLOAT32.value) for v in (b, *states))
        if self.layout:
            x = body.transpose(x, 1, 0, 2)
            turned = [v and body.transpose(v, 1, 0, 2) for v in states[:2]]
            states = [*turned, *states[2:]]
        rows = self.count * self.gates * hidden
        weights = body.transpose(body.reshape(w, (rows, -1)), 1, 0)
        g = body("MatMul", x, weights)
        rb = None
        if b is not None:
            added, rb = self._add_biases(body, b, hidden)
            g = body("Add", g, added)
        made = body.all(self.recurrence(self.direction, functions[0]), g, r, rb, lengths, *states)
        return self._outputs(body, made, dtype)

    def _add_biases(self, body: Body, b: Value, hidden: int) -> tuple[Value, Value | None]:
        """The same as `_biases`, as nodes: [directions * gates * hidden], and the GRU's."""
        size = self.gates * hidden
        pair = body.reshape(b, (self.count, 2, size))
        axis = body.constant(np.array([1], np.int64))
        rb = None
        if self.linear_before_reset:
            parts = [body.constant(np.array([n], np.int64)) for n in (5 * hidden, 6 * hidden, 1)]
            rb = body("Slice", b, parts[0], parts[1], parts[2])
            assert pair.type.dtype is not None
            keep = np.ones((2, size), pair.type.dtype.numpy)
            keep[1, 2 * hidden :] = 0
            pair = body("Mul", pair, body.constant(keep))
        return body.reshape(body("ReduceSum", pair, axis, keepdims=0), (self.count * size,)), rb

    def _outputs(self, body: Body, made: Sequence[Value], dtype: DType | None) -> tuple[Value, ...]:
        found = list(made)
        if self.layout:
            found = [body.transpose(made[0], 2, 0, 1, 3)]
            found += [body.transpose(v, 1, 0, 2) for v in made[1:]]
        if dtype is not made[0].type.dtype and dtype is not None:
            found = [body("Cast", v, to=dtype.value) for v in found]
        return tuple(found[: max(1, self.outputs)])


class RNNV7(Recurrent):
    """RNN of opsets 7 to 13, without `layout`."""

    kind = "RNN"
    gates = 1
    usual = ("Tanh",)
    activations: tuple[str, ...] = ("Tanh", "Tanh")


class RNN(RNNV7):
    """h = f(x W' + h R' + b)."""

    since = 14
    layout: int = 0


class RNNV1(RNNV7):
    """RNN of opsets 1 to 6, whose first output could be left out by attribute."""

    output_sequence: int = 0


class GRUV7(Recurrent):
    """GRU of opsets 7 to 13, without `layout`."""

    kind = "GRU"
    gates = 3
    usual = ("Sigmoid", "Tanh")
    linear_before_reset: int = 0


class GRU(GRUV7):
    """h = (1 - z) * g + z * h, with the gates z, r and the candidate g made of x and r * h."""

    since = 14
    layout: int = 0


class GRUV3(GRUV7):
    """GRU of opsets 3 to 6, whose first output could be left out by attribute."""

    output_sequence: int = 0


class GRUV1(Recurrent):
    """GRU of opsets 1 and 2; its default direction is misspelt in the standard."""

    kind = "GRU"
    gates = 3
    usual = ("Sigmoid", "Tanh")
    direction: str = "foward"
    output_sequence: int = 0

    def __post_init__(self) -> None:
        if self.direction == "foward":
            object.__setattr__(self, "direction", "forward")


class LSTMV7(Recurrent):
    """LSTM of opsets 7 to 13, without `layout`."""

    kind = "LSTM"
    gates = 4
    usual = ("Sigmoid", "Tanh", "Tanh")
    input_forget: int = 0


class LSTM(LSTMV7):
    """c = f * c + i * g and h = o * tanh(c), with the gates i, o, f and the candidate g."""

    since = 14
    layout: int = 0


class RoundedLSTM(LSTMV7):
    """An LSTM whose products see the state in 255 steps, as weights of 8 bits are multiplied."""

    domain = "ai.sardonyx"
    rounded = 1


class LSTMV1(LSTMV7):
    """LSTM of opsets 1 to 6, whose first output could be left out by attribute."""

    output_sequence: int = 0

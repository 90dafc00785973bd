"""The cells of recurrent operators: activations, and one step of an RNN, GRU or LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, unary
from sardonyx.ops.base.element import Unary
from sardonyx.ops.base.nest import bounded
from sardonyx.ops.base.shapes import refuse
from sardonyx.ops.elementwise.activation import (
    Elu,
    HardSigmoid,
    LeakyRelu,
    Relu,
    Sigmoid,
    Softplus,
    Softsign,
    ThresholdedRelu,
)
from sardonyx.ops.elementwise.unary import Tanh


class _Affine(Unary, abstract=True):
    alpha: float = 1.0
    beta: float = 0.0

    def compute(self, x: Array) -> Array:
        return np.asarray(x * x.dtype.type(self.alpha) + x.dtype.type(self.beta))

    def element(self, x: Expr) -> Expr:
        return x * self.alpha + self.beta


class _ScaledTanh(Unary, abstract=True):
    alpha: float = 1.0
    beta: float = 1.0

    def compute(self, x: Array) -> Array:
        return np.asarray(np.tanh(x * x.dtype.type(self.beta)) * x.dtype.type(self.alpha))

    def element(self, x: Expr) -> Expr:
        return unary("tanh", x * self.beta) * self.alpha


ACTIVATIONS: dict[str, tuple[type[Unary], int]] = {
    "affine": (_Affine, 2),
    "elu": (Elu, 1),
    "hardsigmoid": (HardSigmoid, 2),
    "leakyrelu": (LeakyRelu, 1),
    "relu": (Relu, 0),
    "scaledtanh": (_ScaledTanh, 2),
    "sigmoid": (Sigmoid, 0),
    "softplus": (Softplus, 0),
    "softsign": (Softsign, 0),
    "tanh": (Tanh, 0),
    "thresholdedrelu": (ThresholdedRelu, 1),
}


def activation(name: str, *settings: float) -> Unary:
    """The activation of that name (in any case); E0341 when ONNX has none."""
    if name.lower() not in ACTIVATIONS:
        raise refuse("E0341", "an activation is unknown", name, ", ".join(ACTIVATIONS))
    kind, takes = ACTIVATIONS[name.lower()]
    return kind(*settings[:takes])


@dataclass(frozen=True)
class Cell:
    """How one step turns gates and state into the next state; for arrays and for expressions.

    `functions` are ONNX's f, g, h.
    """

    functions: tuple[Unary, ...]
    clip: float | None
    symbolic: bool

    def apply(self, which: int, x: Any) -> Any:
        """Activation `which` of a value clipped first."""
        op = self.functions[which]
        if self.symbolic:
            return op.element(x if self.clip is None else bounded(x, -self.clip, self.clip))
        return op.compute(x if self.clip is None else np.clip(x, -self.clip, self.clip))

    def bare(self, which: int, x: Any) -> Any:
        """Activation `which` of a value as it is."""
        op = self.functions[which]
        return op.element(x) if self.symbolic else op.compute(x)


def lstm(
    cell: Cell, gates: Sequence[Any], c: Any, peepholes: Sequence[Any], coupled: bool
) -> tuple[Any, Any]:
    """The next (h, c) from the gates i, o, f, c; `peepholes` are those of i, o, f, or none."""
    i, o, f, new = gates
    if peepholes:
        i, f = i + peepholes[0] * c, f + peepholes[2] * c
    i = cell.apply(0, i)
    f = 1 - i if coupled else cell.apply(0, f)
    state = f * c + i * cell.apply(1, new)
    if peepholes:
        o = o + peepholes[1] * state
    return cell.apply(0, o) * cell.bare(2, state), state


def gru(cell: Cell, update: Any, new: Any, h: Any) -> Any:
    """The next h from the update gate, activated, and the hidden gate, not yet activated."""
    return (1 - update) * cell.apply(1, new) + update * h

"""Optimizer steps (Adagrad, Adam, Momentum) and the Gradient operator of the training preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sardonyx.core.dtype import Array
from sardonyx.core.errors import UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import fit_into, like, refuse, same_dims

_DOMAIN = "ai.onnx.preview.training"


class _Step(Op, abstract=True):
    """One step for several tensors: inputs are rate, count, then tensors, gradients and states."""

    domain = _DOMAIN
    states: ClassVar[int]

    def _rows(self, inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
        each = 2 + self.states
        count, rest = divmod(len(inputs), each)
        if rest or not count:
            raise refuse("E0343", f"{self.op_type} has a wrong number of inputs", len(inputs) + 2)
        return [tuple(inputs[k * count + n] for k in range(each)) for n in range(count)]

    def infer(self, rate: Type, count: Type, *inputs: Type) -> Any:
        rows = self._rows(inputs)
        for extra in (rate, count):
            fit_into(extra, (const(1),), "the rate and the count")
        for x, *others in rows:
            for other in others if x.shape is not None else ():
                same_dims(other, x.dims, "gradients and states")
        kept = [0, *range(2, 2 + self.states)]
        return tuple(like(row[k]) for k in kept for row in rows)

    @quiet
    def reference(self, rate: Array, count: Array, *inputs: Array) -> Any:
        r, t = widen(rate).reshape(()), int(count.reshape(()))
        made = []
        for row in self._rows(inputs):
            new = self.step(r, t, *(widen(a) for a in row))
            made.append([settle(a, b.dtype) for a, b in zip(new, (row[0], *row[2:]), strict=True)])
        return tuple(m[k] for k in range(1 + self.states) for m in made)

    def step(self, rate: Array, count: int, x: Array, g: Array, *states: Array) -> Sequence[Any]:
        """The new tensor and the new states."""
        raise NotImplementedError


class Adagrad(_Step):
    """Steps divided by the root of the sum of squared gradients."""

    states = 1
    decay_factor: float = 0.0
    epsilon: float = 1e-6
    norm_coefficient: float = 0.0

    def step(self, rate: Array, count: int, x: Array, g: Array, *states: Array) -> Sequence[Any]:
        slowed = rate / (1 + count * self.decay_factor)
        g = g + self.norm_coefficient * x
        h = states[0] + g * g
        return x - slowed * g / (h**0.5 + self.epsilon), h


class Adam(_Step):
    """Steps along the running mean of gradients, divided by the root of that of their squares."""

    states = 2
    alpha: float = 0.9
    beta: float = 0.999
    epsilon: float = 1e-6
    norm_coefficient: float = 0.0
    norm_coefficient_post: float = 0.0

    def step(self, rate: Array, count: int, x: Array, g: Array, *states: Array) -> Sequence[Any]:
        g = g + self.norm_coefficient * x
        v = self.alpha * states[0] + (1 - self.alpha) * g
        h = self.beta * states[1] + (1 - self.beta) * (g * g)
        if count > 0:
            rate = rate * (1 - self.beta**count) ** 0.5 / (1 - self.alpha**count)
        new = x - rate * (v / (h**0.5 + self.epsilon))
        return (1 - self.norm_coefficient_post) * new, v, h


class Momentum(_Step, kw_only=True):
    """Steps along a decaying sum of gradients, standard or Nesterov's."""

    states = 1
    alpha: float
    beta: float
    mode: str
    norm_coefficient: float

    def step(self, rate: Array, count: int, x: Array, g: Array, *states: Array) -> Sequence[Any]:
        if self.mode not in ("standard", "nesterov"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "standard, nesterov")
        g = g + self.norm_coefficient * x
        v = self.alpha * states[0] + (self.beta if count > 0 else 1) * g
        return x - rate * (v if self.mode == "standard" else g + self.alpha * v), v


class Gradient(Op, kw_only=True):
    """The derivatives of a value with respect to others; models keep it, nothing here runs it."""

    domain = _DOMAIN
    xs: tuple[str, ...]
    y: str
    zs: tuple[str, ...] | None = None

    def infer(self, *inputs: Type) -> Any:
        return tuple(inputs[: len(self.xs)])

    def reference(self, *inputs: Array) -> Any:
        del inputs
        raise UnsupportedOperator(
            "E0401",
            "nothing here differentiates a graph",
            op="Gradient",
            hint="let the training framework write the gradients out as nodes",
        )

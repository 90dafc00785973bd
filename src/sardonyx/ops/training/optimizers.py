"""Optimizer steps (Adagrad, Adam, Momentum) and the Gradient operator of the training preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sardonyx.core.dtype import Array
from sardonyx.core.errors import UnsupportedOperator
from sardonyx.core.expr import const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.given import single, whole
from sardonyx.ops.base.shapes import fit_into, like, refuse, same_dims

_DOMAIN = "ai.onnx.preview.training"
_OPSET = 18


class _Sums:
    """Writes arithmetic of values and numbers, the numbers of one value's type."""

    def __init__(self, write: Body, like: Value) -> None:
        self._write, self._like = write, like

    def __call__(self, op: str, *operands: Value | float) -> Value:
        """The result of an elementwise operator."""
        given = (x if isinstance(x, Value) else self._write.number(x, self._like) for x in operands)
        return self._write(op, *given)

    def chosen(self, count: Value, then: Value | float, otherwise: Value | float) -> Value:
        """One where steps were made before, the other at the first."""
        sides = (
            x if isinstance(x, Value) else self._write.number(x, self._like)
            for x in (then, otherwise)
        )
        return self._write("Where", self("Greater", count, 0.0), *sides)


class _Step(Op, abstract=True):
    """One step for several tensors: inputs are rate, count, then tensors, gradients and states."""

    domain = _DOMAIN
    states: ClassVar[int]

    def _rows(self, inputs: Sequence[Any]) -> list[tuple[Any, ...]]:
        each = 2 + self.states
        count, rest = divmod(len(inputs), each)
        if rest or not count or any(x is None for x in inputs):
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
        r, t = rate.dtype.type(single(rate, "the rate")), whole(count, "the count")
        made = []
        for row in self._rows(inputs):
            new = self.step(r, t, *(widen(a) for a in row))
            made.append([settle(a, b.dtype) for a, b in zip(new, (row[0], *row[2:]), strict=True)])
        return tuple(m[k] for k in range(1 + self.states) for m in made)

    def step(self, rate: Array, count: int, x: Array, g: Array, *states: Array) -> Sequence[Any]:
        """The new tensor and the new states."""
        raise NotImplementedError

    def expand(self, graph: Graph, rate: Value, count: Value, *inputs: Value) -> Any:
        write = Body(graph, self.op_type.lower(), _OPSET)
        one, made = write.ints(), []
        for row in self._rows(inputs):
            alike = write("Reshape", write("CastLike", rate, row[0]), one)
            steps = write("Reshape", write("CastLike", count, row[0]), one)
            made.append(self.written(_Sums(write, row[0]), alike, steps, *row))
        return tuple(m[k] for k in range(1 + self.states) for m in made)

    def written(
        self, sums: _Sums, rate: Value, count: Value, x: Value, g: Value, *states: Value
    ) -> Sequence[Value]:
        """`step` as nodes; the rate and the count are of the tensor's type and have no dims."""
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

    def written(
        self, sums: _Sums, rate: Value, count: Value, x: Value, g: Value, *states: Value
    ) -> Sequence[Value]:
        slowed = sums("Div", rate, sums("Add", sums("Mul", count, self.decay_factor), 1.0))
        g = sums("Add", g, sums("Mul", x, self.norm_coefficient))
        h = sums("Add", states[0], sums("Mul", g, g))
        below = sums("Add", sums("Sqrt", h), self.epsilon)
        return sums("Sub", x, sums("Div", sums("Mul", slowed, g), below)), h


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

    def written(
        self, sums: _Sums, rate: Value, count: Value, x: Value, g: Value, *states: Value
    ) -> Sequence[Value]:
        def blend(share: float, old: Value, new: Value) -> Value:
            return sums("Add", sums("Mul", old, share), sums("Mul", new, 1 - share))

        def left(share: float) -> Value:
            return sums("Sub", 1.0, sums("Pow", share, count))

        g = sums("Add", g, sums("Mul", x, self.norm_coefficient))
        v, h = blend(self.alpha, states[0], g), blend(self.beta, states[1], sums("Mul", g, g))
        turned = sums("Div", sums("Sqrt", left(self.beta)), left(self.alpha))
        rate = sums("Mul", rate, sums.chosen(count, turned, 1.0))
        way = sums("Div", v, sums("Add", sums("Sqrt", h), self.epsilon))
        new = sums("Sub", x, sums("Mul", rate, way))
        return sums("Mul", new, 1 - self.norm_coefficient_post), v, h


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

    def written(
        self, sums: _Sums, rate: Value, count: Value, x: Value, g: Value, *states: Value
    ) -> Sequence[Value]:
        g = sums("Add", g, sums("Mul", x, self.norm_coefficient))
        kept = sums("Mul", g, sums.chosen(count, self.beta, 1.0))
        v = sums("Add", sums("Mul", states[0], self.alpha), kept)
        way = v if self.mode == "standard" else sums("Add", g, sums("Mul", v, self.alpha))
        return sums("Sub", x, sums("Mul", rate, way)), v


class Gradient(Op, kw_only=True):
    """The derivatives of a value with respect to others; sessions write it out in other nodes."""

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
            "Gradient has no meaning without the graph around it",
            op="Gradient",
            hint="run the model in a session, which writes the gradients out as nodes",
        )

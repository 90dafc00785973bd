"""The base of operators that mean a graph of the standard's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.errors import UnsupportedOperator
from sardonyx.graph.body import Body
from sardonyx.graph.evaluate import run, type_of
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.base.nest import some
from sardonyx.ops.base.shapes import refuse

DOMAIN = "com.microsoft"
Made = Value | None
Results = Value | tuple[Made, ...]


class Composed(Op, abstract=True):
    """An operator whose `compose` says everything: its types, its meaning and its code.

    The inputs' ranks must be known. Outputs that nobody asks for may be left out or None.
    """

    domain = DOMAIN
    since = 1
    tolerance = "reduction"

    def compose(self, body: Body, *inputs: Any) -> Results:
        """Appends nodes of the standard's operators; returns the output value(s).

        NotImplementedError names a form that is not supported.
        """
        raise NotImplementedError

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        """The outputs' types where an input's rank is not known."""
        first = next(t for t in inputs if t is not None)
        return (Type(first.dtype),) * max(1, self.outputs)

    def infer(self, *inputs: Type | None) -> Any:
        if any(t is not None and t.kind == "tensor" and t.shape is None for t in inputs):
            return some(self.outputs, *self.unranked(*inputs))
        _, made = self._written(inputs)
        return some(self.outputs, *(None if v is None else v.type for v in made))

    def reference(self, *inputs: Any) -> Any:
        graph, made = self._written([None if a is None else type_of(a) for a in inputs])
        graph.outputs = [v for v in made if v is not None]
        given = (a for a in inputs if a is not None)
        found = run(graph, dict(zip((v.name for v in graph.inputs), given, strict=True)))
        return some(self.outputs, *(None if v is None else found[v.name] for v in made))

    def expand(self, graph: Graph, *inputs: Made) -> Any:
        if any(v is not None and v.type.shape is None for v in inputs):
            return None
        return self._results(Body(graph, self.op_type), inputs)

    def _written(self, types: Sequence[Type | None]) -> tuple[Graph, tuple[Made, ...]]:
        """The meaning as a graph of its own, and its outputs."""
        graph = Graph(self.op_type)
        inputs = [None if t is None else Value(f"input_{n}", t) for n, t in enumerate(types)]
        graph.inputs = [v for v in inputs if v is not None]
        return graph, self._results(Body(graph, self.op_type), inputs)

    def _results(self, body: Body, inputs: Sequence[Made]) -> tuple[Made, ...]:
        try:
            made = self.compose(body, *inputs)
        except NotImplementedError as form:
            raise UnsupportedOperator(
                "E0401", f"nothing here runs {form}", op=self.op_type
            ) from None
        found = made if isinstance(made, tuple) else (made,)
        return tuple(
            body("Identity", v) if v is not None and (v in inputs or v.const is not None) else v
            for v in found[: max(1, self.outputs)]
        )


def like(body: Body, x: Value, number: float) -> Value:
    """A number as a constant of the element type of `x`."""
    assert x.type.dtype is not None
    return body.constant(np.array(number, x.type.dtype.numpy))


def integers(body: Body, *numbers: int) -> Value:
    """Subscripts, axes or sizes as a constant."""
    return body.constant(np.array(numbers, np.int64))


ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid", "Elu")


def activated(body: Body, x: Value, name: str | None, *parameters: float) -> Value:
    """The activation that a fused operator names, with its parameters in the attributes' order."""
    if not name:
        return x
    if name not in ACTIVATIONS:
        raise refuse("E0341", "`activation` is unknown", name, ", ".join(ACTIVATIONS))
    if name == "Clip":
        return body("Clip", x, *(like(body, x, p) for p in parameters))
    names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Elu": ("alpha",)}
    settings: dict[str, Any] = dict(zip(names.get(name, ()), parameters, strict=False))
    return body(name, x, **settings)

"""Random valid graphs, seeded: views, shape arithmetic, elementwise chains, products, branches."""

from collections.abc import Callable
from typing import Any

import numpy as np

import sardonyx.ops  # noqa: F401
from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value, dims_of, tensor_type
from sardonyx.graph.op import Op, find
from sardonyx.passes.infer import emit


def op(name: str, **settings: Any) -> Op:
    """An op of the standard opset."""
    found = find("", name, 20)
    assert found is not None, name
    return found(**settings)


class Grower:
    """A graph under construction; every step adds nodes that read values already there."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.graph = Graph("random", opsets={"": 20})
        shapes = [("N", 4, 6), ("N", 4, 6), (4, 6), ("N", 6, 4)]
        for n, shape in enumerate(shapes):
            v = Value(f"in{n}", tensor_type(DType.FLOAT32, dims_of(shape)))
            self.graph.inputs.append(v)
        self.values = list(self.graph.inputs)

    def grow(self, count: int) -> Graph:
        """A graph of about so many nodes."""
        steps: list[Callable[[], Value | None]] = [
            self.unary, self.unary, self.binary, self.binary, self.neutral, self.transpose,
            self.twice, self.reshape, self.flatten, self.same_shape, self.product, self.concat,
            self.cut, self.constant, self.squeeze, self.cast,
        ]  # fmt: skip
        while len(self.graph) < count:
            made = steps[self.rng.integers(len(steps))]()
            if made is not None:
                self.values.append(made)
        picked = self.rng.permutation(len(self.values) - 4)[:3] + 4
        self.graph.outputs = [self.values[-1]]
        self.graph.outputs += [v for v in (self.values[i] for i in picked)
                               if v is not self.values[-1] and v.const is None]  # fmt: skip
        return self.graph

    def pick(self) -> Value:
        """A value, recent ones more often."""
        recent = int(min(len(self.values), 6))
        if self.rng.random() < 0.7:
            return self.values[-1 - int(self.rng.integers(recent))]
        return self.values[self.rng.integers(len(self.values))]

    def emit(self, kind: Op, *inputs: Value) -> Value:
        """A node."""
        return emit(self.graph, kind, inputs, "v")

    def ints(self, *numbers: int) -> Value:
        """A constant of integers."""
        return self.graph.constant(Tensor.of(np.array(numbers, np.int64)), "ints")

    def unary(self) -> Value:
        """An elementwise function."""
        names = ["Relu", "Neg", "Abs", "Identity", "Tanh", "Sigmoid", "Floor", "Clip", "Dropout"]
        return self.emit(op(str(self.rng.choice(names))), self.pick())

    def same(self, v: Value) -> Value:
        """A value of the same shape."""
        found = [w for w in self.values if w.shape == v.shape]
        return found[self.rng.integers(len(found))]

    def binary(self) -> Value:
        """A sum or the like of two values of one shape."""
        x = self.pick()
        return self.emit(op(str(self.rng.choice(["Add", "Sub", "Mul", "Max"]))), x, self.same(x))

    def neutral(self) -> Value:
        """An operation that does nothing, or nearly."""
        name = str(self.rng.choice(["Add", "Sub", "Mul", "Div"]))
        number = 1.0 if name in ("Mul", "Div") else self.rng.choice([0.0, -0.0])
        scalar = self.graph.constant(Tensor.of(np.array(number, np.float32)), "scalar")
        return self.emit(op(name), self.pick(), scalar)

    def transpose(self) -> Value:
        """A permutation."""
        x = self.pick()
        perm = tuple(int(p) for p in self.rng.permutation(x.type.rank or 0))
        return self.emit(op("Transpose", perm=perm), x)

    def twice(self) -> Value:
        """An involution, applied twice."""
        x = self.pick()
        perm = tuple(range(x.type.rank or 0))[::-1]
        kind = op("Neg") if self.rng.random() < 0.5 else op("Transpose", perm=perm)
        return self.emit(kind, self.emit(kind, x))

    def reshape(self) -> Value | None:
        """A Reshape by arithmetic on the shape: two dims joined."""
        x = self.pick()
        if (x.type.rank or 0) < 2:
            return None
        shape = self.emit(op("Shape"), x)
        first = self.emit(op("Slice"), shape, self.ints(0), self.ints(1))
        target = self.emit(op("Concat", axis=0), first, self.ints(-1))
        return self.emit(op("Reshape"), x, target)

    def same_shape(self) -> Value:
        """A Reshape to the shape that the value has, found by arithmetic."""
        x = self.pick()
        flat = self.emit(op("Reshape"), x, self.ints(-1))
        return self.emit(op("Reshape"), flat, self.emit(op("Shape"), x))

    def flatten(self) -> Value:
        """A Flatten."""
        x = self.pick()
        return self.emit(op("Flatten", axis=int(self.rng.integers(1 + (x.type.rank or 0)))), x)

    def squeeze(self) -> Value:
        """An Unsqueeze and perhaps the Squeeze that undoes it."""
        x = self.pick()
        axis = self.ints(int(self.rng.integers(1 + (x.type.rank or 0))))
        wide = self.emit(op("Unsqueeze"), x, axis)
        return wide if (x.type.rank or 0) < 3 else self.emit(op("Squeeze"), wide, axis)

    def product(self) -> Value | None:
        """A product with constant weights."""
        x = self.pick()
        depth = number(x.type.dims[-1]) if x.type.dims else None
        if depth is None or depth > 64 or (x.type.rank or 0) < 2:
            return None
        width = int(self.rng.integers(1, 5))
        weights = self.rng.integers(-2, 3, (depth, width)).astype(np.float32)
        return self.emit(op("MatMul"), x, self.graph.constant(Tensor.of(weights), "w"))

    def concat(self) -> Value:
        """A Concat of one or two values."""
        x = self.pick()
        parts = [x] if self.rng.random() < 0.3 else [x, self.same(x)]
        if not x.type.rank or x.type.rank > 4:
            return self.emit(op("Identity"), x)
        return self.emit(op("Concat", axis=-1), *parts)

    def cut(self) -> Value | None:
        """A Slice of the last axis, sometimes of all of it."""
        x = self.pick()
        last = number(x.type.dims[-1]) if x.type.dims else None
        if last is None or last < 2:
            return None
        start = int(self.rng.integers(0, 2))
        return self.emit(op("Slice"), x, self.ints(start), self.ints(last), self.ints(-1))

    def constant(self) -> Value | None:
        """Arithmetic on constants added to a value."""
        x = self.pick()
        last = number(x.type.dims[-1]) if x.type.dims else None
        if last is None or last > 64:
            return None
        a = self.graph.constant(Tensor.of(self.rng.integers(-3, 4, last).astype(np.float32)), "c")
        return self.emit(op("Add"), x, self.emit(op("Mul"), a, a))

    def cast(self) -> Value:
        """A Cast that loses nothing, and back."""
        wide = self.emit(op("Cast", to=DType.FLOAT64.value), self.pick())
        return self.emit(op("Cast", to=DType.FLOAT32.value), wide)

"""Random valid graphs, seeded: views, shape arithmetic, elementwise chains, products, branches."""

from collections.abc import Callable
from typing import Any

import numpy as np

import sardonyx.ops  # noqa: F401
from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import Op, find
from sardonyx.passes.infer import emit
from texts import dims_of

SHAPES: tuple[tuple[int | str, ...], ...] = (("N", 4, 6), ("N", 4, 6), (4, 6), ("N", 6, 4))


def op(name: str, **settings: Any) -> Op:
    """An op of the standard opset."""
    found = find("", name, 20)
    assert found is not None, name
    return found(**settings)


def rank(x: Value) -> int:
    """The number of dims."""
    return len(x.type.dims)


def last(x: Value) -> int:
    """The last dim, 0 where it is no number."""
    dims = x.type.dims
    return number(dims[-1]) or 0 if dims else 0


class Grower:
    """A graph under construction; every step adds nodes that read values already there."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.graph = Graph("random", opsets={"": 20})
        for shape in SHAPES:
            name = f"in{len(self.graph.inputs)}"
            kind = tensor_type(DType.FLOAT32, dims_of(shape))
            self.graph.inputs.append(Value(name, kind))
        self.values = list(self.graph.inputs)

    def grow(self, count: int) -> Graph:
        """A graph of about so many nodes."""
        steps: list[Callable[[], Value | None]] = [
            self.unary, self.unary, self.binary, self.binary, self.neutral, self.transpose,
            self.twice, self.reshape, self.flatten, self.same_shape, self.product, self.concat,
            self.cut, self.constant, self.squeeze, self.cast,
        ]  # fmt: skip
        while len(self.graph) < count:
            step = steps[self.below(0, len(steps))]
            made = step()
            if made is not None:
                self.values.append(made)
        last = self.values[-1]
        outputs = {last: None}
        for _ in range(3):
            outputs[self.values[self.below(4, len(self.values))]] = None
        self.graph.outputs = list(outputs)
        return self.graph

    def below(self, low: int, high: int) -> int:
        """A random integer in [low, high)."""
        return int(self.rng.integers(low, high))

    def maybe(self, chance: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < chance)

    def choose(self, *names: str) -> Op:
        """One of the operators."""
        return op(names[self.below(0, len(names))])

    def constant_of(self, array: Any) -> Value:
        """An initializer."""
        return self.graph.constant(Tensor.of(array), "c")

    def pick(self) -> Value:
        """A value, recent ones more often."""
        count = len(self.values)
        first = max(0, count - 6) if self.maybe(0.7) else 0
        return self.values[self.below(first, count)]

    def emit(self, kind: Op | str, *inputs: Value) -> Value:
        """A node."""
        made = op(kind) if isinstance(kind, str) else kind
        return emit(self.graph, made, inputs, "v")

    def ints(self, *numbers: int) -> Value:
        """A constant of integers."""
        return self.constant_of(np.array(numbers, np.int64))

    def unary(self) -> Value:
        """An elementwise function."""
        kind = self.choose(
            "Relu", "Neg", "Abs", "Identity", "Tanh", "Sigmoid", "Floor", "Clip", "Dropout"
        )
        return self.emit(kind, self.pick())

    def same(self, v: Value) -> Value:
        """A value of the same shape."""
        found = [w for w in self.values if w.shape == v.shape]
        return found[self.below(0, len(found))]

    def binary(self) -> Value:
        """A sum or the like of two values of one shape."""
        x = self.pick()
        kind = self.choose("Add", "Sub", "Mul", "Max")
        return self.emit(kind, x, self.same(x))

    def neutral(self) -> Value:
        """An operation that does nothing, or nearly."""
        kind, neutral = self.choose("Mul", "Div"), 1.0
        if self.maybe(0.5):
            kind = self.choose("Add", "Sub")
            neutral = 0.0 if self.maybe(0.5) else -0.0
        scalar = self.constant_of(np.array(neutral, np.float32))
        return self.emit(kind, self.pick(), scalar)

    def transpose(self) -> Value:
        """A permutation."""
        x = self.pick()
        perm = tuple(self.rng.permutation(rank(x)).tolist())
        return self.emit(op("Transpose", perm=perm), x)

    def twice(self) -> Value:
        """An involution, applied twice."""
        x = self.pick()
        perm = tuple(range(rank(x)))[::-1]
        kind = op("Neg") if self.maybe(0.5) else op("Transpose", perm=perm)
        return self.emit(kind, self.emit(kind, x))

    def reshape(self) -> Value | None:
        """A Reshape by arithmetic on the shape: two dims joined."""
        x = self.pick()
        if rank(x) < 2:
            return None
        shape = self.emit("Shape", x)
        first = self.emit("Slice", shape, self.ints(0), self.ints(1))
        target = self.emit(op("Concat", axis=0), first, self.ints(-1))
        return self.emit("Reshape", x, target)

    def same_shape(self) -> Value:
        """A Reshape to the shape that the value has, found by arithmetic."""
        x = self.pick()
        flat = self.emit("Reshape", x, self.ints(-1))
        return self.emit("Reshape", flat, self.emit("Shape", x))

    def flatten(self) -> Value:
        """A Flatten."""
        x = self.pick()
        axis = self.below(0, 1 + rank(x))
        return self.emit(op("Flatten", axis=axis), x)

    def squeeze(self) -> Value:
        """An Unsqueeze and perhaps the Squeeze that undoes it."""
        x = self.pick()
        axis = self.ints(self.below(0, 1 + rank(x)))
        wide = self.emit("Unsqueeze", x, axis)
        if rank(x) < 3:
            return wide
        return self.emit("Squeeze", wide, axis)

    def product(self) -> Value | None:
        """A product with constant weights."""
        x = self.pick()
        depth = last(x)
        if not 0 < depth <= 64 or rank(x) < 2:
            return None
        shape = (depth, self.below(1, 5))
        weights = self.rng.integers(-2, 3, shape).astype(np.float32)
        return self.emit("MatMul", x, self.constant_of(weights))

    def concat(self) -> Value:
        """A Concat of one or two values."""
        x = self.pick()
        parts = [x] if self.maybe(0.3) else [x, self.same(x)]
        if not 0 < rank(x) <= 4:
            return self.emit("Identity", x)
        return self.emit(op("Concat", axis=-1), *parts)

    def cut(self) -> Value | None:
        """A Slice of the last axis, sometimes of all of it."""
        x = self.pick()
        if last(x) < 2:
            return None
        start = self.ints(self.below(0, 2))
        return self.emit("Slice", x, start, self.ints(last(x)), self.ints(-1))

    def constant(self) -> Value | None:
        """Arithmetic on constants added to a value."""
        x = self.pick()
        if not 0 < last(x) <= 64:
            return None
        a = self.constant_of(self.rng.integers(-3, 4, last(x)).astype(np.float32))
        square = self.emit("Mul", a, a)
        return self.emit("Add", x, square)

    def cast(self) -> Value:
        """A Cast that loses nothing, and back."""
        wide = self.emit(op("Cast", to=DType.FLOAT64.value), self.pick())
        return self.emit(op("Cast", to=DType.FLOAT32.value), wide)

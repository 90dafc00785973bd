"""Writing operations as nodes: `Body(graph, "y")("Add", a, b)` appends one, returns its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.expr import number
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import Op, find

NEWEST = 1 << 30


class Body:
    """Appends nodes to a graph, their types inferred; `graph.sort` where others come before them.

    An operator is an instance, or an ONNX name with attributes, which stands for the version of
    `opset`. New values and their nodes have the name that is given, or one made from `stem`.
    """

    def __init__(self, graph: Graph, stem: str, opset: int = NEWEST) -> None:
        self.graph = graph
        self.stem = stem
        self.opset = opset

    def __call__(
        self, op: Op | str, *inputs: Value | None, name: str = "", **settings: Any
    ) -> Value:
        """The first output of a new node; `name`, or one like it, is its name and the node's."""
        return self.all(op, *inputs, name=name, **settings)[0]

    def all(
        self, op: Op | str, *inputs: Value | None, name: str = "", **settings: Any
    ) -> tuple[Value, ...]:
        """Every output of a new node."""
        if isinstance(op, str):
            kind = find("", op, self.opset)
            assert kind is not None
            op = kind(**settings)
        found = op.infer(*(None if v is None else v.type for v in inputs))
        types = found if isinstance(found, tuple) else (found,)
        names = [
            self.graph.free_name(name) if name else self.graph.fresh_name(self.stem) for _ in types
        ]
        made = [Value(n, t) for n, t in zip(names, types, strict=True)]
        self.graph.append(op, inputs, made, names[0] if name else "")
        return tuple(made)

    def constant(self, array: Any, name: str = "") -> Value:
        """An initializer, its elements known to inference where they are few."""
        tensor = Tensor.of(np.asarray(array))
        return self.graph.constant(tensor, name or f"{self.stem}_constant")

    def number(self, value: float, like: Value) -> Value:
        """A constant of no dims, of another value's element type."""
        assert like.type.dtype is not None
        return self.constant(np.asarray(value, like.type.dtype.numpy))

    def ints(self, *values: int) -> Value:
        """A constant of one dim, of int64."""
        return self.constant(np.asarray(values, np.int64))

    def size(self, x: Value, axis: int) -> Value:
        """The extent of an axis counted from 0, an int64 of no dims."""
        found = number(x.type.shape[axis]) if x.type.shape is not None else None
        if found is not None:
            return self.constant(np.asarray(found, np.int64))
        return self("Gather", self("Shape", x), self.constant(np.asarray(axis, np.int64)), axis=0)

    def slice(self, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
        """The elements from `start` before `end` along an axis."""
        parts = (self.ints(n) for n in (start, end, axis, step))
        return self("Slice", x, *parts)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """`x` in another shape, in which 0 keeps a dim and -1 takes what is left."""
        return self("Reshape", x, self.constant(np.asarray(shape, np.int64)))

    def transpose(self, x: Value, *perm: int) -> Value:
        """`x` with its axes in another order."""
        return self("Transpose", x, perm=tuple(perm))

"""Writing an op's body as nodes: `Body(graph)(Add(), a, b)` appends a node, returning its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import Op, find


class Body:
    """Appends nodes to a graph; new values are named after `stem` and have inferred types."""

    def __init__(self, graph: Graph, stem: str) -> None:
        self.graph = graph
        self.stem = stem

    def __call__(self, op: Op, *inputs: Value | None) -> Value:
        """The first output of a new node."""
        return self.all(op, *inputs)[0]

    def all(self, op: Op, *inputs: Value | None) -> tuple[Value, ...]:
        """Every output of a new node."""
        found = op.infer(*(None if v is None else v.type for v in inputs))
        types = found if isinstance(found, tuple) else (found,)
        made = [Value(self.graph.fresh_name(self.stem), t) for t in types]
        self.graph.append(op, inputs, made)
        return tuple(made)

    def constant(self, array: Any) -> Value:
        """An initializer, its elements known to inference where they are few."""
        return self.graph.constant(Tensor.of(np.asarray(array)), f"{self.stem}_constant")

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """`x` in another shape, in which 0 keeps a dim and -1 takes what is left."""
        return self(self._newest("Reshape"), x, self.constant(np.asarray(shape, np.int64)))

    def transpose(self, x: Value, *perm: int) -> Value:
        """`x` with its axes in another order."""
        return self(self._newest("Transpose", perm=tuple(perm)), x)

    def _newest(self, name: str, **settings: Any) -> Op:
        found = find("", name)
        assert found is not None
        return found(**settings)

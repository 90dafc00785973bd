"""Makes nodes and constants in a graph, under names that are free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import find


class Writer:
    """Appends to a graph; `graph.sort` is wanted afterwards."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.graph = graph
        self.opset = opset
        self._names = {v.name for v in graph.values()}

    def value(self, name: str, type_: Type) -> Value:
        """A new value of that name, or of one like it."""
        return Value(self._free(name), type_)

    def constant(self, array: Any, name: str) -> Value:
        """A new initializer."""
        return self.graph.constant(Tensor.of(array), self._free(name))

    def node(self, name: str, inputs: Sequence[Value], output: Value, **settings: Any) -> None:
        """A new node of an operator of the default domain, named after its output."""
        found = find("", name, self.opset)
        assert found is not None
        op = found(**settings)
        self.graph.append(op, inputs, [output], output.name)

    def _free(self, wanted: str) -> str:
        taken = wanted in self._names
        name = self.graph.fresh_name(wanted) if taken else wanted
        self._names.add(name)
        return name

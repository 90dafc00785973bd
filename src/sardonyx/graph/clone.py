"""Copies of graphs: nodes, values and subgraphs anew, tensors and functions shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.graph.op import Op, Opaque


def clone(graph: Graph, given: Mapping[Value, Value] | None = None) -> Graph:
    """A copy that can be changed without the original noticing; tensors are shared.

    Of a subgraph, it reads the outer values themselves, or those that `given` has for them.
    """
    return _Copy(dict(given or {})).graph(graph)


def transplant(
    nodes: Iterable[Node],
    given: dict[Value, Value | None],
    into: Graph,
    prefix: str,
    change: Callable[[Op], Op] | None = None,
) -> dict[Value, Value | None]:
    """Appends copies of nodes to `into`; returns what every value of theirs became.

    `given` maps the values that exist already (a function's inputs); values met for the first time
    get a name that is free in `into`, node names the prefix. `change` is applied to every op.
    """
    copy = _Copy(dict(given), into, change)
    for node in nodes:
        name = f"{prefix}{node.name}" if node.name else ""
        copy.node(node, into, name)
    return copy.known


class _Copy:
    """What each value became; values that are not known are outer ones and stay."""

    def __init__(
        self,
        known: dict[Value, Value | None] | None = None,
        renamed: Graph | None = None,
        change: Callable[[Op], Op] | None = None,
    ) -> None:
        self.known: dict[Value, Value | None] = known or {}
        self.renamed = renamed
        self.change = change

    def value(self, v: Value) -> Value:
        """The copy of a value that a graph defines."""
        name = v.name if self.renamed is None else self.renamed.fresh_name(v.name)
        made = Value(name, v.type, v.const, layout=v.layout, extra=v.extra)
        self.known[v] = made
        return made

    def use(self, v: Value | None) -> Value | None:
        """What stands for a value that is read."""
        return None if v is None else self.known.get(v, v)

    def graph(self, graph: Graph) -> Graph:
        """The copy of a graph."""
        made = Graph(graph.name, opsets=dict(graph.opsets), functions=dict(graph.functions))
        made.meta, made.doc, made.source = dict(graph.meta), graph.doc, graph.source
        made.assumed, made.extra = list(graph.assumed), graph.extra
        made.overridable, made.inferred = graph.overridable, graph.inferred
        made.inputs = [self.value(v) for v in graph.inputs]
        for name, v in graph.initializers.items():
            known = self.known.get(v)
            made.initializers[name] = known if known is not None else self.value(v)
        for node in graph.nodes:
            for out in node.outputs:
                if out is not None:
                    self.value(out)
        for node in graph.nodes:
            self.node(node, made, node.name)
        made.outputs = [self.known.get(v) or v for v in graph.outputs]
        copied = getattr(graph.extra, "copied", None)
        if copied is not None:
            made.extra = copied(self.known)
        return made

    def node(self, node: Node, into: Graph, name: str) -> Node:
        """The copy of a node, at the end of `into`."""
        inputs = [self.use(v) for v in node.inputs]
        op = self.op(node.op)
        if self.change is not None:
            op = self.change(op)
        outputs = [None if v is None else self.known.get(v) or self.value(v) for v in node.outputs]
        made = into.append(op, inputs, outputs, name, node.doc, node.meta)
        made.extra = node.extra
        return made

    def op(self, op: Op) -> Op:
        """The op itself, or one with copies of its subgraphs."""
        if not subgraphs(op):
            return op
        if isinstance(op, Opaque):
            return replace(op, settings=self._setting(op.settings))
        known = {f.name: getattr(op, f.name) for f in fields(op)}
        changed = {f: self._setting(v) for f, v in known.items()}
        different = {f: v for f, v in changed.items() if v is not known[f]}
        return replace(op, **different)

    def _setting(self, value: Any) -> Any:
        if isinstance(value, Graph):
            return self.graph(value)
        if isinstance(value, tuple):
            return tuple(self._setting(item) for item in value)
        return value

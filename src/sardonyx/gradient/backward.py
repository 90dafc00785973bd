"""The walk from the gradients of values back to those of the values that they were made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sardonyx.core.errors import SardonyxError
from sardonyx.gradient.moves import moved_back
from sardonyx.gradient.step import RULES, WRITTEN, Grads, NoGradient, Step, Writer
from sardonyx.graph.ir import Graph, Node, Value, captured
from sardonyx.graph.op import MISTAKES, Opaque, domain_of
from sardonyx.passes.formula import spelled_out

# How often an operator may be written out in others, one in another.
_DEPTH = 8


class Backward:
    """Appends to a graph the nodes that compute gradients; `stuck` says which had no rule."""

    def __init__(self, graph: Graph, opset: int, stuck: dict[str, str] | None = None) -> None:
        self.graph, self.opset = graph, opset
        self.stuck = {} if stuck is None else stuck
        self._depth = 0

    def walk(
        self, nodes: Sequence[Node], seeds: Mapping[Value, Value], wrt: Iterable[Value]
    ) -> dict[Value, Value]:
        """The gradients of everything between `wrt` and `seeds`, whose gradients are given."""
        moving = _moving(nodes, wrt)
        grads = dict(seeds)
        for node in reversed(nodes):
            given = [None if v is None else grads.get(v) for v in node.outputs]
            wanted = [v in moving for v in node.inputs]
            inner = [v for v in captured(node) if v in moving]
            if all(g is None for g in given) or not (any(wanted) or inner):
                continue
            step = Step(self.graph, self.opset, node, given, wanted)
            step.inner, step.walker = inner, self._inside
            for v, grad in self._node(step):
                before = grads.get(v)
                grads[v] = grad if before is None else step("Add", before, grad)
        return grads

    def _inside(self, graph: Graph) -> Backward:
        """The same for a subgraph that is being made."""
        return Backward(graph, self.opset, self.stuck)

    def _node(self, s: Step) -> list[tuple[Value, Value]]:
        """The gradients of what a node reads."""
        found = self._found(s)
        pairs = zip(s.node.inputs, found, s.wanted, strict=False)
        own = [(v, g) for v, g, wanted in pairs if v is not None and g is not None and wanted]
        return own + [(v, g) for v, g in s.around.items() if v in s.inner]

    def _found(self, s: Step) -> Grads:
        op = s.op
        reason = "there is no rule for it"
        try:
            if domain_of(op) == "" and op.op_type in RULES:
                return RULES[op.op_type](s)
            if s.inner or isinstance(op, Opaque):
                raise NoGradient(reason)
            moved = moved_back(s)
            return self._written(s) if moved is None else moved
        except NoGradient as unable:
            reason = str(unable)
        except SardonyxError as error:
            reason = error.message
        except MISTAKES as problem:
            reason = str(problem) or type(problem).__name__
        self.stuck.setdefault(op.op_type, reason)
        return []

    def _written(self, s: Step) -> Grads:
        """By the operators that the node means the same as."""
        before = len(self.graph)
        made = _said_otherwise(s)
        nodes = self.graph.since(before)
        self._depth += 1
        if made is None or self._depth > _DEPTH:
            raise NoGradient("there is no rule for it")
        pairs = zip(made, s.grads, strict=False)
        seeds = {v: g for v, g in pairs if v is not None and g is not None}
        wrt = [v for v, wanted in zip(s.node.inputs, s.wanted, strict=True) if v and wanted]
        found = self.walk(nodes, seeds, wrt)
        self._depth -= 1
        return [None if v is None else found.get(v) for v in s.node.inputs]


def _said_otherwise(s: Step) -> Sequence[Value | None] | None:
    """The outputs of a node in other operators, None where it is in none."""
    op, write = s.op, Writer(s.graph, s.stem, s.opset)
    if op.op_type in WRITTEN:
        return WRITTEN[op.op_type](s)
    made: Any = op.express(write, max(1, type(op).since - 1), *s.node.inputs)
    if (made is None or isinstance(made, str)) and op.has("expand"):
        made = op.expand(s.graph, *s.node.inputs)
    if made is None or isinstance(made, str):
        made = spelled_out(s.node, write)
    return made if made is None or isinstance(made, tuple) else (made,)


def _moving(nodes: Sequence[Node], wrt: Iterable[Value]) -> set[Value]:
    """The values that change with those of `wrt`, by small amounts."""
    found = set(wrt)
    for node in nodes:
        if any(v in found for v in (*node.inputs, *captured(node))):
            found.update(v for v in node.outputs if v is not None and is_smooth(v))
    return found


def is_smooth(v: Value) -> bool:
    """Whether a value can change by small amounts, as far as its type tells."""
    dtype = v.type.dtype
    return dtype is None or dtype.is_float

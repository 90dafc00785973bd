"""What a rule writes gradients with: one node, the gradients of its outputs, and formulas.

    @rule("Mul")
    def _(s: Step) -> Grads:
        a, b = s.terms()
        return s.onto((s.dy * b).value, 0), s.onto((s.dy * a).value, 1)

A rule returns a gradient for each input (None where there is none); the values that it makes are
nodes of the graph that it differentiates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.expr import Expr, const, number
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Op, find
from sardonyx.passes.infer import infer_node

Grads: TypeAlias = "Sequence[Value | None]"
Rule: TypeAlias = "Callable[[Step], Grads]"
Told: TypeAlias = "Term | Value | float"

RULES: dict[str, Rule] = {}
# Operators of our own that others are written in, each written in the standard's.
WRITTEN: dict[str, Callable[[Step], tuple[Value, ...]]] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Makes a function the rule of these operators of ai.onnx."""

    def register(found: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, found))
        return found

    return register


class NoGradient(Exception):  # noqa: N818 - a word of the rules, caught by the walk
    """Why a node has no gradient as it stands."""


class Writer(Body):
    """Appends nodes whose types are inferred as those of a model are, elements of shapes too."""

    def all(
        self, op: Op | str, *inputs: Value | None, name: str = "", **settings: Any
    ) -> tuple[Value, ...]:
        """Every output of a new node; `outputs` is how many, where that is a choice."""
        if isinstance(op, str):
            kind = find("", op, self.opset)
            assert kind is not None
            op = kind(**settings)
        stem = name or self.stem
        made = tuple(Value(self.graph.fresh_name(stem)) for _ in range(op.outputs))
        infer_node(self.graph.append(op, inputs, made))
        return made

    def shape(self, x: Value) -> Value:
        """The shape of a value as an int64 tensor."""
        known = x.type.static_shape
        return self.ints(*known) if known is not None else self("Shape", x)

    def filled(self, x: Value, value: float) -> Value:
        """A tensor of the type and shape of another, of one number."""
        known = x.type.static_shape
        if known == ():
            return self.number(value, x)
        assert x.type.dtype is not None
        told = Tensor.of(np.full(1, value, x.type.dtype.numpy))
        return self("ConstantOfShape", self.shape(x), value=told)

    def reshaped(self, x: Value, like: Value) -> Value:
        """The elements of a value in the shape of another."""
        if x.type.shape is not None and x.type.shape == like.type.shape:
            return x
        return self("Reshape", x, self.shape(like), allowzero=1)

    def total(self, x: Value, axes: Sequence[int], keep: bool = False) -> Value:
        """The sum along axes."""
        if not axes:
            return x
        return self("ReduceSum", x, self.ints(*axes), keepdims=int(keep))

    def slice_of(self, x: Value, axis: int, start: Value, end: Value) -> Value:
        """The elements from one subscript before another, both int64 of one element."""
        return self("Slice", x, start, end, self.ints(axis))

    def extent(self, x: Value, axis: int) -> Value:
        """The extent of an axis as an int64 tensor of one element."""
        found = number(dims(x)[axis])
        if found is not None:
            return self.ints(found)
        return self("Shape", x, start=axis, end=axis + 1)


def dims(x: Value) -> tuple[Expr, ...]:
    """The dims of a value; NoGradient where its rank is not known."""
    if x.type.shape is None:
        raise NoGradient(f"the rank of `{x.name}` is not known")
    return x.type.shape


def told(v: Value | None) -> tuple[float, ...] | None:
    """The elements of a value that are known before running."""
    if v is None:
        return None
    if v.type.value is not None and all(e.is_const for e in v.type.value):
        return tuple(e.arg for e in v.type.value)
    if isinstance(v.const, Tensor) and v.const.count <= 64:
        return tuple(v.const.numpy().reshape(-1).tolist())
    return None


@dataclass(frozen=True)
class Term:
    """A value in a formula: `t * 2 + x` appends nodes."""

    write: Writer
    value: Value

    def _with(self, name: str, other: Told, swapped: bool = False) -> Term:
        if isinstance(other, Term):
            value = other.value
        elif isinstance(other, Value):
            value = other
        else:
            value = self.write.number(other, self.value)
        pair = (value, self.value) if swapped else (self.value, value)
        return Term(self.write, self.write(name, *pair))

    def __add__(self, other: Told) -> Term:
        return self._with("Add", other)

    def __sub__(self, other: Told) -> Term:
        return self._with("Sub", other)

    def __mul__(self, other: Told) -> Term:
        return self._with("Mul", other)

    def __truediv__(self, other: Told) -> Term:
        return self._with("Div", other)

    def __pow__(self, other: Told) -> Term:
        return self._with("Pow", other)

    def __radd__(self, other: float) -> Term:
        return self._with("Add", other)

    def __rmul__(self, other: float) -> Term:
        return self._with("Mul", other)

    def __rsub__(self, other: float) -> Term:
        return self._with("Sub", other, swapped=True)

    def __rtruediv__(self, other: float) -> Term:
        return self._with("Div", other, swapped=True)

    def __neg__(self) -> Term:
        return self.of("Neg")

    def of(self, name: str, **settings: Any) -> Term:
        """An operator of one input applied to it."""
        return Term(self.write, self.write(name, self.value, **settings))

    def least(self, other: Told) -> Term:
        """The smaller of two, element by element."""
        return self._with("Min", other)

    def test(self, name: str, other: Told) -> Term:
        """A comparison: Greater, Less, Equal …"""
        return self._with(name, other)

    def where(self, yes: Told, no: Told) -> Term:
        """`yes` where this is true, `no` elsewhere; one of them is a term."""
        values = [x.value if isinstance(x, Term) else x for x in (yes, no)]
        like = next(v for v in values if isinstance(v, Value))
        picks = [v if isinstance(v, Value) else self.write.number(v, like) for v in values]
        return Term(self.write, self.write("Where", self.value, *picks))


class Step(Writer):
    """The node whose rule writes, with the gradients of its outputs (None: nobody asked).

    `inner` are the values that the node's subgraphs read and that matter; `around` takes their
    gradients. `walker` gives what walks back through a subgraph.
    """

    def __init__(
        self, graph: Graph, opset: int, node: Node, grads: Grads, wanted: Sequence[bool]
    ) -> None:
        super().__init__(graph, f"{node.name or node.op.op_type}_grad", opset)
        self.node, self.grads, self.wanted = node, grads, wanted
        self.around: dict[Value, Value] = {}
        self.inner: list[Value] = []
        self.walker: Callable[[Graph], Any]

    @property
    def op(self) -> Any:
        """The operator, with its attributes."""
        return self.node.op

    @property
    def dy(self) -> Term:
        """The gradient of the first output."""
        found = self.grads[0]
        return Term(self, self.filled(self.node.output, 0.0) if found is None else found)

    @property
    def y(self) -> Term:
        """The first output."""
        return Term(self, self.node.output)

    @property
    def x(self) -> Term:
        """The first input."""
        return self.terms()[0]

    def input(self, n: int) -> Value:
        """An input that is there."""
        found = self.node.operand(n)
        if found is None:
            raise NoGradient(f"its input {n} is absent")
        return found

    def terms(self) -> list[Term]:
        """The inputs that are there."""
        return [Term(self, v) for v in self.node.inputs if v is not None]

    def only_first(self) -> None:
        """NoGradient where a gradient of another output than the first is asked for."""
        if any(g is not None for g in self.grads[1:]):
            raise NoGradient("outputs after the first have no gradient here")

    def first(self, grad: Term | Value) -> Grads:
        """The gradient of the first input, and none of the others."""
        return [grad.value if isinstance(grad, Term) else grad]

    def onto(self, grad: Term | Value, n: int) -> Value | None:
        """A gradient summed to the shape of input `n`, which broadcasting stretched."""
        if not self.wanted[n]:
            return None
        value = grad.value if isinstance(grad, Term) else grad
        return self.summed(value, self.input(n))

    def summed(self, grad: Value, x: Value) -> Value:
        """A gradient summed along the axes that broadcasting stretched or added."""
        wide, narrow = dims(grad), dims(x)
        lead = len(wide) - len(narrow)
        grad = self.total(grad, range(lead))
        pairs = list(zip(narrow, wide[lead:], strict=True))
        same = [small is big for small, big in pairs]
        if all(same):
            return grad
        if any(not ok and not small.is_const for ok, (small, _) in zip(same, pairs, strict=True)):
            return self._summed_when_one(grad, x)
        return self.total(grad, [n for n, ok in enumerate(same) if not ok], keep=True)

    def _summed_when_one(self, grad: Value, x: Value) -> Value:
        """The same where only running tells which axes are stretched."""
        shape = self("Shape", x)
        ones = self("NonZero", self("Equal", shape, self.constant(np.asarray(1, np.int64))))
        axes = self("Squeeze", ones, self.ints(0))
        made = self("ReduceSum", grad, axes, keepdims=1, noop_with_empty_axes=1)
        return self("Reshape", made, shape, allowzero=1)

    def size_of(self, x: Value) -> Value:
        """The number of elements, as one of the element type of the node's output."""
        known = number(math.prod(dims(x), start=const(1)))
        if known is not None:
            return self.number(known, self.node.output)
        assert self.node.output.type.dtype is not None
        return self("Cast", self("Size", x), to=self.node.output.type.dtype.value)

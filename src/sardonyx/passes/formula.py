"""Writes an elementwise operator as nodes: one for each operation of the element that it computes.

    Swish: x[i] * sigmoid(x[i] * alpha)   ->   Mul, Sigmoid, Mul

What an operator means for one element is what it means for whole tensors where every operand is
read at the subscripts of the output, or as broadcasting reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import INDEX, Expr, load, walk
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Node, Value
from sardonyx.graph.op import MISTAKES, Index, Op, Operand, loop_index

_WORDS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "min": "Min", "max": "Max", "neg": "Neg",
    "abs": "Abs", "sign": "Sign", "pow": "Pow", "sqrt": "Sqrt", "lt": "Less",
    "le": "LessOrEqual", "eq": "Equal", "and": "And", "or": "Or", "xor": "Xor", "not": "Not",
    "isnan": "IsNaN", "floor": "Floor", "ceil": "Ceil", "round": "Round", "exp": "Exp",
    "log": "Log", "tanh": "Tanh", "erf": "Erf", "sigmoid": "Sigmoid", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "where": "Where", "div": "Div",
}  # fmt: skip


@dataclass(frozen=True)
class _Read:
    """The buffer that stands for input number `n`."""

    n: int

    def __repr__(self) -> str:
        return f"input{self.n}"


class _Whole(Operand):
    """An operand that can be read at the output's subscripts only."""

    def __init__(self, v: Value, n: int, idx: Index) -> None:
        self.type = replace(v.type, value=None)
        self._idx, self._leaf = idx, load(_Read(n), (), self.dtype)

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        return self.broadcast(idx)

    def broadcast(self, idx: object) -> Expr:
        """The element, where it is read at the output's own subscripts."""
        if idx is not self._idx:
            raise NotImplementedError("elements of several places are read")
        return self._leaf


def spelled_out(node: Node, write: Body) -> Value | None:
    """The node's only output computed by operators of one element each, None where it cannot be."""
    op = node.op
    if len(node.outputs) != 1 or not op.has("at"):
        return None
    element = _element(op, node)
    if element is None or not all(_is_sayable(e, op.op_type) for e in walk(element)):
        return None
    found = _write(element, node, write, {})
    return found if found.type.shape == node.output.type.shape else None


def _element(op: Op, node: Node) -> Expr | None:
    try:
        idx = loop_index(node.output.type.dims)
        given = [None if v is None else _Whole(v, n, idx) for n, v in enumerate(node.inputs)]
        return op.at(idx, *given)
    except (NotImplementedError, SardonyxError, *MISTAKES):
        return None


def _is_sayable(e: Expr, own: str) -> bool:
    """Whether an operation has an operator, other than the one that is to be expressed."""
    if e.op in ("load", "const"):
        return e.op == "const" or isinstance(e.arg, _Read)
    word = "Cast" if e.op == "cast" else _WORDS.get(e.op, own)
    whole = e.dtype is INDEX and word != "Cast"
    return word != own and not whole and not (e.op == "div" and e.dtype.is_int)


def _write(e: Expr, node: Node, write: Body, made: dict[Expr, Value]) -> Value:
    if e not in made:
        if e.op == "const":
            made[e] = write.constant(np.array(e.arg, e.dtype.numpy))
        elif e.op == "load":
            read = node.inputs[e.arg.n]
            assert read is not None
            made[e] = read
        else:
            parts = [_write(a, node, write, made) for a in e.args]
            settings = {"to": e.dtype.value} if e.op == "cast" else {}
            made[e] = write(_WORDS.get(e.op, "Cast"), *parts, **settings)
    return made[e]

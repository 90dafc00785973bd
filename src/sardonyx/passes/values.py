"""What a node's small outputs hold, found before running: by `reference`, or through `op.at`.

Shape -> Gather -> Mul -> Concat -> Reshape folds by the operators' own meaning: the elements of a
Shape are dims, and `at` of the nodes after it is arithmetic on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import (
    INDEX,
    Expr,
    cast,
    const,
    fold,
    load,
    number,
    scalar,
    substitute,
    transform,
    walk,
)
from sardonyx.core.tensor import Tensor
from sardonyx.graph.evaluate import evaluate
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.op import MISTAKES as MISTAKES
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.graph.type import KNOWN_INTEGERS, Type, array_type, countable
from sardonyx.ops.base.shapes import as_index, assume

# The largest formula that is kept as a dim: real models have a few operations, or join a hundred
# tensors of two dims each; hostile ones grow.
WEIGHT = 1024
# The longest reduction over known values that is written out, as over the dims of a shape.
UNROLL = 256

Values = tuple[Expr, ...]

# Dims that numpy counts with.
_RANK = 64


@dataclass(frozen=True)
class _Elements:
    """The buffer of a read whose subscript is not a number yet."""

    values: Values

    def __repr__(self) -> str:
        return "known"


class Known(Operand):
    """An operand of which only `type.value` can be read; other reads give the unknown element."""

    def __init__(self, known: Type) -> None:
        self.type = known

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        values, dtype = self.type.value, self.dtype
        if values is None:
            return _unknown(dtype)
        subscripts = idx if isinstance(idx, Sequence) else (idx,)
        position = const(0)
        for i, d in zip(subscripts, self.shape, strict=True):
            position = position * d + i
        at = number(position)
        if at is None:
            return load(_Elements(values), (position,), dtype)
        return values[at] if 0 <= at < len(values) else _unknown(dtype)


_unknowns = itertools.count()


def _unknown(dtype: DType) -> Expr:
    """An element nobody knows; no two are equal, so that nothing follows from their difference."""
    return scalar(f"unknown{next(_unknowns)}", dtype)


def _is_known(e: Expr) -> bool:
    return all(x.arg[1] is not None and not x.args for x in e.free)


def outputs(
    op: Op, inputs: Sequence[Type | None], made: Sequence[Type | None]
) -> list[Type | None]:
    """The inferred types of a node's outputs, with their elements where they follow."""
    found = list(made)
    if op.random or not _promising(inputs, made):
        return found
    if all(t is None or _is_constant(t) for t in inputs) and not op.has("control"):
        return _by_reference(op, inputs, found)
    if op.has("at") or op.has("at_output"):
        for which, t in enumerate(found):
            if t is not None and t.value is None:
                found[which] = _by_element(op, which, inputs, t)
    return found


def _promising(inputs: Sequence[Type | None], made: Sequence[Type | None]) -> bool:
    if any(t is None or t.kind != "tensor" or t.dtype is None for t in made):
        return False
    if all(t is not None and t.value is not None for t in made):
        return False
    first = made[0]
    assert first is not None
    if any(t is not None and t.value is not None for t in inputs):
        return first.shape is None or all(
            not d.is_const or d.arg <= KNOWN_INTEGERS for d in first.shape
        )
    return first.dtype is DType.INT64 and first.shape is not None and len(first.shape) < 2


def _is_constant(t: Type) -> bool:
    return t.kind == "tensor" and t.value is not None and all(e.is_const for e in t.value)


def array(t: Type) -> Array:
    """The elements of a type whose value is all constants, as an array."""
    assert t.value is not None
    assert t.dtype is not None
    return np.array([e.arg for e in t.value], t.dtype.numpy).reshape(t.static_shape or ())


def _by_reference(
    op: Op, inputs: Sequence[Type | None], made: list[Type | None]
) -> list[Type | None]:
    for t in made:
        shape = None if t is None else t.static_shape
        if shape is not None and prod(shape) > KNOWN_INTEGERS:
            return made
    shapes = [() if t is None else t.static_shape for t in inputs]
    if any(shape is None or len(shape) > _RANK for shape in shapes):
        return made
    try:
        results = evaluate(op, [None if t is None else array(t) for t in inputs])
    except (SardonyxError, NotImplementedError, *MISTAKES):
        return made
    return [
        t if t is None or not isinstance(r, np.ndarray) else constant_type(r, t)
        for t, r in zip(made, results, strict=False)
    ]


def constant_type(a: Array, like: Type) -> Type:
    """The type of a known small array."""
    found = array_type(a)
    return found if like.dtype in (None, found.dtype) else like


def place(graph: Graph, data: Any, name: str, dtype: DType | None = None) -> Value:
    """A new initializer."""
    return graph.constant(Tensor.of(data, dtype), name)


def _by_element(op: Op, which: int, inputs: Sequence[Type | None], out: Type) -> Type:
    shape = out.static_shape
    count = prod(shape) if shape is not None else KNOWN_INTEGERS + 1
    if shape is None or out.dtype is None or count > countable(out.dtype) or len(shape) > _RANK:
        return out
    operands = [None if t is None else Known(_widened(t)) for t in inputs]
    if any(t is not None and t.shape is None for t in inputs):
        return out
    values = []
    for position in range(count):
        subscripts = np.unravel_index(position, shape) if shape else ()
        index = Index([int(i) for i in subscripts], shape)
        try:
            e = op.at_output(which, index, *operands)
        except (SardonyxError, NotImplementedError, *MISTAKES):
            return out
        e = _settled(e)
        if not _is_known(e) or not is_light(e):
            return out
        values.append(_narrowed(e) if out.dtype is DType.INT32 else e)
    return Type(out.dtype, out.shape, tuple(values))


def _narrowed(e: Expr) -> Expr:
    """An index as an element of an int32 tensor; that it fits is assumed, so that dims which pass
    through int32, as exporters write them, stay what they are."""
    short = cast(e, DType.INT32)
    if not e.is_const:
        assume(cast(short, INDEX), e)
    return short


def _widened(t: Type) -> Type:
    """An int32 tensor as index arithmetic sees it: see `_narrowed`."""
    if t.dtype is not DType.INT32:
        return t
    value = None if t.value is None else tuple(as_index(e) for e in t.value)
    return Type(INDEX, t.shape, value)


def _settled(e: Expr) -> Expr:
    """`e` with reductions of constant extent written out and reads of known elements made."""
    if e.op in ("const", "var") or not any(x.op in ("load", "reduce") for x in walk(e)):
        return e
    return transform(e, _settle)


def _settle(x: Expr) -> Expr | None:
    if x.op == "load" and isinstance(x.arg, _Elements):
        at = number(x.args[0])
        values = x.arg.values
        if at is None:
            return None
        return values[at] if 0 <= at < len(values) else _unknown(x.dtype)
    if x.op == "reduce":
        extent = number(x.args[0].args[0])
        if extent is None or not 0 < extent <= UNROLL:
            return _unknown(x.dtype)
        terms = []
        for i in range(extent):
            terms.append(_settled(substitute(x.args[1], {x.args[0]: const(i)})))
            if any(v.arg[1] is None for v in terms[-1].free):
                return _unknown(x.dtype)
        return fold(x.arg, tuple(terms))
    return None


def is_light(e: Expr) -> bool:
    """Whether a formula is small enough to compute with, and its numbers fit 64 bits."""
    if e.op == "var":
        return True
    weight = 0
    for x in walk(e):
        weight += 1 + len(x.args)
        if x.op == "load" or weight > WEIGHT:
            return False
        if x.op == "const" and isinstance(x.arg, int) and not -(1 << 63) <= x.arg < 1 << 63:
            return False
    return True

"""What one operator's `at` does to its operands: the facts that fusion decides by."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph, SardonyxError
from sardonyx.core.expr import Expr, const, load, loop_sites, number, walk
from sardonyx.graph.ir import Node, Type, Value
from sardonyx.graph.op import MISTAKES, Index, Op, Operand, loop_index
from sardonyx.loops.build import cost

# Hexadecimal digits of a float that is written into code: those of 0.5, 2 or 6, not of a weight.
_DIGITS = 3


class Leaf(Operand):
    """An operand read from memory, its subscripts kept apart: load(key, i, j, ...)."""

    def __init__(self, key: str, type_: Type) -> None:
        self.key = key
        self.type = type_

    def __getitem__(self, idx: Expr | int | Sequence[Expr | int]) -> Expr:
        subscripts = as_subscripts(idx)
        known = literal(self.type, subscripts)
        return known if known is not None else load(self.key, subscripts, self.dtype)


def as_subscripts(idx: Expr | int | Sequence[Expr | int]) -> tuple[Expr, ...]:
    """Subscripts as a tuple of expressions."""
    items = (idx,) if isinstance(idx, Expr | int) else idx
    return tuple(const(i) for i in items)


def literal(type_: Type, subscripts: tuple[Expr, ...]) -> Expr | None:
    """The element at known subscripts of a value whose elements are known."""
    if type_.value is None:
        return None
    position = 0
    for i, d in zip(subscripts, type_.dims, strict=True):
        at, extent = number(i), number(d)
        if at is None or extent is None:
            return None
        position = position * extent + at
    found = type_.value[position] if position < len(type_.value) else None
    if found is None or type_.dtype is None or found.dtype is not type_.dtype:
        return None
    return (
        found if (found.is_const and not _long_float(found)) or found.dtype is DType.INT64 else None
    )


def _long_float(e: Expr) -> bool:
    """Whether a float literal has many digits: loaded rather than written, so that layers which
    differ in a scale only share their code."""
    if not e.dtype.is_float:
        return False
    mantissa = float(e.arg).hex().split("p")[0].split(".")[-1]
    return len(mantissa.rstrip("0")) > _DIGITS


@dataclass(frozen=True)
class Reading:
    """How an op reads one operand: the subscripts of each load, and whether inside a reduction."""

    subscripts: tuple[Expr, ...]
    reduced: bool


@dataclass(frozen=True)
class Probe:
    """The facts about one output of one node.

    `moves`: the element is exactly one operand's element, or a constant. `cost`: operations per
    element, a reduction's body once. `reduces`: contains a reduction. `reads`: operand position
    -> its readings.
    """

    index: Index
    moves: bool
    cost: int
    reduces: bool
    reads: dict[int, tuple[Reading, ...]]

    def identity(self, operand: int, type_: Type) -> bool:
        """Whether element i of the operand is read for element i of the output, and no other."""
        found = self.reads.get(operand, ())
        return (
            len(found) == 1
            and not found[0].reduced
            and (found[0].subscripts == tuple(self.index) and type_.shape == self.index.shape)
        )


@contextlib.contextmanager
def sensible(node: Node, mistakes: tuple[type[Exception], ...] = MISTAKES) -> Iterator[None]:
    """InvalidGraph (E0344) where an operator makes no sense of the operands it has."""
    try:
        yield
    except SardonyxError:
        raise
    except mistakes as problem:
        said = f"its inputs cannot be: {problem}"
        given = ", ".join("-" if v is None else str(v.type) for v in node.inputs)
        raise InvalidGraph(
            "E0344", said, node=node.name, op=node.op.op_type, given=given
        ) from problem


@functools.lru_cache(1024)
def element_of(
    op: Op, which: int, out: Type, inputs: tuple[Type | None, ...]
) -> tuple[Index, Expr]:
    """The subscripts of an output, and its element there by loads `x0[i, j]` of the operands."""
    index = loop_index(out.dims)
    leaves = [None if t is None else Leaf(f"x{n}", t) for n, t in enumerate(inputs)]
    return index, op.at_output(which, index, *leaves)


def probe(op: Op, which: int, out: Type, inputs: Sequence[Type | None]) -> Probe | str:
    """Asks `at` for a symbolic element; the reason where it gives none."""
    if not (op.has("at") or op.has("at_output")):
        return f"{op.op_type} has no native code yet"
    try:
        index, element = element_of(op, which, out, tuple(inputs))
    except NotImplementedError as reason:
        return str(reason) or f"{op.op_type} has no native code for these operands"
    reads: dict[int, list[Reading]] = {}
    reduced = loop_sites(element)
    for x in walk(element):
        if x.op == "load":
            reads.setdefault(int(x.arg[1:]), []).append(Reading(x.args, x in reduced))
    moves = element.op in ("load", "const", "var")
    return Probe(
        index,
        moves,
        0 if moves else cost(element),
        any(x.op == "reduce" for x in walk(element)),
        {n: tuple(r) for n, r in reads.items()},
    )


def types_of(values: Sequence[Value | None]) -> list[Type | None]:
    """The types of a node's inputs."""
    return [None if v is None else v.type for v in values]


def native_type(t: Type) -> bool:
    """Whether machine code can hold a value of this type."""
    d = t.dtype
    return (
        t.kind == "tensor"
        and t.shape is not None
        and d is not None
        and not d.is_string
        and not d.is_complex
        and d.bits in (8, 16, 32, 64)
        and not (d.is_float and d.bits == 8)
    )


def blockers(node: Node) -> str:
    """Why a node cannot be native code whatever its op says, or an empty string."""
    for v in (*node.inputs, *node.outputs):
        if v is not None and not native_type(v.type):
            return f"`{v.name}` is {v.type}"
    return ""

"""Gradients of operators that move elements: each goes back to where it came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sardonyx.core.expr import number
from sardonyx.gradient.step import Grads, NoGradient, Step, dims, rule, told
from sardonyx.graph.ir import Value
from sardonyx.graph.op import Trait


def moved_back(s: Step) -> Grads | None:
    """For an operator all of whose elements are elements of its first input; None for others.

    It is applied to the positions of these elements, where the gradients are then added up.
    """
    if Trait.IN_ORDER in s.op.traits:
        return s.first(s.reshaped(s.dy.value, s.input(0)))
    if Trait.SELECTS not in s.op.traits or len(s.node.outputs) > 1:
        return None
    return _added(s)


def _added(s: Step) -> Grads:
    """dy added where the operator takes the elements from."""
    places = s(s.op, positions(s, s.input(0)), *s.node.inputs[1:])
    return s.first(scattered(s, places))


def positions(s: Step, x: Value) -> Value:
    """A tensor of the shape of `x` with the row-major position of each element."""
    zero, one = (s.constant(np.asarray(n, np.int64)) for n in (0, 1))
    return s.reshaped(s("Range", zero, s("Size", x), one), x)


def scattered(s: Step, places: Value) -> Value:
    """Zeros of the shape of the first input with dy added at row-major positions."""
    x = s.input(0)
    flat = s("Reshape", s.filled(x, 0.0), s.ints(-1))
    index = s("Reshape", places, s.ints(-1))
    update = s("Reshape", s.dy.value, s.ints(-1))
    added = s("ScatterElements", flat, index, update, axis=0, reduction="add")
    return s.reshaped(added, x)


@rule("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _same(s: Step) -> Grads:
    """dy in the shape of the input."""
    return s.first(s.reshaped(s.dy.value, s.input(0)))


@rule("Transpose")
def _transpose(s: Step) -> Grads:
    """dy with the axes back in order."""
    rank = len(dims(s.input(0)))
    perm = s.op.perm or tuple(reversed(range(rank)))
    return s.first(s.transpose(s.dy.value, *(perm.index(n) for n in range(rank))))


@rule("Expand")
def _expand(s: Step) -> Grads:
    """dy summed along what was stretched."""
    return s.first(s.summed(s.dy.value, s.input(0)))


@rule("Concat")
def _concat(s: Step) -> Grads:
    """dy in parts."""
    rank = len(dims(s.node.output))
    axis = s.op.axis % rank
    each = [s.extent(s.input(n), axis) for n in range(len(s.node.inputs))]
    sizes = s("Concat", *each, axis=0)
    return list(s.all("Split", s.dy.value, sizes, axis=axis, outputs=len(each)))


@rule("Split")
def _split(s: Step) -> Grads:
    """The gradients of the parts, joined."""
    pairs = zip(s.grads, s.node.outputs, strict=True)
    parts = [s.filled(_there(v), 0.0) if g is None else g for g, v in pairs]
    return s.first(s("Concat", *parts, axis=s.op.axis))


def _there(v: Value | None) -> Value:
    if v is None:
        raise NoGradient("an output of it is left out")
    return v


@rule("Slice")
def _slice(s: Step) -> Grads:
    """dy amid zeros, where the steps are 1; otherwise added at its positions."""
    pads = _pads(s)
    if pads is not None:
        return s.first(s("Pad", s.dy.value, s.ints(*pads)))
    return _added(s)


def _pads(s: Step) -> list[int] | None:
    """How many zeros stand before and after along each axis, where that is known."""
    old, new = dims(s.input(0)), dims(s.node.output)
    starts, axes, steps = (told(s.node.operand(n)) for n in (1, 3, 4))
    if starts is None or (s.node.operand(3) is not None and axes is None):
        return None
    if s.node.operand(4) is not None and (steps is None or set(steps) != {1}):
        return None
    before, after = [0] * len(old), [0] * len(old)
    for axis, start in zip(axes or range(len(starts)), starts, strict=True):
        n, left = int(axis) % len(old), number(old[int(axis)] - new[int(axis)])
        whole = number(old[n])
        if left is None or (start < 0 and whole is None):
            return None
        first = int(start) if start >= 0 else max(0, int(start) + (whole or 0))
        before[n] = min(first, left)
        after[n] = left - before[n]
    return [*before, *after]


@rule("Gather")
def _gather(s: Step) -> Grads:
    """dy added in the rows that were taken."""
    x, index = s.input(0), s.input(1)
    rank, taken = len(dims(x)), len(dims(index))
    axis = s.op.axis % rank
    rows = s("Unsqueeze", index, s.ints(-1))
    if axis == 0:
        return s.first(s("ScatterND", s.filled(x, 0.0), rows, s.dy.value, reduction="add"))
    front = _first([axis], rank)
    moved = _first(range(axis, axis + taken), rank - 1 + taken)
    zeros = s.transpose(s.filled(x, 0.0), *front)
    update = s.transpose(s.dy.value, *moved)
    added = s("ScatterND", zeros, rows, update, reduction="add")
    back = [front.index(n) for n in range(rank)]
    return s.first(s.transpose(added, *back))


def _first(axes: Iterable[int], rank: int) -> list[int]:
    """A permutation with these axes in front."""
    found = list(axes)
    return [*found, *(n for n in range(rank) if n not in found)]


@rule("GatherElements")
def _gather_elements(s: Step) -> Grads:
    """dy added where the elements were taken."""
    zeros = s.filled(s.input(0), 0.0)
    axis, dy = s.op.axis, s.dy.value
    return s.first(s("ScatterElements", zeros, s.input(1), dy, axis=axis, reduction="add"))


@rule("GatherND")
def _gather_nd(s: Step) -> Grads:
    """dy added where the parts were taken."""
    if s.op.batch_dims:
        return _added(s)
    zeros = s.filled(s.input(0), 0.0)
    return s.first(s("ScatterND", zeros, s.input(1), s.dy.value, reduction="add"))


@rule("ScatterElements", "ScatterND")
def _scatter(s: Step) -> Grads:
    """dy but where it was overwritten, and dy there."""
    reduction, index = s.op.reduction, s.input(1)
    if reduction not in ("none", "add"):
        raise NoGradient(f"its reduction is `{reduction}`")
    nd = s.op.op_type == "ScatterND"
    axis: dict[str, Any] = {} if nd else {"axis": s.op.axis}
    found: list[Value | None] = [s.dy.value, None, None]
    if reduction == "none":
        zeros = s.filled(s.input(2), 0.0)
        found[0] = s(s.op, s.dy.value, index, zeros)
    if s.wanted[2]:
        read = "GatherND" if nd else "GatherElements"
        found[2] = s(read, s.dy.value, index, **axis)
    return found


@rule("Pad")
def _pad(s: Step) -> Grads:
    """The part of dy that the input had, or what was repeated added up."""
    if len(s.wanted) > 2 and s.wanted[2]:
        raise NoGradient("its constant is a variable")
    if s.op.mode == "constant":
        axes = s.node.operand(3)
        inputs = (s("Neg", s.input(1)), None, *([] if axes is None else [axes]))
        return s.first(s("Pad", s.dy.value, *inputs))
    return _added(s)


@rule("Tile")
def _tile(s: Step) -> Grads:
    """dy summed over the copies."""
    repeats = told(s.input(1))
    if repeats is None:
        return _added(s)
    x = s.input(0)
    parts: list[Value] = []
    for n, count in enumerate(repeats):
        parts += [s.ints(int(count)), s.extent(x, n)]
    shape = s("Concat", *parts, axis=0)
    apart = s("Reshape", s.dy.value, shape, allowzero=1)
    copies = range(0, 2 * len(repeats), 2)
    return s.first(s.total(apart, copies))


@rule("Trilu")
def _trilu(s: Step) -> Grads:
    """The same part of dy."""
    return s.first(s(s.op, s.dy.value, *s.node.inputs[1:]))


@rule("CumSum")
def _cumsum(s: Step) -> Grads:
    """The sums of dy from the other end."""
    exclusive, reverse = s.op.exclusive, 1 - s.op.reverse
    return s.first(s("CumSum", s.dy.value, s.input(1), exclusive=exclusive, reverse=reverse))


@rule("ReverseSequence")
def _reverse_sequence(s: Step) -> Grads:
    """dy reversed again."""
    return s.first(s(s.op, s.dy.value, s.input(1)))

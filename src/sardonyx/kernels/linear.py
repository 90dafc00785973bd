"""How flat subscripts move along loop variables, and several loops taken as one row number.

index = n * (H*W*C) + h * (W*C) + w * C + c        along (n, h, w): C, as n, h, w count rows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sardonyx.core.expr import (
    Expr,
    const,
    load,
    number,
    polynomial,
    product,
    substitute,
    transform,
    walk,
)


def slope(index: Expr, v: Expr) -> Expr | None:
    """By how much an index moves when `v` moves by one; None where it is not linear in `v`."""
    total = const(0)
    for monomial, c in polynomial(index).items():
        rest = [x for x in monomial if x is not v]
        if any(v in x.free for x in rest) or len(monomial) - len(rest) > 1:
            return None
        if len(rest) < len(monomial):
            total = total + product(rest) * c
    return total


def pitch(index: Expr, axes: Sequence[Expr]) -> Expr | None:
    """The step of an index along the row-major number of the loops `axes`; None: not constant."""
    step: Expr | None = None
    for v in reversed(axes):
        found = slope(index, v)
        if found is None:
            return None
        if number(v.args[0]) == 1:
            continue
        if step is None:
            step, expected = found, found
        elif found is not expected:
            return None
        expected = expected * v.args[0]
    return const(0) if step is None else step


def count(axes: Sequence[Expr]) -> Expr:
    """The number of combinations of the loops' values."""
    return product(v.args[0] for v in axes)


def parts(axes: Sequence[Expr], flat: Expr) -> dict[Expr, Expr]:
    """The value of each loop variable at row-major number `flat`."""
    found: dict[Expr, Expr] = {}
    rest = flat
    live = [v for v in axes if number(v.args[0]) != 1]
    for v in reversed(live[1:]):
        found[v] = rest % v.args[0]
        rest = rest // v.args[0]
    for v in axes:
        if number(v.args[0]) == 1:
            found[v] = const(0)
    if live:
        found[live[0]] = rest
    return found


def position(index: Expr, axes: Sequence[Expr], flat: Expr, at: Mapping[Expr, Expr]) -> Expr:
    """An index in terms of the row number `flat`, or of the variables' values `at` where not."""
    step = pitch(index, axes)
    if step is None:
        return renumber(index, axes, flat, at)
    return substitute(index, {v: const(0) for v in axes}) + step * flat


def renumber(e: Expr, axes: Sequence[Expr], flat: Expr, at: Mapping[Expr, Expr]) -> Expr:
    """An expression at row number `flat`: loads by `position`, other uses of `axes` by `at`."""

    def visit(x: Expr) -> Expr | None:
        if x.op == "load":
            return load(x.arg, [position(i, axes, flat, at) for i in x.args], x.dtype)
        return at.get(x)

    return transform(e, visit)


def loads(e: Expr) -> list[Expr]:
    """The loads in an expression."""
    return [x for x in walk(e) if x.op == "load"]


def ceiling(a: Expr, b: int) -> Expr:
    """a / b rounded up."""
    return (a + (b - 1)) // b


def least(e: Expr) -> int | None:
    """The value of a size at the smallest dims; None where it depends on more than dims."""
    lowest: dict[Expr, Expr] = {}
    for v in e.free:
        if v.args or v.arg[1] is None:
            return None
        lowest[v] = const(v.arg[1])
    return number(substitute(e, lowest))

"""What windows, norms and products share: nested reductions, guards and optional outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, binary, const, reduce, sqrt, unary, where

Body = Callable[[tuple[Expr, ...]], Expr]


def total(op: str, extents: Sequence[Expr], body: Body) -> Expr:
    """`op` over `body(subscripts)` for every subscript tuple within `extents`."""

    def nest(found: tuple[Expr, ...]) -> Expr:
        if len(found) == len(extents):
            return body(found)
        return reduce(op, extents[len(found)], lambda i: nest((*found, i)))

    return nest(())


def lowest(dtype: DType) -> Expr:
    """The identity of max over a dtype."""
    if dtype.is_float:
        return const(-float("inf"), dtype)
    return const(np.iinfo(dtype.numpy).min if dtype.is_signed else 0, dtype)


def both(conditions: Sequence[Expr]) -> Expr:
    """Whether all conditions hold; true of none."""
    out = const(True, DType.BOOL)
    for c in conditions:
        out = out & c
    return out


def bounded(e: Expr, low: float, high: float) -> Expr:
    """`e` kept within [low, high]; NaN stays NaN."""
    small, large = e.like(low), e.like(high)
    return where(e < small, small, where(large < e, large, e))


def some(outputs: int, *results: Any) -> Any:
    """The first `outputs` results, as an operator with optional outputs returns them."""
    kept = results[: max(1, outputs)]
    return kept[0] if len(kept) == 1 else kept


def p_norm(extents: Sequence[Expr], body: Body, p: float) -> Expr:
    """(the sum of |body| ** p) ** (1 / p)."""
    if p == 1:
        return total("add", extents, lambda k: unary("abs", body(k)))
    if p == 2:
        return sqrt(total("add", extents, lambda k: body(k) * body(k)))
    found = total("add", extents, lambda k: binary("pow", unary("abs", body(k)), p))
    return binary("pow", found, 1 / p)


def filled(values: Sequence[Any], count: int) -> list[Any]:
    """The optional inputs given, with None for those that are not."""
    return [*values, *[None] * (count - len(values))]

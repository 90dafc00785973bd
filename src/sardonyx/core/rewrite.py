"""Whole expressions taken apart and put together: replacing, walking, evaluating, reducing.

Expressions share their parts and may be deep, so nothing here recurses and every part is visited
once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sardonyx.core import floats, scalar
from sardonyx.core.operations import OPERATIONS, is_reduction
from sardonyx.core.term import (
    INDEX,
    Expr,
    Scalar,
    const,
    fresh,
    make,
    mul,
    name_of,
    number,
    rebuild,
    var,
)


def reduce(op: str, extent: Scalar, body: Callable[[Expr], Expr]) -> Expr:
    """`op` over body(k) for k in [0, extent); the empty reduction is the op's identity."""
    if not is_reduction(op):
        raise ValueError(f"unknown reduction {op!r}")
    extent = const(extent)
    if number(extent) == 1:
        return body(const(0))
    inner = fresh(extent)
    value = body(inner)
    bound = var(f"r{_depth(value) + 1}", extent)
    return make("reduce", (bound, substitute(value, {inner: bound})), op, value.dtype)


def _depth(e: Expr) -> int:
    deepest, stack, seen = 0, [e], {e}
    while stack:
        x = stack.pop()
        if x.op == "reduce":
            deepest = max(deepest, int(name_of(x.args[0])[1:]))
        for a in x.args:
            if a not in seen:
                seen.add(a)
                stack.append(a)
    return deepest


def substitute(e: Expr, mapping: Mapping[Expr, Expr]) -> Expr:
    """`e` with expressions replaced; shared parts are rebuilt once."""
    return transform(e, mapping.get)


def transform(e: Expr, visit: Callable[[Expr], Expr | None]) -> Expr:
    """`e` rebuilt from the leaves; `visit(x)` may return what to put in place of x (not None)."""
    memo: dict[Expr, Expr] = {}
    opened: set[Expr] = set()
    stack = [e]
    while stack:
        x = stack.pop()
        if x in memo:
            continue
        if x in opened:
            memo[x] = rebuild(x, tuple([memo[a] for a in x.args]))
            continue
        replaced = visit(x)
        if replaced is None and x.args:
            opened.add(x)
            stack.append(x)
            stack.extend([a for a in x.args if a not in memo])
        else:
            memo[x] = x if replaced is None else replaced
    return memo[e]


def walk(*roots: Expr) -> list[Expr]:
    """Every expression reachable from the roots, operands before users, each once."""
    seen: dict[Expr, None] = {}
    stack = [(r, False) for r in reversed(roots)]
    while stack:
        x, ready = stack.pop()
        if x in seen:
            continue
        if ready:
            seen[x] = None
            continue
        stack.append((x, True))
        stack.extend((a, False) for a in reversed(x.args) if a not in seen)
    return list(seen)


def loop_sites(e: Expr) -> set[Expr]:
    """The loads that are inside a reduction of `e`."""
    found: set[Expr] = set()
    for x in walk(e):
        if x.op == "reduce":
            found.update(y for y in walk(x.args[1]) if y.op == "load")
    return found


def evaluate(e: Expr, env: Mapping[Expr, int]) -> int:
    """The integer value of an index or bool expression without loads, given its variables.

    int64 arithmetic is exact; what is of another dtype on the way has that dtype's rounding and
    range, whatever the thread's mode of rounding. KeyError where a variable is missing that the
    value depends on. Dividing whole numbers by 0 gives 0.
    """
    memo: dict[Expr, Any] = dict(env)
    stack = [e]
    while stack:
        x = stack[-1]
        if x in memo:
            stack.pop()
            continue
        wanted = _next_operands(x, memo)
        missing = [a for a in wanted if a not in memo]
        if missing:
            stack.extend(missing)
        else:
            memo[x] = _value(x, memo)
    return memo[e]  # type: ignore[no-any-return]


def _next_operands(x: Expr, memo: Mapping[Expr, Any]) -> tuple[Expr, ...]:
    """What must be known before x is; of a `where`, first the condition, then one side."""
    if x.op == "var":
        return ()
    if x.op != "where":
        return x.args
    condition, yes, no = x.args
    if condition not in memo:
        return (condition,)
    return (yes if memo[condition] else no,)


def _value(x: Expr, memo: Mapping[Expr, Any]) -> Any:
    if x.op == "const":
        return x.arg if x.dtype is INDEX else scalar.of(x.arg, x.dtype)
    if x.op == "where":
        return memo[_next_operands(x, memo)[0]]
    args = [memo[a] for a in x.args]
    if x.op != "cast" and x.op not in OPERATIONS:
        raise KeyError(f"`{x}` has no value here")
    if x.args[-1].dtype is INDEX and x.op != "cast":
        meaning = OPERATIONS[x.op].meaning(INDEX)
        return meaning(*args) if len(args) < 3 else functools.reduce(meaning, args)
    with np.errstate(all="ignore"), floats.standard():
        if x.op == "cast":
            return scalar.cast(args[0], x.args[0].dtype, x.dtype)
        return scalar.apply(x.op, args, x.args[-1].dtype, x.dtype)


def product(values: Iterable[Scalar]) -> Expr:
    """The product of index expressions (1 of none)."""
    out = const(1)
    for v in values:
        out = mul(out, v)
    return out

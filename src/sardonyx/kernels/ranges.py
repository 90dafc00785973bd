"""A loop in lanes, cut where what its subscript decides changes, and chosen by what it does not.

    vector for j < 76: b0[j] = where(2 <= j & j < 74, b1[j - 2], 0)

    vector for j < 2: b0[j] = 0
    vector for j < 72: b0[j + 2] = b1[j]
    vector for j < 2: b0[j + 74] = 0

Between the cuts comparisons with numbers hold or do not, minima and maxima are one of their sides,
and remainders and quotients are sums: memory is read in whole vectors. A choice that is the same
all along a row is made before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    const,
    name_of,
    number,
    polynomial,
    substitute,
    var,
    walk,
)
from sardonyx.loops.build import identity, mapped
from sardonyx.loops.ir import Fold, For, If, Let, Stmt, expressions, statements
from sardonyx.loops.lanes import fma
from sardonyx.loops.target import Target
from sardonyx.loops.vector.width import unrolls

# Pieces of one row, parts of expressions of all of them, and lanes by which they are weighed.
_PIECES, _LARGEST, _LANES = 8, 3000, 16

Piece = tuple[int, int, tuple[Stmt, ...]]
Part = tuple[int, int, Expr]


def in_ranges(v: Expr, body: tuple[Stmt, ...], target: Target) -> tuple[Stmt, ...]:
    """The loop over v in lanes, as one or as several."""
    extent = number(v.args[0])
    if extent is None or extent < 2 * _LANES or not _decides(v, body):
        return _chosen((For(v, body, "vector"),))
    plain = _written(body, target)
    pieces = list(itertools.islice(_cut(v, 0, extent, plain), _PIECES + 1))
    vectors = sum((stop - start) // _LANES + 1 for start, stop, _ in pieces)
    parts = sum(len(walk(*_exprs(part))) for *_, part in pieces)
    if len(pieces) > _PIECES or vectors > 2 * (extent // _LANES + 1) or parts > _LARGEST:
        return _chosen((For(v, body, "vector"),))
    made = []
    for start, stop, part in pieces:
        inside = var(name_of(v), stop - start)
        place = inside + start if stop - start > 1 else const(start)
        made.append(For(inside, mapped(part, {v: place}), "vector"))
    return _chosen(tuple(made))


def _exprs(body: Sequence[Stmt]) -> list[Expr]:
    return [e for s in statements(tuple(body)) for e in expressions(s)]


def _decides(v: Expr, body: Sequence[Stmt]) -> bool:
    """Whether something in a body may change where v passes a number."""
    return any(x.op in _CUTS and v in x.free for x in walk(*_exprs(body)))


def _written(body: Sequence[Stmt], target: Target) -> tuple[Stmt, ...]:
    """Short reductions written out, so that all they compare is seen."""
    return tuple(
        _sum(s, target) if isinstance(s, Fold) and s.kind == "serial" and unrolls(s) else s
        for s in body
    )


def _sum(s: Fold, target: Target) -> Let:
    fused = s.op == "add" and s.var.dtype.is_float and target.can("fma")
    total = identity(s.op, s.var.dtype)
    for point in itertools.product(*(range(number(v.args[0]) or 0) for v in s.vars)):
        value = substitute(s.value, {v: const(k) for v, k in zip(s.vars, point, strict=True)})
        if fused and value.op == "mul":
            a, b = value.args
            total = fma(a, b, total)
        else:
            total = binary(s.op, total, value)
    return Let(s.var, total)


def _cut(v: Expr, start: int, stop: int, body: tuple[Stmt, ...]) -> Iterator[Piece]:
    """The pieces of [start, stop) with what holds in each, inner parts of expressions first."""
    for x in walk(*_exprs(body)):
        parts = _CUTS[x.op](x, v, start, stop) if x.op in _CUTS and v in x.free else None
        if parts is not None:
            for low, high, instead in parts:
                yield from _cut(v, low, high, mapped(body, {x: instead}))
            return
    yield start, stop, body


def _line(e: Expr, v: Expr) -> tuple[int, int] | None:
    """Step and start of an expression that is a line in v alone."""
    if e.dtype is not INDEX:
        return None
    terms = polynomial(e)
    if set(terms) - {(v,), ()} or not terms.get((v,), 0):
        return None
    return terms[v,], terms.get((), 0)


def _sides(e: Expr, v: Expr, start: int, stop: int, low: Expr, high: Expr) -> list[Part] | None:
    """`high` where e >= 0, else `low`."""
    line = _line(e, v)
    if line is None:
        return None
    step, rest = line
    at = -(rest // step) if step > 0 else rest // -step + 1
    first, last = (low, high) if step > 0 else (high, low)
    at = min(max(at, start), stop)
    return [p for p in ((start, at, first), (at, stop, last)) if p[0] < p[1]]


def _comparison(x: Expr, v: Expr, start: int, stop: int) -> list[Part] | None:
    a, b = x.args
    if a.dtype is not INDEX:
        return None
    no, yes = (const(k, DType.BOOL) for k in (False, True))
    return _sides(b - a - (x.op == "lt"), v, start, stop, no, yes)


def _extreme(x: Expr, v: Expr, start: int, stop: int) -> list[Part] | None:
    if x.dtype is not INDEX or len(x.args) != 2:
        return None
    a, b = x.args
    least, most = (a, b) if x.op == "min" else (b, a)
    ways = (_sides(b - a, v, start, stop, most, least), _sides(a - b, v, start, stop, least, most))
    # Where both are equal either will do.
    return min((w for w in ways if w is not None), key=len, default=None)


def _division(x: Expr, v: Expr, start: int, stop: int) -> list[Part] | None:
    by, line = number(x.args[1]), _line(x.args[0], v)
    if by is None or by < 1 or line is None or abs(line[0]) != 1:
        return None
    step, rest = line
    turns = {start, stop}
    least, most = sorted((step * start + rest, step * (stop - 1) + rest))
    if most // by - least // by >= _PIECES:
        return None
    for quotient in range(least // by, most // by + 1):
        at = quotient * by - rest if step > 0 else rest - quotient * by + 1
        turns.add(min(max(at, start), stop))
    parts = []
    for low, high in itertools.pairwise(sorted(turns)):
        quotient = math.floor((step * low + rest) / by)
        whole = const(quotient)
        parts.append((low, high, whole if x.op == "floordiv" else x.args[0] - whole * by))
    return parts


_CUTS = {
    "lt": _comparison,
    "le": _comparison,
    "min": _extreme,
    "max": _extreme,
    "mod": _division,
    "floordiv": _division,
}


def _differs(condition: Expr) -> bool:
    """Whether rows differ in a condition; one on sizes alone is in the extents of loops too."""
    return any(v.args for v in condition.free)


def _chosen(loops: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Loops for rows in which all choices that are the same along them go one way, and others."""
    found: dict[Expr, None] = {}
    names = {s.var for s in statements(loops) if isinstance(s, For | Let | Fold)}
    names |= {v for s in statements(loops) if isinstance(s, Fold) for v in s.vars}
    for x in walk(*_exprs(loops)):
        if x.op == "where" and names.isdisjoint(x.args[0].free) and _differs(x.args[0]):
            found[x.args[0]] = None
    if not found or any(x.op == "load" for x in walk(*found)):
        return loops
    holds = const(True, DType.BOOL)
    for condition in found:
        holds = holds & condition
    true, false = (dict.fromkeys(found, const(k, DType.BOOL)) for k in (True, False))
    others = mapped(loops, false) if len(found) == 1 else loops
    return (If(holds, mapped(loops, true), others),)

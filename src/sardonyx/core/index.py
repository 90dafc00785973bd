"""The simplifying constructors of int64 operations: index arithmetic in normal form.

Arithmetic is exact as long as no intermediate leaves int64, which the checked products of
`core.limits` guarantee for dims. A divisor is taken to be other than 0 where it is not a literal.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.facts import is_positive, nonnegative, positive, within
from sardonyx.core.poly import Polynomial, combine, divide, from_polynomial, polynomial, times
from sardonyx.core.term import INDEX, Expr, const, index_rule, make, number


@index_rule("add")
def _add(a: Expr, b: Expr) -> Expr:
    total = combine(polynomial(a), polynomial(b))
    joined = _join_division(total) if len(total) > 1 else None
    return from_polynomial(total if joined is None else joined)


def _join_division(p: Polynomial) -> Polynomial | None:
    """r * (x // c) * c + r * (x % c) is r * x; None where there is no such pair."""
    atoms = {x for m in p for x in m}
    if not any(x.op == "floordiv" for x in atoms):
        return None
    for m, c in p.items():
        for at, atom in enumerate(m):
            if atom.op != "mod":
                continue
            x, divisor = atom.args
            factor = {m[:at] + m[at + 1 :]: c}
            whole = times(polynomial(_floordiv(x, divisor)), polynomial(divisor))
            whole = times(whole, factor)
            if whole and all(p.get(t) == k for t, k in whole.items()):
                rest = combine(combine(p, {m: c}, -1), whole, -1)
                joined = combine(rest, times(polynomial(x), factor))
                return _join_division(joined) or joined
    return None


@index_rule("sub")
def _sub(a: Expr, b: Expr) -> Expr:
    return from_polynomial(combine(polynomial(a), polynomial(b), -1))


@index_rule("mul")
def _mul(a: Expr, b: Expr) -> Expr:
    return from_polynomial(times(polynomial(a), polynomial(b)))


@index_rule("floordiv")
def _floordiv(a: Expr, b: Expr) -> Expr:
    x, by = number(a), number(b)
    if by == 0:
        return make("floordiv", (a, b), None, INDEX)
    if by == 1 or x == 0:
        return a
    if x is not None and by is not None:
        return const(x // by)
    q, r = _split_multiples(a, b)
    if within(r, b):
        return q
    if r.op == "floordiv" and is_positive(b):
        inner, first = r.args
        if is_positive(first):
            return _add(q, _floordiv(inner, _mul(first, b)))
    return _add(q, make("floordiv", (r, b), None, INDEX))


@index_rule("mod")
def _mod(a: Expr, b: Expr) -> Expr:
    x, by = number(a), number(b)
    if by == 0:
        return make("mod", (a, b), None, INDEX)
    if by == 1:
        return const(0)
    if x is not None and by is not None:
        return const(x % by)
    _, r = _split_multiples(a, b)
    if r.op == "mod" and by is not None:
        inner, first = r.args
        if is_positive(b) and is_positive(first) and first.arg % by == 0:
            return _mod(inner, b)
    if within(r, b):
        return r
    return make("mod", (r, b), None, INDEX)


def _split_multiples(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """(q, r) with a == q * b + r; by a literal, no term of r is a multiple of it."""
    by = number(b)
    if by is None:
        return divide(a, b)
    quotient: Polynomial = {}
    rest: Polynomial = {}
    for m, c in polynomial(a).items():
        q, r = divmod(c, by)
        if (m and r) or (not m and by < 0):
            q, r = 0, c
        quotient[m] = q
        rest[m] = r
    return from_polynomial(quotient), from_polynomial(rest)


@index_rule("truncdiv")
def _truncdiv(a: Expr, b: Expr) -> Expr:
    if nonnegative(a) and positive(b):
        return _floordiv(a, b)
    return make("truncdiv", (a, b), None, INDEX)


def _truth(value: bool) -> Expr:
    return const(value, DType.BOOL)


def _compare(op: str, a: Expr, b: Expr) -> Expr:
    strict = 1 if op == "lt" else 0
    gap = _sub(b, a)
    if gap.is_const:
        return _truth(gap.arg >= strict)
    if nonnegative(_sub(gap, const(strict))):
        return _truth(True)
    if nonnegative(_sub(const(strict - 1), gap)):
        return _truth(False)
    return make(op, (a, b), None, DType.BOOL)


@index_rule("lt")
def _lt(a: Expr, b: Expr) -> Expr:
    return _compare("lt", a, b)


@index_rule("le")
def _le(a: Expr, b: Expr) -> Expr:
    return _compare("le", a, b)


@index_rule("eq")
def _eq(a: Expr, b: Expr) -> Expr:
    gap = _sub(a, b)
    if gap.is_const:
        return _truth(gap.arg == 0)
    if positive(gap) or positive(_sub(b, a)):
        return _truth(False)
    return make("eq", (a, b), None, DType.BOOL)


@index_rule("ne")
def _ne(a: Expr, b: Expr) -> Expr:
    same = _eq(a, b)
    if same.is_const:
        return _truth(not same.arg)
    return make("ne", (a, b), None, DType.BOOL)


@index_rule("min")
def _min(a: Expr, b: Expr) -> Expr:
    return _choose("min", a, b)


@index_rule("max")
def _max(a: Expr, b: Expr) -> Expr:
    return _choose("max", a, b)


def _choose(op: str, a: Expr, b: Expr) -> Expr:
    gap = _sub(b, a)
    if nonnegative(gap):
        return a if op == "min" else b
    if nonnegative(_sub(a, b)):
        return b if op == "min" else a
    for x, y in ((a, b), (b, a)):
        if y.op in ("min", "max") and x in y.args:
            return y if y.op == op else x
    if b.key < a.key:
        a, b = b, a
    return make(op, (a, b), None, INDEX)

"""Sums of products: the normal form of int64 expressions.

A polynomial maps monomials (tuples of atoms sorted by key) to integer coefficients; an atom is any
int64 expression that is neither a sum nor a product nor a literal.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from sardonyx.core.term import INDEX, Expr, const, make

Monomial = tuple[Expr, ...]
Polynomial = dict[Monomial, int]
_by_key = attrgetter("key")


def polynomial(e: Expr) -> Polynomial:
    """The terms of an int64 expression."""
    out: Polynomial = {}
    for term in e.args if e.op == "add" else (e,):
        monomial, coefficient = _split(term)
        if coefficient:
            out[monomial] = out.get(monomial, 0) + coefficient
    return out


def _split(term: Expr) -> tuple[Monomial, int]:
    if term.op == "const":
        return (), term.arg
    if term.op != "mul":
        return (term,), 1
    first = term.args[0]
    if first.op == "const":
        return term.args[1:], first.arg
    return term.args, 1


def from_polynomial(p: Polynomial) -> Expr:
    """The expression with these terms."""
    terms = [_term(m, c) for m, c in sorted(p.items(), key=order) if c]
    if not terms:
        return const(0)
    return terms[0] if len(terms) == 1 else make("add", tuple(terms), None, INDEX)


def _term(monomial: Monomial, coefficient: int) -> Expr:
    if not monomial:
        return const(coefficient)
    if coefficient != 1:
        return make("mul", (const(coefficient), *monomial), None, INDEX)
    return monomial[0] if len(monomial) == 1 else make("mul", monomial, None, INDEX)


def order(item: tuple[Monomial, int]) -> tuple[int, list[bytes]]:
    """Where a term stands: higher degrees first, then by key."""
    monomial = item[0]
    return -len(monomial), [a.key for a in monomial]


def combine(p: Polynomial, q: Polynomial, scale: int = 1) -> Polynomial:
    """p + scale * q."""
    out = dict(p)
    for m, c in q.items():
        total = out.get(m, 0) + scale * c
        if total:
            out[m] = total
        else:
            out.pop(m, None)
    return out


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    """p * q."""
    out: Polynomial = {}
    for m, c in p.items():
        for n, d in q.items():
            key = tuple(sorted(m + n, key=_by_key)) if m and n else m + n
            out[key] = out.get(key, 0) + c * d
    return {m: c for m, c in out.items() if c}


def divide(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """(q, r) with a == q * b + r, taking out of `a` every multiple of `b` that shows."""
    divisor = polynomial(b)
    lead = min(divisor.items(), key=order)
    rest, quotient = polynomial(a), Polynomial()
    for _ in range(len(rest) + 4):
        part = _part(rest, lead)
        if part is None:
            break
        quotient = combine(quotient, part)
        rest = combine(rest, times(divisor, part), -1)
    return from_polynomial(quotient), from_polynomial(rest)


def _part(rest: Polynomial, lead: tuple[Monomial, int]) -> Polynomial | None:
    """The first term of `rest` that the term `lead` divides, divided."""
    by, d = lead
    for m, c in sorted(rest.items(), key=order):
        if c % d == 0:
            left = without(m, by)
            if left is not None:
                return {left: c // d}
    return None


def without(m: Monomial, by: Iterable[Expr]) -> Monomial | None:
    """The monomial m / by, None where `by` does not divide it."""
    rest = list(m)
    for atom in by:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def reordered(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """`e` with its operands renamed: in normal form where `e` is, and not simplified further."""
    if args == e.args:
        return e
    if e.dtype is INDEX and e.op in ("add", "mul", "min", "max"):
        if e.op == "add":
            terms = {_split(t): t for t in args}
            args = tuple(terms[item] for item in sorted(terms, key=order))
        elif e.op == "mul" and args[0].op == "const":
            args = (args[0], *sorted(args[1:], key=_by_key))
        else:
            args = tuple(sorted(args, key=_by_key))
    return make(e.op, args, e.arg, e.dtype)

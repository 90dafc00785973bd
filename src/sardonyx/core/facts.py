"""What can be proved about int64 expressions from their variables alone.

A symbol is at least its lower bound, a loop variable lies in [0, extent), a remainder below its
divisor. Every answer "yes" holds for all values; "no" means that no proof was found. Nothing is
looked for inside of what is nested very deep.
"""

from __future__ import annotations

import functools

from sardonyx.core.poly import Monomial, Polynomial, combine, from_polynomial, polynomial, times
from sardonyx.core.rewrite import substitute
from sardonyx.core.term import Expr, const, floordiv

# Nested distinctions of cases (min, max) in one proof, each of which doubles it.
_SPLITS = 3
# Expressions higher than this are not looked into: proofs recurse.
_DEEPEST = 32
# Terms, and factors of a term, of a polynomial that is shifted: its expansion doubles with each.
_WIDEST, _HIGHEST = 16, 6


def within(e: Expr, extent: Expr) -> bool:
    """Whether 0 <= e < extent is provable."""
    return nonnegative(e) and nonnegative(extent - bound(e, upper=True) - 1)


def positive(e: Expr) -> bool:
    """Whether e >= 1 is provable."""
    return nonnegative(e - 1)


@functools.lru_cache(1 << 15)
def nonnegative(e: Expr) -> bool:
    """Whether e >= 0 is provable."""
    if e.op == "const":
        return bool(e.arg >= 0)
    return _nonnegative(e, _SPLITS)


def _nonnegative(e: Expr, splits: int) -> bool:
    p = polynomial(bound(e, upper=False))
    if _rises(p) or _rises(_shifted(p)):
        return True
    if not splits:
        return False
    atoms = (x for m in p for x in m)
    chosen = next((x for x in atoms if x.op in ("min", "max") and x.height < _DEEPEST), None)
    return chosen is not None and _by_cases(p, chosen, splits - 1)


def _rises(p: Polynomial) -> bool:
    return all(c >= 0 and all(map(_atom_nonnegative, m)) for m, c in p.items())


def _shifted(p: Polynomial) -> Polynomial:
    """p in terms of what each atom has above the least it can be, so that n * m - n shows."""
    if len(p) > _WIDEST or any(len(m) > _HIGHEST for m in p):
        return p
    out: Polynomial = {}
    for m, c in p.items():
        part: Polynomial = {(): c}
        for x in m:
            part = times(part, {(x,): 1, (): _least(x)})
        out = combine(out, part)
    return out


def _least(x: Expr) -> int:
    if x.op == "var":
        return max(0, x.arg[1] or 0)
    if x.op == "max":
        return max(0, *(a.arg if a.is_const else 0 for a in x.args))
    return 0


def _by_cases(p: Polynomial, chosen: Expr, splits: int) -> bool:
    """A min or max is one of its operands; where only its own size counts, any of them will do."""
    side = -1 if chosen.op == "min" else 1
    around = [(m, c) for m, c in p.items() if chosen in m]
    if all(c * side > 0 and _cofactor(m, chosen) for m, c in around):
        cases = (_replace(p, chosen, a) for a in chosen.args)
        return any(_nonnegative(case, splits) for case in cases)
    whole = from_polynomial(p)
    cases = (substitute(whole, {chosen: a}) for a in chosen.args)
    return all(_nonnegative(case, splits) for case in cases)


def _replace(p: Polynomial, atom: Expr, by: Expr) -> Expr:
    out: Polynomial = {}
    for m, c in p.items():
        part: Polynomial = {(): c}
        for x in m:
            part = times(part, polynomial(by if x is atom else x))
        out = combine(out, part)
    return from_polynomial(out)


def _cofactor(m: Monomial, x: Expr) -> bool:
    """Whether the product of the other atoms of a monomial, x being one of it once, is >= 0."""
    return m.count(x) == 1 and all(y is x or _atom_nonnegative(y) for y in m)


def _atom_nonnegative(x: Expr) -> bool:
    if x.op == "var":
        return x.arg[1] is not None and x.arg[1] >= 0
    if x.height > _DEEPEST:
        return False
    match x.op:
        case "const":
            return bool(x.arg >= 0)
        case "mod":
            return positive(x.args[1])
        case "floordiv":
            return positive(x.args[1]) and nonnegative(x.args[0])
        case "max":
            return any(nonnegative(a) for a in x.args)
        case "min":
            return all(nonnegative(a) for a in x.args)
        case "where":
            return all(nonnegative(a) for a in x.args[1:])
        case "cast":
            source = x.args[0].dtype
            return source.is_int and not source.is_signed and source.bits < x.dtype.bits
    return False


@functools.lru_cache(1 << 15)
def bound(e: Expr, upper: bool) -> Expr:
    """An expression without loop variables that is >= e (upper) or <= e, where one is found.

    Loop variables remain where the sign of what multiplies them is not known.
    """
    out: Polynomial = {}
    for m, c in polynomial(e).items():
        limits = _limits(m, (c > 0) == upper)
        part: Polynomial = {(): c}
        for x in m:
            part = times(part, polynomial(limits.get(x, x)))
        out = combine(out, part)
    result = from_polynomial(out)
    again = result is not e and any(is_ranged(x) for m in polynomial(result) for x in m)
    return bound(result, upper) if again else result


def _limits(m: Monomial, upper: bool) -> dict[Expr, Expr]:
    """What to put in place of the atoms of a monomial that have a range."""
    ranged = [x for x in m if is_ranged(x)]
    if not ranged:
        return {}
    if len(ranged) == 1 and _cofactor(m, ranged[0]):
        return {ranged[0]: _limit(ranged[0], upper)}
    if not all(map(_atom_nonnegative, m)):
        return {}
    found = {x: _limit(x, upper) for x in ranged}
    if upper:
        return found
    return {x: y if nonnegative(y) else const(0) for x, y in found.items()}


def is_ranged(x: Expr) -> bool:
    """Whether an atom is a loop variable, a remainder, or a quotient of loop variables."""
    if x.op == "var":
        return bool(x.args)
    if x.height > _DEEPEST:
        return False
    if x.op == "mod":
        return positive(x.args[1])
    if x.op != "floordiv" or not is_positive(x.args[1]):
        return False
    return any(v.args for v in x.args[0].free)


def is_positive(e: Expr) -> bool:
    """Whether this is a literal above 0."""
    return e.is_const and e.arg > 0


def _limit(x: Expr, upper: bool) -> Expr:
    if x.op == "floordiv":
        return floordiv(bound(x.args[0], upper), x.args[1])
    if not upper:
        return const(0)
    return (x.args[0] if x.op == "var" else x.args[1]) - 1

"""Index arithmetic: int64 expressions as polynomials with floor-division and modulo.

A polynomial is a mapping from monomial (a sorted tuple of atoms) to integer coefficient. Facts
come from the variables: a symbol is at least its lower bound, a loop variable lies in [0, extent).
Arithmetic is exact as long as no intermediate leaves int64, which the checked products of
`core.limits` guarantee for dims.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.term import INDEX, Expr, const, index_rule, make, number

Monomial = tuple[Expr, ...]
Polynomial = dict[Monomial, int]


def polynomial(e: Expr) -> Polynomial:
    """The terms of an int64 expression in normal form."""
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
    if term.args[0].op == "const":
        return term.args[1:], term.args[0].arg
    return term.args, 1


def from_polynomial(p: Polynomial) -> Expr:
    """The expression in normal form with these terms."""
    terms = []
    for monomial, c in sorted(p.items(), key=_order):
        if c == 0:
            continue
        if not monomial:
            terms.append(const(c))
        elif c == 1 and len(monomial) == 1:
            terms.append(monomial[0])
        else:
            parts = monomial if c == 1 else (const(c), *monomial)
            terms.append(make("mul", parts, None, INDEX))
    if not terms:
        return const(0)
    return terms[0] if len(terms) == 1 else make("add", tuple(terms), None, INDEX)


def _order(item: tuple[Monomial, int]) -> tuple[int, list[bytes]]:
    return -len(item[0]), [a.key for a in item[0]]


def _combine(p: Polynomial, q: Polynomial, scale: int) -> Polynomial:
    out = dict(p)
    for m, c in q.items():
        total = out.get(m, 0) + scale * c
        if total:
            out[m] = total
        else:
            out.pop(m, None)
    return out


def _times(p: Polynomial, q: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for m, c in p.items():
        for n, d in q.items():
            key = tuple(sorted(m + n, key=lambda a: a.key)) if m and n else m + n
            out[key] = out.get(key, 0) + c * d
    return {m: c for m, c in out.items() if c}


@index_rule("add")
def _add(a: Expr, b: Expr) -> Expr:
    total = _combine(polynomial(a), polynomial(b), 1)
    joined = _join_division(total) if len(total) > 1 else None
    return from_polynomial(joined or total)


def _join_division(p: Polynomial) -> Polynomial | None:
    """(x // c) * c + x % c is x."""
    for m, c in p.items():
        if len(m) != 1 or m[0].op != "mod":
            continue
        x, divisor = m[0].args
        quotient = _floordiv(x, divisor)
        whole = _times(polynomial(quotient), polynomial(divisor))
        if whole and all(p.get(t) == k * c for t, k in whole.items()):
            rest = _combine(_combine(p, {m: c}, -1), whole, -c)
            return _combine(rest, polynomial(x), c)
    return None


@index_rule("sub")
def _sub(a: Expr, b: Expr) -> Expr:
    return from_polynomial(_combine(polynomial(a), polynomial(b), -1))


@index_rule("mul")
def _mul(a: Expr, b: Expr) -> Expr:
    return from_polynomial(_times(polynomial(a), polynomial(b)))


def _divide_monomial(m: Monomial, c: int, by: Monomial, d: int) -> tuple[Monomial, int] | None:
    if d == 0 or c % d:
        return None
    rest = list(m)
    for atom in by:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest), c // d


def divide(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """(q, r) with a == q * b + r, taking out of `a` every multiple of `b` that shows."""
    divisor = polynomial(b)
    lead, coefficient = min(divisor.items(), key=_order)
    rest, quotient = polynomial(a), Polynomial()
    for _ in range(len(rest) + 4):
        for m, c in sorted(rest.items(), key=_order):
            part = _divide_monomial(m, c, lead, coefficient)
            if part is not None:
                break
        else:
            break
        quotient = _combine(quotient, {part[0]: part[1]}, 1)
        rest = _combine(rest, _times(divisor, {part[0]: part[1]}), -1)
    return from_polynomial(quotient), from_polynomial(rest)


@index_rule("floordiv")
def _floordiv(a: Expr, b: Expr) -> Expr:
    if number(b) == 0:
        return make("floordiv", (a, b), None, INDEX)
    if a.is_const and b.is_const:
        return const(a.arg // b.arg)
    if number(b) == 1 or number(a) == 0:
        return a
    q, r = _split_multiples(a, b)
    if within(r, b):
        return q
    if r.op == "floordiv" and _positive_const(r.args[1]) and _positive_const(b):
        return _add(q, _floordiv(r.args[0], _mul(r.args[1], b)))
    return _add(q, make("floordiv", (r, b), None, INDEX))


@index_rule("mod")
def _mod(a: Expr, b: Expr) -> Expr:
    if number(b) == 0:
        return make("mod", (a, b), None, INDEX)
    if a.is_const and b.is_const:
        return const(a.arg % b.arg)
    if number(b) == 1:
        return const(0)
    _, r = _split_multiples(a, b)
    return r if within(r, b) else make("mod", (r, b), None, INDEX)


def _split_multiples(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    if not b.is_const:
        return divide(a, b)
    quotient, rest, divisor = Polynomial(), Polynomial(), b.arg
    for m, c in polynomial(a).items():
        q = c // divisor if m or divisor > 0 else 0
        r = c - q * divisor
        if m and q and r:
            q, r = 0, c
        quotient[m], rest[m] = q, r
    return from_polynomial(quotient), from_polynomial(rest)


def _positive_const(e: Expr) -> bool:
    return e.is_const and e.arg > 0


def within(e: Expr, extent: Expr) -> bool:
    """Whether 0 <= e < extent is provable."""
    return nonnegative(e) and nonnegative(_sub(_sub(extent, bound(e, upper=True)), const(1)))


def nonnegative(e: Expr) -> bool:
    """Whether e >= 0 is provable from the facts of its variables."""
    p = polynomial(bound(e, upper=False))
    if all(c >= 0 and all(_atom_nonnegative(x) for x in m) for m, c in p.items()):
        return True
    # A symbol is at least 1, so p(s) >= p(1) when every non-constant coefficient is >= 0.
    rising = all(c >= 0 for m, c in p.items() if m)
    return rising and all(_at_least_one(x) for m in p for x in m) and sum(p.values()) >= 0


def _at_least_one(x: Expr) -> bool:
    return x.op == "var" and not x.args and x.arg[1] is not None and x.arg[1] >= 1


def _atom_nonnegative(x: Expr) -> bool:
    if x.op == "var":
        return x.arg[1] is not None and x.arg[1] >= 0
    if x.op == "mod":
        return _positive(x.args[1])
    if x.op == "floordiv":
        return _positive(x.args[1]) and nonnegative(x.args[0])
    if x.op == "max":
        return any(nonnegative(a) for a in x.args)
    return x.op == "min" and all(nonnegative(a) for a in x.args)


def _positive(e: Expr) -> bool:
    return nonnegative(_sub(e, const(1)))


def bound(e: Expr, upper: bool) -> Expr:
    """An expression without loop variables that is >= e (upper) or <= e, where one is known."""
    out = Polynomial()
    for m, c in polynomial(e).items():
        want_upper = (c > 0) == upper
        part: Polynomial = {(): c}
        loops = [x for x in m if _is_bounded(x)]
        if len(loops) > 1 and not all(_atom_nonnegative(x) for x in m):
            loops = []
        for x in m:
            limit = _extreme(x, want_upper) if x in loops else x
            part = _times(part, polynomial(limit))
        out = _combine(out, part, 1)
    result = from_polynomial(out)
    return result if result is e or not _has_loop(result) else bound(result, upper)


def _has_loop(e: Expr) -> bool:
    return any(_is_bounded(x) for m in polynomial(e) for x in m)


def _is_bounded(x: Expr) -> bool:
    if x.op == "var":
        return bool(x.args)
    if x.op == "mod":
        return _positive(x.args[1])
    divided = x.op == "floordiv" and _positive_const(x.args[1])
    return divided and any(v.args for v in x.args[0].free)


def _extreme(x: Expr, upper: bool) -> Expr:
    if x.op == "floordiv":
        return _floordiv(bound(x.args[0], upper), x.args[1])
    if not upper:
        return const(0)
    return _sub(x.args[0] if x.op == "var" else x.args[1], const(1))


def _compare(op: str, a: Expr, b: Expr) -> Expr:
    if a.is_const and b.is_const:
        return const(a.arg < b.arg if op == "lt" else a.arg <= b.arg, DType.BOOL)
    gap = 1 if op == "lt" else 0
    if nonnegative(_sub(_sub(b, a), const(gap))):
        return const(True, DType.BOOL)
    if nonnegative(_sub(_sub(a, b), const(1 - gap))):
        return const(False, DType.BOOL)
    return make(op, (a, b), None, DType.BOOL)


@index_rule("lt")
def _lt(a: Expr, b: Expr) -> Expr:
    return _compare("lt", a, b)


@index_rule("le")
def _le(a: Expr, b: Expr) -> Expr:
    return _compare("le", a, b)


@index_rule("eq")
def _eq(a: Expr, b: Expr) -> Expr:
    difference = _sub(a, b)
    if difference.is_const:
        return const(difference.arg == 0, DType.BOOL)
    if _positive(difference) or _positive(_sub(b, a)):
        return const(False, DType.BOOL)
    return make("eq", (a, b), None, DType.BOOL)


@index_rule("ne")
def _ne(a: Expr, b: Expr) -> Expr:
    same = _eq(a, b)
    if same.is_const:
        return const(not same.arg, DType.BOOL)
    return make("ne", (a, b), None, DType.BOOL)


@index_rule("min")
def _min(a: Expr, b: Expr) -> Expr:
    return _choose("min", a, b)


@index_rule("max")
def _max(a: Expr, b: Expr) -> Expr:
    return _choose("max", a, b)


def _choose(op: str, a: Expr, b: Expr) -> Expr:
    if nonnegative(_sub(b, a)):
        return a if op == "min" else b
    if nonnegative(_sub(a, b)):
        return b if op == "min" else a
    for x, y in ((a, b), (b, a)):
        if y.op in ("min", "max") and x in y.args:
            return y if y.op == op else x
    first, second = sorted((a, b), key=lambda x: x.key)
    return make(op, (first, second), None, INDEX)


@index_rule("truncdiv")
def _truncdiv(a: Expr, b: Expr) -> Expr:
    if nonnegative(a) and _positive(b):
        return _floordiv(a, b)
    return make("truncdiv", (a, b), None, INDEX)

"""Whether an access stays inside: proofs from ranges and guards, and what is left for binding.

    where(0 <= i - 2, b[i - 2], 0)   for i < N        inside b of size N by its guard
    b[i]                             for i < N        inside b of size M if M - N >= 0

An access that no proof reaches with symbols is tried again with the numbers that a feed gives
them, at last element by element; one whose subscript comes from data has to be clamped.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import (
    INDEX,
    Expr,
    bound,
    const,
    divide,
    load,
    maximum,
    minimum,
    name_of,
    nonnegative,
    number,
    polynomial,
    scalar,
    substitute,
    transform,
    unary,
    var,
    walk,
)
from sardonyx.core.poly import Polynomial, combine, from_polynomial, without
from sardonyx.loops.ir import Contract, Fold, For, If, Kernel, Let, Stmt, Store, expressions

# Terms of a subscript up to which guards are tried on it, choices that are split into cases, and
# points up to which an access is looked at one by one (16 MiB of subscripts).
_WIDEST, _CASES, _POINTS = 24, 6, 1 << 21
# Attempts at one proof: what needs more is left to the numbers.
_ATTEMPTS = 64

Exprs = tuple[Expr, ...]


@dataclass(frozen=True)
class Access:
    """A subscript of something `extent` long, for all values of `loops` for which `guards` hold."""

    index: Expr
    extent: Expr
    loops: Exprs = ()
    guards: Exprs = ()

    @property
    def dims(self) -> frozenset[Expr]:
        """The symbols of the model that the access depends on."""
        parts = (self.index, self.extent, *self.guards, *(v.args[0] for v in self.loops))
        return frozenset(v for e in parts for v in e.free if not v.args)

    @property
    def is_of_data(self) -> bool:
        """Whether the subscript depends on what is in memory."""
        return _is_of_data(self.index)


def _is_of_data(e: Expr) -> bool:
    return any(x.op in ("load", "reduce") for x in walk(e))


def loads(e: Expr, loops: Exprs = (), guards: Exprs = ()) -> Iterator[tuple[Expr, Exprs, Exprs]]:
    """Every load in an expression with the reductions and the conditions it stands under."""
    seen: set[tuple[Expr, Exprs, Exprs]] = set()
    stack = [(e, loops, guards)]
    reading: set[Expr] = set()
    for x in walk(e):
        if x.op == "load" or not reading.isdisjoint(x.args):
            reading.add(x)
    while stack:
        x, inside, under = found = stack.pop()
        if x not in reading or found in seen:
            continue
        seen.add(found)
        if x.op == "load":
            yield found
        if x.op == "where":
            condition, yes, no = x.args
            stack.append((condition, inside, under))
            stack.append((yes, inside, (*under, condition)))
            stack.append((no, inside, (*under, unary("not", condition))))
        elif x.op == "reduce":
            stack.append((x.args[1], (*inside, x.args[0]), under))
        else:
            stack.extend((a, inside, under) for a in x.args)


# What a kernel touches.


def accesses(kernel: Kernel) -> Iterator[tuple[int, Access]]:
    """Every load and store of a raw kernel with its buffer, names of values being looked through.

    Raises TypeError for a scheduled kernel.
    """
    return _Walk(kernel, {}).block(kernel.body, (), ())


# How the names begin that `_flat` gives; no identifier has a blank.
_PLACE = "at "


def _flat(e: Expr) -> Expr:
    """The same with places in memory as names, since no proof looks into memory."""

    def named(x: Expr) -> Expr | None:
        if x.op != "load" or not x.args or x.args[0].op == "var":
            return None
        return load(x.arg, [scalar(f"{_PLACE}{x.key.hex()}", INDEX)], x.dtype)

    return transform(e, named)


Touched = Iterator[tuple[int, Access]]


@dataclass(frozen=True)
class _Walk:
    """What statements touch; `names` are the values that `let` has named so far."""

    kernel: Kernel
    names: dict[Expr, Expr]

    def block(self, body: Iterable[Stmt], loops: Exprs, guards: Exprs) -> Touched:
        inner = _Walk(self.kernel, dict(self.names))
        for s in body:
            yield from inner.statement(s, loops, guards)

    def read(self, exprs: Iterable[Expr], loops: Exprs, guards: Exprs) -> Touched:
        for e in exprs:
            for x, inside, under in loads(substitute(e, self.names), loops, guards):
                at = x.args[0]
                if at.op == "var" and not at.args and name_of(at).startswith(_PLACE):
                    continue  # It was looked at where the value was named.
                yield x.arg, Access(x.args[0], self.size(x.arg), inside, under)

    def size(self, buffer: int) -> Expr:
        return self.kernel.buffers[buffer].size

    def statement(self, s: Stmt, loops: Exprs, guards: Exprs) -> Touched:
        match s:
            case For():
                yield from self.read((s.extent,), loops, guards)
                yield from self.block(s.body, (*loops, s.var), guards)
            case If():
                yield from self.branch(s, loops, guards)
            case Let():
                yield from self.read((s.value,), loops, guards)
                self.names[s.var] = _flat(substitute(s.value, self.names))
            case Fold():
                yield from self.read(expressions(s), (*loops, *s.vars), guards)
            case Store():
                yield from self.read((s.index, s.value), loops, guards)
                at = substitute(s.index, self.names)
                yield s.buffer, Access(at, self.size(s.buffer), loops, guards)
            case Contract():
                inner = (*loops, *s.batch, *s.m, *s.n)
                yield from self.read((s.left, s.right), (*inner, *s.k), guards)
                yield from self.block(s.body, inner, guards)
            case _:
                raise TypeError(f"a raw kernel holds no {type(s).__name__}")

    def branch(self, s: If, loops: Exprs, guards: Exprs) -> Touched:
        yield from self.read((s.condition,), loops, guards)
        condition = substitute(s.condition, self.names)
        for test, side in ((condition, s.then), (unary("not", condition), s.other)):
            yield from self.block(side, loops, (*guards, test))


# Proofs.


def proof(access: Access) -> Exprs | None:
    """The expressions of dims that must be >= 0 for the access to be inside (none: it always is).

    None where no proof is found.
    """
    at = _flat(access.index)
    if at.op == "var" and at.args and at.args[0] is access.extent:
        return ()
    known = tuple(h for g in access.guards for h in _told(_flat(g), True))
    missing: dict[Expr, None] = {}
    for goal in (at, access.extent - 1 - at):
        if not _follows(goal, known, missing, _CASES):
            return None
    return tuple(missing)


def _told(condition: Expr, holds: bool) -> Iterator[Expr]:
    """What is >= 0 where a condition holds, or does not."""
    if condition.op == "not":
        yield from _told(condition.args[0], not holds)
    elif (condition.op == "and" and holds) or (condition.op == "or" and not holds):
        for a in condition.args:
            yield from _told(a, holds)
    elif condition.op in ("lt", "le", "eq") and condition.args[0].dtype is INDEX:
        a, b = condition.args
        if condition.op == "eq":
            yield from (a - b, b - a) if holds else ()
        elif holds:
            yield b - a - (1 if condition.op == "lt" else 0)
        else:
            yield a - b - (1 if condition.op == "le" else 0)


def _follows(goal: Expr, known: Exprs, missing: dict[Expr, None], cases: int) -> bool:
    """Whether goal >= 0 follows from the ranges of variables and from what is >= 0.

    Where it does if something about dims alone is >= 0, that is added to `missing`.
    """
    terms = polynomial(goal)
    if any(_exceeds(terms, h) for h in reversed(known)) or nonnegative(goal):
        return True
    choice = next((x for x in walk(goal) if x.op == "where"), None)
    if choice is not None and cases:
        return _by_cases(goal, choice, known, missing, cases - 1)
    reached = []
    attempts = itertools.islice(_less(goal, (*known, *_quotients(goal, known))), _ATTEMPTS)
    for smaller in (goal, *attempts):
        reached.append(_lowered(smaller))
        if nonnegative(smaller) or nonnegative(reached[-1]):
            return True
    hopeful = [e for e in reached if _is_of_dims(e) and not e.is_const]
    missing.update(dict.fromkeys(hopeful[:1]))
    return bool(hopeful)


def _exceeds(terms: Polynomial, h: Expr) -> bool:
    """Whether terms are those of h and perhaps a positive number more: so joins of many tensors
    follow from the guard that is nearest, however wide it is.
    """
    rest = combine(terms, polynomial(h), -1)
    return not rest or (len(rest) == 1 and rest.get((), -1) >= 0)


def _is_of_dims(e: Expr) -> bool:
    dims = all(not v.args and v.arg[1] is not None for v in e.free)
    return dims and not _is_of_data(e)


def _by_cases(
    goal: Expr, choice: Expr, known: Exprs, missing: dict[Expr, None], cases: int
) -> bool:
    condition, yes, no = choice.args
    for holds, side in ((True, yes), (False, no)):
        told = (*known, *_told(condition, holds))
        facts = tuple(_replaced(h, choice, side) for h in told)
        if any((number(a + b) or 0) < 0 for a in facts for b in facts):
            continue
        if not _follows(_replaced(goal, choice, side), facts, missing, cases):
            return False
    return True


def _replaced(e: Expr, old: Expr, new: Expr) -> Expr:
    return transform(e, lambda x: new if x is old else None)


def _quotients(goal: Expr, known: Exprs) -> Iterator[Expr]:
    """The quotients in a goal that are >= 0 because what is divided is."""
    for x in {x for m in polynomial(goal) for x in m if x.op == "floordiv"}:
        e, divisor = x.args
        above = nonnegative(divisor - 1) and not nonnegative(e)
        if above and any(nonnegative(e - h) for h in known):
            yield x


def _less(goal: Expr, known: Exprs) -> Iterator[Expr]:
    """The goal less multiples of what is known to be >= 0, each taking an atom away."""
    if len(polynomial(goal)) > _WIDEST:
        return
    for n, h in enumerate(known):
        rest = known[:n] + known[n + 1 :]
        for factor in _factors(goal, h):
            smaller = goal - factor * h
            yield smaller
            yield from _less(smaller, rest)


def _factors(goal: Expr, h: Expr) -> Iterator[Expr]:
    """What to multiply h with so that taking it away removes one of its atoms from the goal."""
    for m, c in polynomial(h).items():
        if len(m) != 1:
            continue
        parts = _parted(goal, m[0])
        if parts is None or number(parts[0]) == 0:
            continue
        factor, left = divide(parts[0] * (1 if c > 0 else -1), const(abs(c)))
        if number(left) == 0 and m[0] not in factor.free and nonnegative(factor):
            yield factor


def _parted(e: Expr, atom: Expr) -> tuple[Expr, Expr] | None:
    """Factor and rest of e = factor * atom + rest; None where a term holds the atom twice."""
    factor: Polynomial = {}
    rest: Polynomial = {}
    for m, c in polynomial(e).items():
        left = without(m, (atom,)) if atom in m else None
        if left is None:
            rest[m] = c
        elif atom in left:
            return None
        else:
            factor[left] = factor.get(left, 0) + c
    return from_polynomial(factor), from_polynomial(rest)


def _lowered(goal: Expr) -> Expr:
    """An expression that is <= goal: loop variables, minima and maxima taken at their limits."""
    goal = bound(goal, upper=False)
    for _ in range(_WIDEST):
        atom = next((x for m in polynomial(goal) for x in m if x.op in ("min", "max")), None)
        parts = None if atom is None else _parted(goal, atom)
        if atom is None or parts is None:
            break
        factor, rest = parts
        rises, falls = nonnegative(factor), nonnegative(-1 * factor)
        limit = _limit(atom, upper=falls) if rises or falls else None
        if limit is None:
            break
        goal = bound(rest + factor * limit, upper=False)
    return goal


def _limit(e: Expr, upper: bool) -> Expr | None:
    """An expression of dims and loops that is >= e (upper) or <= e."""
    if e.op not in ("min", "max"):
        limit = bound(e, upper)
        return None if any(x.op in ("load", "min", "max", "cast") for x in walk(limit)) else limit
    sides = [_limit(a, upper) for a in e.args]
    known = [s for s in sides if s is not None]
    if (e.op == "max") is not upper:
        return known[0] if known else None
    if len(known) < len(sides):
        return None
    made = known[0]
    for s in known[1:]:
        made = maximum(made, s) if upper else minimum(made, s)
    return made


# Numbers.


def outside(access: Access, dims: Mapping[Expr, int]) -> int | None:
    """A subscript that is not inside for these dims; None where all are.

    OverflowError where that cannot be told: too many points, or an operation on data.
    """
    known = {s: const(n) for s, n in dims.items()}
    extent = substitute(access.extent, known)
    loops, guards = [], []
    for v in access.loops:
        trips = substitute(v.args[0], known)
        most = trips if trips.is_const else _limit(trips, upper=True)
        if most is not None and (number(most) or 0) < 1 and most.is_const:
            return None
        known[v] = var(name_of(v), most or trips)
        loops.append(known[v])
        if most is not trips:
            guards.append(known[v] < trips)
    guards += [substitute(g, known) for g in access.guards]
    made = Access(substitute(access.index, known), extent, tuple(loops), tuple(guards))
    return None if proof(made) == () else _search(made)


def _search(access: Access) -> int | None:
    guards = [g for g in access.guards if not _is_of_data(g)]
    used = {v for e in (access.index, *guards) for v in e.free}
    loops = [v for v in access.loops if v in used]
    extent = number(access.extent)
    sizes = [n for v in loops if (n := number(v.args[0])) is not None]
    if extent is None or access.is_of_data or len(sizes) < len(loops):
        raise OverflowError("it depends on more than dims")
    points = math.prod(sizes)
    if points > _POINTS:
        raise OverflowError(f"{points:,} subscripts are more than can be looked at")
    env = dict(zip(loops, np.indices(sizes, sparse=True), strict=True))
    at = np.broadcast_to(_evaluated(access.index, env), sizes)
    off = (at < 0) | (at >= extent)
    for g in guards:
        off = off & _evaluated(g, env)
    return int(at[off].flat[0]) if off.any() else None


def _evaluated(root: Expr, env: Mapping[Expr, Array]) -> Array:
    memo: dict[Expr, Array] = dict(env)
    for x in walk(root):
        if x in memo:
            continue
        if x.op == "const":
            memo[x] = np.asarray(x.arg)
            continue
        if x.op not in _MEANING:
            raise OverflowError(f"`{x.op}` is no arithmetic of dims")
        args = [memo[a] for a in x.args]
        found = args[0]
        if x.op == "where":
            found = np.where(*args)
        elif len(args) == 1:
            found = _MEANING[x.op](found)
        for a in args[1:] if x.op != "where" else ():
            found = _MEANING[x.op](found, a)
        memo[x] = found
    return memo[root]


_MEANING: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "mul": np.multiply,
    "sub": np.subtract,
    "floordiv": np.floor_divide,
    "mod": np.mod,
    "min": np.minimum,
    "max": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
}

"""From element expressions to raw kernels: loops, placed reductions, one store.

    value(i, j) = exp(x[i, j] - max_k x[i, k])

becomes

    for i:
        r1 = max over k of x[i * J + k]
        for j:
            out[i * J + j] = exp(x[i * J + j] - r1)

Each reduction sits at the shallowest loop that binds its variables, whatever expression it came
from; equal reductions are one. Buffers are named by strings until `close` numbers them.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sardonyx.core import operations
from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    INDEX,
    Expr,
    const,
    load,
    maximum,
    name_of,
    number,
    polynomial,
    product,
    rebuild,
    scalar,
    substitute,
    symbol,
    transform,
    unary,
    var,
    walk,
    where,
)
from sardonyx.core.operations import OPERATIONS, limits
from sardonyx.loops.ir import (
    Buffer,
    Contract,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Stmt,
    Store,
    Tile,
    children,
    expressions,
    statements,
)

Sizes = Mapping[str, tuple[DType, Expr]]


class Unplaceable(Exception):  # noqa: N818
    """The expression needs a loop structure that raw kernels do not have; args[0] says which."""


@dataclass(frozen=True)
class Closed:
    """A kernel with what it abstracted from: the buffers and dims its numbers stand for."""

    kernel: Kernel
    params: tuple[str, ...]
    symbols: tuple[Expr, ...]


def pointwise(out: str, loops: Sequence[Expr], index: Expr, value: Expr, sizes: Sizes) -> Closed:
    """The raw kernel storing `value` at `index` of buffer `out` for all the loops' subscripts.

    `loops` are loop variables, outermost first; `sizes` gives dtype and element count of every
    buffer that `value` loads, and of `out`. Raises Unplaceable.
    """
    split = _split_variables([index, value], loops)
    loops = [v for old in loops for v in split.get(old, ((old,), old))[0]]
    mapping = {old: whole for old, (_, whole) in split.items()}
    index, value = substitute(index, mapping), substitute(value, mapping)
    loops = _reduction_order(value, loops)
    levels, value = place(value, loops)
    body: tuple[Stmt, ...] = (*levels[len(loops)], Store(0, index, value))
    for depth in range(len(loops) - 1, -1, -1):
        body = (*levels[depth], For(loops[depth], body))
    return close(body, [out], sizes)


def _reduction_order(value: Expr, loops: Sequence[Expr]) -> list[Expr]:
    """Loops that reductions depend on go outside those they do not depend on."""
    needed: set[Expr] = set()
    for x in walk(value):
        if x.op == "reduce" and not all(v in x.free for v in loops):
            needed |= x.free & set(loops)
    return sorted(loops, key=lambda v: v not in needed)


def place(value: Expr, loops: Sequence[Expr]) -> tuple[list[list[Stmt]], Expr]:
    """Takes the reductions out of `value`: statements per loop depth, and what remains."""
    levels: list[list[Stmt]] = [[] for _ in range(len(loops) + 1)]
    depth_of = {v: d + 1 for d, v in enumerate(loops)}
    done: dict[Expr, Expr] = {}
    guards = _guards(value)

    def lift(x: Expr) -> Expr:
        if not _reduces(x):
            return x
        if x.op == "reduce":
            if x not in done:
                done[x] = fold(x)
            return done[x]
        return rebuild(x, tuple(lift(a) for a in x.args))

    def fold(x: Expr) -> Expr:
        variables, inner = [x.args[0]], x.args[1]
        while inner.op == "reduce" and inner.arg == x.arg:
            variables.append(inner.args[0])
            inner = inner.args[1]
        inner = lift(inner)
        own = inner.free & set(done.values())
        if any(_depends(levels, s, variables) for s in own):
            raise Unplaceable("a reduction inside another one that depends on its variable")
        for g in _common(guards[x]):
            inner = where(g, inner, identity(x.arg, x.dtype))
        var_ = scalar(f"a{len(done)}", x.dtype)
        free = _free(inner, levels) - set(variables)
        depth = max((depth_of[v] for v in free if v in depth_of), default=0)
        levels[depth].append(Fold(var_, x.arg, tuple(variables), inner))
        return var_

    return levels, lift(value)


def _guards(value: Expr) -> dict[Expr, set[tuple[Expr, ...]]]:
    """The conditions on subscripts that each reduction stands under, for each of its places.

    Only such conditions keep what it reads inside of memory; others would only hold it in loops.
    """
    found: dict[Expr, set[tuple[Expr, ...]]] = {}
    seen: set[tuple[Expr, tuple[Expr, ...]]] = set()
    stack: list[tuple[Expr, tuple[Expr, ...]]] = [(value, ())]
    while stack:
        x, guard = here = stack.pop()
        if here in seen or not _reduces(x):
            continue
        seen.add(here)
        if x.op == "reduce":
            found.setdefault(x, set()).add(guard)
        if x.op == "where":
            test, *sides = x.args
            stack.append((test, guard))
            for told, side in zip((test, unary("not", test)), sides, strict=True):
                stack.append((side, (*guard, *_of_subscripts(told))))
        else:
            stack.extend((a, guard) for a in x.args)
    return found


def _reduces(x: Expr) -> bool:
    return any(y.op == "reduce" for y in walk(x))


def _of_subscripts(told: Expr) -> tuple[Expr, ...]:
    """What holds of subscripts where a condition holds; what a reduction decides is not of them."""
    if told.op == "and":
        return tuple(x for a in told.args for x in _of_subscripts(a))
    tests = (x for x in walk(told) if x.dtype.is_bool and x.op != "load")
    of_them = any(a.dtype is INDEX for x in tests for a in x.args)
    return (told,) if of_them and not _reduces(told) else ()


def _common(guards: set[tuple[Expr, ...]]) -> tuple[Expr, ...]:
    """Conditions that hold where all of some guard do."""
    if len(guards) == 1:
        return next(iter(guards))
    if () in guards:
        return ()
    every = [functools.reduce(operator.and_, guard) for guard in sorted(guards, key=repr)]
    return (functools.reduce(operator.or_, every),)


def _free(e: Expr, levels: list[list[Stmt]]) -> set[Expr]:
    """Loop variables an expression depends on, through the accumulators it mentions."""
    by_var = {s.var: s for level in levels for s in level if isinstance(s, Fold)}
    found: set[Expr] = set()
    for v in e.free:
        if v in by_var:
            found |= _free(by_var[v].value, levels) - set(by_var[v].vars)
        else:
            found.add(v)
    return found


def _depends(levels: list[list[Stmt]], acc: Expr, variables: list[Expr]) -> bool:
    return bool(_free(acc, levels) & set(variables))


def identity(op: str, dtype: DType) -> Expr:
    """The value that leaves `op` unchanged."""
    return const(operations.identity(op, dtype), dtype)


def _split_variables(
    exprs: Sequence[Expr], loops: Sequence[Expr]
) -> dict[Expr, tuple[tuple[Expr, ...], Expr]]:
    """Loop variables read as v // c and v % c, c dividing the extent, become two loops."""
    found: dict[Expr, tuple[tuple[Expr, ...], Expr]] = {}
    for x in walk(*exprs):
        if x.op not in ("floordiv", "mod") or x.args[0] not in loops:
            continue
        v, c, extent = x.args[0], number(x.args[1]), number(x.args[0].args[0])
        if v in found or not c or not extent or extent % c:
            continue
        high, low = var(f"{name_of(v)}h", extent // c), var(f"{name_of(v)}l", c)
        found[v] = ((high, low), high * c + low)
    return found


def contraction(contract: Contract, out: str, sizes: Sizes) -> Closed:
    """The raw kernel of a Contract whose body stores to buffer `out`."""
    operands = [contract.left, contract.right]
    split = _split_variables(operands, contract.k)
    k = tuple(v for old in contract.k for v in split.get(old, ((old,), old))[0])
    mapping = {old: whole for old, (_, whole) in split.items()}
    left, right = (substitute(e, mapping) for e in operands)
    return close((replace(contract, k=k, left=left, right=right),), [out], sizes)


def close(
    body: tuple[Stmt, ...],
    params: Sequence[str],
    sizes: Sizes,
    outs: int = 1,
    scratch: tuple[Buffer, ...] = (),
) -> Closed:
    """Numbers buffers and symbols and renames loop variables in order of appearance.

    Loads name buffers by key or, as Stores do, by number: n < len(params) is params[n], of which
    the first `outs` are outputs; keys met for the first time become further params. An index that
    symbols give by way of another element type is a symbol of the kernel: who launches it computes
    such a size, once and with that type's rounding.
    """
    keys = list(params)
    names: dict[Expr, Expr] = {}
    symbols: list[Expr] = []
    count = [0]

    def visit(x: Expr) -> Expr | None:
        if x.op == "load":
            if isinstance(x.arg, str) and x.arg not in keys:
                keys.append(x.arg)
            number = keys.index(x.arg) if isinstance(x.arg, str) else x.arg
            return load(number, [rename(a) for a in x.args], x.dtype)
        if x.op != "var" and not _detours(x):
            return None
        if x not in names:
            names[x] = _renamed(x, rename, symbols, count)
        return names[x]

    def rename(e: Expr) -> Expr:
        return transform(e, visit)

    closed = tuple(map_statement(s, rename) for s in body)
    buffers = tuple(
        Buffer(n, sizes[key][0], rename(sizes[key][1]), "out" if n < outs else "in")
        for n, key in enumerate(keys)
    )
    kernel = Kernel(buffers, (), closed, const(0), scratch)
    kernel = replace(kernel, work=work_of(kernel), symbols=tuple(names[s] for s in symbols))
    return Closed(kernel, tuple(keys), tuple(symbols))


def _renamed(
    x: Expr, rename: Callable[[Expr], Expr], symbols: list[Expr], count: list[int]
) -> Expr:
    if x.op == "var" and x.args:
        extent = rename(x.args[0])
        count[0] += 1
        return var(f"i{count[0] - 1}", extent)
    lower = x.arg[1] if x.op == "var" else limits(INDEX)[0]
    if lower is None:
        return x
    symbols.append(x)
    return symbol(f"s{len(symbols) - 1}", lower)


def _detours(x: Expr) -> bool:
    """Whether this is an index made from symbols alone by way of other types than int64."""
    if x.dtype is not INDEX or x.op not in ("cast", "where") or not x.free:
        return False
    if any(v.args or v.arg[1] is None for v in x.free):
        return False
    passed = walk(x)
    return all(y.op not in ("load", "reduce") for y in passed) and any(
        y.dtype is not INDEX and not y.dtype.is_bool for y in passed
    )


def coefficient(index: Expr, v: Expr) -> int | None:
    """By how much a flat index moves when v moves by one; None unless a known integer."""
    total = 0
    for monomial, c in polynomial(index).items():
        if monomial == (v,):
            total += c
        elif any(v in atom.free for atom in monomial):
            return None
    return total


def mapped(body: Sequence[Stmt], known: Mapping[Expr, Expr]) -> tuple[Stmt, ...]:
    """Statements with expressions replaced in them."""

    def on(e: Expr) -> Expr:
        return transform(e, known.get)

    return tuple(map_statement(s, on) for s in body)


def map_statement(
    stmt: Stmt, on: Callable[[Expr], Expr], buffer: Callable[[int], int] = lambda n: n
) -> Stmt:
    """A statement with every expression replaced by on(expression), inner ones included."""

    def inner(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(map_statement(s, on, buffer) for s in body)

    def each(exprs: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(on(e) for e in exprs)

    match stmt:
        case For():
            return For(on(stmt.var), inner(stmt.body), stmt.kind)
        case Let():
            return Let(on(stmt.var), on(stmt.value))
        case Fold():
            return replace(stmt, var=on(stmt.var), vars=each(stmt.vars), value=on(stmt.value))
        case Store():
            return Store(buffer(stmt.buffer), on(stmt.index), on(stmt.value))
        case If():
            return If(on(stmt.condition), inner(stmt.then), inner(stmt.other))
        case Contract():
            return Contract(
                each(stmt.batch),
                each(stmt.m),
                each(stmt.n),
                each(stmt.k),
                on(stmt.acc),
                on(stmt.left),
                on(stmt.right),
                inner(stmt.body),
            )
        case Tile():
            return _map_tile(stmt, on, buffer, inner)
    raise TypeError(f"a {type(stmt).__name__} belongs to the stage `vector`")


def _map_tile(
    t: Tile,
    on: Callable[[Expr], Expr],
    buffer: Callable[[int], int],
    inner: Callable[[tuple[Stmt, ...]], tuple[Stmt, ...]],
) -> Tile:
    return Tile(
        on(t.acc),
        t.rows,
        t.cols,
        on(t.depth),
        buffer(t.a),
        on(t.a_at),
        on(t.a_stride),
        buffer(t.b),
        on(t.b_at),
        on(t.b_stride),
        on(t.row),
        on(t.col),
        on(t.valid_rows),
        on(t.valid_cols),
        inner(t.body),
        None if t.start is None else on(t.start),
    )


_LEAVES = {"load": 1, "const": 0, "var": 0}


def cost(e: Expr) -> int:
    """The estimated float operations of evaluating an element once, index arithmetic excluded."""
    total = 0
    stack, seen = [e], {e}
    while stack:
        x = stack.pop()
        total += _LEAVES[x.op] if x.op in _LEAVES else _cost(x)
        if x.op == "load":
            continue
        for a in x.args:
            if a not in seen:
                seen.add(a)
                stack.append(a)
    return total


def _cost(x: Expr) -> int:
    row = OPERATIONS.get(x.op)
    return 1 if row is None or x.dtype is INDEX else row.cost


def work_of(kernel: Kernel) -> Expr:
    """An estimate of the operations a kernel does, as an expression of its symbols."""
    total = const(0)

    def visit(body: tuple[Stmt, ...], times: Expr) -> None:
        nonlocal total
        for s in body:
            if isinstance(s, For):
                visit(s.body, times * _outer(s.extent))
            elif isinstance(s, Fold):
                trips = product(_outer(v.args[0]) for v in s.vars)
                total = total + times * trips * (cost(s.value) + 1)
            elif isinstance(s, Contract):
                loops = (*s.batch, *s.m, *s.n, *s.k)
                total = total + times * product(_outer(v.args[0]) for v in loops) * 2
            elif isinstance(s, Store | Let):
                total = total + times * (cost(s.value) + 1)
            else:
                visit(children(s), times)

    visit(kernel.body, const(1))
    return total


def _outer(extent: Expr) -> Expr:
    """An extent at the first or last trip of the loops around it, whichever makes it larger."""
    extent = transform(extent, _most)
    if _is_of_data(extent):
        return const(1)
    around = [v for v in extent.free if v.args]
    if not around:
        # Multiplied out with others, a difference would leave terms below 0.
        whole = all(c >= 0 for c in polynomial(extent).values())
        return extent if whole else maximum(extent, 0)
    first = substitute(extent, dict.fromkeys(around, const(0)))
    last = substitute(extent, {v: _outer(v.args[0]) - 1 for v in around})
    slopes = {_slope(extent, v) for v in around}
    if slopes <= {-1, 0}:
        return maximum(first, 0)
    return maximum(last if slopes <= {0, 1} else maximum(first, last), 0)


def _slope(e: Expr, v: Expr) -> int | None:
    """Whether an extent grows with a variable (1), falls (-1) or stays (0), where that is plain."""
    if e.op in ("min", "max"):
        found = {_slope(a, v) for a in e.args} - {0}
        return found.pop() if len(found) == 1 else None if found else 0
    by = coefficient(e, v)
    return None if by is None else (by > 0) - (by < 0)


def _most(e: Expr) -> Expr | None:
    """What is known of a minimum one side of which depends on data."""
    known = [a for a in e.args if not _is_of_data(a)] if e.op == "min" else ()
    return known[0] if len(known) == 1 and len(e.args) == 2 else None


def _is_of_data(e: Expr) -> bool:
    return any(x.op == "load" or (x.op == "var" and x.arg[1] is None) for x in walk(e))


__all__ = [
    "Closed",
    "Sizes",
    "Unplaceable",
    "close",
    "coefficient",
    "contraction",
    "cost",
    "expressions",
    "identity",
    "map_statement",
    "mapped",
    "place",
    "pointwise",
    "statements",
    "work_of",
]

"""Loop nests without a template: elementwise, reductions on rows, gathers, pooling.

    for i: for j: for k: S        becomes        parallel p: (i, j) from p; vector k: S

Adjacent loops that every subscript treats as one become one, those of a reduction too; the loops
outside the innermost store are one parallel loop; the loop along which memory is contiguous runs in
vector lanes, be it one of the store's or of a reduction. Where it reads crosswise to what it
stores, blocks of both are turned. One flat loop is cut into blocks so that threads share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sardonyx.core.expr import (
    Expr,
    const,
    load,
    minimum,
    name_of,
    number,
    product,
    substitute,
    var,
    walk,
)
from sardonyx.kernels.ranges import in_ranges
from sardonyx.loops.build import coefficient, cost, mapped
from sardonyx.loops.ir import Fold, For, Kernel, LoopKind, Stmt, Store, expressions, statements
from sardonyx.loops.target import Target
from sardonyx.loops.vector.turn import crossing, width_of

# Elements of a task of a flat loop: 16 KiB of float32, half of a first-level cache for what is read
# and half for what is written.
_BLOCK = 4096
# Those where each is a reduction: threads share them, and a vector's latency is hidden by others.
_COLUMNS = 512
# Trips of a reduction from which its own lanes, joined at the end of each row, beat lanes that read
# an element of a row each: joining takes about four steps of an add and a move.
_ROW = 8
# Operations of an element from which it is kept instead of computed again: about those of exp.
_DEAR = 8
# Bytes of a line of the cache, and rows that are turned at once where its elements are large.
_LINE, _ROWS = 64, 16
# Elements from one lane to the next up to which whole vectors are read and permuted.
_NEAR = 4


def nest(kernel: Kernel, target: Target) -> Kernel | str:
    """Schedules a raw nest of serial loops; the reason where the kernel is not one."""
    if not all(isinstance(s, For | Fold | Store) for s in statements(kernel.body)):
        return "the kernel holds more than loops, folds and stores"
    if any(isinstance(s, For) and s.kind != "serial" for s in statements(kernel.body)):
        return "the kernel says how its loops are to run"
    loops, pre, body = _unnest(_folds(kernel.body, _merged))
    if not loops:
        return replace(kernel, body=_folds(body, _in_lanes))
    loops, pre, body = _kept(*_merge(loops, pre, body))
    return replace(kernel, body=_schedule(loops, pre, body, target))


def _unnest(body: tuple[Stmt, ...]) -> tuple[list[Expr], list[tuple[Stmt, ...]], tuple[Stmt, ...]]:
    """The chain of perfectly or imperfectly nested loops: variables, statements before each."""
    loops: list[Expr] = []
    pre: list[tuple[Stmt, ...]] = []
    while body and isinstance(body[-1], For):
        pre.append(body[:-1])
        loop = body[-1]
        loops.append(loop.var)
        body = loop.body
    return loops, pre, body


def _all_exprs(body: Sequence[Stmt]) -> list[Expr]:
    return [e for s in statements(tuple(body)) for e in expressions(s)]


def _merge(
    loops: list[Expr], pre: list[tuple[Stmt, ...]], body: tuple[Stmt, ...]
) -> tuple[list[Expr], list[tuple[Stmt, ...]], tuple[Stmt, ...]]:
    """Fuses each loop with the one inside it where no subscript can tell the difference."""
    depth = len(loops) - 2
    while depth >= 0:
        outer, inner = loops[depth], loops[depth + 1]
        if not pre[depth + 1] and not inner.args[0].free & set(loops):
            flat = var(f"{name_of(outer)}f", outer.args[0] * inner.args[0])
            mapping = {outer: flat // inner.args[0], inner: flat % inner.args[0]}
            rest = (*(s for p in pre[depth + 2 :] for s in p), *body)
            if not _splits(mapped(rest, mapping), flat):
                pre = [mapped(p, mapping) for p in pre]
                body = mapped(body, mapping)
                loops[depth : depth + 2] = [flat]
                pre[depth : depth + 2] = [pre[depth]]
                depth = min(depth, len(loops) - 2)
                continue
        depth -= 1
    return loops, pre, body


def _kept(
    loops: list[Expr], pre: list[tuple[Stmt, ...]], body: tuple[Stmt, ...]
) -> tuple[list[Expr], list[tuple[Stmt, ...]], tuple[Stmt, ...]]:
    """What a reduction computes of each element, and the store again, is kept where that goes."""
    folds, store = pre[-1], body[0]
    if len(body) > 1 or not isinstance(store, Store) or not pre[-1]:
        return loops, pre, body
    v = loops[-1]
    for n, s in enumerate(folds):
        if not isinstance(s, Fold) or len(s.vars) > 1 or s.vars[0].args != v.args:
            continue
        k = s.vars[0]
        again = _dearest(s.value, k, v, store.value)
        if again is None or again.dtype is not store.value.dtype:
            continue
        place = load(store.buffer, [store.index], again.dtype)
        taken = {substitute(again, {v: k}): substitute(place, {v: k})}
        reads = replace(s, value=substitute(s.value, taken))
        fills = For(v, (Store(store.buffer, store.index, again),))
        value = substitute(store.value, {again: place})
        rest = (*folds[:n], fills, reads, *folds[n + 1 :])
        return loops, [*pre[:-1], rest], (Store(store.buffer, store.index, value),)
    return loops, pre, body


def _dearest(value: Expr, k: Expr, v: Expr, wanted: Expr) -> Expr | None:
    """What a reduction over k computes of its element and `wanted` of that at v, if it is dear."""
    known = set(walk(wanted))
    found = [e for x in walk(value) if (e := substitute(x, {k: v})) in known and v in e.free]
    best = max(found, key=cost, default=None)
    return best if best is not None and cost(best) >= _DEAR else None


def _splits(body: Sequence[Stmt], flat: Expr) -> bool:
    return _divides(_all_exprs(body), flat)


def _divides(exprs: Sequence[Expr], v: Expr) -> bool:
    return any(x.op in ("floordiv", "mod") and v in x.free for x in walk(*exprs))


def _schedule(
    loops: list[Expr], pre: list[tuple[Stmt, ...]], body: tuple[Stmt, ...], target: Target
) -> tuple[Stmt, ...]:
    lane = _lane(loops, pre, body)
    if lane is not None and _in_rows(loops[lane], pre[lane + 1 :], body):
        pre = [_folds(p, _in_lanes) for p in pre]
        return (*pre[0], *_parallel(loops, pre[1:], _folds(body, _in_lanes)))
    if len(loops) == 1 and not pre[0]:
        return _blocks(loops[0], body)
    across = None if lane is None or any(pre) else _across(loops, body, loops[lane])
    if lane is not None and across is not None:
        return _turned(loops, body, across, loops[lane])
    if lane is None or lane == len(loops) - 1:
        kind: LoopKind = "serial" if lane is None else "vector"
        before = [replace(s, kind=kind) if isinstance(s, For) else s for s in pre[-1]]
        rows: tuple[Stmt, ...] = (For(loops[-1], body),)
        if kind == "vector":
            rows = in_ranges(loops[-1], body, target)
        inner: tuple[Stmt, ...] = (*_folds(before, _in_lanes), *rows)
        return (*pre[0], *_parallel(loops[:-1], pre[1:-1], inner)) if len(loops) > 1 else inner
    return _lanes_outside(loops, pre, body, lane)


def _lanes_outside(
    loops: list[Expr], pre: list[tuple[Stmt, ...]], body: tuple[Stmt, ...], lane: int
) -> tuple[Stmt, ...]:
    """Rows whose reduction runs over a strided axis: lanes over the row, serial loops inside."""
    for depth in range(len(loops) - 1, lane, -1):
        body = (*pre[depth], For(loops[depth], body))
    if lane == 0:
        return (*pre[0], *_blocks(loops[0], body))
    core = (*pre[lane], For(loops[lane], body, "vector"))
    return (*pre[0], *_parallel(loops[:lane], pre[1:lane], core))


def _folds(body: Sequence[Stmt], on: Callable[[Fold], Fold]) -> tuple[Stmt, ...]:
    """Statements with every reduction in them replaced."""

    def visit(s: Stmt) -> Stmt:
        if isinstance(s, For):
            return replace(s, body=tuple(map(visit, s.body)))
        return on(s) if isinstance(s, Fold) else s

    return tuple(map(visit, body))


def _merged(s: Fold) -> Fold:
    """A reduction whose adjacent loops are one where no subscript can tell the difference."""
    *outer, inner = s.vars
    while outer:
        last, size = outer.pop(), inner.args[0]
        flat = var(f"{name_of(last)}f", last.args[0] * size)
        mapping = {last: flat // size, inner: flat % size}
        value = substitute(s.value, mapping)
        if size.free & set(s.vars) or _divides([value], flat):
            break
        inner = flat
        s = replace(s, vars=(*outer, flat), value=value)
    return s


def _in_lanes(s: Fold) -> Fold:
    """A reduction that runs its innermost loop in lanes, where elements are close along it."""
    return s if _strays(s, s.vars[-1], _NEAR) else replace(s, kind="vector")


def _across(loops: Sequence[Expr], body: tuple[Stmt, ...], lane: Expr) -> Expr | None:
    """The loop along which lie the elements that the lanes' loop reads crosswise, if any."""
    bound = set(loops)
    fixed = all(v.args[0].free.isdisjoint(bound) for v in loops)
    plain = all(isinstance(s, Store) for s in body)
    best, most = None, 0
    for v in loops if fixed and plain else ():
        if v is lane or width_of(_LINE, v.args[0], lane.args[0]) == 1:
            continue
        count = len(crossing(body, v, lane))
        if count > most:
            best, most = v, count
    return best


def _turned(
    loops: Sequence[Expr], body: tuple[Stmt, ...], across: Expr, lane: Expr
) -> tuple[Stmt, ...]:
    """Blocks of the loops of lanes and across, as many rows as elements in a line of the cache."""
    rest = [v for v in loops if v not in (across, lane)]
    extent, inside = across.args[0], across
    rows = max(_LINE // _smallest(body), _ROWS)
    known = number(extent)
    if known is None or known > rows:
        cut = var(f"{name_of(across)}b", (extent + (rows - 1)) // rows)
        length: Expr = const(rows)
        if known is None or known % rows:
            length = minimum(extent - cut * rows, length)
        inside = var(f"{name_of(across)}r", length)
        body = mapped(body, {across: cut * rows + inside})
        rest.append(cut)
    row = For(lane, body, "vector")
    inner = (For(inside, (row,), "turn"),)
    if not rest:
        return inner
    return _parallel(rest, [()] * (len(rest) - 1), inner)


def _smallest(body: tuple[Stmt, ...]) -> int:
    """Bytes of the smallest element that is read."""
    loads = [x for x in walk(*_all_exprs(body)) if x.op == "load"]
    return min(max(8, x.dtype.bits) for x in loads) // 8


def _in_rows(lane: Expr, pre: Sequence[Sequence[Stmt]], body: Sequence[Stmt]) -> bool:
    """Whether reductions had better run in lanes of their own than side by side in the store's."""
    inside = [s for part in (*pre, body) for s in statements(tuple(part))]
    folds = [s for s in inside if isinstance(s, Fold)]
    longest = own = beside = 0
    for s in folds:
        inner = s.vars[-1]
        longest = max(longest, number(inner.args[0]) or _ROW)
        own += _strays(s, inner)
        beside += _strays(s, lane)
    return longest >= _ROW and own < beside


def _strays(s: Fold, v: Expr, near: int = 1) -> int:
    """How many loads of a reduction go by more than that many elements along v."""
    found = 0
    for x in walk(s.value):
        if x.op == "load":
            step = coefficient(x.args[0], v)
            found += step is None or not 0 <= step <= near
    return found


def _lane(loops: list[Expr], pre: list[tuple[Stmt, ...]], body: tuple[Stmt, ...]) -> int | None:
    """The depth of the loop to run in lanes: the one along which stores are contiguous."""
    stores = [s for s in statements(body) if isinstance(s, Store)]
    for depth in range(len(loops) - 1, -1, -1):
        v = loops[depth]
        if all(coefficient(s.index, v) == 1 for s in stores):
            inside = [s for p in pre[depth + 1 :] for s in p]
            same = _uniform(v, depth, loops, inside, body)
            return depth if same else None
    return None


def _uniform(
    lane: Expr, depth: int, loops: list[Expr], inside: Sequence[Stmt], body: tuple[Stmt, ...]
) -> bool:
    extents = [v.args[0] for v in loops[depth + 1 :]]
    extents += [
        v.args[0] for s in (*inside, *statements(body)) if isinstance(s, Fold) for v in s.vars
    ]
    return not any(lane in e.free for e in extents)


def _parallel(
    loops: list[Expr], pre: list[tuple[Stmt, ...]], inner: tuple[Stmt, ...]
) -> tuple[Stmt, ...]:
    """All of `loops` as one parallel loop, their subscripts recovered once per trip."""
    if len(loops) == 1:
        return (For(loops[0], inner, "parallel"),)
    if any(pre) or any(v.args[0].free & set(loops) for v in loops):
        body = inner
        for depth in range(len(loops) - 1, 0, -1):
            body = (*_folds(pre[depth - 1], _in_lanes), For(loops[depth], body))
        return (For(loops[0], body, "parallel"),)
    whole = var("p", product(v.args[0] for v in loops))
    mapping, rest = {}, whole
    for v in reversed(loops[1:]):
        mapping[v] = rest % v.args[0]
        rest = rest // v.args[0]
    mapping[loops[0]] = rest
    return (For(whole, mapped(inner, mapping), "parallel"),)


def _blocks(v: Expr, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """One flat loop cut into blocks that threads share, each run in lanes."""
    extent = v.args[0]
    length, most = number(extent), _BLOCK
    if any(isinstance(s, Fold) for s in statements(body)):
        most = _COLUMNS
    if length is not None and length <= most // 4:
        return (For(v, body, "vector"),)
    block = var("p", (extent + (most - 1)) // most)
    start = block * most
    inside = var(name_of(v) + "v", minimum(extent - start, const(most)))
    lanes = For(inside, mapped(body, {v: start + inside}), "vector")
    return (For(block, (lanes,), "parallel"),)

"""Sliding windows with one weight a channel, or none: depthwise convolutions and pools.

    for n, h: for w: for c: acc = fold over taps of where(inside, x, 0) * weight; store

becomes, channels in lanes, several columns sharing what they read, the weights laid out by tap,

    parallel row (n, h):
        for block of columns all of whose taps are inside: for c: acc0 .. acc3; stores
        for column at the border: for c: the same, guarded

A row whose taps may lie outside has border columns only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sardonyx.core.expr import (
    INDEX,
    Expr,
    binary,
    const,
    eq,
    load,
    maximum,
    minimum,
    name_of,
    number,
    product,
    scalar,
    substitute,
    transform,
    var,
    walk,
    where,
)
from sardonyx.kernels.buffers import closed, trimmed
from sardonyx.kernels.linear import least, loads, parts, slope
from sardonyx.kernels.pack import conjunction, conjuncts
from sardonyx.kernels.scheduled import Packed, Scheduled
from sardonyx.loops.ir import Buffer, Fold, For, If, Kernel, Let, Stmt, Store
from sardonyx.loops.target import Target

# Taps that are written out: a 3-d window of 5 has 125; more make code of many KiB.
_MOST_TAPS = 128
# A 3x3 window: what four columns share of its row, and their sums, fit 16 vector registers.
_TAPS_AT_ONCE = 9
# Columns at once: four independent sums hide the latency of a fused multiply-add.
_COLUMNS = 4
# Rows for each core from which they are shared evenly enough without cutting channels.
_ROWS_PER_CORE = 4
# Vectors of float32 that a block of channels has at least: shorter ones are mostly loop.
_VECTORS = 4


def depthwise(kernel: Kernel, target: Target) -> Scheduled | str:
    """Schedules folds over the taps of a sliding window; the reason where it is not one."""
    found = _window(kernel)
    if isinstance(found, str):
        return found
    packed, weights = _weights(kernel, found)
    first = len(kernel.params)
    params = [*kernel.params, *(Buffer(first + n, p.dtype, p.count) for n, p in enumerate(packed))]
    found = replace(found, folds=tuple(_with(f, weights) for f in found.folds))
    body = (_rows(found, target),)
    main = replace(kernel, params=tuple(params), body=body)
    return trimmed(main, tuple(packed), "depthwise")


@dataclass(frozen=True)
class _Window:
    """The nest: loops before the columns, the columns, the channels; folds, then stores.

    `tests` are the conditions under which taps are inside.
    """

    outer: tuple[Expr, ...]
    column: Expr
    channel: Expr
    folds: tuple[Fold, ...]
    stores: tuple[Store, ...]
    tests: tuple[Expr, ...] = field(default=())

    @property
    def taps(self) -> tuple[Expr, ...]:
        """The variables of all folds."""
        return tuple(dict.fromkeys(v for f in self.folds for v in f.vars))


def _window(kernel: Kernel) -> _Window | str:
    loops: list[Expr] = []
    body: Sequence[Stmt] = kernel.body
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind == "serial":
        loops.append(body[0].var)
        body = body[0].body
    folds = tuple(s for s in body if isinstance(s, Fold))
    stores = tuple(s for s in body if isinstance(s, Store))
    if len(loops) < 3 or not folds or body != (*folds, *stores):
        return "the kernel is not folds inside three loops"
    if any(v.args[0].free & set(loops) for v in loops):
        return "an extent depends on a loop"
    w = _Window(tuple(loops[:-2]), loops[-2], loops[-1], folds, stores)
    return _refusal(w) or replace(w, tests=tuple(_tests(w)))


def _refusal(w: _Window) -> str:
    if any(_step(s.index, w.channel) != 1 for s in w.stores):
        return "channels are not contiguous in the output"
    for f in w.folds:
        sizes = [number(v.args[0]) for v in f.vars]
        if any(s is None for s in sizes) or not 1 < math.prod(s or 0 for s in sizes) <= _MOST_TAPS:
            return "the taps are too many, or not a known number"
    if {f.var for f in w.folds} & {v for f in w.folds for v in f.value.free}:
        return "a fold reads what another one makes"
    slides = any(
        w.column in x.free and x.free & set(w.taps) for f in w.folds for x in loads(f.value)
    )
    if not slides:
        return "no window slides over the columns"
    for f in w.folds:
        for x in loads(f.value):
            if _step(x.args[0], w.channel) not in (0, 1) and not _is_weight(w, x):
                return "channels are not contiguous in an operand"
    bad = next((t for t in _tests(w) if not _is_simple(w, t)), None)
    return "" if bad is None else f"`{bad}` is no plain bound of rows or columns"


def _step(index: Expr, v: Expr) -> int | None:
    """By how much an index moves with v: 0 where not linearly, None where not a known number."""
    found = slope(index, v)
    return 0 if found is None else number(found)


def _is_weight(w: _Window, x: Expr) -> bool:
    return x.free <= {w.channel, *w.taps}


def _tests(w: _Window) -> list[Expr]:
    """Every condition that the folds' values depend on."""
    choices = [x for f in w.folds for x in walk(f.value) if x.op == "where"]
    found = [t for x in choices for t in conjuncts(x.args[0])]
    return list(dict.fromkeys(t for t in found if t.free & set(w.taps)))


def _is_simple(w: _Window, test: Expr) -> bool:
    if test.op not in ("lt", "le") or test.args[0].dtype is not INDEX or w.channel in test.free:
        return False
    if w.column in test.free and test.free & set(w.outer):
        return False
    steps = [slope(test.args[1] - test.args[0], v) for v in (w.column, *w.taps)]
    return all(s is not None and number(s) is not None for s in steps)


# Weights


def _weights(kernel: Kernel, w: _Window) -> tuple[list[Packed], dict[Expr, Expr]]:
    """Loads of strided weights: kernels laying them out as [tap][channel], and new loads."""
    packed: list[Packed] = []
    replaced: dict[Expr, Expr] = {}
    for x in dict.fromkeys(x for f in w.folds for x in loads(f.value)):
        if _step(x.args[0], w.channel) in (0, 1) or not _is_weight(w, x):
            continue
        taps = tuple(v for v in w.taps if v in x.free)
        at = const(0)
        for v in taps:
            at = at * v.args[0] + v
        at = at * w.channel.args[0] + w.channel
        body: tuple[Stmt, ...] = (For(w.channel, (Store(0, at, x),), "vector"),)
        for v in reversed(taps):
            body = (For(v, body),)
        size = product((w.channel.args[0], *(v.args[0] for v in taps)))
        replaced[x] = load(len(kernel.params) + len(packed), [at], x.dtype)
        packed.append(closed(kernel, body, size, x.dtype))
    return packed, replaced


def _with(f: Fold, mapping: dict[Expr, Expr]) -> Fold:
    return replace(f, value=substitute(f.value, mapping))


# The schedule


def _rows(w: _Window, target: Target) -> Stmt:
    """The parallel loop over rows and blocks of channels."""
    blocks, size = _channel_blocks(w, target)
    rows = product(v.args[0] for v in w.outer)
    task = var("row", rows * blocks)
    at = parts(w.outer, task // blocks)
    lane = var("lane", size)
    mapping = {**at, w.channel: task % blocks * size + lane}
    w = _mapped(w, mapping)
    low, high = scalar("low", INDEX), scalar("high", INDEX)
    inside = _row_inside(w)
    first, last = _columns_inside(w)
    extent = w.column.args[0]
    lets = (Let(low, where(inside, first, extent)), Let(high, where(inside, last, extent)))
    return For(task, (*lets, *_inner(w, lane, low, high), *_border(w, lane, low, high)), "parallel")


def _channel_blocks(w: _Window, target: Target) -> tuple[int, Expr]:
    """(blocks, channels of each): several only where rows are too few to share."""
    extent = w.channel.args[0]
    rows, channels = least(product(v.args[0] for v in w.outer)), number(extent)
    if rows is None or channels is None or rows >= _ROWS_PER_CORE * target.cores:
        return 1, extent
    lanes = _VECTORS * target.vector_bits // 32
    blocks = max(
        (b for b in range(1, target.cores * 2 + 1) if channels % (b * lanes) == 0), default=1
    )
    return blocks, const(channels // blocks)


def _mapped(w: _Window, mapping: dict[Expr, Expr]) -> _Window:
    def on(e: Expr) -> Expr:
        return substitute(e, mapping)

    folds = tuple(replace(f, value=on(f.value)) for f in w.folds)
    stores = tuple(replace(s, index=on(s.index), value=on(s.value)) for s in w.stores)
    return replace(w, folds=folds, stores=stores, tests=tuple(map(on, w.tests)))


def _row_inside(w: _Window) -> Expr:
    """Whether every tap of a row is inside as far as the row decides."""
    taps = w.taps
    ends = itertools.product(*((const(0), v.args[0] - 1) for v in taps))
    corners = [dict(zip(taps, c, strict=True)) for c in ends]
    tests = [t for t in w.tests if w.column not in t.free]
    return conjunction([substitute(t, c) for t in tests for c in corners])


def _columns_inside(w: _Window) -> tuple[Expr, Expr]:
    """[first, last) of the columns all of whose taps are inside as far as the column decides."""
    extent = w.column.args[0]
    first, last = const(0), extent
    for t in w.tests:
        if w.column not in t.free:
            continue
        spare = t.args[1] - t.args[0] - (1 if t.op == "lt" else 0)
        worst = {v: v.args[0] - 1 if _moves(spare, v) < 0 else const(0) for v in w.taps}
        step = _moves(spare, w.column)
        spare = substitute(spare, {**worst, w.column: const(0)})
        if step > 0:
            first = maximum(first, (step - 1 - spare) // step)
        else:
            last = minimum(last, spare // -step + 1)
    first = minimum(first, extent)
    return first, maximum(first, last)


def _moves(e: Expr, v: Expr) -> int:
    step = slope(e, v)
    known = number(step) if step is not None else None
    assert known is not None
    return known


def _inner(w: _Window, lane: Expr, low: Expr, high: Expr) -> Iterator[Stmt]:
    """Columns whose taps are all inside: blocks, then what is left in halves."""
    free = replace(w, folds=tuple(replace(f, value=_unguarded(f.value, w)) for f in w.folds))
    block = var("block", (high - low) // _COLUMNS)
    yield For(block, (_columns(free, lane, low + block * _COLUMNS, _COLUMNS),))
    left, size = high - low, _COLUMNS // 2
    while size:
        at = low + left // (2 * size) * (2 * size)
        yield If(eq(left // size % 2, 1), (_columns(free, lane, at, size),))
        size //= 2


def _unguarded(e: Expr, w: _Window) -> Expr:
    known = set(w.tests)

    def visit(x: Expr) -> Expr | None:
        if x.op == "where" and set(conjuncts(x.args[0])) <= known:
            return _unguarded(x.args[1], w)
        return None

    return transform(e, visit)


def _border(w: _Window, lane: Expr, low: Expr, high: Expr) -> Iterator[Stmt]:
    """The other columns, one at a time."""
    extent = w.column.args[0]
    edge = var("edge", low + extent - high)
    at = scalar("edge_column", INDEX)
    found = Let(at, where(binary("lt", edge, low), edge, edge - low + high))
    yield For(edge, (found, _columns(w, lane, at, 1)))


def _columns(w: _Window, lane: Expr, first: Expr, count: int) -> Stmt:
    """`count` columns from `first` on, all channels of the block in lanes."""
    pieces: list[list[Stmt]] = []
    after: list[Stmt] = []
    for n in range(count):
        names = {f.var: scalar(f"tap_sum{n}_{i}", f.var.dtype) for i, f in enumerate(w.folds)}
        here = _mapped(w, {w.column: first + n, **names})
        folds = [_in_pieces(replace(f, var=names[f.var])) for f in here.folds]
        pieces.append([part for parts_, _ in folds for part in parts_])
        after += [*(total for _, total in folds if total is not None), *here.stores]
    together = [part for same in zip(*pieces, strict=True) for part in same]
    return For(lane, (*together, *after), "vector")


def _in_pieces(f: Fold) -> tuple[list[Fold], Let | None]:
    """A fold as folds over few taps each, so that what columns share stays in registers."""
    sizes = [number(v.args[0]) or 0 for v in f.vars]
    if math.prod(sizes) <= _TAPS_AT_ONCE:
        return [f], None
    *outer, inner = f.vars
    out: list[Fold] = []
    for point in itertools.product(*map(range, sizes[:-1])):
        for start in range(0, sizes[-1], _TAPS_AT_ONCE):
            tap = var("tap", min(_TAPS_AT_ONCE, sizes[-1] - start))
            here = {v: const(k) for v, k in zip(outer, point, strict=True)}
            value = substitute(f.value, {**here, inner: tap + start})
            part = scalar(f"{name_of(f.var)}_{len(out)}", f.var.dtype)
            out.append(Fold(part, f.op, (tap,), value))
    total = out[0].var
    for part_ in out[1:]:
        total = binary(f.op, total, part_.var)
    return out, Let(f.var, total)

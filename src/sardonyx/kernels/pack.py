"""Copies that lay the operands of a contraction out for the register tile.

    left    for each row: row[k] = left(row, k)       k in lanes, guards lifted out of the copy
    right   for each panel: panel[k][j] = right(k, panel * width + j), 0 past the last column

Both run over the k axes in the order in which the memory of `left` is contiguous.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, binary, const, number, scalar, substitute, var, where
from sardonyx.kernels.buffers import closed
from sardonyx.kernels.linear import count, loads, parts, position, renumber, slope
from sardonyx.kernels.scheduled import Packed
from sardonyx.loops.ir import Contract, For, If, Kernel, Let, Stmt, Store

# A stride that is not known sorts behind all that are.
_FAR = 1 << 62


@dataclass(frozen=True)
class Form:
    """Element types of the laid out operands, and how many k one step of a tile takes.

    A[i, k] is a[i * stride + k]; B[k, j] is b[(k // group) * stride + j * group + k % group].
    """

    a: DType
    b: DType
    group: int = 1

    def steps(self, depth: Expr) -> Expr:
        """The steps that cover `depth` values of k."""
        return (depth + (self.group - 1)) // self.group


def memory_order(k: Sequence[Expr], value: Expr) -> tuple[Expr, ...]:
    """The k axes, the one along which the largest load of `value` is contiguous innermost."""
    found = max(loads(value), key=lambda x: sum(v in x.free for v in k), default=None)
    if found is None:
        return tuple(k)

    def step(v: Expr) -> int:
        s = slope(found.args[0], v)
        known = number(s) if s is not None else None
        return -_FAR if known is None else -abs(known) if known else -_FAR

    return tuple(sorted(k, key=step))


@dataclass(frozen=True)
class Rows:
    """Copying rows of a `left` operand: `buffer[row * stride + k] = value(row, k)`.

    `m` are the row axes of `value`, `first` the number of the first row, `rows` how many; `k` are
    its k axes, outermost first.
    """

    buffer: int
    stride: int
    m: tuple[Expr, ...]
    k: tuple[Expr, ...]
    first: Expr
    rows: Expr
    value: Expr

    def statements(self) -> tuple[Stmt, ...]:
        """The loop over rows."""
        row = var("pack_row", self.rows)
        number_ = RowNumber(self.m, self.first + row, "pack")
        value = number_.value(self.value)
        copy = self._copy(value, row * self.stride, self.k)
        return (For(row, (*number_.lets(), *copy)),)

    def _copy(self, value: Expr, at: Expr, axes: tuple[Expr, ...]) -> tuple[Stmt, ...]:
        value, tests, other = unguarded(value)
        run = _run(value, axes)
        outer = axes[: len(axes) - len(run)]
        return self._level(value, tests, other, at, outer, run)

    def _level(
        self,
        value: Expr,
        tests: list[Expr],
        other: Expr | None,
        at: Expr,
        outer: tuple[Expr, ...],
        run: tuple[Expr, ...],
    ) -> tuple[Stmt, ...]:
        """What remains to be done once the loops before `outer` run: tests, loops, the copy."""
        inner = {*outer, *run}
        ready = [t for t in tests if not t.free & inner]
        if ready:
            rest = [t for t in tests if t not in ready]
            then = self._level(value, rest, other, at, outer, run)
            assert other is not None
            return (If(conjunction(ready), then, self._fill(other, at, (*outer, *run))),)
        if outer:
            v, left = outer[0], (*outer[1:], *run)
            body = self._level(value, tests, other, at + v * count(left), outer[1:], run)
            return (For(v, body),)
        if tests:
            return self._split(value, tests, other, at, run)
        return self._lanes(value, at, run)

    def _split(
        self, value: Expr, tests: list[Expr], other: Expr | None, at: Expr, run: tuple[Expr, ...]
    ) -> tuple[Stmt, ...]:
        """A run whose tests may change inside: in one piece where they hold at its corners."""
        assert other is not None
        if len(run) > 1:
            pieces = self._level(value, tests, other, at, run[:-1], run[-1:])
        else:
            pieces = self._lanes(where(conjunction(tests), value, other), at, run)
        if not all(_is_linear(t, run) for t in tests):
            return pieces
        ends = [(const(0), v.args[0] - 1) for v in run]
        corners = [dict(zip(run, c, strict=True)) for c in itertools.product(*ends)]
        inside = conjunction([substitute(t, c) for t in tests for c in corners])
        return (If(inside, self._lanes(value, at, run), pieces),)

    def _lanes(self, value: Expr, at: Expr, run: tuple[Expr, ...]) -> tuple[Stmt, ...]:
        lane = var(f"pack_lane{len(run)}", count(run))
        value = renumber(value, run, lane, parts(run, lane))
        return (For(lane, (Store(self.buffer, at + lane, value),), "vector"),)

    def _fill(self, other: Expr, at: Expr, axes: tuple[Expr, ...]) -> tuple[Stmt, ...]:
        lane = var(f"pack_fill{len(axes)}", count(axes))
        return (For(lane, (Store(self.buffer, at + lane, other),), "vector"),)


class RowNumber:
    """Row number `flat` of the axes `m`: rewrites what depends on the axes, and names what it used.

    `lets` are the names that the expressions made so far need, to be defined once for the row.
    """

    def __init__(self, m: tuple[Expr, ...], flat: Expr, prefix: str) -> None:
        self.m, self.flat = m, flat
        self.parts = parts(m, flat)
        self.names = {v: scalar(f"{prefix}_m{n}", v.dtype) for n, v in enumerate(m)}
        known = {v: e for v, e in self.parts.items() if e is flat or e.is_const}
        self.at = {**self.names, **known}
        self.used: set[Expr] = set()

    def value(self, e: Expr) -> Expr:
        """An element expression at this row."""
        return self._noted(renumber(e, self.m, self.flat, self.at))

    def index(self, e: Expr) -> Expr:
        """A flat subscript at this row."""
        return self._noted(position(e, self.m, self.flat, self.at))

    def _noted(self, e: Expr) -> Expr:
        self.used |= e.free
        return e

    def lets(self) -> tuple[Let, ...]:
        """The definitions of the names used."""
        return tuple(
            Let(self.names[v], e) for v, e in self.parts.items() if self.names[v] in self.used
        )


def unguarded(value: Expr) -> tuple[Expr, list[Expr], Expr | None]:
    """(v, tests, other) of where(all tests, v, other) when other has no loop variable."""
    tests: list[Expr] = []
    other: Expr | None = None
    while value.op == "where" and other in (None, value.args[2]):
        if any(v.args for v in value.args[2].free):
            break
        other = value.args[2]
        tests += conjuncts(value.args[0])
        value = value.args[1]
    return value, tests, other


def conjuncts(e: Expr) -> list[Expr]:
    """The conditions that `and` joins."""
    if e.op != "and":
        return [e]
    return [t for a in e.args for t in conjuncts(a)]


def conjunction(tests: Sequence[Expr]) -> Expr:
    """Whether all of the conditions hold; true of none."""
    found, *rest = dict.fromkeys(tests) or (const(True, DType.BOOL),)
    for t in rest:
        found = binary("and", found, t)
    return found


def _is_linear(test: Expr, axes: Sequence[Expr]) -> bool:
    if test.op not in ("lt", "le") or test.args[0].dtype is not axes[0].dtype:
        return False
    return all(slope(a, v) is not None for a in test.args for v in axes)


def _run(value: Expr, axes: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """The innermost axes along which every load is contiguous, or does not move at all."""
    run: tuple[Expr, ...] = axes[-1:]
    steps = [slope(x.args[0], v) for x in loads(value) for v in run]
    if any(s is None or number(s) not in (0, 1) for s in steps) or _computes_with(value, run):
        return run
    for v in reversed(axes[:-1]):
        expected = [s * count(run) for s in steps if s is not None]
        found = [slope(x.args[0], v) for x in loads(value)]
        if any(a is not b for a, b in zip(found, expected, strict=True)) or _computes_with(
            value, (v,)
        ):
            break
        run = (v, *run)
    return run


def _computes_with(value: Expr, axes: Sequence[Expr]) -> bool:
    """Whether `value` uses the axes elsewhere than in the subscripts of loads."""
    bare = substitute(value, {x: const(0, x.dtype) for x in loads(value)})
    return any(v in bare.free for v in axes)


def panels(kernel: Kernel, c: Contract, k: tuple[Expr, ...], width: int, form: Form) -> Packed:
    """The kernel that lays `right` out as [batch][ceil(N / width)][steps][width][group]."""
    group, columns = form.group, count(c.n)
    across = (columns + (width - 1)) // width
    block = form.steps(count(k)) * (width * group)
    task = var("pack_task", count(c.batch) * across)
    lane = var("pack_column", const(width))
    column = (task % across) * width + lane
    value = substitute(c.right, parts(c.batch, task // across))
    value = renumber(value, c.n, column, parts(c.n, column))
    value = where(binary("lt", column, columns), value, const(0, value.dtype))
    step = const(0)
    for v in k:
        step = step * v.args[0] + v
    at = task * block + step // group * (width * group) + lane * group + step % group
    body: tuple[Stmt, ...] = (For(lane, (Store(0, at, value),), "vector"),)
    for v in reversed(k):
        body = (For(v, body),)
    if group > 1 and number(count(k) % group) != 0:
        body = (_last_step(task * block + block - width * group, width * group, form), *body)
    size = count(c.batch) * across * block
    return closed(kernel, (For(task, body, "parallel"),), size, form.b)


def _last_step(at: Expr, length: int, form: Form) -> Stmt:
    lane = var("pack_last", length)
    return For(lane, (Store(0, at + lane, const(0, form.b)),), "vector")

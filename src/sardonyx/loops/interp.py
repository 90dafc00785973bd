"""The meaning of the loop language: a kernel run one element at a time, a vector being a list.

Every access is checked against the buffer's size. Scratch starts as rubbish. Slow by design; what
elements mean is `core.scalar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sardonyx.core import scalar
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import EngineError
from sardonyx.core.expr import INDEX, Expr, name_of
from sardonyx.loops.ir import Contract, Fold, For, If, Kernel, Let, Loop, Stmt, Store, Tile
from sardonyx.loops.lanes import is_lane, width_of

_RUBBISH = 0xFB


def interpret(
    kernel: Kernel,
    arrays: Sequence[Array],
    symbols: Mapping[Expr, int] | Sequence[int] = (),
    threads: int = 1,
) -> None:
    """Run a kernel on flat arrays in the order of its params, writing its outputs in place.

    `symbols` are the values of `kernel.symbols`, in order or by Expr. `threads` threads run one
    after another, each its share of the parallel loop. EngineError E0806 where an element outside
    a buffer is touched.
    """
    if not isinstance(symbols, Mapping):
        symbols = dict(zip(kernel.symbols, symbols, strict=True))
    env = {s: int(value) for s, value in symbols.items()}
    with np.errstate(all="ignore"):
        for tid in range(threads):
            _Run(kernel, arrays, env, (tid, threads)).block(kernel.body)


class _Run:
    def __init__(
        self,
        kernel: Kernel,
        arrays: Sequence[Array],
        symbols: Mapping[Expr, int],
        share: tuple[int, int],
    ) -> None:
        self.kernel, self.share = kernel, share
        self.env: dict[Expr, Any] = dict(symbols)
        numbers = [b.number for b in kernel.params]
        self.buffers = dict(zip(numbers, arrays, strict=True))
        for b in kernel.scratch:
            kind = b.dtype.numpy
            size = self.value(b.size) * kind.itemsize
            rubbish = np.full(size, _RUBBISH, np.uint8)
            self.buffers[b.number] = rubbish.view(kind)

    # Expressions.

    def value(self, root: Expr) -> Any:
        """The value of an expression; of a `where`, only the chosen side is looked at."""
        memo: dict[Expr, Any] = {}
        stack = [root]
        while stack:
            x = stack[-1]
            wanted = self._unknown(x, memo)
            if wanted:
                stack.extend(wanted)
                continue
            if x not in memo:
                memo[x] = self._node(x, memo)
            stack.pop()
        return memo[root]

    def _unknown(self, x: Expr, memo: dict[Expr, Any]) -> list[Expr]:
        if x.op == "var" or x in memo:
            return []
        if x.op == "where" and x.args[0] in memo:
            chosen = x.args[1] if memo[x.args[0]] else x.args[2]
            return [] if chosen in memo else [chosen]
        wanted = x.args[:1] if x.op == "where" else x.args
        return [a for a in wanted if a not in memo]

    def _node(self, x: Expr, memo: dict[Expr, Any]) -> Any:
        args: list[Any] = [memo.get(a) for a in x.args]
        if x.op == "const":
            return scalar.of(x.arg, x.dtype)
        if x.op == "var":
            return self._variable(x)
        if x.op == "where":
            return args[1] if args[0] else args[2]
        if x.op in _WORDS:
            return _WORDS[x.op](self, x, args)
        return _each(args, lambda *a: self._element(x, a))

    def _element(self, x: Expr, args: Sequence[Any]) -> Any:
        """An operation on the elements of one lane."""
        match x.op:
            case "load":
                return self._read(x.arg, x.dtype, *args)
            case "cast":
                return scalar.cast(args[0], x.args[0].dtype, x.dtype)
        return scalar.apply(x.op, args, x.args[-1].dtype, x.dtype)

    def _read(self, number: int, dtype: DType, index: int, mask: bool = True) -> Any:
        found = self.buffers[number][self.place(number, index)] if mask else 0
        return scalar.of(found, dtype)

    def _span(self, x: Expr, args: Sequence[Any]) -> list[Any]:
        number, width = x.arg
        places = [args[0] + k * args[1] for k in range(width)]
        return list(_each([places, *args[2:]], lambda *a: self._read(number, x.dtype, *a)))

    def _variable(self, x: Expr) -> Any:
        if is_lane(x):
            return list(range(width_of(x) or 0))
        if x not in self.env:
            raise EngineError("E0801", f"the kernel uses `{name_of(x)}`, which nothing binds")
        return self.env[x]

    def place(self, number: int, index: int) -> int:
        """`index` where it is an element of that buffer."""
        size = len(self.buffers[number])
        if not 0 <= index < size:
            whole = (v for v in self.env if v.dtype is INDEX)
            raise EngineError(
                "E0806",
                f"element {index} of b{number} is touched",
                given={name_of(v): self.env[v] for v in whole},
                wanted=f"< {size}",
            )
        return index

    # Statements.

    def block(self, body: Sequence[Stmt]) -> None:
        """Runs statements in order."""
        for s in body:
            self.statement(s)

    def statement(self, s: Stmt) -> None:
        """Runs one statement."""
        match s:
            case For():
                for _ in self._trips((s.var,), s.kind == "parallel"):
                    self.block(s.body)
            case Let():
                self._define(s.var, self.value(s.value))
            case Fold():
                self.env[s.var] = self._fold(s)
            case Store():
                self._store(s)
            case If():
                chosen = s.then if self.value(s.condition) else s.other
                self.block(chosen)
            case Contract():
                self._contract(s)
            case Tile():
                self._tile(s)
            case Loop():
                self._loop(s)

    def _define(self, v: Expr, value: Any) -> None:
        lanes = width_of(v)
        self.env[v] = value if lanes is None or isinstance(value, list) else [value] * lanes

    def _store(self, s: Store) -> None:
        index, value = self.value(s.index), self.value(s.value)
        mask = True if s.mask is None else self.value(s.mask)
        if s.span is not None:
            stride = self.value(s.span.stride)
            index = [index + k * stride for k in range(s.span.lanes)]
        _each([index, value, mask], lambda *a: self._write(s.buffer, *a))

    def _write(self, number: int, index: int, value: Any, mask: bool) -> None:
        if mask:
            self.buffers[number][self.place(number, index)] = value

    def _loop(self, s: Loop) -> None:
        trips = range(self.value(s.start), self.value(s.stop), s.step)
        if s.once and len(trips) > 1:
            raise EngineError("E0801", f"`{name_of(s.var)}` has {len(trips)} trips, not one")
        carried = [self.value(e) for e in s.first]
        for k in trips:
            self.env[s.var] = k
            for v, value in zip(s.carried, carried, strict=True):
                self._define(v, value)
            self.block(s.body)
            carried = [self.value(e) for e in s.next]
        self.env.pop(s.var, None)
        for v, value in zip(s.carried, carried, strict=True):
            self._define(v, value)

    def _trips(self, loops: Sequence[Expr], shared: bool = False) -> Iterator[None]:
        """Binds nested loop variables to every combination, the last one fastest."""
        if not loops:
            yield
            return
        v = loops[0]
        trips = range(self.value(v.args[0]))
        if shared:
            tid, threads = self.share
            first, last = len(trips) * tid, len(trips) * (tid + 1)
            trips = trips[first // threads : last // threads]
        for k in trips:
            self.env[v] = k
            yield from self._trips(loops[1:])
        self.env.pop(v, None)

    def _fold(self, s: Fold) -> Any:
        total = scalar.identity(s.op, s.var.dtype)
        for _ in self._trips(s.vars):
            total = scalar.binary(s.op, total, self.value(s.value), s.var.dtype)
        return total

    def _contract(self, s: Contract) -> None:
        dtype = s.acc.dtype
        for _ in self._trips((*s.batch, *s.m, *s.n)):
            total = scalar.of(0, dtype)
            for _ in self._trips(s.k):
                left = self._as(s.left, dtype)
                right = self._as(s.right, dtype)
                product = scalar.binary("mul", left, right, dtype)
                total = scalar.binary("add", total, product, dtype)
            self.env[s.acc] = total
            self.block(s.body)

    def _as(self, e: Expr, dtype: DType) -> Any:
        return scalar.cast(self.value(e), e.dtype, dtype)

    def _tile(self, s: Tile) -> None:
        sums = self._start(s)
        self._multiply(s, sums)
        rows = min(self.value(s.valid_rows), s.rows)
        cols = min(self.value(s.valid_cols), s.cols)
        if s.lanes is not None:
            cols = s.cols // s.lanes
        for place in np.ndindex(max(rows, 0), max(cols, 0)):
            self._at(s, place)
            found = sums[self._columns(s, place)]
            self.env[s.acc] = _each([found], lambda x: scalar.of(x, s.acc.dtype))
            self.block(s.body)

    def _columns(self, s: Tile, place: tuple[int, ...]) -> tuple[int, int | slice]:
        row, at = place
        return row, at if s.lanes is None else slice(at * s.lanes, (at + 1) * s.lanes)

    def _at(self, s: Tile, place: tuple[int, ...]) -> None:
        """Binds row, column and mask of an element, or of a vector of them."""
        self.env[s.row], self.env[s.col] = place[0], place[1] * (s.lanes or 1)
        if s.mask is not None and s.valid is not None:
            self._define(s.mask, self.value(s.valid))

    def _start(self, s: Tile) -> Array:
        first = np.zeros((s.rows, s.cols), s.acc.dtype.numpy)
        if s.start is None:
            return first
        for place in np.ndindex(s.rows, s.cols // (s.lanes or 1)):
            self._at(s, place)
            first[self._columns(s, place)] = self.value(s.start)
        return first

    def _multiply(self, s: Tile, sums: Array) -> None:
        """Adds the products; a step takes as many narrow integers as fill the sum's width."""
        dtype = s.acc.dtype
        narrow = self.kernel.buffers[s.a].dtype
        group = dtype.bits // narrow.bits
        rows = self.value(s.a_stride) * np.arange(s.rows)
        columns = group * np.arange(s.cols)
        a_at = self.value(s.a_at)
        b_at, b_stride = self.value(s.b_at), self.value(s.b_stride)
        steps = max(self.value(s.depth), 0)
        for k, g in np.ndindex(steps, group):
            step = a_at + k * group + g
            a = self._gather(s.a, rows + step, dtype)
            step = b_at + k * b_stride + g
            b = self._gather(s.b, columns + step, dtype)
            sums += a[:, None] * b

    def _below(self, x: Expr, args: Sequence[Any]) -> list[bool]:
        return [k < args[0] for k in range(x.arg)]

    def _any(self, _: Expr, args: Sequence[Any]) -> bool:
        return any(args[0]) if isinstance(args[0], list) else args[0]

    def _across(self, x: Expr, args: Sequence[Any]) -> Any:
        lanes = args[0]
        while len(lanes) > 1:
            half = len(lanes) // 2
            pairs = zip(lanes[:half], lanes[half:], strict=True)
            lanes = [scalar.binary(x.arg, a, b, x.dtype) for a, b in pairs]
        return lanes[0]

    def _turn(self, x: Expr, args: Sequence[Any]) -> list[Any]:
        return [lanes[x.arg] for lanes in args]

    def _gather(self, number: int, index: Array, dtype: DType) -> Array:
        for extreme in (index.min(), index.max()):
            self.place(number, int(extreme))
        return self.buffers[number][index].astype(dtype.numpy)


def _each(args: Sequence[Any], one: Callable[..., Any]) -> Any:
    """`one` of scalars, or of what stands in each lane where an argument is a vector."""
    lanes = next((len(a) for a in args if isinstance(a, list | np.ndarray)), None)
    if lanes is None:
        return one(*args)
    wide = [a if isinstance(a, list | np.ndarray) else [a] * lanes for a in args]
    return [one(*of) for of in zip(*wide, strict=True)]


_WORDS: dict[str, Callable[[_Run, Expr, Sequence[Any]], Any]] = {
    "span": _Run._span,
    "below": _Run._below,
    "any": _Run._any,
    "across": _Run._across,
    "turn": _Run._turn,
}

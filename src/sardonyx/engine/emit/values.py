"""Expressions into registers: each computed once, where its variables are bound.

A value lives at the level of the deepest scope that binds one of its variables; its instructions
are written there, so what does not change in a loop is computed before it. A scalar is splat where
it meets a vector, at its own level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import INDEX, Expr, evaluate, nonnegative, number, walk
from sardonyx.core.operations import OPERATIONS
from sardonyx.engine.emit.arith import apply
from sardonyx.engine.emit.lookup import lookup
from sardonyx.engine.emit.types import constant, register, splat, vector
from sardonyx.engine.emit.writer import Writer
from sardonyx.loops.ir import Kernel, Store, statements
from sardonyx.loops.lanes import WORDS, Memo, is_lane
from sardonyx.loops.math.lower import literal_of
from sardonyx.loops.target import Target

_NO_BUFFERS: frozenset[int] = frozenset()
_UNKNOWN = WORDS | {"load", "pow", "fmod", "div"}


class Value(NamedTuple):
    """A register: vector of `lanes` or scalar, the level it lives at, the buffers it was read from.

    `reads` names only buffers that the kernel also writes.
    """

    operand: str
    lanes: int | None = None
    level: int = 0
    reads: frozenset[int] = _NO_BUFFERS


def _is_known(x: Expr) -> bool:
    if len(x.free) != 1 or not (x.dtype is INDEX or x.dtype.is_bool):
        return False
    return all(map(is_lane, x.free)) and all(
        a.op not in _UNKNOWN and (a.dtype is INDEX or a.dtype.is_bool) for a in walk(x)
    )


class Values(Writer):
    """A writer that knows the values of expressions in one kernel."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(target)
        self.kernel = kernel
        self.buffers = kernel.buffers
        self.widths: Memo = {}
        self.stored = frozenset(s.buffer for s in statements(kernel.body) if isinstance(s, Store))
        self._values: dict[Expr, Value] = {}
        self._splats: dict[tuple[str, str, int], Value] = {}
        self._read: dict[int, list[Expr]] = {b: [] for b in self.stored}
        self._users: dict[Expr, list[Expr]] = {}
        self._symbols = {s: i for i, s in enumerate(kernel.symbols)}
        self.rows: dict[str, Callable[[Expr], Value]] = {
            "var": self._variable,
            "lookup": self._entry,
        }

    # Scopes

    def forget(self, names: list[object]) -> None:
        """Drops what was defined in a scope that ends."""
        for name in names:
            if isinstance(name, Expr):
                self._values.pop(name, None)
            else:
                self._splats.pop(name, None)  # type: ignore[call-overload]

    def written(self, buffers: frozenset[int] | None) -> None:
        """Drops what was read from buffers that may have changed."""
        for buffer in self.stored if buffers is None else buffers & self.stored:
            for e in self._read[buffer]:
                self._values.pop(e, None)
            self._read[buffer].clear()

    def guard_level(self) -> int:
        """The innermost scope that control may pass by."""
        return next(s.level for s in reversed(self.scopes) if s.guard)

    def write_level(self, buffer: int) -> int:
        """The innermost scope that stores to a buffer."""
        if buffer not in self.stored:
            return 0
        return next(
            (s.level for s in reversed(self.scopes) if s.writes is None or buffer in s.writes), 0
        )

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Lines go to the scope of that level."""
        before, self.cursor = self.cursor, self.scopes[level]
        yield
        self.cursor = before

    def define(self, var: Expr, operand: str, lanes: int | None = None) -> None:
        """Gives a variable its value in the innermost scope."""
        self._forget_users(var)
        self._keep(var, Value(operand, lanes, len(self.scopes) - 1))

    def alias(self, var: Expr, value: Value) -> None:
        """Names a value already computed; what was made of the name before is forgotten."""
        self._forget_users(var)
        self._users[var] = []
        self._values[var] = value._replace(reads=_NO_BUFFERS)
        self.scopes[-1].names.append(var)

    def _forget_users(self, var: Expr) -> None:
        for e in self._users.pop(var, ()):
            self._values.pop(e, None)

    def _keep(self, e: Expr, value: Value) -> Value:
        self._values[e] = value
        self.scopes[value.level].names.append(e)
        for name in self._users.keys() & e.free:
            self._users[name].append(e)
        for buffer in value.reads:
            self._read[buffer].append(e)
        return value

    @contextmanager
    def literal(self, var: Expr, number: int) -> Iterator[None]:
        """Inside, a loop variable is that number: what is made of it leaves the loops around."""
        with self.scope():
            self.alias(var, Value(str(number)))
            yield
        self._forget_users(var)

    # Expressions

    def expr(self, e: Expr, lanes: int | None = None) -> str:
        """The operand of an expression, as a scalar or a vector of `lanes`."""
        value = self.value(e)
        if value.lanes == lanes:
            return value.operand
        if lanes is None:
            raise CompileError("E0822", f"`{e}` varies between lanes where one value is needed")
        return self.spread(value, e.dtype, lanes).operand

    def spread(self, value: Value, dtype: DType, lanes: int) -> Value:
        """A value as a vector, repeated over the lanes if it is a scalar."""
        if value.lanes is not None:
            return value
        kind, operand = register(dtype), value.operand
        if operand[0] != "%":
            return value._replace(operand=splat(kind, operand, lanes), lanes=lanes)
        key = (operand, kind, lanes)
        if key not in self._splats:
            wide = vector(kind, lanes)
            with self.at(value.level):
                one = self.let(f"insertelement {wide} poison, {kind} {operand}, i64 0")
                order = f"{vector('i32', lanes)} zeroinitializer"
                out = self.let(f"shufflevector {wide} {one}, {wide} poison, {order}")
            self._splats[key] = Value(out, lanes, value.level)
            self.scopes[value.level].names.append(key)
        return self._splats[key]

    def value(self, e: Expr) -> Value:
        """The value of an expression, computing what is missing of it."""
        pending = [e]
        while pending:
            x = pending[-1]
            if x in self._values or x.op == "const":
                pending.pop()
                continue
            missing = [a for a in self._first(x) if a.op != "const" and a not in self._values]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            self._make(x)
        return self.known(e)

    def known(self, e: Expr) -> Value:
        """The value of an expression that has been computed."""
        return Value(constant(e.dtype, e.arg)) if e.op == "const" else self._values[e]

    def _first(self, x: Expr) -> tuple[Expr, ...]:
        """What must be computed before x."""
        if x.op == "where":
            return x.args[:1]
        return () if x.op == "var" else x.args

    def _make(self, x: Expr) -> Value:
        row = self._known_lanes if _is_known(x) else self.rows.get(x.op)
        if row is not None:
            return self._keep(x, row(x))
        if x.dtype is INDEX and x.op in ("add", "mul") and x.args[0].dtype is INDEX:
            return self._keep(x, self._chain(x))
        return self._keep(x, self._operation(x))

    def _known_lanes(self, x: Expr) -> Value:
        """What depends on the number of the lane alone, as a literal."""
        (v,) = x.free
        kind, width = register(x.dtype), number(v.args[0]) or 0
        found = (constant(x.dtype, evaluate(x, {v: k})) for k in range(width))
        return Value(f"<{', '.join(f'{kind} {k}' for k in found)}>", width)

    def _variable(self, x: Expr) -> Value:
        position = self._symbols.get(x)
        if position is None:
            raise CompileError("E0823", f"variable `{x}` has no value where it is used")
        with self.at(0):
            address = self.let(f"getelementptr i64, ptr %syms, i64 {position}")
            return Value(self.let(f"load i64, ptr {address}, align 8"))

    def _entry(self, x: Expr) -> Value:
        """What an index names of a table of literals."""
        index, *table = x.args
        value = self.known(index)
        with self.at(value.level):
            row = [float(e.arg) for e in table]
            return value._replace(operand=lookup(self, row, value.operand, value.lanes))

    def combine(self, values: Iterable[Value]) -> tuple[int | None, int, frozenset[int]]:
        """Lanes, level and buffers read of what is computed from values."""
        lanes, level, reads = None, 0, _NO_BUFFERS
        for value in values:
            lanes = lanes or value.lanes
            level = max(level, value.level)
            reads = reads | value.reads if value.reads else reads
        return lanes, level, reads

    def _chain(self, x: Expr) -> Value:
        """A sum or product of many: outer loops' parts first, so that they leave the loop.

        A literal is added late, where an address takes it in.
        """
        literal_last = x.op == "add"
        parts = [
            part
            for *_, part in sorted(
                (v.lanes is not None, literal_last and a.op == "const", v.level, i, v)
                for i, (a, v) in enumerate((a, self.known(a)) for a in x.args)
            )
        ]
        total = parts[0]
        for part in parts[1:]:
            lanes, level, reads = self.combine((total, part))
            kind = vector("i64", lanes)
            with self.at(level):
                a, b = (self.matched(v, INDEX, lanes) for v in (total, part))
                out = self.let(f"{x.op} {kind} {a}, {b}")
            total = Value(out, lanes, level, reads)
        return total

    def matched(self, value: Value, dtype: DType, lanes: int | None) -> str:
        """A value's operand, splat if a vector is wanted of a scalar."""
        return value.operand if lanes is None else self.spread(value, dtype, lanes).operand

    def _operation(self, x: Expr) -> Value:
        values = [self.known(a) for a in x.args]
        lanes, level, reads = self.combine(values)
        if x.op in OPERATIONS and OPERATIONS[x.op].expensive and x.args[0].dtype is not INDEX:
            level = max(level, self.guard_level())
        with self.at(level):
            operands = [
                self.matched(v, a.dtype, lanes) for v, a in zip(values, x.args, strict=True)
            ]
            out = self._instruction(x, operands, lanes)
        return Value(out, lanes, level, reads)

    def _instruction(self, x: Expr, operands: list[str], lanes: int | None) -> str:
        dtypes, op, literal = tuple(a.dtype for a in x.args), x.op, literal_of(x.op, x.args)
        if op in ("floordiv", "mod") and dtypes[0] is INDEX:
            divisor = number(x.args[1])
            if divisor is not None and divisor > 0 and nonnegative(x.args[0]):
                op, literal = f"index.{op}", divisor
        return apply(self, op, dtypes, x.dtype, operands, lanes, literal)

    def made(self, e: Expr) -> bool:
        """Whether an expression has been computed where it can be used here."""
        return e in self._values

"""Expressions into registers: each computed once, where its variables are bound.

A value lives at the level of the deepest scope that binds one of its variables; its instructions
are written there, so what does not change in a loop is computed before it. Values that vary
between the lanes of a vector loop are vectors, all others scalars, splat where the two meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.core.expr import INDEX, Expr, name_of, nonnegative, number, var
from sardonyx.core.operations import OPERATIONS
from sardonyx.engine.emit.arith import binary, divide_index, power_by, unary
from sardonyx.engine.emit.cast import cast
from sardonyx.engine.emit.types import constant, register, splat, vector
from sardonyx.engine.emit.writer import Writer
from sardonyx.loops.ir import Kernel, Store, statements
from sardonyx.loops.target import Target

_NO_BUFFERS: frozenset[int] = frozenset()


class Value(NamedTuple):
    """A register: vector of `lanes` or scalar, the level it lives at, the buffers it was read from.

    `reads` names only buffers that the kernel also writes.
    """

    operand: str
    lanes: int | None = None
    level: int = 0
    reads: frozenset[int] = _NO_BUFFERS


@dataclass
class Lanes:
    """The vector loop being written: `first` is the loop variable of lane 0.

    `level` is where base and mask are known, 0 if they are literals. `made` are the expressions
    of `var` computed so far; they are worth nothing when the lanes end.
    """

    var: Expr
    first: Expr
    width: int
    mask: str | None
    level: int
    made: list[Expr]


class Values(Writer):
    """A writer that knows the values of expressions in one kernel."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(target)
        self.kernel = kernel
        self.buffers = kernel.buffers
        self.lane: Lanes | None = None
        self.predicate: str | None = None
        self.stored = frozenset(s.buffer for s in statements(kernel.body) if isinstance(s, Store))
        self._values: dict[Expr, Value] = {}
        self._splats: dict[tuple[str, str, int], Value] = {}
        self._read: dict[int, list[Expr]] = {b: [] for b in self.stored}
        self._users: dict[Expr, list[Expr]] = {}
        self._symbols = {s: i for i, s in enumerate(kernel.symbols)}

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
        self._keep(var, Value(operand, lanes, len(self.scopes) - 1))

    def alias(self, var: Expr, value: Value) -> None:
        """Names a value already computed; what was made of the name before is forgotten."""
        for e in self._users.pop(var, ()):
            self._values.pop(e, None)
        self._users[var] = []
        self._values[var] = value._replace(reads=_NO_BUFFERS)
        self.scopes[-1].names.append(var)

    def _keep(self, e: Expr, value: Value) -> Value:
        self._values[e] = value
        self.scopes[value.level].names.append(e)
        lane = self.lane
        if lane is not None and (lane.var in e.free or lane.first in e.free):
            lane.made.append(e)
        for name in self._users.keys() & e.free:
            self._users[name].append(e)
        for buffer in value.reads:
            self._read[buffer].append(e)
        return value

    @contextmanager
    def lanes(self, var_: Expr, base: str, width: int, mask: str | None = None) -> Iterator[None]:
        """Inside, lane k of the loop variable is base + k; lanes off in the mask are dead."""
        saved = self.lane, self.predicate
        first = var(f"{name_of(var_)}.0", var_.args[0] if var_.args else 1)
        with self.scope():
            literal = base[0] != "%" and (mask is None or mask[0] != "%")
            level = 0 if literal else len(self.scopes) - 1
            lane = Lanes(var_, first, width, mask, level, [])
            self.lane, self.predicate = lane, mask
            self._keep(first, Value(base, None, level))
            yield
        self.forget(list(lane.made))
        self.lane, self.predicate = saved

    def varies(self, e: Expr) -> bool:
        """Whether an expression may differ between lanes."""
        if self.lane is None:
            return False
        return any(
            v is self.lane.var or (v in self._values and self._values[v].lanes is not None)
            for v in e.free
        )

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
        return () if x.op in ("load", "var") else x.args

    def _make(self, x: Expr) -> Value:
        if x.op == "var":
            return self._keep(x, self._variable(x))
        if x.op == "load":
            return self._keep(x, self.load(x))
        if x.op == "where":
            return self._keep(x, self.choose(x))
        if x.dtype is INDEX and x.op in ("add", "mul") and x.args[0].dtype is INDEX:
            return self._keep(x, self._chain(x))
        return self._keep(x, self._operation(x))

    def load(self, x: Expr) -> Value:
        """The value of a load; the memory layer knows how."""
        raise NotImplementedError

    def _variable(self, x: Expr) -> Value:
        if self.lane is not None and x is self.lane.var:
            return self._iota(self.lane)
        position = self._symbols.get(x)
        if position is None:
            raise CompileError("E0823", f"variable `{x}` has no value where it is used")
        with self.at(0):
            address = self.let(f"getelementptr i64, ptr %syms, i64 {position}")
            return Value(self.let(f"load i64, ptr {address}, align 8"))

    def _iota(self, lane: Lanes) -> Value:
        base = self.known(lane.first)
        if base.operand[0] != "%":
            numbers = ", ".join(f"i64 {int(base.operand) + k}" for k in range(lane.width))
            return Value(f"<{numbers}>", lane.width, base.level)
        start = self.spread(base, INDEX, lane.width)
        steps = ", ".join(f"i64 {k}" for k in range(lane.width))
        kind = vector("i64", lane.width)
        with self.at(start.level):
            out = self.let(f"add {kind} {start.operand}, <{steps}>")
        return Value(out, lane.width, start.level)

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
        source = x.args[0].dtype if x.args else x.dtype
        if x.op == "cast":
            return cast(self, operands[0], source, x.dtype, lanes)
        if x.op in OPERATIONS and len(operands) == 1:
            return unary(self, x.op, source, lanes, operands[0])
        if x.op not in OPERATIONS or len(operands) != 2:
            raise CompileError("E0821", f"no instructions for `{x}`")
        a, b = operands
        if source is INDEX and x.op in ("floordiv", "mod"):
            divisor = number(x.args[1])
            if divisor is not None and divisor > 0 and nonnegative(x.args[0]):
                return divide_index(self, x.op, a, divisor, lanes)
        if x.op == "pow" and source.is_float and x.args[1].op == "const":
            out = power_by(self, source, lanes, a, float(x.args[1].arg))
            if out is not None:
                return out
        return binary(self, x.op, source, lanes, a, b)

    def choose(self, x: Expr) -> Value:
        """The value of a `where`; the layer of choices knows how."""
        raise NotImplementedError

    def faults(self, e: Expr) -> bool:
        """Whether some load in an expression, not yet made, might be out of bounds."""
        raise NotImplementedError

    def made(self, e: Expr) -> bool:
        """Whether an expression has been computed where it can be used here."""
        return e in self._values

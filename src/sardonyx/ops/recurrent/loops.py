"""The loops of a Recurrence: blocks of batch rows in parallel, steps in order, gates in lanes.

for p in directions * blocks:                         parallel; four rows of the batch each
    hs, cs = initial
    for t in steps:
        gates = hs @ R'                               a Contract, per block of rows
        for row, for unit:  hs, cs = cell(gates + G[t]);  Y[t] = hs
    last h, last c = hs, cs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    cast,
    const,
    fresh,
    load,
    maximum,
    minimum,
    scalar,
    unary,
    where,
)
from sardonyx.graph.ir import Type
from sardonyx.loops.ir import Buffer, Contract, Fold, For, Kernel, Let, Role, Stmt, Store
from sardonyx.ops.recurrent.cells import Cell, gru, lstm

ROWS = 4

_INPUTS = ("g", "r", "rb", "lengths", "h", "c", "p")
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass
class _Memory:
    """The buffers by name: parameters in order, then scratch of one thread."""

    dtype: DType
    params: list[Buffer] = field(default_factory=list)
    scratch: list[Buffer] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def param(self, name: str, kind: Type, role: Role) -> None:
        assert kind.dtype is not None
        self.numbers[name] = len(self.params)
        self.params.append(Buffer(len(self.params), kind.dtype, kind.count, role))

    def take(self, name: str, size: int) -> None:
        number = len(self.params) + len(self.scratch)
        self.numbers[name] = number
        self.scratch.append(Buffer(number, self.dtype, const(size), "out", "thread"))

    def read(self, name: str, index: Expr) -> Expr:
        number = self.numbers[name]
        dtype = self.params[number].dtype if number < len(self.params) else self.dtype
        return load(number, [index], dtype)

    def write(self, name: str, index: Expr, value: Expr) -> Store:
        return Store(self.numbers[name], index, value)


@dataclass(frozen=True)
class Steps:
    """What the loops depend on; direction number `backward` and those after it run backwards."""

    kind: str
    cell: Cell
    hidden: int
    directions: int
    backward: int
    coupled: bool
    reset_after: bool
    rounded: bool

    def kernel(self, outs: Sequence[Type], inputs: Sequence[Type | None]) -> Kernel:
        """The kernel over the outputs Y, h (and c), then the inputs that are present."""
        dtype = outs[0].dtype
        assert dtype is not None
        memory = _Memory(dtype)
        for name, kind in zip(("y", "last_h", "last_c"), outs, strict=False):
            memory.param(name, kind, "out")
        for name, found in zip(_INPUTS, inputs, strict=False):
            if found is not None:
                memory.param(name, found, "in")
        memory.take("hs", ROWS * self.hidden)
        memory.take("cs", ROWS * self.hidden)
        memory.take("gates", ROWS * self.hidden * _GATES[self.kind])
        if self.kind == "GRU" and not self.reset_after:
            memory.take("reset", ROWS * self.hidden)
        if self.rounded:
            memory.take("rounded", ROWS * self.hidden)
        steps, _, batch, _ = outs[0].dims
        loops = _Loops(self, memory, steps, batch)
        body = loops.statements()
        params, scratch = tuple(memory.params), tuple(memory.scratch)
        return Kernel(params, (), body, steps * batch, scratch)


class _Loops:
    """The statements for one block of rows of one direction."""

    def __init__(self, spec: Steps, memory: _Memory, steps: Expr, batch: Expr) -> None:
        self.spec, self.memory = spec, memory
        self.steps, self.batch = steps, batch
        self.per = spec.hidden * _GATES[spec.kind]
        blocks = (batch + (ROWS - 1)) // ROWS
        self.block = fresh(blocks * spec.directions)
        self.direction = self.block // blocks if spec.directions > 1 else const(0)
        self.first = (self.block % blocks if spec.directions > 1 else self.block) * ROWS
        self.rows = minimum(batch - self.first, const(ROWS))

    def statements(self) -> tuple[Stmt, ...]:
        step = fresh(self.steps)
        walk = For(step, self._step(step))
        return (For(self.block, (*self._start(), walk, *self._finish()), "parallel"),)

    def _over_units(self, row: Expr, unit: Expr, *body: Stmt) -> For:
        return For(row, (For(unit, body, "vector"),))

    def _state_at(self, row: Expr, unit: Expr) -> Expr:
        """Where a unit's state is in the tensors of initial and last states."""
        at = (self.direction * self.batch + self.first + row) * self.spec.hidden
        return at + unit

    def _start(self) -> tuple[Stmt, ...]:
        row, unit = fresh(self.rows), fresh(self.spec.hidden)
        stores = []
        for name, given in (("hs", "h"), ("cs", "c")):
            value = const(0, self.memory.dtype)
            if given in self.memory.numbers:
                value = self.memory.read(given, self._state_at(row, unit))
            stores.append(self.memory.write(name, row * self.spec.hidden + unit, value))
        return (self._over_units(row, unit, *stores),)

    def _finish(self) -> tuple[Stmt, ...]:
        row, unit = fresh(self.rows), fresh(self.spec.hidden)
        stores = []
        for name, held in (("last_h", "hs"), ("last_c", "cs")):
            if name in self.memory.numbers:
                value = self.memory.read(held, row * self.spec.hidden + unit)
                stores.append(self.memory.write(name, self._state_at(row, unit), value))
        return (self._over_units(row, unit, *stores),)

    def product(self, source: str, first: int, count: int) -> Contract:
        """gates[first : first + count] = state @ R[those]', the state being scratch `source`."""
        hidden = self.spec.hidden
        row, gate, k = fresh(self.rows), fresh(count), fresh(hidden)
        acc = scalar("acc", self.memory.dtype)
        left = self.memory.read(source, row * hidden + k)
        right = self.memory.read("r", (self.direction * self.per + first + gate) * hidden + k)
        store = self.memory.write("gates", row * self.per + first + gate, acc)
        return Contract((), (row,), (gate,), (k,), acc, left, right, (store,))

    def _step(self, step: Expr) -> tuple[Stmt, ...]:
        hidden = self.spec.hidden
        if self.spec.kind != "GRU" or self.spec.reset_after:
            if self.spec.rounded:
                return (self._round(), self.product("rounded", 0, self.per), self._cells(step))
            return (self.product("hs", 0, self.per), self._cells(step))
        row, unit = fresh(self.rows), fresh(hidden)
        at = _At(self, row, unit, step)
        reset = self.spec.cell.apply(0, at.gate(1))
        state = at.held("hs") * reset
        store = self.memory.write("reset", row * hidden + unit, state)
        return (
            self.product("hs", 0, 2 * hidden),
            For(row, (*at.lets, For(unit, (store,), "vector"))),
            self.product("reset", 2 * hidden, hidden),
            self._cells(step),
        )

    def _round(self) -> For:
        """Writes each row of the state in 255 steps of the range of its elements and 0."""
        hidden, dtype = self.spec.hidden, self.memory.dtype
        row, m, n, unit = fresh(self.rows), fresh(hidden), fresh(hidden), fresh(hidden)
        low, high, step, zero = (scalar(name, dtype) for name in ("low", "high", "step", "zero"))
        none, most = const(0, dtype), const(255, dtype)

        def held(at: Expr) -> Expr:
            return self.memory.read("hs", row * hidden + at)

        size = (high - low) / most
        level = unary("round", held(unit) / step) + zero
        value = (minimum(maximum(level, none), most) - zero) * step
        body = (
            Fold(low, "min", (m,), minimum(held(m), none), "vector"),
            Fold(high, "max", (n,), maximum(held(n), none), "vector"),
            Let(step, where(none < size, size, const(1, dtype))),
            Let(zero, minimum(unary("round", (none - low) / step), most)),
            For(unit, (self.memory.write("rounded", row * hidden + unit, value),), "vector"),
        )
        return For(row, body)

    def _cells(self, step: Expr) -> For:
        row, unit = fresh(self.rows), fresh(self.spec.hidden)
        at = _At(self, row, unit, step)
        h, c = self._next(at)
        new_h, new_c = (scalar("new_h", self.memory.dtype), scalar("new_c", self.memory.dtype))
        lets: list[Stmt] = [] if c is None else [Let(new_c, c)]
        lets.append(Let(new_h, self._output(at, new_c) if h is None else h))
        stores = [at.keep("hs", new_h)]
        if c is not None:
            stores.append(at.keep("cs", new_c))
        zero = const(0, self.memory.dtype)
        y = (at.time * self.spec.directions + self.direction) * self.batch + self.first + row
        shown = where(at.active, new_h, zero)
        stores.append(self.memory.write("y", y * self.spec.hidden + unit, shown))
        return For(row, (*at.lets, For(unit, (*lets, *stores), "vector")))

    def _next(self, at: _At) -> tuple[Expr | None, Expr | None]:
        """The next (h, c); an LSTM's h waits for c to be named, other cells have no c."""
        cell = self.spec.cell
        if self.spec.kind == "RNN":
            return cell.apply(0, at.gate(0)), None
        if self.spec.kind == "GRU":
            update = cell.apply(0, at.gate(0))
            if self.spec.reset_after:
                inner = at.sum(2)
                if "rb" in self.memory.numbers:
                    own = self.direction * self.spec.hidden + at.unit
                    inner = inner + self.memory.read("rb", own)
                new = at.projected(2) + cell.apply(0, at.gate(1)) * inner
            else:
                new = at.gate(2)
            return gru(cell, update, new, at.held("hs")), None
        gates = [at.gate(n) for n in range(4)]
        state = lstm(cell, gates, at.held("cs"), at.peepholes(), self.spec.coupled)[1]
        return None, state

    def _output(self, at: _At, state: Expr) -> Expr:
        """An LSTM's h from its named next state."""
        peepholes = at.peepholes()
        o = at.gate(1)
        if peepholes:
            o = o + peepholes[1] * state
        shown: Expr = self.spec.cell.bare(2, state)
        opened: Expr = self.spec.cell.apply(0, o)
        return opened * shown


class _At:
    """One unit of one row at one step: what the cell reads there."""

    def __init__(self, loops: _Loops, row: Expr, unit: Expr, step: Expr) -> None:
        self.loops, self.row, self.unit = loops, row, unit
        self.memory, self.spec = loops.memory, loops.spec
        self.lets: tuple[Let, ...] = ()
        length = loops.steps
        self.active = step < length
        if "lengths" in self.memory.numbers:
            given = self.memory.read("lengths", loops.first + row)
            length = scalar("length", step.dtype)
            clamped = minimum(maximum(cast(given, step.dtype), 0), loops.steps)
            self.lets = (Let(length, clamped),)
            self.active = step < length
        back = length - 1 - step
        if "lengths" in self.memory.numbers:
            back = where(self.active, back, step)
        if self.spec.backward == 0:
            self.time = back
        elif self.spec.directions == 1:
            self.time = step
        else:
            self.time = where(loops.direction < 1, step, back)

    def sum(self, gate: int) -> Expr:
        """A gate's product with the state."""
        hidden = self.spec.hidden
        return self.memory.read("gates", self.row * self.loops.per + gate * hidden + self.unit)

    def projected(self, gate: int) -> Expr:
        """A gate's projected input."""
        loops = self.loops
        line = self.time * loops.batch + loops.first + self.row
        line = line * (self.spec.directions * loops.per) + loops.direction * loops.per
        return self.memory.read("g", line + gate * self.spec.hidden + self.unit)

    def gate(self, gate: int) -> Expr:
        """A gate before its activation."""
        return self.sum(gate) + self.projected(gate)

    def held(self, name: str) -> Expr:
        """The unit's state."""
        return self.memory.read(name, self.row * self.spec.hidden + self.unit)

    def keep(self, name: str, new: Expr) -> Store:
        """Stores the unit's next state, the present one where the row has ended."""
        at = self.row * self.spec.hidden + self.unit
        return self.memory.write(name, at, where(self.active, new, self.held(name)))

    def peepholes(self) -> list[Expr]:
        """The peephole weights i, o, f of the unit, or none."""
        if "p" not in self.memory.numbers:
            return []
        hidden = self.spec.hidden
        first = self.loops.direction * (3 * hidden) + self.unit
        return [self.memory.read("p", first + n * hidden) for n in range(3)]

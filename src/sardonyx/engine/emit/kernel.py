"""Kernels as LLVM text: one function a kernel, its loops in lanes by `loops.vector`.

    define void @k_xxx(ptr %table, ptr %ids, ptr %syms, ptr %scratch, i64 %tid, i64 %threads)

The slot before the table points at a word: once it is not 0, parallel loops end early.
Vector instructions are written as such (`<16 x float>`), so no optimization pass is needed. Nothing
that a model names reaches the text: registers, blocks and symbols come from counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sardonyx.core.errors import CompileError
from sardonyx.core.expr import Expr, number
from sardonyx.engine.emit.lanes import Words
from sardonyx.engine.emit.types import register
from sardonyx.engine.emit.values import Value
from sardonyx.engine.emit.writer import Trip
from sardonyx.kernels.micro import EMITTERS
from sardonyx.loops.ir import For, If, Kernel, Let, Loop, Stmt, Store, statements
from sardonyx.loops.lanes import lanes_of
from sardonyx.loops.target import Target
from sardonyx.loops.vector.rewrite import vectorise
from sardonyx.loops.vector.width import has_trip

_SIGNATURE = "ptr %table, ptr %ids, ptr %syms, ptr %scratch, i64 %tid, i64 %threads"


def emit(kernel: Kernel, target: Target, name: str) -> str:
    """The text of an LLVM module that defines the kernel's function under that name.

    CompileError names what has no instructions: an unknown type, operation or statement.
    """
    code = Emitter(vectorise(kernel, target), target)
    code.body(code.kernel.body)
    code.line("ret void")
    lines = code.scopes[0].lines
    out = [f"define void @{name}({_SIGNATURE}) nounwind {{", "start:"]
    out += [f"  {line}" for line in code.entry]
    out += [line if line.endswith(":") else f"  {line}" for line in lines]
    return "\n".join([*out, "}", *code.declarations, ""])


class Emitter(Words):
    """Writes the statements of one kernel; what `kernels.micro.protocol.Emit` describes."""

    def body(self, stmts: Iterable[Stmt]) -> None:
        """Writes statements one after another."""
        for stmt in stmts:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        """Writes one statement."""
        match stmt:
            case For():
                self._for(stmt)
            case Loop():
                self._loop(stmt)
            case Let():
                self.keep(stmt.var, self.value(stmt.value))
            case Store():
                self.store(stmt)
            case If():
                self._if(stmt)
            case _ if type(stmt) in EMITTERS:
                EMITTERS[type(stmt)](self, stmt)
            case _:
                raise CompileError("E0824", f"no instructions for a {type(stmt).__name__}")

    def keep(self, v: Expr, value: Value) -> None:
        """Names a value, in as many lanes as the variable has."""
        self.alias(v, self.lifted(value, v))

    def lifted(self, value: Value, v: Expr) -> Value:
        """A value in as many lanes as a variable has."""
        lanes = lanes_of(v, self.widths)
        return value if lanes is None else self.spread(value, v.dtype, lanes)

    def _if(self, stmt: If) -> None:
        condition = number(stmt.condition)
        if condition is not None:
            with self.scope():
                self.body(stmt.then if condition else stmt.other)
            return
        holds = self.expr(stmt.condition)
        for wanted, side in ((True, stmt.then), (False, stmt.other)):
            if side:
                test = holds if wanted else self.let(f"xor i1 {holds}, true")
                with self.branch(test, writes=_stores(side)):
                    self.body(side)

    # Loops

    def _for(self, stmt: For) -> None:
        extent = number(stmt.extent)
        if extent == 0:
            return
        if stmt.kind == "parallel":
            self._parallel(stmt)
        elif stmt.kind == "unroll" and extent is not None:
            for k in range(extent):
                with self.scope():
                    self.define(stmt.var, str(k))
                    self.body(stmt.body)
        else:
            self._serial(stmt, "0", self.expr(stmt.extent), has_trip(stmt.extent))

    def _serial(self, stmt: For, start: str, stop: str, nonempty: bool, halt: str = "") -> None:
        writes = _stores(stmt.body)
        with self.loop(stop, start=start, nonempty=nonempty, writes=writes, halt=halt) as trip:
            self.define(stmt.var, trip.index)
            self.body(stmt.body)

    def _parallel(self, stmt: For) -> None:
        extent = self.expr(stmt.extent)
        ends = []
        for thread in ("%tid", self.let("add i64 %tid, 1")):
            product = self.let(f"mul i64 {extent}, {thread}")
            ends.append(self.let(f"udiv i64 {product}, %threads"))
        halt = self._halt()
        self._serial(stmt, ends[0], ends[1], nonempty=False, halt=halt)
        self._leave(halt)

    def _halt(self) -> str:
        """The address of the word that ends a run: what the executor puts before the table."""
        load = "%halt = load ptr, ptr %halt.at, align 8"
        if load not in self.entry:
            self.entry += ["%halt.at = getelementptr ptr, ptr %table, i64 -1", load]
        return "%halt"

    def _leave(self, halt: str) -> None:
        """Ends the function where a loop may have ended early: what follows would read too much."""
        word = self.let(f"load atomic i64, ptr {halt} monotonic, align 8")
        calm = self.let(f"icmp eq i64 {word}, 0")
        left, onward = self.label("left"), self.label("on")
        self.line(f"br i1 {calm}, label %{onward}, label %{left}")
        self.block(left, fall=False)
        self.line("ret void")
        self.block(onward, fall=False)

    def _loop(self, s: Loop) -> None:
        first = [self.lifted(self.value(e), v) for v, e in zip(s.carried, s.first, strict=True)]
        carry = [
            (register(v.dtype, x.lanes), x.operand) for v, x in zip(s.carried, first, strict=True)
        ]
        ends, writes = (self.expr(s.start), self.expr(s.stop)), _stores(s.body)
        if s.once:
            some = self.let(f"icmp slt i64 {ends[0]}, {ends[1]}")
            with self.branch(some, guard=not s.sure, writes=writes, carry=carry) as trip:
                self._trip(s, ends[0], trip)
        else:
            nonempty = s.start.is_const and has_trip(s.stop - s.start)
            with self.loop(
                ends[1], carry, start=ends[0], step=s.step, nonempty=nonempty,
                guard=not s.sure, writes=writes,
            ) as trip:  # fmt: skip
                self._trip(s, trip.index, trip)
        for v, out in zip(s.carried, trip.results, strict=True):
            self.alias(v, Value(out, lanes_of(v, self.widths), len(self.scopes) - 1))

    def _trip(self, s: Loop, index: str, trip: Trip) -> None:
        self.define(s.var, index)
        for v, operand in zip(s.carried, trip.values, strict=True):
            self.define(v, operand, lanes_of(v, self.widths))
        self.body(s.body)
        following = zip(s.carried, s.next, strict=True)
        trip.next([self.lifted(self.value(e), v).operand for v, e in following])


def _stores(body: Sequence[Stmt]) -> frozenset[int]:
    return frozenset(s.buffer for s in statements(tuple(body)) if isinstance(s, Store))

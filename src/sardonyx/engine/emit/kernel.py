"""Scheduled kernels as LLVM text: one function a kernel.

    define void @k_xxx(ptr %table, ptr %ids, ptr %syms, ptr %scratch, i64 %tid, i64 %threads)

Vector instructions are written as such (`<16 x float>`), so no optimization pass is needed. Nothing
that a model names reaches the text: registers, blocks and symbols come from counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sardonyx.core.errors import CompileError
from sardonyx.core.expr import number
from sardonyx.engine.emit.fold import fold
from sardonyx.engine.emit.strips import CHAINS, Strips
from sardonyx.kernels.micro import EMITTERS
from sardonyx.loops.ir import Fold, For, If, Kernel, Let, Stmt, Store, statements
from sardonyx.loops.target import Target

_SIGNATURE = "ptr %table, ptr %ids, ptr %syms, ptr %scratch, i64 %tid, i64 %threads"


def emit(kernel: Kernel, target: Target, name: str) -> str:
    """The text of an LLVM module that defines the kernel's function under that name.

    CompileError names what has no instructions: an unknown type, operation or statement.
    """
    code = Emitter(kernel, target)
    code.body(kernel.body)
    code.line("ret void")
    lines = code.scopes[0].lines
    out = [f"define void @{name}({_SIGNATURE}) nounwind {{", "start:"]
    out += [f"  {line}" for line in code.entry]
    out += [line if line.endswith(":") else f"  {line}" for line in lines]
    return "\n".join([*out, "}", *code.declarations, ""])


class Emitter(Strips):
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
            case Let():
                self.alias(stmt.var, self.value(stmt.value))
            case Fold():
                self.alias(stmt.var, fold(self, stmt))
            case Store():
                self.store(stmt)
            case If():
                self._if(stmt)
            case _ if type(stmt) in EMITTERS:
                EMITTERS[type(stmt)](self, stmt)
            case _:
                raise CompileError("E0824", f"no instructions for a {type(stmt).__name__}")

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
        elif stmt.kind == "vector" and self.lane is None and self.fitting(stmt) > 1:
            self._vector(stmt, self.fitting(stmt))
        elif stmt.kind == "unroll" and extent is not None:
            for k in range(extent):
                with self.scope():
                    self.define(stmt.var, str(k))
                    self.body(stmt.body)
        else:
            self._serial(stmt, "0", self.expr(stmt.extent), self.trips(stmt.extent))

    def _serial(self, stmt: For, start: str, stop: str, nonempty: bool) -> None:
        writes = _stores(stmt.body)
        with self.loop(stop, start=start, nonempty=nonempty, writes=writes) as trip:
            self.define(stmt.var, trip.index)
            self.body(stmt.body)

    def _parallel(self, stmt: For) -> None:
        extent = self.expr(stmt.extent)
        ends = []
        for thread in ("%tid", self.let("add i64 %tid, 1")):
            product = self.let(f"mul i64 {extent}, {thread}")
            ends.append(self.let(f"udiv i64 {product}, %threads"))
        self._serial(stmt, ends[0], ends[1], nonempty=False)

    def _vector(self, stmt: For, width: int) -> None:
        if self.trips(stmt.extent):
            self._strips(stmt, width)
            return
        some = self.let(f"icmp sgt i64 {self.expr(stmt.extent)}, 0")
        with self.branch(some, writes=_stores(stmt.body)):
            self._strips(stmt, width)

    def _strips(self, stmt: For, width: int) -> None:
        """Whole vectors, then what is left of at least one trip: masked, or one by one."""
        extent, writes = number(stmt.extent), _stores(stmt.body)
        full, left = self.split(stmt.extent, width)
        done = "0"
        if self.chained(stmt.body) and (extent is None or extent >= CHAINS * width):
            done, _ = self.split(stmt.extent, CHAINS * width)
            self._whole(stmt, CHAINS * width, "0", done)
        if done != full:
            self._whole(stmt, width, done, full)
        if left is None:
            return
        if not self.masks(stmt.body):
            self._serial(stmt, full, self.expr(stmt.extent), nonempty=False)
        elif extent is not None:
            self._tail(stmt, width, full, left)
        else:
            rest = self.let(f"icmp ne i64 {left}, 0")
            with self.branch(rest, guard=False, writes=writes):
                self._tail(stmt, width, full, left)

    def _whole(self, stmt: For, width: int, start: str, stop: str) -> None:
        some = stop[0] != "%"
        if some and self.short(stmt.body, (int(stop) - int(start)) // width):
            for base in range(int(start), int(stop), width):
                with self.lanes(stmt.var, str(base), width):
                    self.body(stmt.body)
            return
        loop = self.loop(
            stop, start=start, step=width, nonempty=some, guard=False, writes=_stores(stmt.body)
        )
        with loop as trip, self.lanes(stmt.var, trip.index, width):
            self.body(stmt.body)

    def _tail(self, stmt: For, width: int, full: str, left: str) -> None:
        mask = self.mask_below(left, width)
        with self.lanes(stmt.var, full, width, mask):
            self.body(stmt.body)


def _stores(body: Sequence[Stmt]) -> frozenset[int]:
    return frozenset(s.buffer for s in statements(tuple(body)) if isinstance(s, Store))

"""`where` in machine code: control goes to the chosen side, or a select where both are cheap.

A side of a few operations that cannot fault is simply computed. A chain of choices, each in the
last side of the one before, is written without recursion.
"""

from __future__ import annotations

from contextlib import ExitStack

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, walk
from sardonyx.core.operations import OPERATIONS
from sardonyx.engine.emit.types import register, vector
from sardonyx.engine.emit.values import Value, Values
from sardonyx.engine.emit.writer import Scope
from sardonyx.loops.lanes import lanes_of


class Choices(Values):
    """Values that choose between two sides."""

    def choose(self, x: Expr) -> Value:
        """The value of a `where` whose condition has been computed."""
        condition = self.known(x.args[0])
        if all(self._cheap(side) for side in x.args[1:]):
            sides = [self.value(side) for side in x.args[1:]]
            return self.select(x.dtype, condition, *sides)
        return _Fork(self, x).run()

    def _cheap(self, e: Expr) -> bool:
        """Whether computing an expression that may not be needed costs little and cannot fault."""
        if self.made(e):
            return True
        parts = walk(e)
        return len(parts) <= 12 and all(
            self.made(p) or not (p.op in ("load", "span") or _expensive(p)) for p in parts
        )

    def forks(self, e: Expr) -> bool:
        """Whether an expression is a choice that control decides."""
        return (
            e.op == "where"
            and not self.made(e)
            and not all(self._cheap(side) for side in e.args[1:])
        )

    def select(self, dtype: DType, condition: Value, yes: Value, no: Value) -> Value:
        """One of two values, lane by lane where the condition is a mask."""
        lanes, level, reads = self.combine((condition, yes, no))
        kind = register(dtype, lanes)
        with self.at(level):
            # A scalar condition may choose between vectors.
            mask = vector("i1", condition.lanes)
            a, b = (self.matched(side, dtype, lanes) for side in (yes, no))
            out = self.let(f"select {mask} {condition.operand}, {kind} {a}, {kind} {b}")
        return Value(out, lanes, level, reads)


def _expensive(e: Expr) -> bool:
    return e.op in OPERATIONS and OPERATIONS[e.op].expensive


class _Fork:
    """Blocks of which the chosen one runs.

    Each level of the chain holds the scope of its first side and the open scope of its last, in
    which the next level is written.
    """

    def __init__(self, code: Choices, x: Expr) -> None:
        self.code, self.x = code, x
        self.width = lanes_of(x, code.widths)
        self.after = code.label("both")
        self.incoming: list[str] = []
        self.reads: frozenset[int] = frozenset()

    def run(self) -> Value:
        """The merged value, at the innermost level."""
        code, x = self.code, self.x
        levels: list[tuple[str, Scope, Scope, ExitStack]] = []
        while True:
            condition = code.value(x.args[0])
            self.reads |= condition.reads
            labels = [code.label(p) for p in ("yes", "no")]
            with code.open(labels[0], guard=True) as yes:
                self._arrive(x.args[1])
            opened = ExitStack()
            no = opened.enter_context(code.open(labels[1], guard=True))
            jump = f"br i1 {condition.operand}, label %{labels[0]}, label %{labels[1]}"
            levels.append((jump, yes, no, opened))
            x = x.args[2]
            if not code.forks(x):
                break
        self._arrive(x)
        for jump, yes, no, opened in reversed(levels):
            opened.close()
            code.line(jump)
            code.join(yes)
            code.join(no)
        code.block(self.after, fall=False)
        kind = register(self.x.dtype, self.width)
        out = code.let(f"phi {kind} {', '.join(self.incoming)}")
        return Value(out, self.width, len(code.scopes) - 1, self.reads)

    def _arrive(self, side: Expr) -> None:
        """Computes a side in the open scope and leaves for the block after all."""
        code = self.code
        value = code.value(side)
        self.reads |= value.reads
        operand = code.matched(value, side.dtype, self.width)
        self.incoming.append(f"[ {operand}, %{code.here()} ]")
        code.line(f"br label %{self.after}")

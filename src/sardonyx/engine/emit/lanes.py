"""The words of `loops.lanes` apart from memory: one row for each."""

from __future__ import annotations

from sardonyx.core.expr import Expr
from sardonyx.engine.emit.arith import binary
from sardonyx.engine.emit.memory import Memory
from sardonyx.engine.emit.types import register, vector
from sardonyx.engine.emit.values import Value
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target


class Words(Memory):
    """Values made of lanes and masks."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self.rows |= {
            "where": self.choose, "select": self._select,
            "any": self._any, "across": self._across,
        }  # fmt: skip

    def _select(self, x: Expr) -> Value:
        return self.select(x.dtype, *(self.known(a) for a in x.args))

    def _any(self, x: Expr) -> Value:
        mask = self.known(x.args[0])
        if mask.lanes is None:
            return mask
        with self.at(mask.level):
            bits = f"i{mask.lanes}"
            packed = self.let(f"bitcast {vector('i1', mask.lanes)} {mask.operand} to {bits}")
            return mask._replace(operand=self.let(f"icmp ne {bits} {packed}, 0"), lanes=None)

    def _across(self, x: Expr) -> Value:
        """All lanes as one scalar, by halves."""
        whole, dtype = self.known(x.args[0]), x.dtype
        out, width = whole.operand, whole.lanes or 1
        with self.at(whole.level):
            while width > 1:
                kind, half = register(dtype, width), width // 2
                low, high = (self._half(kind, out, first, half) for first in (0, half))
                out, width = binary(self, x.arg, dtype, half, low, high), half
            out = self.let(f"extractelement {register(dtype, 1)} {out}, i64 0")
        return whole._replace(operand=out, lanes=None)

    def _half(self, kind: str, a: str, first: int, count: int) -> str:
        order = ", ".join(f"i32 {first + k}" for k in range(count))
        return self.let(f"shufflevector {kind} {a}, {kind} poison, <{count} x i32> <{order}>")

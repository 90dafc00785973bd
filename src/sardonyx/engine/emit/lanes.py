"""The words of `loops.lanes` apart from memory: one row for each."""

from __future__ import annotations

from sardonyx.core.expr import Expr
from sardonyx.engine.emit.arith import binary
from sardonyx.engine.emit.memory import Memory
from sardonyx.engine.emit.types import register, vector
from sardonyx.engine.emit.values import Value
from sardonyx.loops.ir import Kernel
from sardonyx.loops.lanes import turned
from sardonyx.loops.target import Target


class Words(Memory):
    """Values made of lanes and masks."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self.rows |= {
            "where": self.choose, "select": self._select,
            "any": self._any, "across": self._across, "turn": self._turn,
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

    def _turn(self, x: Expr) -> Value:
        """Every lane of all the vectors at once, each as a vector of its own.

        Within 128 bits by perfect shuffles of elements, then whole 128 bits by evens and odds: each
        is one instruction.
        """
        lanes, level, reads = self.combine(self.known(a) for a in x.args)
        width, group = lanes or 1, min(lanes or 1, 128 // max(8, x.dtype.bits))
        kind = register(x.dtype, width)
        with self.at(level):
            rows = [self.matched(self.known(a), x.dtype, width) for a in x.args]
            for first in range(0, width, group):
                rows[first : first + group] = self._interleaved(kind, rows[first:][:group], width)
            columns = [self._gathered(kind, rows[k::group], width, group) for k in range(group)]
        for k in range(width):
            made = Value(columns[k % group][k // group], width, level, reads)
            self._keep(turned(k, x.args), made)
        return self.known(x)

    def _interleaved(self, kind: str, rows: list[str], width: int) -> list[str]:
        """As many vectors as elements in 128 bits, turned within each 128 bits."""
        count, half = len(rows), len(rows) // 2
        for _ in range(count.bit_length() - 1):
            pairs = [(rows[k], rows[k + half]) for k in range(half)]
            rows = [
                self._picked(kind, pair, [_place(k, count, upper, width) for k in range(width)])
                for pair in pairs
                for upper in (0, half)
            ]
        return rows

    def _gathered(self, kind: str, rows: list[str], width: int, group: int) -> list[str]:
        """Vectors of as many groups of elements as there are of them, turned as groups."""
        for _ in range(len(rows).bit_length() - 1):
            pairs = list(zip(rows[::2], rows[1::2], strict=True))
            rows = [
                self._picked(kind, pair, [(2 * (k // group) + odd) * group + k % group
                                          for k in range(width)])
                for odd in (0, 1)
                for pair in pairs
            ]  # fmt: skip
        return rows

    def _picked(self, kind: str, pair: tuple[str, str], places: list[int]) -> str:
        order = ", ".join(f"i32 {p}" for p in places)
        both = f"{kind} {pair[0]}, {kind} {pair[1]}"
        return self.let(f"shufflevector {both}, <{len(places)} x i32> <{order}>")


def _place(k: int, group: int, upper: int, width: int) -> int:
    """Where lane k of an interleaving of the lower or upper halves of groups comes from."""
    return k // group * group + upper + k % group // 2 + k % 2 * width

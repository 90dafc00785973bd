"""The formulas by operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr

Formula = Callable[..., Expr]
Abilities = frozenset[str]


@dataclass(frozen=True)
class Rule:
    """A formula, the ability that it needs, and the one that makes it useless ("" is none)."""

    of: Formula
    needs: str
    unless: str

    def serves(self, able: Abilities) -> bool:
        """Whether a machine with these abilities wants the formula."""
        has = not self.needs or self.needs in able
        return has and not (self.unless and self.unless in able)


RULES: dict[tuple[str, DType], list[Rule]] = {}


def formula(
    op: str, *dtypes: DType, needs: str = "", unless: str = ""
) -> Callable[[Formula], Formula]:
    """Registers a function from the operands of `op`, the last of one of `dtypes`, to its value.

    It serves machines that have the ability `needs` and lack `unless`; of several the first that
    serves is taken.
    """

    def register(of: Formula) -> Formula:
        for dtype in dtypes:
            RULES.setdefault((op, dtype), []).append(Rule(of, needs, unless))
        return of

    return register

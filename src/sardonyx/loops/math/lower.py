"""What operations become on a machine: formulas of operations that it has."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, const, operate, scalar, walk
from sardonyx.core.operations import OPERATIONS
from sardonyx.core.term import make
from sardonyx.loops.math import double, real, single, whole
from sardonyx.loops.math.convert import HALVES, conversion
from sardonyx.loops.math.formulas import RULES, Abilities, Formula
from sardonyx.loops.math.real import FEW_PRODUCTS
from sardonyx.loops.target import Target

__all__ = ["abilities", "double", "lowered", "real", "single", "template", "whole"]

_LITERAL = ("pow", "shl", "shr", "index.floordiv", "index.mod")
_AS_THEY_ARE = ("select", "bitcast")


@functools.lru_cache
def abilities(target: Target, lanes: int | None) -> Abilities:
    """What a target can do in that many lanes: its features and what formulas ask for besides.

    `scalar` or `vector`; `fma`; `round` to integers; `half`, to and from float16; `long`, int64 to
    and from float64; `scale 32` or `scale 64`; `wide tables`, of 16 entries.
    """
    asked = {
        "scalar": lanes is None,
        "vector": lanes is not None,
        "fma": target.can("fma"),
        "round": target.can("round"),
        "half": target.can("half"),
        "long": lanes is None or target.has("avx512dq"),
        "wide tables": target.has("avx512f"),
        f"scale {512 // (lanes or 512)}": target.has("avx512f"),
    }
    return target.features | {name for name, holds in asked.items() if holds}


@dataclass(frozen=True)
class Template:
    """A formula of operations that a machine has: `value` in terms of `params`."""

    params: tuple[Expr, ...]
    value: Expr

    def __call__(self, args: Sequence[Expr]) -> Expr:
        """The formula of these operands."""
        return replaced(self.value, dict(zip(self.params, args, strict=True)))


def literal_of(op: str, args: Sequence[Expr]) -> float | None:
    """The last operand's number, where the formula of an operation may be chosen by it."""
    last = args[-1]
    return last.arg if op in _LITERAL and last.op == "const" else None


@functools.lru_cache(1 << 14)
def template(
    op: str, dtypes: tuple[DType, ...], to: DType, able: Abilities, literal: float | None = None
) -> Template | None:
    """What an operation on such operands becomes; None where the machine has it as it is."""
    few = op == "pow" and literal in FEW_PRODUCTS
    of = _formula(op, dtypes, to, able | {"few products"} if few else able)
    if of is None:
        return None
    params = tuple(scalar(f"x{n}", dtype) for n, dtype in enumerate(dtypes))
    args = params if literal is None else (*params[:-1], const(literal, dtypes[-1]))
    return Template(params, lowered(of(*args), able))


def lowered(e: Expr, able: Abilities) -> Expr:
    """An expression in operations that a machine has."""
    known: dict[Expr, Expr] = {}
    for x in walk(e):
        args = tuple(known[a] for a in x.args)
        made = None
        if x.op == "cast" or x.op in OPERATIONS:
            dtypes = tuple(a.dtype for a in args)
            made = template(x.op, dtypes, x.dtype, able, literal_of(x.op, args))
        known[x] = made(args) if made is not None else make(x.op, args, x.arg, x.dtype)
    return known[e]


def replaced(e: Expr, mapping: Mapping[Expr, Expr]) -> Expr:
    """An expression with others in place of some, without simplifying."""
    known = dict(mapping)
    for x in walk(e):
        if x not in known:
            known[x] = make(x.op, tuple(known[a] for a in x.args), x.arg, x.dtype)
    return known[e]


def _formula(op: str, dtypes: tuple[DType, ...], to: DType, able: Abilities) -> Formula | None:
    if op == "cast":
        return conversion(dtypes[0], to, able)
    if any(d in HALVES for d in dtypes) and op not in _AS_THEY_ARE:
        return lambda *args: _through_float32(op, args, to)
    rules = RULES.get((op, dtypes[-1]), ())
    return next((rule.of for rule in rules if rule.serves(able)), None)


def _through_float32(op: str, args: tuple[Expr, ...], to: DType) -> Expr:
    wide = operate(op, tuple(cast(a, DType.FLOAT32) for a in args))
    return wide if OPERATIONS[op].result == "bool" else cast(wide, to)

"""Reductions that stand in branches: what is looked at, and where."""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, load, reduce, symbol, unary, var, where
from sardonyx.loops.build import place
from sardonyx.loops.ir import Fold

F32 = DType.FLOAT32
N = symbol("n")
I = var("i", N)  # noqa: E741
HERE = load("x", [I], F32)


def total(offset: int = 0) -> Expr:
    return reduce("add", N, lambda k: load("x", [k + offset], F32))


def folds(value: Expr) -> list[tuple[int, Fold]]:
    levels, _ = place(value, [I])
    return [(depth, s) for depth, level in enumerate(levels) for s in level if isinstance(s, Fold)]


def test_a_condition_on_data_holds_no_reduction_in_a_loop() -> None:
    for value in (where(HERE < 0, total(), HERE), where(unary("isnan", HERE), HERE, total())):
        ((depth, fold),) = folds(value)
        assert depth == 0
        assert fold.value.op == "load"


def test_a_condition_on_subscripts_guards_a_reduction() -> None:
    ((_, fold),) = folds(where(I < 3, total(), HERE))
    assert fold.value.op == "where"
    assert fold.value.args[0] is (I < 3)


def test_a_reduction_in_both_branches_is_wanted_in_both() -> None:
    inside = I < 3
    ((_, fold),) = folds(where(inside, total() + 1, total() * 2))
    guard = fold.value.args[0]
    assert guard.op == "or"
    assert set(guard.args) == {inside, unary("not", inside)}


def test_a_reduction_wanted_anywhere_is_guarded_nowhere() -> None:
    ((_, fold),) = folds(where(I < 3, total() + 1, HERE) + total())
    assert fold.value.op == "load"

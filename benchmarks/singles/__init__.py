"""Models of single operators: the rows of the operator sweep."""

from singles import elementwise, moves, products, recurrent, reductions, selection, windows
from singles.case import FORMS, Case, Form, Maker, Model

__all__ = ["CASES", "FORMS", "Case", "Form", "Maker", "Model"]

CASES: tuple[Case, ...] = (
    *products.CASES,
    *windows.CASES,
    *recurrent.CASES,
    *reductions.CASES,
    *moves.CASES,
    *selection.CASES,
    *elementwise.CASES,
)

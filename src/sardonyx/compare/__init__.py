"""How far two models, providers or frameworks differ, and whether that is too far."""

from sardonyx.compare.comparison import Comparison, Divergence, Judgement, Reason
from sardonyx.compare.judge import compare
from sardonyx.compare.metrics import Difference, Tally, difference
from sardonyx.compare.page import to_html
from sardonyx.compare.sides import Side, of_model
from sardonyx.compare.tolerance import CLASSES, Tolerance, tolerance

__all__ = [
    "CLASSES",
    "Comparison",
    "Difference",
    "Divergence",
    "Judgement",
    "Reason",
    "Side",
    "Tally",
    "Tolerance",
    "compare",
    "difference",
    "of_model",
    "to_html",
    "tolerance",
]

"""Honest paired measurement: every contender in its own process, taking turns.

Names are imported when they are first used: a worker process loads nothing but its own contender.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sardonyx.bench.contender import NATIVE, Contender
    from sardonyx.bench.contest import bench, race
    from sardonyx.bench.measure import Plan
    from sardonyx.bench.results import BenchReport, Figures, Row
    from sardonyx.bench.statistics import Ratio

__all__ = ["NATIVE", "BenchReport", "Contender", "Figures", "Plan", "Ratio", "Row", "bench", "race"]

_PLACES = {
    "contender": ("NATIVE", "Contender"),
    "measure": ("Plan",),
    "results": ("BenchReport", "Figures", "Row"),
    "contest": ("bench", "race"),
    "statistics": ("Ratio",),
}


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"sardonyx.bench.{module}"), name)
    raise AttributeError(f"module `sardonyx.bench` has no attribute `{name}`")

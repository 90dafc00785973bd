"""Honest paired measurement: every contender in its own process, taking turns."""

from sardonyx.bench.contender import NATIVE, Contender, contender
from sardonyx.bench.measure import Plan
from sardonyx.bench.report import BenchReport, Figures, Row
from sardonyx.bench.run import bench, race
from sardonyx.bench.statistics import Ratio

__all__ = [
    "NATIVE",
    "BenchReport",
    "Contender",
    "Figures",
    "Plan",
    "Ratio",
    "Row",
    "bench",
    "contender",
    "race",
]

"""Honest paired measurement: every contender in its own process, taking turns."""

from sardonyx.bench.contender import Contender
from sardonyx.bench.measure import Plan
from sardonyx.bench.report import BenchReport, Figures, Row
from sardonyx.bench.run import race
from sardonyx.bench.statistics import Ratio

__all__ = ["BenchReport", "Contender", "Figures", "Plan", "Ratio", "Row", "race"]

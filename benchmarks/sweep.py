"""The result of an operator sweep: a table by ratio, with the share of the roofs, and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from roofs import Roofs
from sardonyx.bench import BenchReport, Figures, Ratio, Row
from sardonyx.bench.results import seconds
from sardonyx.bench.statistics import geometric_mean
from singles import Form

NOISE = 0.95
TITLES = (
    "ratio [95 %]", "operator", "form", "threads", "ours", "theirs", "roof", "ours of it",
    "theirs", "our error", "theirs", "precision",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One operator in one form; `least` is how few seconds the machine's `roof` allows."""

    form: Form
    report: BenchReport
    least: float
    roof: str

    @property
    def row(self) -> Row:
        """The only row of the report."""
        (row,) = self.report.rows
        return row

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-ready data."""
        data = {"form": self.form, "roof": self.roof, "least_s": self.least, **self.row.to_dict()}
        return data | {"share": self.least / self.row.subject.latency}


@dataclass
class Sweep:
    """Every row, why others are missing, and the machine's roofs."""

    roofs: Sequence[Roofs]
    against: Sequence[str]
    rows: list[Measured] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def wrong(self) -> list[Measured]:
        """The rows whose outputs are further off than any precision class allows."""
        return [m for m in self.rows if m.row.subject.precision == "wrong"]

    def ratios(self, label: str) -> list[tuple[Ratio, Measured]]:
        """The rows with their ratio to one contender, the lowest first."""
        found = [(m.row.ratios[label], m) for m in self.rows if label in m.row.ratios]
        return sorted(found, key=lambda pair: pair[0].median)

    def summary(self, label: str) -> dict[str, Any]:
        """Geometric mean, and how many rows are below 1, and below what noise explains."""
        found = self.ratios(label)
        return {
            "rows": len(found),
            "geomean": geometric_mean([ratio.median for ratio, _ in found]),
            "below_1": sum(ratio.median < 1 for ratio, _ in found),
            "surely_below": [_name(m) for ratio, m in found if ratio.high < NOISE],
        }

    def lines(self) -> Iterator[str]:
        """The summary in words."""
        for label in self.against if self.rows else ():
            told = self.summary(label)
            yield (
                f"against {label}: {told['geomean']:.2f}× in the geometric mean of "
                f"{told['rows']} rows; {told['below_1']} are below 1.0, of which "
                f"{len(told['surely_below'])} have their whole interval below {NOISE}"
            )
        yield from map(str, self.roofs)
        yield from (f"wrong: {_name(m)}: error {m.row.subject.error:.1e}" for m in self.wrong())
        yield from (f"not measured: {place}: {why}" for place, why in self.missing.items())

    def to_dict(self) -> dict[str, Any]:
        """The sweep as JSON-ready data, with the circumstances of its first row."""
        first: Mapping[str, Any] = self.rows[0].report.to_dict() if self.rows else {}
        told = {key: first.get(key) for key in ("date", "machine", "versions", "settings")}
        return {
            "schema": 1,
            "kind": "operators",
            **told,
            "roofs": [roofs.to_dict() for roofs in self.roofs],
            "rows": [m.to_dict() for m in self.rows],
            "missing": self.missing,
            "summary": {label: self.summary(label) for label in self.against},
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table for each contender, then the summary."""
        tables = [_table(label, self.ratios(label)) for label in self.against if self.rows]
        yield Group(*tables, *(Text(line) for line in self.lines()))


def _name(measured: Measured) -> str:
    threads = measured.row.threads
    told = f", {threads} threads" if threads > 1 else ""
    return f"{measured.row.model} ({measured.form}{told})"


def _shown(ratio: Ratio) -> str:
    """A ratio with two digits that count."""
    digits = 2 if ratio.median >= 0.1 else 4
    low, middle, high = (f"{r:.{digits}f}" for r in (ratio.low, ratio.median, ratio.high))
    return f"{middle} [{low}, {high}]"


def _table(label: str, found: Sequence[tuple[Ratio, Measured]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, title=f"against {label}")
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("operator", "form") else "right")
    for ratio, measured in found:
        other = next(f for f in measured.row.others if f.label == label)
        table.add_row(*map(Text, _cells(ratio, measured, measured.row.subject, other)))
    return table


def _cells(ratio: Ratio, measured: Measured, ours: Figures, theirs: Figures) -> tuple[str, ...]:
    return (
        _shown(ratio),
        measured.row.model,
        measured.form,
        str(measured.row.threads),
        seconds(ours.latency),
        seconds(theirs.latency),
        measured.roof,
        f"{measured.least / ours.latency:.0%}",
        f"{measured.least / theirs.latency:.0%}",
        f"{ours.error:.1e}",
        f"{theirs.error:.1e}",
        ours.precision,
    )

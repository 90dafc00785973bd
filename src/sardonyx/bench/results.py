"""What was measured, as data: one row per model and thread count, and the whole report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from sardonyx.bench.statistics import Ratio, geometric_mean

SCHEMA = 1


@dataclass(frozen=True)
class Figures:
    """One contender's own figures: seconds, bytes, and the error of its outputs.

    `latency` is the median over all its blocks and `best` the quickest block, both per run.
    `cold` is creating plus the first run with empty caches; `second` the same in a later process.
    `error` is relative to the reference named in the row; `precision` is its class.
    """

    label: str
    latency: float
    best: float
    cold: float
    second: float
    peak_bytes: int
    own_bytes: int
    error: float
    precision: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-ready data."""
        return {
            "label": self.label,
            "latency_s": self.latency,
            "best_s": self.best,
            "cold_s": self.cold,
            "second_s": self.second,
            "peak_bytes": self.peak_bytes,
            "own_bytes": self.own_bytes,
            "error": self.error,
            "precision": self.precision,
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class Row:
    """One model at one thread count: the subject's figures, the others', and the paired ratios.

    `ratios[label]` tells how many times faster the subject is than that contender.
    """

    model: str
    threads: int
    dims: Mapping[str, int]
    reference: str
    subject: Figures
    others: tuple[Figures, ...]
    ratios: Mapping[str, Ratio]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-ready data."""
        return {
            "model": self.model,
            "threads": self.threads,
            "dims": dict(self.dims),
            "reference": self.reference,
            "subject": self.subject.to_dict(),
            "others": [other.to_dict() for other in self.others],
            "ratios": {label: ratio.to_dict() for label, ratio in self.ratios.items()},
        }


@dataclass(frozen=True)
class BenchReport:
    """Every row, with the machine, the versions, the settings and the day.

    `notes` tell what the results of contenders are not on this machine.
    """

    rows: tuple[Row, ...]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    date: str
    notes: tuple[str, ...] = ()

    def __add__(self, other: BenchReport) -> BenchReport:
        """The rows of both, under the machine and day of the first."""
        return BenchReport(
            self.rows + other.rows,
            self.machine,
            {**self.versions, **other.versions},
            self.settings,
            self.date,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def against(self) -> list[str]:
        """The labels that rows have ratios for, in the order of appearance."""
        return list(dict.fromkeys(label for row in self.rows for label in row.ratios))

    def geomean(self, label: str) -> float:
        """The geometric mean of the median ratios against one contender."""
        return geometric_mean([r.ratios[label].median for r in self.rows if label in r.ratios])

    def worst(self, label: str) -> Row | None:
        """The row with the lowest median ratio against one contender."""
        rows = [row for row in self.rows if label in row.ratios]
        return min(rows, key=lambda row: row.ratios[label].median, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data; `schema` counts incompatible changes."""
        return {
            "schema": SCHEMA,
            "kind": "bench",
            "date": self.date,
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "settings": dict(self.settings),
            "notes": list(self.notes),
            "rows": [row.to_dict() for row in self.rows],
            "summary": {label: self._summary(label) for label in self.against()},
        }

    def _summary(self, label: str) -> dict[str, Any]:
        worst = self.worst(label)
        assert worst is not None
        return {
            "geomean": self.geomean(label),
            "worst": worst.ratios[label].median,
            "worst_model": worst.model,
            "worst_threads": worst.threads,
        }

    def lines(self) -> Iterator[str]:
        """The summary in words: notes, geometric mean and worst row against each contender."""
        yield from (f"note: {note}" for note in self.notes)
        for label in self.against():
            worst = self.worst(label)
            assert worst is not None
            yield (
                f"against {label}: {self.geomean(label):.2f}× in the geometric mean, at worst "
                f"{worst.ratios[label].median:.2f}× ({worst.model}, {threads(worst.threads)})"
            )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table of `sardonyx bench`."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in TITLES:
            table.add_column(title, justify="left" if title == "model" else "right")
        for row in self.rows:
            for figures in (row.subject, *row.others):
                table.add_row(*cells(row, figures))
        yield Group(table, *(Text(line) for line in self.lines()))


TITLES = (
    "model",
    "threads",
    "contender",
    "latency",
    "ratio [95 %]",
    "cold start",
    "second start",
    "memory",
    "error",
    "precision",
)


def threads(count: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{count} thread" + ("s" if count != 1 else "")


def seconds(value: float) -> str:
    """A time with the unit that suits it and three digits: `8.13 µs`, `52.1 ms`, `1.41 s`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def mebibytes(value: int) -> str:
    """Bytes as whole MiB."""
    return f"{value / 2**20:.0f} MiB"


def cells(row: Row, figures: Figures) -> tuple[Text, ...]:
    """One line of the table as harmless text."""
    ratio = row.ratios.get(figures.label)
    words = (
        row.model if figures is row.subject else "",
        str(row.threads),
        figures.label,
        seconds(figures.latency),
        str(ratio) if ratio else "",
        seconds(figures.cold),
        seconds(figures.second),
        mebibytes(figures.own_bytes),
        f"{figures.error:.1e}",
        figures.precision,
    )
    return tuple(Text(word) for word in words)

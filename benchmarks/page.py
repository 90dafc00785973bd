"""The page docs/benchmarks.md, from a report."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from sardonyx.bench import BenchReport, Figures, Row
from sardonyx.bench.results import mebibytes, seconds

HEAD = "<!-- Written by `make bench` (benchmarks/run.py); do not edit. -->"
INTRODUCTION = """\
Ratios are paired: above 1, Sardonyx is faster. In brackets, the 95 % interval.
How it is measured: [measuring](concepts/measuring.md); the models:
[benchmarks](../benchmarks/README.md)."""
LEGEND = """\
Cold is creating a session and the first run with empty caches, second the same in a
later process. Memory is the peak over the bare interpreter's. The error is relative
(root mean square) against PyTorch in float64."""
NO_FIGURE = "–"


def write_page(report: BenchReport, path: Path, failed: Mapping[str, str]) -> None:
    """Write the page beside its place, then rename; `failed` tells why a model has no rows."""
    beside = path.with_suffix(".partial")
    beside.write_text("\n".join(_page(report, failed)) + "\n", encoding="utf-8")
    beside.replace(path)


def _page(report: BenchReport, failed: Mapping[str, str]) -> Iterator[str]:
    yield from (HEAD, "# Benchmarks", "", INTRODUCTION, "", "## Latency", "")
    yield from _latency(report)
    yield ""
    yield from (f"- {line}" for line in report.lines())
    yield from (f"- {name} could not be measured: {why}" for name, why in failed.items())
    yield from ("", "## Start, memory, error", "", LEGEND, "")
    yield from _figures(report)
    yield from ("", "## Machine, versions, settings", "")
    yield from _circumstances(report)


def _latency(report: BenchReport) -> Iterator[str]:
    against = report.against()
    yield "| model | threads | Sardonyx | " + " | ".join(_titles(against)) + " | pairs (dropped) |"
    yield "|---|---|---|" + "---|---|" * len(against) + "---|"
    for row in report.rows:
        others = {figures.label: figures for figures in row.others}
        cells = [_name(row), str(row.threads), seconds(row.subject.latency)]
        for label in against:
            cells.append(seconds(others[label].latency) if label in others else NO_FIGURE)
            cells.append(str(row.ratios.get(label, NO_FIGURE)))
        yield f"| {' | '.join(cells)} | {_pairs(row)} |"


def _titles(against: list[str]) -> Iterator[str]:
    for label in against:
        yield from (label, "ratio")


def _name(row: Row) -> str:
    dims = ", ".join(f"{symbol}={size}" for symbol, size in row.dims.items())
    return f"{row.model} ({dims})" if dims else row.model


def _pairs(row: Row) -> str:
    kept = sum(ratio.pairs for ratio in row.ratios.values())
    dropped = sum(ratio.dropped for ratio in row.ratios.values())
    return f"{kept} ({dropped})"


def _figures(report: BenchReport) -> Iterator[str]:
    yield "| model | threads | contender | cold | second | memory | error | precision |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in report.rows:
        for figures in (row.subject, *row.others):
            yield f"| {row.model} | {row.threads} | {' | '.join(_cells(figures))} |"


def _cells(figures: Figures) -> list[str]:
    return [
        figures.label,
        seconds(figures.cold),
        seconds(figures.second),
        mebibytes(figures.own_bytes),
        f"{figures.error:.1e}",
        figures.precision,
    ]


def _circumstances(report: BenchReport) -> Iterator[str]:
    machine = report.machine
    yield f"- {report.date}; {machine['processor']}, {machine['cores']} cores, "
    yield f"  {machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}"
    yield f"- features: {', '.join(machine['features'])}"
    yield f"- load before the start: {machine['load']}"
    yield "- versions: " + ", ".join(f"{k} {v}" for k, v in report.versions.items())
    yield "- plan: " + ", ".join(f"{k} {v}" for k, v in report.settings.items())
    for figures in (report.rows[0].subject, *report.rows[0].others):
        told = ", ".join(f"`{k}={v}`" for k, v in figures.settings.items() if k != "threads")
        yield f"- {figures.label}: {told}"
    yield "- again: `make bench`, or `python benchmarks/run.py NAME --threads 1` for one row"

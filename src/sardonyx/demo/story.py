"""What `sardonyx demo` tells at the end: a page, a summary for the terminal, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sardonyx.bench.results import Figures, Row, seconds
from sardonyx.bench.statistics import Ratio
from sardonyx.compare import Comparison
from sardonyx.compare.comparison import COLUMNS
from sardonyx.compare.operators import changes
from sardonyx.core.expr import evaluate, show
from sardonyx.demo.charts import Interval, Picture
from sardonyx.demo.page import Page
from sardonyx.demo.stages import INT8, OURS, Demo, Score

SHOWN = 20


def to_dict(demo: Demo) -> dict[str, Any]:
    """Everything that was found, as JSON-ready data."""
    before, after = demo.conversion.graph, demo.optimized
    return {
        "seconds": demo.seconds,
        "notes": demo.notes,
        "accuracy": [score.to_dict() for score in demo.scores],
        "convert": demo.conversion.to_dict(),
        "check": {"valid": not any(f.is_error for f in demo.findings)},
        "compare": demo.comparison.to_dict(),
        "optimize": {
            "nodes": [len(before), len(after)],
            "operators": changes(before, after),
            "rules": demo.rules.counts(),
        },
        "run": {
            "cold_s": demo.starts[0],
            "second_s": demo.starts[1],
            "kernels": demo.analysis.kernels,
            "host_steps": demo.analysis.host_steps,
            "operations": show(demo.analysis.operations),
            "peak_bytes": show(demo.analysis.peak_bytes),
        },
        "quantize": {**demo.quantized.to_dict(), "comparison": demo.int8.to_dict()},
        "bench": {str(batch): report.to_dict() for batch, report in demo.measured.items()},
    }


def summary(demo: Demo) -> tuple[list[str], list[list[str]]]:
    """Columns and a row for each contender; narrow enough for a terminal."""
    batches = list(demo.measured)
    columns = ["", "accuracy", "error"]
    for batch in batches:
        columns += [f"batch {batch}", "×"]
    return columns, [_summed(demo, score, batches) for score in _ordered(demo)]


def _summed(demo: Demo, score: Score, batches: Sequence[int]) -> list[str]:
    cells = [score.label, f"{score.right / score.total:.2%}"]
    for n, batch in enumerate(batches):
        row, figures = found(demo, batch, score.label)
        ratio = row.ratios.get(score.label)
        if not n:
            cells.append(f"{figures.error:.1e}")
        relative = 1.0 if ratio is None else ratio.median
        cells += [seconds(figures.latency), f"{relative:.2f}"]
    return cells


def found(demo: Demo, batch: int, label: str) -> tuple[Row, Figures]:
    """The row of a batch, and in it the figures of a contender."""
    row = demo.measured[batch].rows[0]
    return row, next(f for f in (row.subject, *row.others) if f.label == label)


def times(ratio: Ratio) -> str:
    """How many times as long as ours a contender takes, with the interval."""
    return f"{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _ordered(demo: Demo) -> list[Score]:
    """Ours first."""
    return sorted(demo.scores, key=lambda s: s.label not in (OURS, INT8))


def method(demo: Demo) -> str:
    """How the times were taken."""
    plan = demo.plan
    return (
        "Times are of a whole call, from numpy arrays to numpy arrays, on one thread; × is the "
        f"median of paired times over those of {OURS}. The error is that of the logits against "
        f"PyTorch in float64. A quick measurement: {plan.pairs} pairs of {plan.block * 1e3:g} ms "
        f"blocks in turns, each contender in a process of its own, started {plan.restarts} times; "
        "`sardonyx bench` measures with more patience."
    )


def page(demo: Demo, commands: Sequence[str]) -> Page:
    """The report."""
    made = Page("Handwritten digits, from PyTorch to int8")
    for part in (_head, _trained, _converted, _compared, _optimized, _compiled, _quantized):
        part(made, demo)
    _measured(made, demo)
    made.heading("Try next")
    made.code(commands)
    machine = next(iter(demo.measured.values()))
    versions = ", ".join(f"{name} {v}" for name, v in machine.versions.items())
    told = machine.machine
    made.text(
        f"{machine.date}, {told['processor']}, {told['cores']} cores, Python {told['python']}, "
        f"{versions}. Everything took {sum(demo.seconds.values()):.0f} s.",
        note=True,
    )
    return made


def _head(page: Page, demo: Demo) -> None:
    """The answer first."""
    page.text(
        "A small network was trained on scikit-learn's scanned digits, converted to ONNX, compared "
        "with its source on every test image, optimized, compiled, quantized and measured."
    )
    batches = list(demo.measured)
    columns = ["", "accuracy", "labels as PyTorch", "error"]
    columns += [f"batch {b}" for b in batches]
    rows = []
    for score in _ordered(demo):
        cells = _summed(demo, score, batches)
        same = f"{score.as_source} of {score.total}"
        rows.append([*cells[:2], same, cells[2], *cells[3::2]])
    page.table(columns, rows, strong=0)


def _trained(page: Page, demo: Demo) -> None:
    page.heading("Trained")
    data, count = demo.data, sum(p.numel() for p in demo.net.parameters())
    source = demo.scores[0]
    page.text(
        f"{count:,} parameters, {demo.epochs} epochs over {len(data.train):,} images in "
        f"{demo.seconds.get('train', 0):.1f} s on one core. {source.right} of {source.total} test "
        "images are labelled right; the wrong ones come first."
    )
    page.pictures(list(_pictures(demo)), "What the network says to test images")


def _pictures(demo: Demo) -> Iterator[Picture]:
    wrong = (demo.labels != demo.data.test_labels).nonzero()[0].tolist()
    right = (demo.labels == demo.data.test_labels).nonzero()[0].tolist()
    for n in [*wrong, *right][:SHOWN]:
        said, written = demo.labels[n], demo.data.test_labels[n]
        caption = str(said) if said == written else f"{said}, not {written}"
        rows = (demo.data.test[n, 0] / 16).tolist()
        yield Picture(caption, rows, marked=said != written)


def _converted(page: Page, demo: Demo) -> None:
    page.heading("Converted and checked")
    graph = demo.conversion.graph
    ports = [("input", v.name, v.type) for v in graph.inputs]
    ports += [("output", v.name, v.type) for v in graph.outputs]
    page.table(("", "name", "type"), ports)
    verdict = "valid" if not any(f.is_error for f in demo.findings) else "not valid"
    opset = graph.opsets.get("", 0)
    page.text(f"{len(graph)} nodes, opset {opset}, {verdict}. N is the batch: any size runs.")
    for a in demo.conversion.accuracy:
        page.text(
            f"Largest error of `{a.output}` against PyTorch in float64, over its largest value: "
            f"{a.ours:.1e} compiled here, {a.theirs:.1e} in PyTorch's own float32."
        )


def _compared(page: Page, demo: Demo) -> None:
    page.heading("Compared with PyTorch")
    columns = ("at", "runs", "max abs", "max rel", "ulp", "differing", "arg-max", "same")
    _comparison(page, demo.comparison, columns)
    page.text(
        "Every test image at every batch size. An ulp is the distance between neighbouring "
        "float32 numbers; logits near zero are left out of it.",
        note=True,
    )


def _comparison(page: Page, comparison: Comparison, columns: Sequence[str]) -> None:
    places = [COLUMNS.index(name) for name in columns]
    rows = [[row.cells()[n] for n in places] for row in comparison.rows]
    page.table(columns, rows)
    verdict = "the same" if comparison.agree else "not the same"
    page.text(f"Verdict: {verdict}, judged as {comparison.tolerance}.")


def _optimized(page: Page, demo: Demo) -> None:
    page.heading("Optimized")
    before, after = demo.conversion.graph, demo.optimized
    rows: list[tuple[object, ...]] = [
        (op, a, b, f"{b - a:+d}" if a != b else "") for op, a, b in changes(before, after)
    ]
    rows.append(("all", len(before), len(after), f"{len(after) - len(before):+d}"))
    page.table(("operator", "before", "after", "change"), rows, strong=len(rows) - 1)
    rules = ", ".join(f"{rule} ({n}×)" for rule, n in demo.rules.counts().items())
    page.text(f"Rules that changed something: {rules or 'none'}.", note=True)


def _compiled(page: Page, demo: Demo) -> None:
    page.heading("Compiled")
    a = demo.analysis
    one, many = (dict.fromkeys(a.peak_bytes.free, n) for n in (1, 32))
    peak = f"{evaluate(a.peak_bytes, one):,} at N=1, {evaluate(a.peak_bytes, many):,} at N=32"
    page.table(
        ("", ""),
        [
            ("native kernels", a.kernels),
            ("host steps", a.host_steps),
            ("arithmetic operations", show(a.operations)),
            ("peak memory in bytes", show(a.peak_bytes)),
            ("", peak),
            ("first start", seconds(demo.starts[0])),
            ("second start, from the cache", seconds(demo.starts[1])),
        ],
    )


def _quantized(page: Page, demo: Demo) -> None:
    page.heading("Quantized to int8")
    sizes = [demo.file(n).stat().st_size for n in ("digits.onnx", "digits.int8.onnx")]
    page.text(
        f"{len(demo.quantized.quantized)} of {len(demo.optimized)} nodes work on 8-bit integers, "
        "with ranges seen on training images; the file went from "
        f"{sizes[0]:,} to {sizes[1]:,} bytes."
    )
    ranges = demo.quantized.ranges.items()
    rows = [(name, r.low, r.high, *r.scale_and_zero()) for name, r in ranges]
    page.table(("activation", "low", "high", "scale", "zero point"), rows)
    page.text("Against the float32 model, over all test images:")
    _comparison(page, demo.int8, ("at", "max abs", "max rel", "cosine", "arg-max", "same"))


def _measured(page: Page, demo: Demo) -> None:
    page.heading("Measured")
    page.text(method(demo))
    for batch, report in demo.measured.items():
        row = report.rows[0]
        images = f"{batch} image" + ("s" if batch != 1 else "")
        everyone = (row.subject, *row.others)
        page.bars(
            [(f.label, f.latency) for f in everyone], f"Time of a call with {images}", seconds
        )
        marks = [Interval(n, r.low, r.median, r.high) for n, r in row.ratios.items()]
        page.intervals(marks, f"Time relative to {OURS}, with 95 % intervals: {images}")
        columns = ("", "time", "× [95 %]", "second start", "error")
        page.table(columns, [_figures(f, row) for f in everyone], strong=0)
    for note in demo.notes:
        page.text(note, note=True)


def _figures(f: Figures, row: Row) -> tuple[str, ...]:
    ratio = row.ratios.get(f.label)
    relative = "1" if ratio is None else times(ratio)
    return f.label, seconds(f.latency), relative, seconds(f.second), f"{f.error:.1e}"

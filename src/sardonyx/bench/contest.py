"""`bench`: a model, whom to measure it against, and the report that comes out."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sardonyx.bench.machine as machine
from sardonyx.bench.accuracy import precision_class, worst_error
from sardonyx.bench.contender import NATIVE, Arrays, Contender, save_pool
from sardonyx.bench.measure import Observed, Outcome, Plan, Progress, measure
from sardonyx.bench.results import BenchReport, Figures, Row
from sardonyx.bench.statistics import Ratio, summarise
from sardonyx.core.errors import Fail, InvalidArgument
from sardonyx.formats import load, save
from sardonyx.graph.ir import Graph
from sardonyx.graph.sample import free_symbols, sample_feeds
from sardonyx.providers.registry import caveats

FLOAT64 = "float64 outputs"
SETS = 4


def bench(
    model: Any,
    against: Sequence[str | Contender] = ("onnxruntime",),
    *,
    subject: str | Contender = NATIVE,
    threads: Sequence[int] = (1,),
    feeds: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    dims: Mapping[str, int] | None = None,
    wanted: Sequence[Mapping[str, Any]] | None = None,
    plan: Plan | None = None,
    progress: Progress = lambda _: None,
) -> BenchReport:
    """Measure how fast a model runs here, in turns with other providers, and how exactly.

    `model` is a Graph or whatever `load` accepts. `against` and `subject` are peers
    (`onnxruntime`, `onnxruntime-iobinding`, `openvino`, `openvino-bf16`), names of providers for
    our sessions, or `Contender`s. `feeds` is one input set or several to rotate through; without
    it, four seeded sets are made, every symbol of the inputs being 1 unless `dims` binds it. For
    the rest, and for what is raised, see `race`.
    """
    graph = model if isinstance(model, Graph) else load(model)
    if feeds is None:
        sizes = {name: (dims or {}).get(name, 1) for name in free_symbols(graph)} | dict(dims or {})
        sets: Sequence[Mapping[str, Any]] = [sample_feeds(graph, sizes, s) for s in range(SETS)]
    else:
        sizes, sets = dict(dims or {}), [feeds] if isinstance(feeds, Mapping) else feeds
    with tempfile.TemporaryDirectory(prefix="sardonyx-bench-") as place:
        path = Path(place) / "model.onnx"
        if isinstance(model, str | Path):
            path = Path(model).resolve()
        else:
            save(graph, path)
        sides = [_side(one, str(path)) for one in (subject, *against)]
        report = race(
            sides[0],
            sides[1:],
            sets,
            model=path.stem if isinstance(model, str | Path) else graph.name or "model",
            dims=sizes,
            threads=threads,
            wanted=wanted,
            plan=plan,
            progress=progress,
        )
    said = [f"{one.label}: {text}" for one in sides for text in caveats(one.provider, graph)]
    return replace(report, notes=tuple(said))


def _side(one: str | Contender, path: str) -> Contender:
    return Contender.named(one, path) if isinstance(one, str) else one


def race(
    subject: Contender,
    against: Sequence[Contender],
    feeds: Sequence[Mapping[str, Any]],
    *,
    model: str = "model",
    dims: Mapping[str, int] | None = None,
    threads: Sequence[int] = (1,),
    wanted: Sequence[Mapping[str, Any]] | None = None,
    float32: str | None = None,
    plan: Plan | None = None,
    progress: Progress = lambda _: None,
) -> BenchReport:
    """Measure a subject in turns with each other contender on the same input sets.

    `feeds` are the input sets to rotate through. `wanted` are their float64 outputs, if known: then
    errors are against them, and the float32 error that names the precision classes is that of the
    contender labelled `float32` (the first other one unless said). Without `wanted`, errors are
    differences from that contender's outputs, and the classes are in units of float32 rounding.
    Raises InvalidArgument for an empty pool or labels that are not distinct, EPFail when a
    contender fails.
    """
    plan = plan or Plan()
    everyone = [subject, *against]
    labels = [contender.label for contender in everyone]
    _check(labels, feeds, threads)
    yardstick = float32 or (labels[1] if len(labels) > 1 else labels[0])
    quiet = machine.describe()
    rows = []
    for count in threads:
        with tempfile.TemporaryDirectory(prefix="sardonyx-bench-") as place:
            pool = Path(place) / "pool.npz"
            save_pool(str(pool), [{k: np.asarray(v) for k, v in f.items()} for f in feeds])
            outcome = measure(
                subject,
                against,
                pool=pool,
                threads=count,
                folder=Path(place),
                plan=plan,
                progress=partial(_tell, progress, f"{model}, threads {count}"),
            )
        rows.append(_row(model, count, dims or {}, labels, outcome, wanted, yardstick, plan))
    return BenchReport(
        rows=tuple(rows),
        machine=quiet,
        versions=machine.versions(),
        settings=plan.to_dict(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _tell(progress: Progress, place: str, text: str) -> None:
    progress(f"{place}: {text}")


def _check(labels: Sequence[str], feeds: Sequence[object], threads: Sequence[int]) -> None:
    if len(set(labels)) != len(labels):
        raise InvalidArgument("E0744", "two contenders have the same label", given=labels)
    if not feeds:
        raise InvalidArgument("E0745", "a measurement needs at least one input set")
    if not threads or min(threads) < 1:
        raise InvalidArgument("E0746", "thread counts start at 1", given=list(threads))


def _errors(
    outcome: Outcome, wanted: Sequence[Mapping[str, Any]] | None, yardstick: str
) -> tuple[dict[str, float], float]:
    """Each contender's error, and the float32 error that they are judged by."""
    rows: Sequence[Arrays] = outcome.records[yardstick].outputs
    exact = rows if wanted is None else [{k: np.asarray(v) for k, v in w.items()} for w in wanted]
    errors = {
        label: worst_error(record.outputs, exact) for label, record in outcome.records.items()
    }
    return errors, errors[yardstick]


def _row(
    model: str,
    count: int,
    dims: Mapping[str, int],
    labels: Sequence[str],
    outcome: Outcome,
    wanted: Sequence[Mapping[str, Any]] | None,
    yardstick: str,
    plan: Plan,
) -> Row:
    errors, float32 = _errors(outcome, wanted, yardstick)
    figures = [_figures(label, outcome.records[label], errors[label], float32) for label in labels]
    return Row(
        model=model,
        threads=count,
        dims=dict(dims),
        reference=FLOAT64 if wanted is not None else yardstick,
        subject=figures[0],
        others=tuple(figures[1:]),
        ratios={label: _ratio(outcome, label, plan) for label in labels[1:]},
    )


def _ratio(outcome: Outcome, label: str, plan: Plan) -> Ratio:
    try:
        return summarise(outcome.pairs[label], plan.seed)
    except ValueError:
        raise Fail(
            "E0747",
            f"no steady pair of times with `{label}`",
            hint="let nothing else run on this machine, and measure again",
        ) from None


def _figures(label: str, record: Observed, error: float, float32: float) -> Figures:
    return Figures(
        label=label,
        latency=float(np.median(record.latencies)),
        best=min(record.latencies),
        cold=record.ready[0],
        second=float(np.median(record.ready[1:] or record.ready)),
        peak_bytes=record.peak_bytes,
        own_bytes=record.own_bytes,
        error=error,
        precision=precision_class(error, float32),
        settings=record.settings,
    )

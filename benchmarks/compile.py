"""Measures starting: cold compile, second start, and the time spent writing LLVM text.

python benchmarks/compile.py [resnet50 many PATH ...] [--against sardonyx@/path/to/checkout]

Every start is a fresh process: cold ones find an empty cache, second ones what a cold one left. The
sides take turns. `many` is one graph of all operators of the sweep, each with fixed and with
symbolic dims: several hundred different kernels. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import models
from run import NAMES
from sardonyx.bench.contender import CHECKOUT, NATIVE, Contender, save_pool
from sardonyx.bench.results import seconds
from sardonyx.formats import load, save
from sardonyx.graph.ir import Graph
from sardonyx.graph.sample import free_symbols, sample_feeds
from singles import CASES, Maker
from singles.case import OPSET

PROBE = Path(__file__).resolve().parent / "start.py"
MANY = "many"
STARTS = ("cold", "second", "watched")
FIGURES = {
    ("cold", "wall"): "cold, first answer",
    ("cold", "cpu"): "cold, processor",
    ("second", "wall"): "second, first answer",
    ("second", "cpu"): "second, processor",
    ("watched", "ours"): "cold, without LLVM, processor",
    ("watched", "emit"): "of it writing LLVM text",
    ("watched", "kernels"): "kernels",
}


@dataclass(frozen=True)
class Subject:
    """What is started: a model file, and a pool with the feeds of its first run."""

    name: str
    model: Path
    pool: Path


@dataclass
class Side:
    """A contender by name, and the figures of its starts by model, start and figure."""

    name: str
    found: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether it is a version of this package, whose compiler can be watched."""
        return self.name == NATIVE or self.name.startswith(CHECKOUT)

    def settle(self, subject: Subject, cache: Path, threads: int) -> None:
        """Start once uncounted: files are read, and Python has written its bytecode."""
        start(self._contender(subject), subject.pool, cache, threads, watch=False)

    def _contender(self, subject: Subject) -> Contender:
        return Contender.named(self.name, str(subject.model))

    def start(self, subject: Subject, kind: str, cache: Path, threads: int) -> None:
        """Start once in a fresh process and keep what was seen."""
        figures = start(
            self._contender(subject), subject.pool, cache, threads, watch=kind == "watched"
        )
        for figure, value in figures.items():
            self.found.setdefault((subject.name, kind, figure), []).append(value)


def start(
    contender: Contender, pool: Path, cache: Path, threads: int, *, watch: bool
) -> dict[str, float]:
    """Seconds until a fresh process gives its first answer, and the processor time of all of it.

    With `watch` it runs on one core, and what it tells itself is given instead.
    """
    request = contender.to_dict() | {"pool": str(pool), "threads": threads, "watch": watch}
    environment = {**os.environ, "SARDONYX_CACHE_DIR": str(cache), **contender.environment}
    if contender.source:
        environment["PYTHONPATH"] = contender.source
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-P", str(PROBE), json.dumps(request)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    said = child.stdout.readline()
    answered = time.perf_counter()
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or not said:
        raise SystemExit(f"{contender.label} ended with status {child.returncode}")
    told: dict[str, float] = json.loads(said)
    return told if watch else {"wall": answered - began, "cpu": usage.ru_utime + usage.ru_stime}


def every_operator() -> tuple[Graph, dict[str, Any]]:
    """All operators of the sweep side by side in one graph, each with and without a symbol."""
    graph = Graph(MANY, opsets={"": OPSET})
    feeds: dict[str, Any] = {}
    for number, case in enumerate(c for c in CASES if c.opset == OPSET):
        for symbolic in (False, True):
            maker = Maker(graph, prefix=f"m{number}{'s' * symbolic}_")
            feeds |= maker.feeds(case.add(maker, case.of("small"), symbolic=symbolic), seed=0)
    return graph, feeds


def subject(name: str, folder: Path) -> Subject:
    """The model of that name, or the one at that path, with the feeds of one run."""
    if name in NAMES:
        found = models.build(name)
        return Subject(name, found.model, found.pool)
    if name == MANY:
        graph, feeds = every_operator()
        place = folder / f"{MANY}.onnx"
        save(graph, place)
    else:
        place = Path(name).resolve()
        graph = load(place)
        feeds = sample_feeds(graph, dict.fromkeys(free_symbols(graph), 1))
    pool = folder / f"{place.stem}.npz"
    save_pool(str(pool), [feeds])
    return Subject(place.stem, place, pool)


def measure(sides: Sequence[Side], subjects: Sequence[Subject], times: int, threads: int) -> None:
    """Starts of every side in turns, the order of the sides reversed from time to time."""
    for one in subjects:
        for side in sides:
            with tempfile.TemporaryDirectory(prefix="sardonyx-compile-") as cache:
                side.settle(one, Path(cache), threads)
        for number in range(times):
            for side in sides if number % 2 == 0 else sides[::-1]:
                print(f"{one.name}, {number + 1} of {times}: {side.name}", file=sys.stderr)
                with tempfile.TemporaryDirectory(prefix="sardonyx-compile-") as cache:
                    side.start(one, "cold", Path(cache), threads)
                    side.start(one, "second", Path(cache), threads)
                if side.ours:
                    with tempfile.TemporaryDirectory(prefix="sardonyx-compile-") as cache:
                        side.start(one, "watched", Path(cache), threads)


def table(sides: Sequence[Side], subjects: Sequence[Subject]) -> Table:
    """Medians with their ranges; beside each other side the median of its ratios to the first."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    titles = [title for side in sides[1:] for title in (side.name, "ratio")]
    for title in ("model", "what", sides[0].name, *titles):
        made.add_column(title, justify="left" if title in ("model", "what") else "right")
    for one in subjects:
        for (kind, figure), told in FIGURES.items():
            ours, *others = [side.found.get((one.name, kind, figure), []) for side in sides]
            cells = [_spread(ours, figure)]
            for theirs in others:
                cells += [_spread(theirs, figure), _ratio(ours, theirs)]
            made.add_row(*map(Text, (one.name, told, *cells)))
    return made


def _spread(values: Sequence[float], figure: str) -> str:
    if not values:
        return "–"
    if figure == "kernels":
        return f"{median(values):.0f}"
    return f"{seconds(median(values))} [{seconds(min(values))}, {seconds(max(values))}]"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times less the first side takes, in the median of starts next to each other."""
    pairs = zip(ours, theirs, strict=False)
    return f"{median(b / a for a, b in pairs):.2f}" if ours and theirs else "–"


def as_data(sides: Sequence[Side]) -> dict[str, Any]:
    """Every single figure, JSON-ready."""
    rows = [
        {"side": side.name, "model": name, "start": kind, "figure": figure, "values": values}
        for side in sides
        for (name, kind, figure), values in side.found.items()
    ]
    return {"schema": 1, "kind": "compile", "rows": rows}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure starts, cold and warm, side by side.")
    parser.add_argument("names", nargs="*", default=["resnet50", MANY], metavar="NAME",
                        help=f"{', '.join(NAMES)}, {MANY}, or the path of a model")  # fmt: skip
    parser.add_argument("--against", default="", help="sardonyx@CHECKOUT, onnxruntime, …")
    parser.add_argument("--times", type=int, default=5, help="starts of each kind; default 5")
    parser.add_argument("--threads", type=int, default=2, help="of the sessions; default 2")
    parser.add_argument("--json", type=Path, help="write every figure as data, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _arguments(arguments)
    others = [name for name in options.against.split(",") if name]
    sides = [Side(name) for name in (NATIVE, *others)]
    with tempfile.TemporaryDirectory(prefix="sardonyx-compile-") as place:
        subjects = [subject(name, Path(place)) for name in options.names]
        measure(sides, subjects, options.times, options.threads)
    Console(width=None if sys.stdout.isatty() else 170).print(table(sides, subjects))
    if options.json:
        options.json.write_text(json.dumps(as_data(sides), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

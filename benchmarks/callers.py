"""One session used by several threads: calls a second, and how long the slowest calls take.

python benchmarks/callers.py [NAME ...] [--callers 1,2,4,16] [--against onnxruntime] [--threads 2]

Each figure is of a process of its own; the sides take turns, A B B A, and the median counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import models
from sardonyx.bench import NATIVE, Contender
from sardonyx.bench.contender import Arrays, find_factory

WARM_SECONDS = 0.3
TURNS = 2


@dataclass(frozen=True)
class Figures:
    """Calls a second of all callers together, and quantiles of the time of one call in seconds."""

    calls: float
    p50: float
    p99: float


def measure(side: str, model: str, feeds: Arrays, setting: Mapping[str, Any]) -> Figures:
    """`callers` threads that call one session for `seconds`, in this process."""
    chosen = Contender.named(side, model)
    made = find_factory(chosen.factory, chosen.imports)(
        **chosen.options, threads=setting["threads"]
    )
    run, times = made.bind(feeds), list[list[float]]()
    until = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < until:
        run()
    begin = threading.Barrier(setting["callers"])
    ends: list[float] = []

    def call() -> None:
        mine: list[float] = []
        begin.wait()
        before, end = time.perf_counter(), time.perf_counter() + setting["seconds"]
        while before < end:
            run()
            after = time.perf_counter()
            mine.append(after - before)
            before = after
        times.append(mine)
        ends.append(before - end + setting["seconds"])

    crew = [threading.Thread(target=call) for _ in range(setting["callers"])]
    for t in crew:
        t.start()
    for t in crew:
        t.join()
    every = sorted(t for mine in times for t in mine)
    return Figures(len(every) / max(ends), _quantile(every, 50), _quantile(every, 99))


def _quantile(times: Sequence[float], percent: int) -> float:
    return times[min(len(times) * percent // 100, len(times) - 1)]


def elsewhere(side: str, model: Path, pool: Path, setting: Mapping[str, Any]) -> Figures:
    """`measure` in a fresh process."""
    order = json.dumps([side, str(model), str(pool), setting])
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, __file__, "--turn", order]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Figures(**json.loads(done.stdout))


def compare(
    sides: Sequence[str], found: models.Files, setting: Mapping[str, Any], turns: int = TURNS
) -> dict[str, Figures]:
    """The figures of each side, the medians of its turns."""
    seen: dict[str, list[Figures]] = {side: [] for side in sides}
    for turn in range(turns):
        for side in sides if turn % 2 == 0 else reversed(sides):
            seen[side].append(elsewhere(side, found.model, found.pool, setting))
    return {side: _median(figures) for side, figures in seen.items()}


def _median(figures: Sequence[Figures]) -> Figures:
    columns = zip(*(asdict(f).values() for f in figures), strict=True)
    return Figures(*map(statistics.median, columns))


def row(name: str, callers: int, side: str, figures: Figures) -> str:
    """A line of the table."""
    times = f"{figures.p50 * 1e3:10.3f} ms {figures.p99 * 1e3:10.3f} ms"
    return f"{name:14} {callers:3} {side:24} {figures.calls:12.1f} /s {times}"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure one session under several callers.")
    parser.add_argument("names", nargs="*", default=["mlp"], help="reference models")
    parser.add_argument("--callers", default="1,2,4,16", help="numbers of threads that call")
    parser.add_argument("--threads", type=int, default=2, help="threads of a run")
    parser.add_argument("--subject", default=NATIVE, help="whom to measure")
    parser.add_argument("--against", default="onnxruntime", help="whom to measure it against")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = _arguments(arguments)
    if options.turn:
        side, model, pool, setting = json.loads(options.turn)
        print(json.dumps(asdict(measure(side, model, models.load_pool(Path(pool))[0][0], setting))))
        return 0
    sides = [options.subject, *(x for x in options.against.split(",") if x)]
    for name in options.names:
        found = models.build(name)
        for callers in map(int, options.callers.split(",")):
            setting = {"callers": callers, "threads": options.threads, "seconds": options.seconds}
            for side, figures in compare(sides, found, setting).items():
                print(row(name, callers, side, figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

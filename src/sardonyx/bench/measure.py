"""The measurement itself: restarts of the processes, blocks in turns, pairs of times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sardonyx.bench.contender import Arrays, Contender, load_pool
from sardonyx.bench.process import Process
from sardonyx.bench.statistics import Pair, keep_steady

Progress = Callable[[str], None]
PATIENCE = 3


@dataclass(frozen=True)
class Plan:
    """How long and how often: the numbers of the measuring page, changeable for a quick look.

    `pairs` steady pairs are wanted over all `restarts`; at most three times as many are tried, and
    no further turns begin once those with one contender have taken `longest` seconds. `timeout`
    is how long an answer of a worker may take.
    """

    pairs: int = 21
    restarts: int = 3
    block: float = 0.05
    seed: int = 0
    timeout: float = 900.0
    longest: float = float("inf")

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready data."""
        return {
            "pairs": self.pairs,
            "restarts": self.restarts,
            "block_s": self.block,
            "seed": self.seed,
        }


@dataclass
class Observed:
    """What was seen of one contender over all restarts, in seconds and bytes."""

    ready: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    own_bytes: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    outputs: list[Arrays] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The records by label, and the pairs of the subject with each other contender."""

    records: Mapping[str, Observed]
    pairs: Mapping[str, list[Pair]]


class _Seat:
    """A contender at the table: its process, and how many runs make one of its blocks."""

    def __init__(self, process: Process, record: Observed) -> None:
        self.process = process
        self.record = record
        self.runs = 1

    def sit(self, threads: int, pool: str, cache: Path, block: float) -> None:
        reply = self.process.create(threads, pool, {"SARDONYX_CACHE_DIR": str(cache)})
        self.record.ready.append(reply["create_s"] + reply["first_s"])
        self.record.settings = reply["settings"]
        self.runs = self.process.ask("calibrate", seconds=block)["runs"]

    def block(self) -> float:
        """Seconds per run over one block."""
        spent: float = self.process.ask("block", runs=self.runs)["seconds"]
        self.record.latencies.append(spent / self.runs)
        return spent / self.runs

    def leave(self, place: Path | None) -> None:
        """Note the memory, and with a place the outputs, before the process ends."""
        memory = self.process.ask("memory")
        self.record.peak_bytes = max(self.record.peak_bytes, memory["peak_bytes"])
        own = memory["peak_bytes"] - memory["base_bytes"]
        self.record.own_bytes = max(self.record.own_bytes, own)
        if place is not None:
            self.process.ask("outputs", path=str(place))
            self.record.outputs = load_pool(str(place), "out")


def _pairs(
    subject: _Seat, other: _Seat, wanted: int, restart: int, order: random.Random, longest: float
) -> list[Pair]:
    """Turns of A B B A, or B A A B by chance, until enough pairs are steady or time is up."""
    pairs: list[Pair] = []
    until = time.monotonic() + longest
    while len(pairs) < PATIENCE * wanted and len(keep_steady(pairs)) < wanted:
        if pairs and time.monotonic() > until:
            break
        first, second = (subject, other) if order.random() < 0.5 else (other, subject)
        times = [seat.block() for seat in (first, second, second, first)]
        for a, b in ((times[0], times[1]), (times[3], times[2])):
            mine, theirs = (a, b) if first is subject else (b, a)
            pairs.append(Pair(mine, theirs, restart))
    return pairs


def _alone(seat: _Seat, blocks: int) -> None:
    for _ in range(blocks):
        seat.block()


def measure(
    subject: Contender,
    others: Sequence[Contender],
    *,
    pool: Path,
    threads: int,
    folder: Path,
    plan: Plan,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Pair the subject with each other contender, in fresh processes for every restart.

    `pool` is a file of input sets; `folder` is an empty one for caches and outputs: in the first
    restart each contender finds its own cache empty, later it finds what it left.
    """
    everyone = [subject, *others]
    caches = {contender.label: folder / f"cache-{n}" for n, contender in enumerate(everyone)}
    records = {contender.label: Observed() for contender in everyone}
    pairs: dict[str, list[Pair]] = {other.label: [] for other in others}
    order = random.Random(plan.seed)  # noqa: S311 - an order of turns, no secret
    share = -(-plan.pairs // plan.restarts)
    for restart in range(plan.restarts):
        with ExitStack() as stack:
            seats: dict[str, _Seat] = {}
            for contender in order.sample(everyone, len(everyone)):
                progress(f"start {restart + 1} of {plan.restarts}: {contender.label}")
                process = stack.enter_context(Process(contender, plan.timeout))
                seat = _Seat(process, records[contender.label])
                seat.sit(threads, str(pool), caches[contender.label], plan.block)
                seats[contender.label] = seat
            for other in others:
                progress(f"start {restart + 1} of {plan.restarts}: {subject.label}, {other.label}")
                pairs[other.label] += _pairs(
                    seats[subject.label], seats[other.label], share, restart, order, plan.longest
                )
            if not others:
                _alone(seats[subject.label], share)
            for number, seat in enumerate(seats.values()):
                last = restart == plan.restarts - 1
                seat.leave(folder / f"outputs-{number}.npz" if last else None)
    return Outcome(records, pairs)

"""Many trips of a body in one native call: its step records, written out for a stretch of trips.

Each trip of a stretch has a pointer table of its own: a state points to what the trip before wrote,
a moving input and a stacked output to their own row. Nothing is bound, copied or asked in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.engine.native.entry import Argument, Entry
from sardonyx.engine.native.memory import address, aligned
from sardonyx.engine.native.threads import Runner
from sardonyx.graph.evaluate import Walk

# Trips of one call: beyond some dozens a call costs nothing beside them.
_STRETCH = 64


class Once(Protocol):
    """What is wanted of a segment; see `bound.Segment`: of `kept` every other one are its ids."""

    records: Array | None
    threads: int
    watched: bool
    kept: list[Array]


class Ready(Protocol):
    """What is wanted of a bound program; see `bound.Bound`."""

    table: Array
    entry: Entry | None
    runner: Runner


@dataclass(frozen=True)
class Trips:
    """What changes over `count` trips of a program, by numbers of its inputs and outputs.

    Row t of `moving[input]` is that input of trip t, output `o` of a trip is input `carried[o]` of
    the next, and the outputs `stacked` are wanted of every trip.
    """

    count: int
    moving: Mapping[int, Array]
    carried: Mapping[int, int]
    stacked: Sequence[int]


class Stretch:
    """The records and tables of a stretch of trips of a program that is one native segment."""

    def __init__(self, bound: Ready, segment: Once, feeds: Sequence[Array], trips: Trips) -> None:
        assert bound.entry is not None
        assert segment.records is not None
        self.bound, self.segment, self.trips = bound, segment, trips
        arguments = bound.entry.arguments
        self.inputs, self.outs = arguments[: len(feeds)], arguments[len(feeds) :]
        self.size = min(trips.count, _STRETCH)
        self.numbers = np.arange(self.size, dtype=np.int64)
        width = len(bound.table)
        self.memory = np.zeros(1 + self.size * width, np.uint64)
        self.table = self.memory[1:].reshape(self.size, width)
        self.table[:] = bound.table
        for a, x in zip(self.inputs, feeds, strict=True):
            self.table[:, a.slot] = address(x)
        self.states = {n: feeds[n] for n in trips.carried.values()}
        own = [n for n in trips.carried if n not in trips.stacked]
        self.rows = {n: _rows(self.outs[n], self.size) for n in own}
        self.stacks: dict[int, Array] = {}
        for n, rows in self.rows.items():
            self._point(self.outs[n], rows, 0, self.size)
        self.kept: list[Array] = []
        self.records = np.tile(segment.records, self.size).reshape(self.size, -1)
        for n in range(len(segment.records)):
            ids = segment.kept[2 * n]
            every = (ids + self.numbers[:, None] * width).astype(np.int32)
            self.kept.append(every)
            self.records["ids"][:, n] = address(every) + self.numbers * ids.nbytes

    def _point(self, a: Argument, rows: Array, first: int, count: int) -> None:
        at = address(rows) + (first + self.numbers[:count]) * rows.strides[0]
        self.table[:count, a.slot] = at

    def _stack(self, walk: Walk) -> None:
        """Makes memory for what is wanted of every trip."""
        wanted = [
            (n, self.outs[n], (self.trips.count, *self.outs[n].shape)) for n in self.trips.stacked
        ]
        need = sum(math.prod(shape) * a.dtype.itemsize for _, a, shape in wanted)
        walk.limits.check_memory(walk.live + need)
        self.stacks = {n: np.empty(shape, a.dtype) for n, a, shape in wanted}

    def run(self, walk: Walk) -> tuple[dict[int, Array], dict[int, Array]]:
        """The states after all trips, and the stacked outputs, both by numbers of outputs."""
        self._stack(walk)
        runner, records = self.bound.runner, self.records.view(np.uint8)
        poll = None if walk.abort is None else walk.permit
        for done in range(0, self.trips.count, self.size):
            walk.permit()
            count = min(self.size, self.trips.count - done)
            for n, rows in self.trips.moving.items():
                self._point(self.inputs[n], rows, done, count)
            for n, rows in self.stacks.items():
                self._point(self.outs[n], rows, done, count)
            for out, given in self.trips.carried.items():
                slot = self.inputs[given].slot
                self.table[0, slot] = address(self.states[given])
                self.table[1:, slot] = self.table[:-1, self.outs[out].slot]
            steps = count * self.records.shape[1]
            job = runner.job_of(
                address(records), steps, address(self.memory) + 8, self.segment.threads,
                watched=self.segment.watched, poll=poll, passed=walk.passed,
            )  # fmt: skip
            runner.run(job, walk.passed)
            for out, given in self.trips.carried.items():
                stack = self.stacks.get(out)
                last = self.rows[out][count - 1] if stack is None else stack[done + count - 1]
                self.states[given] = last.copy()
        return {out: self.states[n] for out, n in self.trips.carried.items()}, self.stacks


def _rows(a: Argument, count: int) -> Array:
    """Fresh memory for an output of so many trips, each row aligned."""
    size = int(np.prod(a.shape, dtype=np.int64)) * a.dtype.itemsize
    stride = max(-(-size // 64) * 64, 64)
    whole = aligned(stride * count).reshape(count, stride)
    found: Any = whole[:, :size].view(a.dtype) if size else np.empty((count, 0), a.dtype)
    return np.lib.stride_tricks.as_strided(
        found, (count, *a.shape), (stride, *np.empty(a.shape, a.dtype).strides)
    )

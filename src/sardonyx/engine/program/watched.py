"""A run with the time of each step, for profiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sardonyx.core import floats
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.program.bound import Bound, Segment, known
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import Walk

Watch = Callable[[Launch | Host, int, int], None]


def run_watched(program: Program, feeds: Sequence[Any], watch: Watch) -> list[Any]:
    """`Program.run`, launch by launch; `watch` is told each step's start and end (monotonic ns)."""
    key = tuple(getattr(x, "shape", None) for x in feeds)
    shaped = program._shaped.get(key) or program._shape(key)
    with program._workspaces.one(shaped.size) as workspace:
        bound = Bound(shaped, workspace)
        walk = Walk(program.limits, None)
        bound.feed(feeds, walk)
        for step in program.running:
            walk.permit()
            segment = Segment() if isinstance(step, Host) else Segment([step])
            if known(segment, shaped.env):
                segment.prepare(program, shaped.env)
            start = time.monotonic_ns()
            if isinstance(step, Host):
                with floats.standard(), walk.entering(program.bodies):
                    bound.run_host(step, walk)
            else:
                bound.launch(segment)
            watch(step, start, time.monotonic_ns())
        found = bound.results()
        program.weights.check()
        return found

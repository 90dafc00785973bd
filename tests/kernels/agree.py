"""What the tests of strategies ask: the schedule is well formed and computes what it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pytest

from kernels.contracts import Case
from kernels.native import aligned, run
from sardonyx.core import knobs
from sardonyx.core.dtype import Array
from sardonyx.core.errors import UsageError
from sardonyx.core.expr import evaluate
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.loops.check import check
from sardonyx.loops.interp import interpret
from sardonyx.loops.ir import Kernel
from sardonyx.loops.target import Target, host, make
from sardonyx.loops.text import canonical, from_text, to_text
from sardonyx.loops.vector.rewrite import vectorise

LEVELS = ("generic", "avx2", "avx512")
Strategy = Callable[[Kernel, Target], Scheduled | str]


@lru_cache
def machine(level: str) -> Target | None:
    """This machine held down to a level; None where it does not reach it."""
    with knobs.override(cpu=level):
        try:
            return host()
        except UsageError:
            return None


def needed(level: str) -> Target:
    """The target to run natively, or the test is skipped."""
    found = machine(level)
    if found is None:
        pytest.skip(f"this machine has no {level}")
    return found


def taken(strategy: Strategy, case: Case, target: Target) -> Scheduled:
    """The schedule, which must not be a refusal, every kernel of it well formed and printable."""
    made = strategy(case.closed.kernel, target)
    assert isinstance(made, Scheduled), made
    for kernel in _kernels(made):
        lanes = vectorise(kernel, target)
        assert vectorise(lanes, target) == lanes
        for stage in (kernel, lanes):
            check(stage)
            closed = canonical(stage)
            assert from_text(to_text(closed)) == closed
    return made


def _kernels(made: Scheduled) -> Iterator[Kernel]:
    yield made.kernel
    for p in made.packed:
        yield p.kernel


def close_to(got: Array, case: Case) -> None:
    """Exact for integers; for floats within the rounding of sums of that many terms."""
    assert not np.isnan(got.astype(np.float64)).any() or np.isnan(case.wanted).any()
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, case.wanted)
        return
    scale = np.abs(case.wanted).max(initial=1.0)
    limit = 64 * float(np.finfo(got.dtype).eps)
    np.testing.assert_allclose(got / scale, case.wanted / scale, atol=limit, rtol=0)


def spoiled(case: Case) -> list[Array]:
    """The arrays with an output that no kernel would leave."""
    out = np.full_like(case.arrays[0], 77)
    return [out, *case.arrays[1:]]


def agrees_natively(strategy: Strategy, case: Case, level: str, threads: int = 1) -> Scheduled:
    """The machine code computes what is wanted."""
    target = needed(level)
    made = taken(strategy, case, target)
    got = run(target, case.closed.kernel, made, spoiled(case), case.symbols, threads)
    close_to(got, case)
    return made


def agrees_interpreted(strategy: Strategy, case: Case, level: str, threads: int = 1) -> None:
    """The schedule for a level, which this machine need not have, computes what is wanted."""
    target = make(level)
    made = taken(strategy, case, target)
    arrays: list[Array] = spoiled(case)
    env = dict(zip(case.closed.kernel.symbols, case.symbols, strict=True))
    everything = list(arrays)
    for p in made.packed:
        room = aligned(evaluate(p.count, env), p.dtype.numpy)
        interpret(p.kernel, [room, *(arrays[n] for n in p.sources)], case.symbols, threads)
        everything.append(room)
    kept = range(len(everything)) if made.params is None else made.params
    interpret(made.kernel, [everything[n] for n in kept], case.symbols, threads)
    close_to(arrays[0], case)
    arrays[0][...] = 77
    lanes = vectorise(made.kernel, target)
    interpret(lanes, [everything[n] for n in kept], case.symbols, threads)
    close_to(arrays[0], case)

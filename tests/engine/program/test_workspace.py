"""Workspaces: as many as callers at once, within the memory that is allowed, and fewer again."""

import contextlib
import threading
import time
from typing import Any

import numpy as np
import pytest

from graph.sources import parse
from sardonyx.core.errors import LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.engine.program.bound import Bound
from sardonyx.engine.program.program import Program
from sardonyx.engine.program.workspace import Workspaces
from sardonyx.passes.pipeline import prepare


def spaces(**limits: Any) -> Workspaces:
    return Workspaces(2, 1000, Limits(**limits), flush=False)


def test_a_workspace_for_each_caller_at_once() -> None:
    made = spaces()
    with made.one(10) as first, made.one(20) as second:
        assert first is not second
        assert not made.idle
        assert (first.arena.nbytes, second.arena.nbytes) == (10, 20)
    assert made.idle == [second, first]
    with made.one(10) as again:
        assert again is first


def test_what_a_second_of_runs_does_not_use_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    made = spaces()
    with contextlib.ExitStack() as held:
        for _ in range(8):
            held.enter_context(made.one(0))
    assert len(made.idle) == 8
    for _ in range(6):
        now[0] += 0.6
        with made.one(0), made.one(0):
            pass
    assert len(made.idle) == 2


def test_callers_at_once_share_the_memory_that_is_allowed() -> None:
    made = spaces(memory_bytes=1 << 20)
    with made.one(400_000), made.one(400_000):
        with pytest.raises(LimitExceeded, match="memory_bytes"), made.one(400_000):
            pass
        assert len(made.idle) == 1
    with made.one(900_000):
        assert not made.idle


def test_a_larger_arena_replaces_the_smaller() -> None:
    made = spaces()
    with made.one(100) as one:
        one.bounds[(1,)] = None  # type: ignore[assignment]
        base = one.base
    with made.one(1 << 22) as again:
        assert again is one
        assert again.base != base
        assert not again.bounds


NET = "input x: float32[N]\na = Neg(x)\ni = NonZero(a)\nj = Cast<to=1>(i)\ny = Mul(j, j)\noutput y"


def test_callers_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits in the midst of its run until the others are in the midst of theirs."""
    program = Program(prepare(parse(NET)))
    meeting = threading.Barrier(5)
    apply = Bound.run_host

    def meet(*given: Any) -> None:
        meeting.wait(20)
        apply(*given)

    monkeypatch.setattr(Bound, "run_host", meet)
    found: dict[int, Any] = {}

    def work(n: int) -> None:
        (found[n],) = program.run([np.ones(n, np.float32)])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert {n: y.tolist() for n, y in found.items()} == {
        n: [[float(i * i) for i in range(n)]] for n in range(1, 6)
    }


def test_shapes_that_are_forgotten_leave_every_workspace() -> None:
    body = "input x: float32[N]\na = Exp(x)\ny = Softmax(a)\noutput y"
    program = Program(prepare(parse(body)), limits=Limits(variants=3))
    for n in range(1, 20):
        program.run([np.ones(n, np.float32)])
        assert program.quick([np.ones(n, np.float32)]) is not None
    assert len(program._shaped) == 3
    assert len(program._idle[0].bounds) == 3


def test_idle_memory_is_given_back_in_time() -> None:
    made = spaces()
    with made.one(0), made.one(0), made.one(0):
        pass
    until = time.monotonic() + 20
    while len(made.idle) > 1:
        assert time.monotonic() < until
        with made.one(0):
            time.sleep(0.05)

"""Runs in the midst of a run of the same thread: signal handlers, finalizers, callbacks."""

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from graph.sources import parse

NET = """
const w: float32[3, 4] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12}
input x: float32[N, 3]
m = MatMul(x, w)
y = Softmax(m)
output y
"""
HOST = "input x: float32[N]\na = Neg(x)\ni = NonZero(a)\nj = Cast<to=1>(i)\noutput j\n"


def many(rows: int) -> Any:
    return np.resize(np.arange(12, dtype=np.float32), (rows, 3))


@pytest.fixture
def alarms() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Calls what it is given every millisecond or so, in the midst of whatever runs."""
    before = signal.getsignal(signal.SIGALRM)

    def start(work: Callable[[], None]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: work())
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [2, 100_000])
def test_a_signal_handler_runs_the_session_that_it_interrupts(
    threads: int, rows: int, alarms: Callable[[Callable[[], None]], None]
) -> None:
    session = sx.InferenceSession(parse(NET), sx.SessionOptions(intra_op_num_threads=threads))
    wanted, small = session.run(None, {"x": many(rows)})[0], session.run(None, {"x": many(4)})[0]
    found: list[Any] = []

    def handler() -> None:
        if len(found) < 200:
            found.append(session.run(None, {"x": many(3 + len(found) % 2)})[0])

    alarms(handler)
    until = time.monotonic() + 20
    while len(found) < 20:
        assert time.monotonic() < until
        np.testing.assert_array_equal(session.run(None, {"x": many(rows)})[0], wanted)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for y in found:
        np.testing.assert_array_equal(y, small[: len(y)])


def test_a_signal_handler_makes_a_session(alarms: Callable[[Callable[[], None]], None]) -> None:
    """In the midst of making one: the compiler and the table of expressions are entered twice."""
    found: list[Any] = []

    def handler() -> None:
        if not found:
            found.append(None)
            found[0] = sx.InferenceSession(parse(NET)).run(None, {"x": many(3)})[0]

    wanted = sx.InferenceSession(parse(NET)).run(None, {"x": many(3)})[0]
    for _ in range(5):
        found.clear()
        alarms(handler)
        until = time.monotonic() + 20
        while not found:
            assert time.monotonic() < until
            sx.InferenceSession(parse(NET))
        signal.setitimer(signal.ITIMER_REAL, 0)
        np.testing.assert_array_equal(found[0], wanted)


class Loop:
    """Something that only the garbage collector ends, which then runs a session."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.me, self.work = self, work

    def __del__(self) -> None:
        self.work()


@pytest.mark.parametrize("text", [NET, HOST], ids=["native", "host steps"])
def test_finalizers_run_the_session_that_they_interrupt(text: str) -> None:
    session = sx.InferenceSession(parse(text))
    x = many(5) if text is NET else many(5).reshape(-1)
    wanted = session.run(None, {"x": x})[0]
    found: list[Any] = []

    def work() -> None:
        found.append(session.run(None, {"x": x})[0])

    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        for _ in range(300):
            Loop(work)
            kept = Loop.__new__(Loop)
            weakref.finalize(kept, work)
            kept.work = lambda: None
            del kept
            np.testing.assert_array_equal(session.run(None, {"x": x}, sx.RunOptions())[0], wanted)
    finally:
        gc.set_threshold(*before)
    assert len(found) >= 300
    assert all(np.array_equal(y, wanted) for y in found)


def test_handlers_and_threads_together(alarms: Callable[[Callable[[], None]], None]) -> None:
    session = sx.InferenceSession(parse(NET), sx.SessionOptions(intra_op_num_threads=2))
    wanted = {rows: session.run(None, {"x": many(rows)})[0] for rows in (2, 3, 50_000)}
    wrong: list[int] = []
    calls = [0]

    def check(rows: int) -> None:
        if not np.array_equal(session.run(None, {"x": many(rows)})[0], wanted[rows]):
            wrong.append(rows)

    def handler() -> None:
        calls[0] += 1
        if calls[0] % 3:
            check(3)

    def work() -> None:
        for n in range(40):
            check(50_000 if n % 2 else 2)

    threads = [threading.Thread(target=work) for _ in range(4)]
    alarms(handler)
    for t in threads:
        t.start()
    for _ in range(40):
        check(50_000)
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)
    assert not wrong
    assert calls[0]

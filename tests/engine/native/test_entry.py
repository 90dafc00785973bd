import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from engine.steps import Steps, table
from sardonyx.core.errors import LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.engine.native import entry
from sardonyx.engine.native.entry import Argument, Entry
from sardonyx.engine.native.executor import BARRIER, SERIAL, Job
from sardonyx.engine.native.memory import address
from sardonyx.engine.native.threads import Runner, hall

X, Y = np.dtype(np.int64), np.dtype(np.float32)


_kept: list[Runner] = []


def job(runner: Runner, *where: int, release: bool = False, **options: Any) -> Job:
    _kept.append(runner)
    return runner.job_of(*where, release=release, **options)


@pytest.fixture(params=["native", "python"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Entry, Any]:
    monkeypatch.setattr(entry, "layout_holds", lambda: request.param == "native")
    steps, pointers = Steps(), np.zeros(4, np.uint64)[1:]
    for _ in range(3):
        steps.add("tally", [0], [], BARRIER | SERIAL)
    arguments = [Argument((4, 8), X, 0), Argument((3,), Y, 2, out=True)]
    where = *steps.where, address(pointers)
    one = Entry(job(Runner(1), *where), arguments)
    one._kept += [steps, pointers]
    return one, pointers


def test_layout_holds_here() -> None:
    assert entry.layout_holds()


def test_runs_the_steps_on_the_arrays(made: tuple[Entry, Any]) -> None:
    one, pointers = made
    x, y = np.zeros((4, 8), X), np.empty(3, Y)
    assert one.call(x, y) is None
    assert x[0, 0] == 3
    assert pointers.tolist() == [address(x), 0, address(y)]


class Sub(np.ndarray[Any, Any]):
    pass


def test_refuses_what_is_not_bound(made: tuple[Entry, Any]) -> None:
    one, _ = made
    x, y = np.zeros((4, 8), X), np.empty(3, Y)
    frozen = np.empty(3, Y)
    frozen.flags.writeable = False
    raw = np.zeros(x.nbytes + 1, np.uint8)
    odd = raw[1:].view(X)
    for given in (
        None,
        3,
        [0],
        y,
        x.astype(np.uint64),
        x.astype(">i8"),
        x.view(ml_dtypes.bfloat16),
        np.zeros((8, 4), X),
        np.zeros((4, 8, 1), X),
        np.zeros((4, 16), X)[:, ::2],
        np.zeros((8, 4), X).T,
        x.view(Sub),
        odd.reshape(4, 8),
    ):
        assert one.call(given, y) is NotImplemented
    for given in (None, x, frozen, np.empty(4, Y)):
        assert one.call(x, given) is NotImplemented
    assert one.call() is NotImplemented
    assert one.call(x) is NotImplemented
    assert one.call(x, y, y) is NotImplemented
    assert x[0, 0] == 0
    frozen_input = np.zeros((4, 8), X)
    frozen_input.flags.writeable = False
    assert one.call(frozen_input, y) is None


def test_counts_references_right(made: tuple[Entry, Any]) -> None:
    one, _ = made
    x, y = np.zeros((4, 8), X), np.empty(3, Y)
    watched = (x, y, None, NotImplemented)
    before = list(map(sys.getrefcount, watched))
    for _ in range(1000):
        one.call(x, y)
        one.call(x)
    after = list(map(sys.getrefcount, watched))
    assert np.abs(np.subtract(after, before)).max() < 100


def test_scalars_and_empty_arrays_fit() -> None:
    steps, pointers = Steps(), np.zeros(3, np.uint64)[1:]
    bf16 = np.dtype(ml_dtypes.bfloat16)
    arguments = [Argument((), Y, 0), Argument((0, 3), bf16, 1, out=True)]
    where = *steps.where, address(pointers)
    one = Entry(job(Runner(1), *where), arguments)
    out = np.empty((0, 3), bf16)
    assert one.call(np.array(1, Y), out) is None
    assert one.call(np.float32(1), out) is NotImplemented


@pytest.mark.parametrize("release", [False, True])
def test_starts_the_workers_it_wants(release: bool) -> None:
    threads = hall().workers + 2
    steps = Steps()
    counts = np.zeros(threads, np.int64)
    steps.add("tally", [0], [], BARRIER)
    pointers = table(counts)
    where = *steps.where, address(pointers)
    arguments = [Argument((threads,), X, 0)]
    one = Entry(job(Runner(threads), *where, release=release), arguments)
    assert one.call(counts) is None
    assert counts.tolist() == [1] * threads


def test_stopped_run_is_told() -> None:
    steps = Steps()
    steps.add("nap", [], [], BARRIER)
    pointers = table()
    one = Entry(job(Runner(1), *steps.where, address(pointers)), [])
    one.stop()
    assert one.call() is False
    assert one.call() is None


def test_question_raises_through_the_call() -> None:
    def question() -> None:
        raise ValueError("enough")

    steps = Steps()
    for _ in range(200):
        steps.add("nap", [], [], BARRIER)
    pointers = table()
    where = *steps.where, address(pointers)
    one = Entry(job(Runner(1), *where, release=True, poll=question), [])
    with pytest.raises(ValueError, match="enough"):
        one.call()


def test_a_call_ends_when_its_time_is_over() -> None:
    steps = Steps()
    for _ in range(2000):
        steps.add("nap", [], [], BARRIER)
    pointers = table()
    runner = Runner(1, limits=Limits(run_seconds=0.05))
    one = Entry(job(runner, *steps.where, address(pointers), release=True), [])
    assert one.call() is False
    with pytest.raises(LimitExceeded, match=r"took 0\.\d+ s, the limit `run_seconds` is 0.05"):
        runner.check(one.job)

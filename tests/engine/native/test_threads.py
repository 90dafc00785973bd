import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from engine.steps import Steps, table
from sardonyx.core.dtype import Array
from sardonyx.core.errors import Terminated
from sardonyx.engine.native.executor import BARRIER, SERIAL
from sardonyx.engine.native.memory import address, aligned
from sardonyx.engine.native.threads import Runner, hall

TESTS = Path(__file__).parent.parent


def counting(count: int, flags: int = BARRIER, name: str = "tally") -> Steps:
    steps = Steps()
    for _ in range(count):
        steps.add(name, [0], [], flags)
    return steps


def run(runner: Runner, steps: Steps, *arrays: Array, **options: object) -> None:
    pointers = table(*arrays)
    runner.run(runner.job_of(*steps.where, address(pointers), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_threads_walk_in_lockstep(threads: int, rng: np.random.Generator) -> None:
    """Each step reads what all threads wrote in the one before: a missed barrier shows."""
    runner = Runner(threads)
    for _ in range(20):
        arrays = [np.zeros(threads, np.uint64), np.zeros(threads, np.uint64)]
        wanted = [a.copy() for a in arrays]
        steps = Steps()
        for i in range(40):
            old, new = i % 2, (i + 1) % 2
            serial = bool(rng.integers(2))
            steps.add("mix", [old, new], [threads], BARRIER | (SERIAL if serial else 0))
            wanted[new][: 1 if serial else threads] = wanted[old].sum() + np.uint64(1)
        run(runner, steps, *arrays)
        np.testing.assert_array_equal(arrays, wanted)


def test_serial_steps_run_once_and_scratch_is_private() -> None:
    runner = Runner(3, scratch=100)
    assert runner.stride == 128
    counts = np.zeros(3, np.int64)
    run(runner, counting(10, SERIAL | BARRIER, "count"), counts)
    run(runner, counting(5, name="count"), counts)
    assert counts.tolist() == [15, 5, 5]
    scratch = runner.memory.view(np.int64).reshape(3, -1)
    assert scratch[:, 0].tolist() == [15, 5, 5]


def test_fewer_threads_for_one_run() -> None:
    runner = Runner(4)
    counts = np.zeros(4, np.int64)
    run(runner, counting(2), counts, threads=2)
    run(runner, counting(2), counts, threads=9)
    assert counts.tolist() == [4, 4, 2, 2]


def test_no_steps_is_no_work() -> None:
    run(Runner(2), Steps(), np.zeros(1))


def test_sleeping_workers_wake() -> None:
    runner = Runner(2)
    counts = np.zeros(2, np.int64)
    for _ in range(5):
        time.sleep(0.01)
        run(runner, counting(1), counts)
    assert counts.tolist() == [5, 5]


def test_idle_workers_cost_nothing() -> None:
    runner = Runner(2)
    run(runner, counting(3), np.zeros(2, np.int64))
    time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.02


def test_many_python_threads_run_at_once() -> None:
    wrong = []

    def work() -> None:
        runner, count = Runner(3), np.zeros(3, np.int64)
        for _ in range(100):
            run(runner, counting(3), count)
        if count[0] != 300 or count.max() > 300:
            wrong.append(count)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)
    assert not wrong


def test_runs_at_once_share_the_threads() -> None:
    """Of two runs on two threads each, the second goes on alone: a thread a core."""
    first, steps = Runner(2), napping(0.5)
    t = threading.Thread(target=lambda: run(first, steps, np.zeros(1)))
    t.start()
    time.sleep(0.05)
    counts = np.zeros(4, np.int64)
    run(Runner(2), counting(1), counts)
    run(Runner(4), counting(1), counts)
    t.join()
    run(Runner(4), counting(1), counts)
    assert counts.tolist() == [3, 2, 1, 1]


def test_subnormals_are_kept_unless_flushed() -> None:
    x = np.array([1e-38, 0], np.float32)
    steps = Steps()
    steps.add("halve", [0], [], SERIAL)
    run(Runner(1), steps, x)
    assert x[1] == np.float32(1e-38) / 2 != 0
    run(Runner(1, flush=True), steps, x)
    assert x[1] == 0
    assert np.float32(1e-38) / np.float32(2) != 0
    run(Runner(1), steps, x)
    assert x[1] != 0


def napping(seconds: float) -> Steps:
    steps = Steps()
    for _ in range(int(seconds * 1000)):
        steps.add("nap", [], [], BARRIER)
    return steps


def test_a_run_can_be_stopped_from_another_thread() -> None:
    runner, steps = Runner(2), napping(20)
    timer = threading.Timer(0.05, runner.stop)
    timer.start()
    start = time.perf_counter()
    with pytest.raises(Terminated):
        run(runner, steps, np.zeros(1))
    assert time.perf_counter() - start < 10
    timer.join()
    run(runner, napping(0.002), np.zeros(1))


def test_stopping_an_idle_runner_does_nothing() -> None:
    runner = Runner(2)
    runner.stop()
    run(runner, napping(0.002), np.zeros(1))


def test_the_question_ends_a_run_by_raising() -> None:
    asked = []

    def question() -> None:
        asked.append(time.perf_counter())
        if len(asked) == 3:
            raise ValueError("enough")

    runner = Runner(2)
    with pytest.raises(ValueError, match="enough"):
        run(runner, napping(20), np.zeros(1), poll=question)
    assert len(asked) == 3
    assert asked[1] - asked[0] > 0.04
    run(runner, napping(0.002), np.zeros(1), poll=question)


ONE_CORE = (
    "import ctypes; run(Runner(2), counting(1), np.zeros(2, np.int64))\n"
    "ctypes.c_int32.from_address(hall().address + 12).value = 1\n"
)


def test_more_runs_than_cores_do_not_overlap() -> None:
    """Ten runs that sleep on one core sleep one after the other."""
    body = (
        "go = lambda: run(Runner(1), napping(0.02), np.zeros(1))\n"
        "threads = [threading.Thread(target=go) for _ in range(10)]\n"
        "begun = time.monotonic()\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "print(time.monotonic() - begun)\n"
    )
    free, queued = script(body), script(ONE_CORE + body)
    assert (free.stderr, queued.stderr) == ("", "")
    assert float(queued.stdout) > 0.1


def test_a_run_inside_a_run_waits_for_none() -> None:
    """On one core the run that asks is over meanwhile, and so is one that waits for its turn."""
    body = ONE_CORE + (
        "inner = lambda: run(Runner(1), counting(3), np.zeros(1, np.int64))\n"
        "go = lambda: run(Runner(1), napping(0.3), np.zeros(1), poll=inner)\n"
        "threads = [threading.Thread(target=go) for _ in range(4)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "come, over = (ctypes.c_int32.from_address(hall().address + at).value for at in (64, 68))\n"
        "assert come == over > 8, (come, over)\n"
    )
    done = script(body)
    assert (done.returncode, done.stderr) == (0, "")


def script(body: str, interrupt_after: float | None = None) -> subprocess.CompletedProcess[str]:
    head = (
        "import os, signal, sys, threading, time; import numpy as np\n"
        "from engine.steps import Steps, table\n"
        "from engine.native.test_threads import counting, napping, run\n"
        "from sardonyx.engine.native.threads import Runner, hall\n"
    )
    # Where this process ignores SIGINT, as jobs in the background do, the child would as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:] = sys.argv[1:]\n{head}{body}",
            str(TESTS),
            *sys.path,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if interrupt_after is not None:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(interrupt_after)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_interrupt_ends_a_run() -> None:
    body = (
        "steps = napping(30)\n"
        "print('running', flush=True)\n"
        "try:\n"
        "    run(Runner(2), steps, np.zeros(1))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    start = time.perf_counter()
    done = script(body, interrupt_after=0.3)
    assert done.stdout == "interrupted\n", done.stderr
    assert time.perf_counter() - start < 20


def test_process_ends_with_workers_spinning_or_busy() -> None:
    body = (
        "run(Runner(2), counting(5), np.zeros(2, np.int64))\n"
        "steps = napping(5)\n"
        "t = threading.Thread(target=lambda: run(Runner(2), steps, np.zeros(1)), daemon=True)\n"
        "t.start(); time.sleep(0.01)\n"
        "run(Runner(3), counting(5), np.zeros(3, np.int64))\n"
    )
    for _ in range(3):
        done = script(body)
        assert (done.returncode, done.stderr) == (0, "")


def test_forked_child_has_workers_of_its_own() -> None:
    body = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "runner, counts = Runner(2), np.zeros(2, np.int64)\n"
        "run(runner, counting(5), counts)\n"
        "steps = napping(0.2)\n"
        "t = threading.Thread(target=lambda: run(runner, steps, np.zeros(1)))\n"
        "t.start(); time.sleep(0.02)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    run(runner, counting(5), counts)\n"
        "    os._exit(int(counts.tolist() != [10, 10]))\n"
        "t.join()\n"
        "run(runner, counting(5), counts)\n"
        "assert counts.tolist() == [10, 10], counts\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = script(body)
    assert (done.returncode, done.stderr) == (0, "")


def test_forked_child_has_memory_of_its_own() -> None:
    memory = aligned(3 << 20)
    memory[:] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        memory[:] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert memory.min() == memory.max() == 1


def test_runners_come_and_go() -> None:
    run(Runner(2), counting(1), np.zeros(2, np.int64))
    before = hall().workers
    for _ in range(50):
        run(Runner(2, scratch=1 << 16), counting(2), np.zeros(2, np.int64))
    assert hall().workers == before


def test_workers_that_the_system_refuses_are_done_without() -> None:
    body = (
        "import ctypes\n"
        "refuse = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(lambda *_: 11)\n"
        "create = ctypes.c_void_p.from_address(hall().address)\n"
        "real, counts = create.value, np.zeros(64, np.int64)\n"
        "run(Runner(3), counting(1), counts)\n"
        "create.value = ctypes.cast(refuse, ctypes.c_void_p).value\n"
        "run(Runner(64), counting(1), counts)\n"
        "assert counts.tolist() == [2, 2, 2] + [0] * 61, counts\n"
        "create.value = real\n"
        "run(Runner(64), counting(1), counts)\n"
        "assert counts.tolist() == [3, 3, 3] + [1] * 61, counts\n"
    )
    done = script(body)
    assert (done.returncode, done.stderr) == (0, "")

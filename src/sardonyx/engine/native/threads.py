"""Who runs step records: the calling thread, and workers that the process shares.

    runner = Runner(threads, scratch_bytes)
    runner.run(runner.job_of(steps, count, table))   steps: array of `native.executor`'s struct Step

Runs share no lock: each takes a free crew of workers for its share of the threads, or goes on
alone, so no run waits for another, not even one that a signal handler or a finalizer begins in the
midst of one. Workers sleep in the kernel when nothing came for a while, hold no Python state, and
end with the process. After a fork the child starts workers of its own.
"""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable

from sardonyx.core.errors import Terminated
from sardonyx.core.limits import Limits
from sardonyx.engine.code import cache
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.engine.native import executor
from sardonyx.engine.native.executor import (
    CREW_BYTES,
    CREWS,
    CREWS_AT,
    HALL_BYTES,
    LATE,
    LOST,
    WORKERS,
    Job,
)
from sardonyx.engine.native.memory import address, aligned
from sardonyx.loops import target

# How long a worker watches for the next run before it sleeps: as long as waking it takes, so that
# neither watching nor sleeping can cost twice what the better choice costs.
_SPIN_SECONDS = 100e-6
_FOREVER = (1 << 63) - 1
# Runs beyond one a core, so that none idles while the next in turn is woken: without, runs of 2 ms
# lose a fifth.
_READY = 1

Question = Callable[[], object]


class Runner:
    """Memory for runs of one program, one at a time, on at most `threads` threads.

    `scratch` is the bytes of private memory that each thread gets, 64-byte aligned. `seconds` is
    the most that a run may take, None for any time.
    """

    def __init__(
        self, threads: int, scratch: int = 0, *, flush: bool = False, limits: Limits | None = None
    ) -> None:
        self.threads = max(1, min(threads, WORKERS + 1))
        self.flush = flush
        self._limits = limits or Limits()
        self.stride = -(-scratch // 64) * 64
        self.memory = aligned(self.stride * self.threads)
        self.job = self.job_of(0, 0, 0)

    def job_of(
        self,
        steps: int,
        count: int,
        table: int,
        threads: int | None = None,
        *,
        release: bool = True,
        watched: bool = False,
        poll: Question | None = None,
        passed: float = 0.0,
    ) -> Job:
        """A run of `count` step records at address `steps` over the pointer table at `table`.

        The slot before the table is the executor's. `threads` may lower their number. With
        `release` the GIL is given up, and about 20 times a second, between steps, signals are
        looked at and `poll()`, which the caller keeps alive, is called: what either raises ends the
        run. One with a long step is to be `watched`: then it ends in the midst of that, too.
        `passed` are the seconds of its time that are over.
        """
        flags = executor.FLUSH * self.flush + executor.YIELDING * release
        return Job(
            steps=steps,
            count=count,
            table=table,
            scratch=address(self.memory),
            stride=self.stride,
            threads=self.threads if threads is None else min(threads, self.threads),
            flags=flags + executor.WATCHED * (watched and release),
            poll=0 if poll is None else id(poll),
            limit=self.left(passed),
        )

    def left(self, passed: float) -> int:
        """The nanoseconds that a run may go on for when these seconds of its time are over."""
        seconds = self._limits.run_seconds
        return _FOREVER if seconds is None else _nanoseconds(seconds - passed)

    def run(self, job: Job, passed: float = 0.0) -> None:
        """Run to the end. Terminated when `stop` was called, LimitExceeded when it took longer than
        the limits allow, of which `passed` seconds were over, and what signals and `poll` raise.
        """
        self.job = job
        hall().launch(job)
        self.check(job, passed)

    def check(self, job: Job, passed: float = 0.0) -> None:
        """Raises what a run was stopped by, if it was."""
        if job.ended == LATE:
            seconds = (time.monotonic_ns() - job.deadline + job.limit) * 1e-9
            limit = self._limits.run_seconds or 0.0
            self._limits.check_run_seconds(max(passed + seconds, math.nextafter(limit, math.inf)))
        if job.ended == LOST:
            raise Terminated("E0509", "the process was forked in the midst of the run")
        if job.ended:
            raise Terminated("E0509", "the run was asked to stop")

    def stop(self) -> None:
        """End the run in progress at its next step; without one, nothing happens."""
        self.job.stopped = executor.STOPPED


def _nanoseconds(seconds: float) -> int:
    return int(min(max(seconds, 0.0) * 1e9, _FOREVER))


class Hall:
    """The native code of the executor and the workers of this process; see `hall`."""

    def __init__(self) -> None:
        linker = Linker(target.make("generic"), cache.default())
        text = executor.text()
        found = executor.exports(linker.load([Unit("sx_runtime", text, lambda: text)])[0])
        linker.release()
        libc = ctypes.CDLL(None)
        self.call = found["call"]
        self.address = _forever(libc, HALL_BYTES)
        create = ctypes.cast(libc.pthread_create, ctypes.c_void_p).value
        ctypes.c_void_p.from_address(self.address).value = create
        ctypes.c_int32.from_address(self.address + 8).value = _spins(found["pauses"])
        ctypes.c_int32.from_address(self.address + 12).value = target.host().cores + _READY
        self._launch = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
            found["launch"]
        )

    @property
    def workers(self) -> int:
        """The workers that have been started."""
        return sum(self._word(crew, 16) for crew in range(CREWS))

    def launch(self, job: Job) -> int:
        """Run a job to its end; else what stopped it, of the executor's STOPPED and LATE."""
        stopped: int = self._launch(self.address, ctypes.addressof(job))
        return stopped

    def renew(self) -> None:
        """Forget the workers, which a fork does not copy, and the runs of other threads.

        A crew that was at work stays taken: its run may be one that the forking thread is in.
        """
        ctypes.c_int64.from_address(self.address + 64).value = 0
        for crew in range(CREWS):
            if self._word(crew, 16):
                where = self.address + CREWS_AT + CREW_BYTES * crew
                busy = ctypes.c_int32.from_address(where + 256)
                was = busy.value
                ctypes.memset(where, 0, CREW_BYTES)
                busy.value = was

    def _word(self, crew: int, at: int) -> int:
        return ctypes.c_int64.from_address(self.address + CREWS_AT + CREW_BYTES * crew + at).value


def _forever(libc: ctypes.CDLL, size: int) -> int:
    """Zeros on a cache line, never freed: workers may look at them while the interpreter ends."""
    libc.calloc.restype = ctypes.c_void_p
    libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    where: int | None = libc.calloc(size + 64, 1)
    if not where:
        raise MemoryError
    return where + -where % 64


def _spins(pauses: int) -> int:
    if target.host().cores < 2:
        return 1
    pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(pauses)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        pause(1000)
        best = min(best, time.perf_counter() - start)
    return max(1, int(_SPIN_SECONDS * 1000 / best))


_halls: list[Hall] = []


def hall() -> Hall:
    """The hall of this process."""
    if not _halls:
        _halls.append(Hall())
    return _halls[0]


def _after_fork() -> None:
    for made in _halls:
        made.renew()


os.register_at_fork(after_in_child=_after_fork)

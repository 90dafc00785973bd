"""Who runs step records: the calling thread, and a crew of workers that the process shares.

    pool = Pool(threads, scratch_bytes)
    pool.run(steps, count, table)           steps: array of `engine.executor`'s struct Step

A crew serves one run at a time; a run that finds it busy goes on alone, so no two runs wait for
each other. Workers sleep in the kernel when nothing came for a while, hold no lock and no Python
state, and end with the process. After a fork the child starts workers of its own.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable

from sardonyx.core.errors import Terminated
from sardonyx.engine.code import cache
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.engine.native import executor
from sardonyx.engine.native.executor import WORKER_BYTES, WORKERS_AT, Job
from sardonyx.engine.native.guard import FAULTS
from sardonyx.engine.native.memory import address, aligned
from sardonyx.loops import target

# Workers of a crew, whose records are laid out ahead; servers have no more cores to a socket.
_MOST = 256
# How long a worker watches for the next run before it sleeps: as long as waking it takes, so that
# neither watching nor sleeping can cost twice what the better choice costs.
_SPIN_SECONDS = 100e-6

Question = Callable[[], object]


class Pool:
    """Memory and a lock for runs of one program on at most `threads` threads.

    `scratch` is the bytes of private memory that each thread gets, 64-byte aligned. Safe to use
    from several Python threads; one run at a time.
    """

    def __init__(self, threads: int, scratch: int = 0) -> None:
        self.threads = max(1, min(threads, _MOST))
        self.job = Job()
        self.job.stride = -(-scratch // 64) * 64
        self._memory = aligned(self.job.stride * self.threads)
        self.job.scratch = address(self._memory)
        self._lock = threading.Lock()
        _pools.add(self)

    def run(
        self,
        steps: int,
        count: int,
        table: int,
        threads: int | None = None,
        *,
        poll: Question | None = None,
        flush: bool = False,
        release: bool = True,
    ) -> None:
        """Run `count` step records at address `steps` over the pointer table at `table`.

        `threads` may lower the number for this run. With `release` the GIL is given up, and about
        20 times a second, between steps, signals are looked at and `poll()` is called: what either
        raises ends the run and is raised here. Terminated when `stop` was called. With `flush`
        subnormal floats are taken as zero.
        """
        with self._lock:
            job = self.job
            wanted = self.threads if threads is None else min(threads, self.threads)
            job.steps, job.count, job.table, job.threads = steps, count, table, wanted
            job.flags = executor.FLUSH * flush + executor.YIELDING * release
            job.poll = 0 if poll is None else id(poll)
            if crew().launch(job, wanted):
                raise Terminated("E0509", "the run was asked to stop")

    def stop(self) -> None:
        """End the run in progress at its next step; without one, nothing happens."""
        if self._lock.locked():
            self.job.stopped = 1

    def renew(self) -> None:
        """Forget a run that another thread had in progress when this process was forked."""
        self._lock = threading.Lock()
        self.job.stopped = 0


class Crew:
    """The native code of the executor and the workers of this process; see `crew`."""

    def __init__(self) -> None:
        linker = Linker(target.make("generic"), cache.default())
        text = executor.text()
        found = executor.exports(linker.load([Unit("sx_runtime", text, lambda: text)])[0])
        linker.release()
        self._libc = ctypes.CDLL(None)
        self._lock = threading.Lock()
        self._worker = found["worker"]
        self.call = found["call"]
        self.address = self._allocate(WORKERS_AT + WORKER_BYTES * _MOST)
        self._alive = ctypes.c_int64.from_address(self.address + 16)
        self.renew()
        ctypes.c_int32.from_address(self.address + 260).value = self._spins(found["pauses"])
        self._launch = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
            found["launch"]
        )

    @property
    def alive(self) -> int:
        """The threads that can take part in a run now, the caller included."""
        return self._alive.value

    def launch(self, job: Job, threads: int) -> int:
        """Run a job to its end with workers for `threads` threads; 1 when it was stopped."""
        if threads > self._alive.value:
            self._grow(threads)
        stopped: int = self._launch(self.address, ctypes.addressof(job))
        return stopped

    def renew(self) -> None:
        """Forget the workers, which a fork does not copy."""
        self._lock = threading.Lock()
        kept = ctypes.c_int32.from_address(self.address + 260).value
        ctypes.memset(self.address, 0, WORKERS_AT + WORKER_BYTES * _MOST)
        ctypes.c_int32.from_address(self.address + 260).value = kept
        self._alive.value = 1

    def _allocate(self, size: int) -> int:
        """Memory that is never freed: workers may look at it while the interpreter ends."""
        where = ctypes.c_void_p()
        if self._libc.posix_memalign(ctypes.byref(where), 64, size) or not where.value:
            raise MemoryError
        ctypes.memset(where.value, 0, size)
        return where.value

    def _spins(self, pauses: int) -> int:
        if target.host().cores < 2:
            return 1
        pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(pauses)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            pause(1000)
            best = min(best, time.perf_counter() - start)
        return max(1, int(_SPIN_SECONDS * 1000 / best))

    def _grow(self, threads: int) -> None:
        """Start workers; where the system refuses one, fewer serve."""
        with self._lock:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
            try:
                while self._alive.value < threads and self._start(self._alive.value):
                    self._alive.value += 1
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _start(self, tid: int) -> bool:
        where = self.address + WORKERS_AT + WORKER_BYTES * (tid - 1)
        ctypes.c_int64.from_address(where + 8).value = tid
        ctypes.c_int64.from_address(where + 16).value = self.address
        thread = ctypes.c_ulong()
        create = self._libc.pthread_create
        create.argtypes = [ctypes.c_void_p] * 4
        if create(ctypes.addressof(thread), None, self._worker, where):
            return False
        if sys.platform == "linux":
            self._libc.pthread_setname_np(thread, f"sardonyx-{tid}".encode())
        self._libc.pthread_detach(thread)
        return True


@functools.cache
def crew() -> Crew:
    """The crew of this process."""
    return Crew()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    if crew.cache_info().currsize:
        crew().renew()
    for pool in list(_pools):
        pool.renew()


os.register_at_fork(after_in_child=_after_fork)

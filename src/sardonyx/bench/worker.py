"""One contender in a process of its own, told what to do by JSON lines on its standard input.

create     bring the contender to life             → import_s, create_s, first_s, settings
calibrate  how many runs fill `seconds`            → runs
block      one untimed run, then `runs` timed ones → seconds
outputs    write the outputs of every input set    → names
memory     resident memory                         → peak_bytes, base_bytes
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from sardonyx.bench.contender import Arrays, Prepared, Run, find_factory, load_pool, save_pool
from sardonyx.core.errors import SardonyxError

_PR_SET_PDEATHSIG = 1
MOST_RUNS = 1_000_000


def resident(field: str) -> int:
    """`VmHWM` (peak) or `VmRSS` (now) of this process in bytes; 0 where the system has no such."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


class Worker:
    """Holds one prepared contender and its input sets, and answers requests about them."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.feeds: list[Arrays] = []
        self.prepared: Prepared | None = None
        self.base = 0
        self.turn = 0

    def create(
        self,
        factory: str,
        imports: list[str],
        options: Mapping[str, Any],
        environment: Mapping[str, str],
        threads: int,
        pool: str,
    ) -> dict[str, Any]:
        """Import, create and run once; each part is timed by itself."""
        os.environ.update(environment)
        self.feeds = load_pool(pool)
        start = time.perf_counter()
        make = find_factory(factory, imports)
        imported = time.perf_counter()
        self.base = resident("VmRSS")
        created_from = time.perf_counter()
        prepared: Prepared = make(**options, threads=threads)
        created = time.perf_counter()
        self.runs = [prepared.bind(feeds) for feeds in self.feeds]
        first = time.perf_counter()
        self.runs[0]()
        done = time.perf_counter()
        self.prepared = prepared
        return {
            "import_s": imported - start,
            "create_s": created - created_from,
            "first_s": done - first,
            "settings": dict(prepared.settings),
        }

    def calibrate(self, seconds: float) -> dict[str, Any]:
        """The number of runs that fill at least `seconds`, from runs long enough to tell."""
        runs = 1
        while True:
            spent = self.block(runs)["seconds"]
            if spent >= seconds / 2 or runs >= MOST_RUNS:
                break
            runs = max(2 * runs, min(16 * runs, int(runs * seconds / max(spent, 1e-9))))
        return {"runs": max(1, min(MOST_RUNS, math.ceil(runs * seconds / spent)))}

    def block(self, runs: int) -> dict[str, Any]:
        """The seconds of `runs` runs, rotating through the inputs, after one that is not timed."""
        order = [self.runs[(self.turn + i) % len(self.runs)] for i in range(len(self.runs))]
        self.turn += runs
        whole, rest = divmod(runs, len(order))
        last = order[:rest]
        order[-1]()
        collecting = gc.isenabled()
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in range(whole):
                for run in order:
                    run()
            for run in last:
                run()
            seconds = time.perf_counter() - start
        finally:
            if collecting:
                gc.enable()
        return {"seconds": seconds}

    def outputs(self, path: str) -> dict[str, Any]:
        """Write the outputs of every input set to an .npz file."""
        made = self.prepared
        assert made is not None
        rows = [dict(zip(made.names, made.arrays(run()), strict=True)) for run in self.runs]
        save_pool(path, rows, "out")
        return {"names": list(made.names)}

    def memory(self) -> dict[str, Any]:
        """Peak resident bytes so far, and those resident before the contender was created."""
        return {"peak_bytes": resident("VmHWM"), "base_bytes": self.base}


def answer(actions: Mapping[str, Callable[..., dict[str, Any]]], line: str) -> dict[str, Any]:
    """What one request line gets: the action's result, or the error it ended in."""
    request = json.loads(line)
    try:
        return actions[request.pop("do")](**request)
    except SardonyxError as problem:
        return {"error": problem.to_dict()}
    except Exception as problem:  # noqa: BLE001 - whatever a contender raises goes to the conductor
        return {"error": {"type": type(problem).__name__, "message": str(problem)}}


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests line by line until the input ends."""
    worker = Worker()
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "create": worker.create,
        "calibrate": worker.calibrate,
        "block": worker.block,
        "outputs": worker.outputs,
        "memory": worker.memory,
    }
    for line in requests:
        replies.write(json.dumps(answer(actions, line)) + "\n")
        replies.flush()


def main() -> int:
    """Serve on the inherited pipes; whatever a contender prints goes to standard error."""
    if sys.platform == "linux":
        # A stopped process cannot notice that its parent died; the kernel can.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, replies)
    return 0


if __name__ == "__main__":
    sys.exit(main())

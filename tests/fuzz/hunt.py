"""Runs many seeds, each batch in a process that may die, and lists those that fail.

python -m fuzz.hunt FIRST LAST [SECONDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

BATCH = 50
PER_SEED = 60.0


def failing(first: int, last: int, seconds: float = 1e9) -> Iterator[tuple[int, list[str]]]:
    """The seeds in [first, last) that fail with what is wrong; stops after that many seconds."""
    ends = time.monotonic() + seconds
    while first < last and time.monotonic() < ends:
        stop = min(first + BATCH, last)
        said, code = _batch(first, stop, min(PER_SEED * BATCH, max(ends - time.monotonic(), 60)))
        seed, lines = first - 1, list[str]()
        for line in said.splitlines():
            word, _, rest = line.partition(" ")
            if word == "seed":
                seed, lines = int(rest), []
            elif word == "ok":
                if lines:
                    yield seed, lines
                first = seed + 1
            else:
                lines.append(line.strip())
        if code != 0 and first < stop:
            yield (first, [*lines, f"the process ended with {code}"])
            first += 1


def _batch(first: int, stop: int, seconds: float) -> tuple[str, int]:
    command = [sys.executable, "-m", "fuzz.worker", str(first), str(stop)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(), -1
    return done.stdout, done.returncode or (0 if f"ok {stop - 1}" in done.stdout else 1)


def main(first: int, last: int, seconds: float = 1e9) -> None:
    """Prints every failing seed."""
    for seed, lines in failing(first, last, seconds):
        print(seed, *(line[:300] for line in lines[:4]), sep="\n  ", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))

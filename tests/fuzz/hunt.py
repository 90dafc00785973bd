"""Hunts for seeds whose graph fails, reduces each to a small text, and says how fast it went.

    python -m fuzz.hunt FIRST LAST [SECONDS]       (with `src` and `tests` on PYTHONPATH)

Texts of failing graphs go to the folder `found` of where it runs, one for each seed; those that
show a fault of ours belong in `tests/fuzz/kept`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fuzz.reduce import small
from fuzz.worker import outcomes

FOUND = Path("found")
OFTEN = 1000


def failing(first: int, last: int) -> Iterator[tuple[int, list[str]]]:
    """The seeds in [first, last) that fail, with what is wrong."""
    return ((seed, lines) for seed, lines in outcomes(first, last) if lines)


def main(first: int, last: int, seconds: float = 1e9) -> None:
    """Prints every failing seed, and now and then how far it is."""
    begun = time.monotonic()
    for done, (seed, lines) in enumerate(outcomes(first, last), 1):
        if lines:
            print(seed, *(line[:300] for line in lines[:4]), sep="\n  ", flush=True)
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"seed{seed}.txt").write_text(small(seed) or "", encoding="utf-8")
        over = time.monotonic() - begun
        if over > seconds or not done % OFTEN or seed + 1 == last:
            spent = sum(os.times()[:4])
            print(f"{done} graphs in {over:.0f} s, {spent:.0f} s of processors", flush=True)
        if over > seconds:
            break


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:]))

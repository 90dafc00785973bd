"""Contenders of plain numpy with known speed, error and faults, for tests of the harness."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class Sleeper:
    """Takes `seconds` a run; gives x·2 with a relative error of `wrong`."""

    names: Sequence[str] = ("y",)

    def __init__(self, seconds: float, wrong: float, threads: int) -> None:
        self.seconds = seconds
        self.wrong = wrong
        self.settings: Mapping[str, Any] = {"threads": threads}

    def bind(self, feeds: Arrays) -> Any:
        def run() -> list[NDArray[Any]]:
            until = time.perf_counter() + self.seconds
            while time.perf_counter() < until:
                pass
            return [feeds["x"] * 2 * (1 + self.wrong)]

        return run

    def arrays(self, result: list[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        return result


def sleeper(*, seconds: float = 0.0005, wrong: float = 0.0, threads: int = 1) -> Sleeper:
    """A contender that is busy for the given time."""
    return Sleeper(seconds, wrong, threads)


def chatty(*, threads: int = 1) -> Sleeper:
    """Prints while it is created, which must not disturb the conversation."""
    print("hello from the contender")
    sys.stdout.flush()
    return Sleeper(0.0002, 0.0, threads)


def raising(*, threads: int = 1) -> Sleeper:
    """Fails while it is created."""
    raise ValueError(f"no {threads} threads here")


def dying(*, threads: int = 1) -> Sleeper:
    """Takes its process with it."""
    print("last words", file=sys.stderr, flush=True)
    os._exit(9)


def hanging(*, threads: int = 1) -> Sleeper:
    """Never comes to life."""
    time.sleep(60)
    return Sleeper(0.0, 0.0, threads)


def remembering(*, threads: int = 1) -> Sleeper:
    """Slow to create when its cache folder is empty, quick afterwards."""
    folder = Path(os.environ["SARDONYX_CACHE_DIR"])
    if not folder.is_dir():
        time.sleep(0.3)
        folder.mkdir()
    return Sleeper(0.0002, 0.0, threads)


def hungry(*, mebibytes: int, threads: int = 1) -> Sleeper:
    """Touches that much memory while it is created."""
    block = np.ones(mebibytes << 20, np.uint8)
    assert block[-1] == 1
    return Sleeper(0.0002, 0.0, threads)

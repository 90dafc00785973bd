"""Runs seeds one after another in a child that was forked when everything was loaded.

What a seed is found guilty of goes to the parent as it is found, so that one that ends the child,
or takes longer than its time, is known by its number; a child lives for many seeds.

What is asked of a seed is a function of its number: what is wrong, one line each. `problems` grows
a graph and runs it every way.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from fuzz.graphs import grown
from fuzz.grow import feeds, symbols
from fuzz.ways import complaints, ways
from sardonyx.core import knobs
from sardonyx.core.errors import SardonyxError
from sardonyx.engine import stages
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize, prepare

SIZES = ((3, 5), (1, 1), (2, 1), (1, 7), (4, 9), (17, 3), (0, 2), (2, 0))
SECONDS = 60
# Graphs that have nearly every module imported.
WARM = 30

Ask: TypeAlias = Callable[[int], list[str]]


def sizes(seed: int) -> list[dict[str, int]]:
    """Two sets of sizes of the symbols for a seed; the first is never empty."""
    others = (SIZES[0], SIZES[1 + seed % (len(SIZES) - 1)])
    return [{"N": n, "S": s} for n, s in others]


def fed(graph: Graph, seed: int) -> list[dict[str, Any]]:
    """The inputs of a graph for a seed."""
    some = sizes(seed) if symbols(graph) else sizes(seed)[:1]
    return [feeds(graph, one, seed) for one in some]


def problems(seed: int) -> list[str]:
    """What is wrong with the graph of a seed."""
    graph = grown(seed)
    return list(complaints(graph, fed(graph, seed), ways(seed)))


@functools.cache
def warm() -> None:
    """Loads what children would load again and again, and has none look through it for cycles."""
    for seed in range(WARM):
        with contextlib.suppress(SardonyxError, NotImplementedError):
            for _ in stages.stage(prepare(optimize(grown(seed)).graph), "llvm"):
                pass
    gc.collect()
    gc.freeze()


def outcomes(
    first: int, last: int, ask: Ask = problems, batch: int = 200
) -> Iterator[tuple[int, list[str]]]:
    """What is wrong with each of the seeds in [first, last), `batch` of them to a child."""
    if ask is problems:
        warm()
    while first < last:
        with cache() as folder:
            said, status = _child(first, min(first + batch, last), ask, folder)
        lines = list[str]()
        for line in said.splitlines():
            if line == f"ok {first}":
                yield first, lines
                first, lines = first + 1, []
            else:
                lines.append(line)
        if status:
            yield first, [*lines, f"the process ended with {status}"]
            first += 1


def _child(first: int, last: int, ask: Ask, folder: Path) -> tuple[str, int]:
    """What a child says of the seeds in [first, last), and how it ended."""

    def run(out: TextIO) -> None:
        for seed in range(first, last):
            signal.alarm(SECONDS)
            for line in ask(seed):
                print(" ", line.replace("\n", " "), file=out, flush=True)
            print("ok", seed, file=out, flush=True)

    return said_by(run, folder)


@contextlib.contextmanager
def cache() -> Iterator[Path]:
    """A folder for the code that children compile, gone afterwards however they end."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        Path(folder).chmod(0o700)
        yield Path(folder)


def said_by(work: Callable[[TextIO], None], folder: Path) -> tuple[str, int]:
    """What a child writes while it works, its compiled code in `folder`, and how it ended.

    An alarm that it sets ends it.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            # What the parent has loaded is not looked through at each collection.
            gc.freeze()
            warnings.simplefilter("ignore")
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            with os.fdopen(write, "w", encoding="utf-8") as out, knobs.override(cache_dir=folder):
                work(out)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read, encoding="utf-8", errors="replace") as stream:
        said = stream.read()
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

"""Runs seeds one after another and says what is wrong with each: a process that may die.

    python -m fuzz.worker FIRST LAST        (with `src` and `tests` on PYTHONPATH)

Before each seed it prints `seed N`, after it `ok N`, and in between one line per complaint, so that
whoever reads knows which seed ended the process.
"""

from __future__ import annotations

import sys
import tempfile
import warnings

import numpy as np

from fuzz.graphs import grown
from fuzz.grow import feeds, symbols
from fuzz.ways import complaints, ways
from sardonyx.core import knobs
from sardonyx.graph.ir import Graph

SIZES = ((3, 5), (1, 1), (2, 1), (1, 7), (4, 9), (0, 2), (2, 0), (17, 3))


def sizes(seed: int) -> list[dict[str, int]]:
    """Three sets of sizes of the symbols for a seed; the first is never empty."""
    others = SIZES[1 + seed % (len(SIZES) - 1) :] + SIZES[1:]
    return [{"N": n, "S": s} for n, s in (SIZES[0], *others[:2])]


def fed(graph: Graph, seed: int) -> list[dict[str, np.ndarray]]:
    """The inputs of a graph for a seed."""
    some = sizes(seed) if symbols(graph) else sizes(seed)[:1]
    return [feeds(graph, one, seed) for one in some]


def problems(seed: int) -> list[str]:
    """What is wrong with the graph of a seed."""
    graph = grown(seed)
    return list(complaints(graph, fed(graph, seed), ways(seed)))


def main(first: int, last: int) -> None:
    """Runs the seeds in [first, last)."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, knobs.override(cache_dir=folder):
        for seed in range(first, last):
            print("seed", seed, flush=True)
            for line in problems(seed):
                print(" ", line, flush=True)
            print("ok", seed, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

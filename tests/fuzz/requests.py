"""Requests that lie: true inputs with one dim or one number changed, in memory between fences.

Every dim of a model becomes a symbol of its own, so that nothing but what operators need relates
the inputs to each other. Each array ends where a page that may not be touched begins (or begins
where one ends): a foreign read ends the process by a signal.

    python -m fuzz.requests FIRST LAST       (with `src` and `tests` on PYTHONPATH)

asks for the standard's cases by number, and prints what is wrong with each.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance import node_cases
from fuzz.worker import outcomes
from sardonyx import InferenceSession, SessionOptions
from sardonyx.core.errors import InvalidGraph, SardonyxError
from sardonyx.core.expr import symbol
from sardonyx.core.limits import Limits
from sardonyx.formats import load
from sardonyx.graph.ir import Graph, Type

Feeds = dict[str, Any]
PAGE = mmap.PAGESIZE
NUMBERS = (-1, 5, -1000, 1 << 20)
REAL = (-1.0, 1e30, float("inf"), float("nan"))
LIMITS = Limits(memory_bytes=1 << 30, trips=20_000)
# What is said of an operator that failed in the midst of running, and of our own fault.
FAILED = ("E0403", "E0999")


def fenced(a: Any, before: bool) -> Any:
    """The array in memory with a page that may not be touched right after it, or right before."""
    libc, size = ctypes.CDLL(None), -(-a.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, size + 2 * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for place in (base, base + PAGE + size):
        assert libc.mprotect(ctypes.c_void_p(place), PAGE, 0) == 0
    start = PAGE if before else PAGE + size - a.nbytes
    made = np.frombuffer(memory, a.dtype, a.size, start).reshape(a.shape)
    made[...] = a
    return made


def lies(feeds: Feeds) -> Iterator[tuple[str, Feeds]]:
    """The true request, then false ones, each with what was changed."""
    yield "true", feeds
    for name, a in feeds.items():
        if not isinstance(a, np.ndarray) or a.dtype == object or not a.size:
            continue
        for axis, size in enumerate(a.shape):
            for new in {1, size + 1, max(size - 1, 1), 2 * size + 1} - {size}:
                taken = np.take(a, np.arange(new) % size, axis)
                yield f"{name} with {new} in dim {axis}", {**feeds, name: taken}
        for number in _numbers(a.dtype):
            changed = a.copy()
            changed.reshape(-1)[-1] = number
            yield f"{name} with {number} at its end", {**feeds, name: changed}
            if a.size > 1:
                yield f"{name} full of {number}", {**feeds, name: np.full_like(a, number)}


def _numbers(kind: Any) -> set[Any]:
    if kind.kind == "f":
        return set(REAL)
    if kind.kind not in "iu":
        return set()
    info = np.iinfo(kind)
    return {n for n in (*NUMBERS, info.min, info.max) if info.min <= n <= info.max}


def loosened(name: str) -> Graph:
    """A conformance case whose every dim is a symbol of its own."""
    graph = load(bytes(node_cases.cases()[name].model.SerializeToString()))
    count = iter(range(1 << 20))
    for v in graph.inputs:
        if v.type.kind == "tensor" and v.type.shape is not None:
            dims = tuple(symbol(f"D{next(count)}") for _ in v.type.shape)
            v.type = Type(v.type.dtype, dims)
    for node in graph.nodes:
        for out in node.outputs:
            if out is not None and out.type.kind == "tensor":
                out.type = Type(out.type.dtype)
    return graph


def attack(name: str, seed: int = 0) -> Iterator[str]:
    """What is wrong with the answers to every lie about a conformance case.

    That they are no errors of ours, or such as say only that an operator failed; that native code
    answers where the reference refuses.
    """
    graph, rng = loosened(name), random.Random(seed)
    options = SessionOptions(intra_op_num_threads=1)
    try:
        native = InferenceSession(graph, options, limits=LIMITS)
    except InvalidGraph:
        # Some operators want a size that no feed can change.
        graph = load(bytes(node_cases.cases()[name].model.SerializeToString()))
        native = InferenceSession(graph, options, limits=LIMITS)
    reference = InferenceSession(graph, options, providers=["reference"], limits=LIMITS)
    for what, feeds in lies(truth(name, graph)):
        kept = {
            k: fenced(a, rng.random() < 0.3) if isinstance(a, np.ndarray) and _fences(a) else a
            for k, a in feeds.items()
        }
        mine, theirs = _outcome(native, kept), _outcome(reference, kept)
        for told in (mine, theirs):
            if told.startswith("fails") or (what == "true" and told != "answers"):
                yield f"{what}: {told}"
        # The reference makes whole what native code never stores.
        if mine == "answers" and theirs.startswith("refuses") and "E0506" not in theirs:
            yield f"{what}: answers, the reference {theirs}"


def truth(name: str, graph: Graph) -> Feeds:
    """The inputs of a conformance case by name."""
    inputs, _ = node_cases.cases()[name].data_sets[0]
    given = zip((v.name for v in graph.inputs), map(node_cases.plain, inputs), strict=False)
    return {k: x for k, x in given if x is not None}


def _fences(a: Any) -> bool:
    return bool(a.dtype != object and a.size)


def _outcome(session: InferenceSession, feeds: Feeds) -> str:
    try:
        session.run(None, feeds)
    except SardonyxError as error:
        how = "fails" if error.code in FAILED else "refuses"
        return f"{how}: {error.code} {error.message}"
    except Exception as error:  # noqa: BLE001 - what leaves the package untyped is what we look for
        return f"fails: {type(error).__name__} {error}"
    return "answers"


@functools.cache
def names() -> list[str]:
    """The cases by number."""
    return sorted(node_cases.cases())


def problems(number: int) -> list[str]:
    """What is wrong with the answers to lies about the case of that number."""
    return list(attack(names()[number]))


def main(first: int, last: int) -> None:
    """Prints what is wrong with each case, and how many requests there were."""
    made = 0
    for number, lines in outcomes(first, min(last, len(names())), problems):
        name = names()[number]
        made += len(list(lies(truth(name, loosened(name)))))
        print(f"{number} {name}", *lines, sep="\n    ", flush=True)
    print(made, "requests")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

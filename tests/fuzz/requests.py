"""Requests that lie: true inputs with one dim or one number changed, in memory between fences.

Every dim of a model becomes a symbol of its own, so that nothing but what operators need relates
the inputs to each other. Each array ends where a page that may not be touched begins (or begins
where one ends): a foreign read ends the process by a signal.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance import node_cases
from sardonyx import InferenceSession, SessionOptions
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import symbol
from sardonyx.formats import load
from sardonyx.graph.ir import Graph, Type

Feeds = dict[str, Any]
PAGE = mmap.PAGESIZE
NUMBERS = (-1, 5, -1000, 1 << 20)


@dataclass
class Found:
    """What became of the requests of one case: how many of each kind, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


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
        if a.dtype.kind in "iu":
            info = np.iinfo(a.dtype)
            for number in {n for n in (*NUMBERS, info.min, info.max) if info.min <= n <= info.max}:
                changed = a.copy()
                changed.reshape(-1)[-1] = number
                yield f"{name} with {number} at its end", {**feeds, name: changed}


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


def attack(name: str, seed: int = 0) -> Found:
    """Makes every lie about a conformance case natively; the reference says who is right."""
    options = SessionOptions(intra_op_num_threads=1)
    graph, rng, found = loosened(name), random.Random(seed), Found()
    native = InferenceSession(graph, options)
    reference = InferenceSession(graph, options, providers=["reference"])
    inputs, _ = node_cases.cases()[name].data_sets[0]
    names = (v.name for v in native.graph.inputs)
    given = zip(names, map(node_cases.plain, inputs), strict=False)
    for what, feeds in lies({k: x for k, x in given if x is not None}):
        kept = {
            k: fenced(a, rng.random() < 0.3) if isinstance(a, np.ndarray) and _fences(a) else a
            for k, a in feeds.items()
        }
        mine, theirs = _outcome(native, kept), _outcome(reference, kept)
        found.counts[f"{mine}, reference {theirs}"] += 1
        if mine.startswith("untyped") or (what == "true" and mine != "answers"):
            found.faults.append(f"{what}: {mine}")
    return found


def _fences(a: Any) -> bool:
    return bool(a.dtype != object and a.size)


def _outcome(session: InferenceSession, feeds: Feeds) -> str:
    try:
        session.run(None, feeds)
    except SardonyxError:
        return "refuses"
    except Exception as error:  # noqa: BLE001 - what leaves the package untyped is what we look for
        return f"untyped {type(error).__name__}: {error}"
    return "answers"


def isolated(name: str, seconds: int = 60) -> Found:
    """`attack` in a child of its own, whose death by a signal is a fault."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        signal.alarm(seconds)
        with os.fdopen(write, "wb") as out:
            pickle.dump(attack(name), out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        content = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Found(faults=[f"ended by {signal.Signals(os.WTERMSIG(status)).name}"])
    assert content, f"{name}: the child ended without an answer"
    made: Found = pickle.loads(content)
    return made

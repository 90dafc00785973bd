"""Every way to run a graph, and what is wrong with what comes out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fuzz import peer
from fuzz.oracle import Wanted, wanted
from sardonyx.core import knobs
from sardonyx.core.dtype import Array
from sardonyx.core.errors import SardonyxError
from sardonyx.engine.program import bound
from sardonyx.graph.ir import Graph
from sardonyx.loops import target
from sardonyx.session import GraphOptimizationLevel, InferenceSession, SessionOptions

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Way:
    """Optimised or not, for how many threads, for which instruction set; or as it was kept, which
    is the second time that a session is made.
    """

    optimized: bool = True
    threads: int = 1
    cpu: str = "auto"
    kept: bool = False
    outside: ClassVar[bool] = False

    def __str__(self) -> str:
        name = f"{'optimized' if self.optimized else 'plain'}-{self.threads}-{self.cpu}"
        return f"{name}-kept" if self.kept else name

    def session(self, graph: Graph) -> InferenceSession | peer.Session:
        """A session of this kind; what it makes and runs is within the knobs of this way."""
        made = self._session(graph)
        return self._session(graph) if self.kept else made

    def _session(self, graph: Graph) -> InferenceSession:
        level = "ORT_ENABLE_ALL" if self.optimized else "ORT_DISABLE_ALL"
        options = SessionOptions(
            intra_op_num_threads=self.threads,
            graph_optimization_level=GraphOptimizationLevel[level],
        )
        return InferenceSession(graph, options)


class Outside(Way):
    """In ONNX Runtime, which computes coordinates and long sums less exactly."""

    outside = True

    def __str__(self) -> str:
        return "onnxruntime"

    def session(self, graph: Graph) -> InferenceSession | peer.Session:
        return peer.Session(graph)


@functools.cache
def levels() -> tuple[str, ...]:
    """The instruction set levels below the machine's own that it can run."""
    found = []
    for name in ("avx2", "generic"):
        with knobs.override(cpu=name):
            try:
                target.host()
            except SardonyxError:
                continue
        found.append(name)
    return tuple(found)


def ways(seed: int) -> list[Way]:
    """The ways for a seed: at one level of instructions, one in four not optimised, on one thread
    or two, one in eight as it was kept; and one outside.
    """
    cpus = ("auto", "auto", *levels())
    rest, cpu = divmod(seed, len(cpus))
    optimized, threads, kept = rest % 4 != 1, 1 + rest // 4 % 2, rest // 8 % 8 == 3
    return [Way(optimized, threads, cpus[cpu], kept), Outside()]


class _Shared:
    """Shares even the smallest step among threads while it is entered."""

    def __enter__(self) -> None:
        self.kept = bound._WAKE
        bound._WAKE = 0

    def __exit__(self, *_: object) -> None:
        bound._WAKE = self.kept


def complaints(graph: Graph, fed: Sequence[Feeds], how: Sequence[Way]) -> Iterator[str]:
    """What is wrong, one line each; feeds that the reference cannot run are left out."""
    expected = [(feeds, found) for feeds in fed if (found := _wanted(graph, feeds))]
    for way in how if expected else ():
        with knobs.override(cpu=way.cpu, cache=way.kept), _Shared():
            try:
                yield from _wrong(graph, expected, way)
            except peer.Silent:
                continue
            except SardonyxError as error:
                yield f"{way}: {type(error).__name__}: {error.message}"
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is a failure
                yield f"{way}: {type(problem).__name__}: {problem}"


def _wanted(graph: Graph, feeds: Feeds) -> list[Wanted] | None:
    try:
        return wanted(graph, feeds)
    except (SardonyxError, ValueError, IndexError, ZeroDivisionError):
        return None


def _wrong(graph: Graph, expected: Sequence[tuple[Feeds, list[Wanted]]], way: Way) -> Iterator[str]:
    session = way.session(graph)
    for feeds, outputs in expected:
        if way.outside and any(w.doubtful for w in outputs):
            continue
        shapes = {name: x.shape for name, x in feeds.items()}
        first, again = (session.run(None, feeds), session.run(None, feeds))
        for v, a, b, want in zip(graph.outputs, first, again, outputs, strict=True):
            said = want.complaint(np.asarray(a), loose=way.outside)
            if said:
                yield f"{way}: {v.name} with {shapes}: {said}"
            elif not _same(np.asarray(a), np.asarray(b)):
                yield f"{way}: {v.name} with {shapes}: two runs differ"


def _same(a: Array, b: Array) -> bool:
    """Whether two arrays have the same bits, or the same texts."""
    return a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()

"""A compiled model: one native call per run, weights packed once, a memory plan per shape.

    Program(graph)             fuse, schedule, compile, pack the weights
    program.run([x, ...])      bind the shapes, point the table at the arrays, launch

The last few sets of shapes stay bound (`engine.bound`). Host steps split the native call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from sardonyx.core import knobs
from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, evaluate, nonnegative
from sardonyx.core.limits import Limits
from sardonyx.engine.aligned import nbytes
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.fuse.fuse import Host, fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.engine.native.memory import Weights, address, aligned
from sardonyx.engine.native.threads import Pool
from sardonyx.engine.program import recall
from sardonyx.engine.program.arena import Arena, arrange
from sardonyx.engine.program.bound import Bound, Segment
from sardonyx.graph.bind import bind
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph, Value, captured
from sardonyx.loops.target import Target, host


class Program:
    """A prepared graph as machine code; thread-safe, one run at a time.

    `steps` are the native and host steps in order, `gaps` the nodes that run on the host with the
    reasons. `threads` is the most threads a run uses.
    """

    def __init__(
        self,
        graph: Graph,
        threads: int = 1,
        limits: Limits | None = None,
        target: Target | None = None,
    ) -> None:
        self.graph = graph
        self.limits = limits or Limits.current()
        self.target = target or host()
        self._jit = Jit(self.target)
        self._edited = knobs.OVERRIDE.get() is not None
        kept = None if self._edited else recall.made(graph, self._jit)
        self.steps, self.functions = kept or self._make()
        self.gaps = {s.node: s.reason for s in self.steps if isinstance(s, Host)}
        self.weights = Weights()
        natives = [s for s in self.steps if isinstance(s, Launch)]
        self.pool = Pool(threads, self.scratch_bytes)
        self._lock = threading.Lock()
        self._bound: OrderedDict[tuple[tuple[int, ...] | None, ...], Bound] = OrderedDict()
        self._memory = aligned(0)
        self._base = address(self._memory)
        self.running: list[Launch | Host] = []
        self.index: dict[Value, int] = {}
        self.doubtful: tuple[Expr, ...] = ()
        self.arena = Arena()
        self._load_once([s for s in natives if s.once])
        self._plan([s for s in self.steps if isinstance(s, Host) or not s.once])

    def _make(self) -> tuple[list[Launch | Host], dict[int, int]]:
        """Fuses, schedules and compiles; what comes out is kept for the next start."""
        steps = launches(fuse(self.graph), self.target)
        natives = [s for s in steps if isinstance(s, Launch)]
        units = self._jit.units([s.kernel for s in natives if s.kernel is not None])
        addresses = self._jit.load(units)
        if not self._edited:
            recall.keep(self.graph, self._jit, steps, units)
        return steps, dict(zip(map(id, natives), addresses, strict=True))

    def _load_once(self, steps: list[Launch]) -> None:
        """Runs what depends on constants only: packs weights."""
        for step in steps:
            self.running = [step]
            self.index = {v: n for n, v in enumerate(step.params)}
            for v in step.made:
                self.weights.allocate(v, evaluate(nbytes(v), {}), self.limits)
            bound = Bound(self, {})
            for segment in bound.segments:
                assert isinstance(segment, Segment)
                bound.launch(segment)
            self.weights.settle()

    def _plan(self, steps: list[Launch | Host]) -> None:
        self.running = steps
        self.index = {}
        touched = [_touched(s) for s in steps]
        for v in (*self.graph.inputs, *self.graph.outputs, *(v for t in touched for v in t)):
            self.index.setdefault(v, len(self.index))
        made = [s.made if isinstance(s, Launch) else () for s in steps]
        known = {x for v in self.graph.inputs for d in v.shape or () for x in d.free}
        dims = dict.fromkeys(d for v in self.graph.values() for d in v.shape or ())
        self.doubtful = tuple(d for d in dims if not d.is_const and not nonnegative(d))
        outputs = set(self.graph.outputs)
        self.arena = arrange(
            made, touched, lambda v: v not in outputs and v.type.count.free <= known
        )

    @property
    def peak(self) -> Expr:
        """The bytes that a run's intermediate values take, in the model's symbols."""
        return self.arena.size

    @property
    def scratch_bytes(self) -> int:
        """The private memory each thread needs, in bytes."""
        return max((s.scratch for s in self.steps if isinstance(s, Launch)), default=0)

    def run(self, feeds: Sequence[Any], abort: Callable[[], bool] | None = None) -> list[Any]:
        """The outputs for arrays in the order of the graph's inputs, of the declared dtypes.

        Arrays are C-contiguous; sequences are lists, absent optionals None. `abort()` is asked
        between native segments. Raises ShapeMismatch, LimitExceeded, Terminated.
        """
        with self._lock:
            bound = self._bind(feeds)
            bound.feed(feeds)
            walk = Walk(self.limits, abort)
            for segment in bound.segments:
                walk.permit()
                if isinstance(segment, Host):
                    bound.run_host(segment, walk)
                else:
                    bound.launch(segment, abort)
            if bound.entry is None:
                bound.arm()
            found = bound.results()
            self.weights.check()
            return found

    def quick(self, feeds: Sequence[Any]) -> list[Any] | None:
        """Like `run` for feeds that are arrays of shapes bound before, else None."""
        try:
            bound = self._bound.get(tuple([x.shape for x in feeds]))
        except AttributeError:
            return None
        if bound is None or bound.entry is None or not self._lock.acquire(blocking=False):
            return None
        try:
            found = bound.quick(feeds) if bound.base == self._base else None
            self.weights.check()
            return found
        finally:
            self._lock.release()

    def _bind(self, feeds: Sequence[Any]) -> Bound:
        key = tuple(getattr(x, "shape", None) for x in feeds)
        found = self._bound.get(key)
        if found is None:
            fed = zip(self.graph.inputs, key, strict=True)
            shapes = {v.name: shape for v, shape in fed if shape is not None}
            env = bind(self.graph.inputs, shapes, self.graph.assumed)
            found = self._bound[key] = Bound(self, env)
            if len(self._bound) > self.limits.variants:
                self._bound.popitem(last=False)
        return found

    def memory(self, size: int) -> Array:
        """The arena, grown to at least `size` bytes."""
        if self._memory.nbytes < size:
            self._memory = aligned(size)
            self._base = address(self._memory)
        return self._memory


def _touched(step: Launch | Host) -> tuple[Value, ...]:
    if isinstance(step, Launch):
        return step.params
    node = step.node
    return tuple(v for v in (*node.inputs, *captured(node), *node.outputs) if v is not None)

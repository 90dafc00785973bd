"""A compiled model: one native call per run, weights packed once, a memory plan per shape.

    Program(graph)             fuse, schedule, compile, pack the weights
    program.run([x, ...])      bind the shapes, point the table at the arrays, launch

The last few sets of shapes stay bound (`program.bound`), with the memory of each caller at once
(`program.workspace`). Host steps split the native call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sardonyx.core import floats, knobs
from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, evaluate, nonnegative
from sardonyx.core.limits import Limits
from sardonyx.engine.aligned import nbytes
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.native.memory import Weights
from sardonyx.engine.program import recall
from sardonyx.engine.program.arena import Arena, arrange
from sardonyx.engine.program.bodies import Subprogram, prepared
from sardonyx.engine.program.bound import Bound, Segment, Shaped, touched
from sardonyx.engine.program.repeat import Trips
from sardonyx.engine.program.workspace import Workspaces
from sardonyx.graph.bind import bind
from sardonyx.graph.evaluate import Walk
from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.loops.target import Target, host

if TYPE_CHECKING:
    from sardonyx.engine.fuse.inside import Promise

# Bytes that load-time steps read and write before what they have read is forgotten: of every
# model's peak memory a small share, and in a small model all of it.
_AT_ONCE = 16 << 20


class Program:
    """A prepared graph as machine code; any number of threads may run it side by side.

    `steps` are the native and host steps in order. `threads` is the most threads a run uses. With
    `flush` subnormal floats are zero.
    """

    def __init__(
        self,
        graph: Graph,
        threads: int = 1,
        limits: Limits | None = None,
        target: Target | None = None,
        *,
        flush: bool = False,
    ) -> None:
        self.graph = graph
        self.limits = limits or Limits.current()
        self.threads = threads
        self.target = target or host()
        self._jit = Jit(self.target)
        edited = knobs.OVERRIDE.get() is not None
        self._key = None if edited else recall.key_of(graph, self._jit)
        kept = recall.made(self._key, graph, self._jit)
        self.steps, self.functions = kept or self._make()
        self.bodies: dict[Graph, Subprogram] = {}
        self.entered: dict[Node, tuple[Value, ...]] = {}
        self._hosts: dict[Node, str] = {}
        self._make_bodies(flush)
        self.weights = Weights()
        natives = [s for s in self.steps if isinstance(s, Launch)]
        self._workspaces = Workspaces(threads, self.scratch_bytes, self.limits, flush)
        self._idle = self._workspaces.idle
        self._shaped: OrderedDict[tuple[tuple[int, ...] | None, ...], Shaped] = OrderedDict()
        self.running: list[Launch | Host] = []
        self.index: dict[Value, int] = {}
        self.doubtful: tuple[Expr, ...] = ()
        self.promises: tuple[Promise, ...] = ()
        self.arena = Arena()
        self._load_once([s for s in natives if s.once])
        self._plan([s for s in self.steps if isinstance(s, Host) or not s.once])

    def _make(self) -> tuple[list[Launch | Host], dict[int, int]]:
        """Fuses, schedules and compiles; what comes out is kept for the next start."""
        # What serves a kept program imports nothing of the compiler.
        from sardonyx.engine.fuse.fuse import fuse  # noqa: PLC0415
        from sardonyx.engine.fuse.launches import launches  # noqa: PLC0415

        with self.limits.compiling():
            steps = launches(fuse(self.graph), self.target)
            natives = [s for s in steps if isinstance(s, Launch)]
            units = self._jit.units([s.kernel for s in natives if s.kernel is not None])
            addresses = self._jit.load(units)
        recall.keep(self._key, self.graph, self._jit, steps, units)
        return steps, dict(zip(map(id, natives), addresses, strict=True))

    def _make_bodies(self, flush: bool) -> None:
        """Makes programs of the host steps' subgraphs; what is left on the host is a gap."""

        def make(body: Graph) -> Program:
            return Program(body, self.threads, self.limits, self.target, flush=flush)

        for node, reason in [(s.node, s.reason) for s in self.steps if isinstance(s, Host)]:
            with self.limits.compiling():
                found = prepared(self.graph, node)
                if isinstance(found, str) or not found:
                    self._hosts[node] = str(found or reason)
                    continue
                made = [Subprogram(closed, entry, make, self.limits) for closed, entry in found]
            self.entered[node] = tuple(dict.fromkeys(v for one in made for v in one.given))
            for body, one in zip(subgraphs(node.op), made, strict=True):
                self.bodies[body] = one

    def _load_once(self, steps: list[Launch]) -> None:
        """Runs what depends on constants only: packs weights."""
        for group in _groups(steps):
            self.running = [*group]
            self.index = {}
            for step in group:
                for promise in step.promises:
                    if not promise.dims:
                        promise.check({})
                for v in step.params:
                    self.index.setdefault(v, len(self.index))
                for v in step.made:
                    self.weights.allocate(v, evaluate(nbytes(v), {}), self.limits)
            shaped = Shaped(self, {})
            with self._workspaces.one(0) as workspace:
                for segment in shaped.segments:
                    assert isinstance(segment, Segment)
                    Bound(shaped, workspace).launch(segment)
            self.weights.settle()

    def _plan(self, steps: list[Launch | Host]) -> None:
        self.running = steps
        self.index = {}
        used = [touched(s) for s in steps]
        for v in (*self.graph.inputs, *self.graph.outputs, *(v for t in used for v in t)):
            self.index.setdefault(v, len(self.index))
        made = [s.made if isinstance(s, Launch) else () for s in steps]
        known = {x for v in self.graph.inputs for d in v.shape or () for x in d.free}
        dims = dict.fromkeys(d for v in self.graph.values() for d in v.shape or ())
        self.doubtful = tuple(d for d in dims if not d.is_const and not nonnegative(d))
        natives = (s for s in self.steps if isinstance(s, Launch))
        kept = (p for s in natives for p in s.promises if p.dims or not s.once)
        self.promises = tuple(dict.fromkeys(kept))
        outputs = set(self.graph.outputs)
        self.arena = arrange(made, used, lambda v: v not in outputs and v.type.count.free <= known)

    @property
    def gaps(self) -> dict[Node, str]:
        """The nodes that run on the host, with the reasons, those in bodies included."""
        found = dict(self._hosts)
        for one in self.bodies.values():
            found.update(one.gaps)
        return found

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
        return self.run_in(Walk(self.limits, abort), feeds)

    def run_in(self, walk: Walk, feeds: Sequence[Any]) -> list[Any]:
        """`run` as a part of a run that is under way, which knows what it may take."""
        key = tuple(getattr(x, "shape", None) for x in feeds)
        shaped = self._shaped.get(key) or self._shape(key)
        with self._workspaces.one(shaped.size) as workspace:
            bound = workspace.bounds.get(key)
            if bound is None or bound.shaped is not shaped:
                bound = workspace.bounds[key] = Bound(shaped, workspace)
            before = walk.live
            try:
                walk.hold(shaped.size)
                bound.feed(feeds, walk)
                for n, segment in enumerate(shaped.segments):
                    walk.permit()
                    if isinstance(segment, Host):
                        with floats.standard(), walk.entering(self.bodies):
                            bound.run_host(segment, walk)
                    else:
                        bound.launch(segment, walk.abort, walk.passed)
                    bound.release(n)
                if bound.entry is None:
                    bound.arm()
                found = bound.results()
            finally:
                bound.forget()
                walk.live = before
            self.weights.check()
            return found

    def quick(
        self, feeds: Sequence[Any], passed: float = 0.0, *, asked: bool = False
    ) -> list[Any] | None:
        """Like `run` for feeds that are arrays of shapes bound before, else None.

        `passed` are the seconds of the run that are over. One that is `asked` whether to stop does
        not go on for long without an answer.
        """
        try:
            key = tuple([x.shape for x in feeds])
            workspace = self._idle.pop()
        except (AttributeError, IndexError):
            return None
        try:
            bound = workspace.bounds.get(key)
            found = None if bound is None else bound.quick(feeds, passed, asked=asked)
            self.weights.check()
            return found
        finally:
            self._workspaces.give(workspace)

    def repeat(
        self, feeds: Sequence[Any], trips: Trips, walk: Walk
    ) -> tuple[dict[int, Array], dict[int, Array]] | None:
        """The states after many trips that begin with these feeds, and the outputs stacked, by
        numbers of outputs; None where each trip is to be run.
        """
        key = tuple([x.shape for x in feeds])
        if not self._idle or key not in self._shaped:
            return None
        with self._workspaces.one(self._shaped[key].size) as workspace:
            bound = workspace.bounds.get(key)
            found = None if bound is None else bound.repeat(feeds, trips, walk)
            self.weights.check()
            return found

    def _shape(self, key: tuple[tuple[int, ...] | None, ...]) -> Shaped:
        fed = zip(self.graph.inputs, key, strict=True)
        shapes = {v.name: shape for v, shape in fed if shape is not None}
        made = Shaped(self, bind(self.graph.inputs, shapes, self.graph.assumed))
        self._shaped[key] = made
        while len(self._shaped) > self.limits.variants:
            oldest, _ = self._shaped.popitem(last=False)
            self._workspaces.forget(oldest)
        return made


def _groups(steps: Sequence[Launch]) -> Iterator[list[Launch]]:
    """Steps that run together: few calls, and no more read from files at once than needed."""
    group: list[Launch] = []
    size = 0
    for step in steps:
        group.append(step)
        size += sum(evaluate(nbytes(v), {}) for v in step.params)
        if size > _AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group

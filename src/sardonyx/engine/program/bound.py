"""A program for one set of shapes, and one run of it.

    record := { ptr function; ptr ids; ptr symbols; i64 flags }
    flags  := 1 serial | 2 barrier after

A `Shaped` is what all runs of these shapes share: evaluated symbols, offsets, step records. A
`Bound` joins it to the memory of one run at a time: it points the table at the fed arrays and at
fresh outputs, then executes each segment in one native call. Values whose size is known only when a
host step has run are allocated on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import ShapeMismatch, Terminated
from sardonyx.core.expr import Expr, evaluate, show
from sardonyx.core.limits import Limits
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.native.entry import Argument, Entry
from sardonyx.engine.native.executor import BARRIER, SERIAL, YIELDING, Job
from sardonyx.engine.native.memory import Weights, address, logical, ordered, view
from sardonyx.engine.native.threads import Runner
from sardonyx.engine.program.arena import Arena
from sardonyx.engine.program.repeat import Stretch, Trips
from sardonyx.engine.program.told import check_results
from sardonyx.graph.bind import Bindings
from sardonyx.graph.evaluate import Walk, memory_of
from sardonyx.graph.ir import Graph, Node, Value, captured

if TYPE_CHECKING:
    from sardonyx.engine.fuse.inside import Promise

RECORD = np.dtype([("function", "u8"), ("ids", "u8"), ("symbols", "u8"), ("flags", "i8")])
# Operations from which a second thread is worth waking: some 10 µs of one core, twice what the
# barrier after the step takes.
_WAKE = 150_000
# Bytes up to which the C library learns from a free: beyond, it always maps anew.
_KEPT = 31 << 20
# Operations of a whole run from which other Python threads may go on meanwhile: giving the
# interpreter's lock away and getting it back costs a shorter run a share that can be measured.
_LONG = 200_000
# Operations of one kernel that are not waited out when a run is to end: a fifth of a second of one
# core or less. Handing them to workers takes a thousandth of that.
_WATCHED = 2_000_000_000
# Operations of one kernel, a second of one core or so, from which their number must make sense; and
# those of one term of a sum, of which the dearest functions take some fifty.
_SUSPECT = 10_000_000_000
_DENSE = 1000


class Owner(Protocol):
    """What a bound program needs of its program."""

    graph: Graph
    weights: Weights
    threads: int
    limits: Limits
    arena: Arena
    index: dict[Value, int]
    doubtful: tuple[Expr, ...]
    promises: tuple[Promise, ...]
    running: list[Launch | Host]
    functions: dict[int, int]
    entered: dict[Node, tuple[Value, ...]]


class Memory(Protocol):
    """What a bound program needs of its workspace: an arena at `base`, and who runs its steps."""

    base: int
    runner: Runner


@dataclass
class Segment:
    """Launches between two host steps; `records` is None while some size is not known yet."""

    launches: list[Launch] = field(default_factory=list)
    records: Array | None = None
    threads: int = 1
    watched: bool = False
    kept: list[Array] = field(default_factory=list)

    def prepare(self, owner: Owner, env: Bindings) -> None:
        """Writes the step records, which all sizes must be known for."""
        records = np.zeros(len(self.launches), RECORD)
        busy = False
        for n, step in enumerate(self.launches):
            ids = np.array([owner.index[v] for v in step.params], np.int32)
            symbols = np.array([evaluate(e, env) for e in step.symbols], np.int64)
            work = evaluate(step.work, env)
            self.watched = self.watched or work > _WATCHED
            if work > _SUSPECT:
                _check_trips(step, work, env, owner.limits)
            alone = not step.parallel or work < _WAKE
            busy = busy or not alone
            flags = (SERIAL if alone else 0) | BARRIER
            records[n] = (owner.functions[id(step)], address(ids), address(symbols), flags)
            self.kept += [ids, symbols]
        self.records = records
        self.threads = owner.threads if busy else 1


class Shaped:
    """See the module; read by any number of runs."""

    def __init__(self, owner: Owner, env: Bindings) -> None:
        self.owner = owner
        self.env = env
        self.offsets, self.size = owner.arena.offsets(env)
        self._check()
        self.table = np.zeros(max(len(owner.index), 1), np.uint64)
        for v, n in owner.index.items():
            if owner.weights.has(v):
                self.table[n] = owner.weights.address(v)
        self.segments = _segments(owner.running)
        self.dying = _dying(self.segments, owner.graph.outputs)
        for segment in self.segments:
            if isinstance(segment, Segment) and known(segment, env):
                segment.prepare(owner, env)

    def _check(self) -> None:
        """Whether these shapes can be: no dim negative, operands long enough, memory for all."""
        for dim in self.owner.doubtful:
            if all(x in self.env for x in dim.free):
                refuse_negative(evaluate(dim, self.env), dim)
        for promise in self.owner.promises:
            if all(x in self.env for x in promise.dims):
                promise.check(self.env)
        need = self.size
        for v in self.owner.graph.outputs:
            if v.type.dtype is None or v.type.dtype.is_string or v.type.shape is None:
                continue
            if all(x in self.env for x in v.type.count.free):
                need += evaluate(v.type.count, self.env) * v.type.dtype.numpy.itemsize
        self.owner.limits.check_memory(need)

    @property
    def whole(self) -> Segment | None:
        """The segment that makes every output from the inputs, where one is all there is."""
        owner, segment = self.owner, self.segments[0] if len(self.segments) == 1 else None
        given, outputs = set(owner.graph.inputs), owner.graph.outputs
        if any(v in given or owner.weights.has(v) for v in outputs):
            return None
        return (
            segment if isinstance(segment, Segment) and len(set(outputs)) == len(outputs) else None
        )

    def argument(self, v: Value, out: bool) -> Argument:
        assert v.type.dtype is not None
        shape = tuple(evaluate(e, self.env) for e in v.type.dims)
        return Argument(shape, v.type.dtype.numpy, self.owner.index[v], out)


class Bound:
    """See the module; used by one run at a time."""

    def __init__(self, shaped: Shaped, memory: Memory) -> None:
        self.shaped, self.owner = shaped, shaped.owner
        self.runner = memory.runner
        self.env = shaped.env
        self.table = np.concatenate((np.zeros(1, np.uint64), shaped.table))[1:]
        self.entry: Entry | None = None
        self._fresh: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self._values: dict[Value, Any] = {}
        self._given: dict[Value, Any] = {}
        self._sizes: dict[Value, int] = {}
        self._walk: Walk | None = None
        for v, slot in self.owner.arena.place.items():
            self.table[self.owner.index[v]] = memory.base + shaped.offsets[slot]

    def feed(self, feeds: Sequence[Any], walk: Walk) -> None:
        """Points the table at the inputs and at fresh outputs, which the walk counts."""
        owner, self._walk = self.owner, walk
        self._given = {}
        for v, array in zip(owner.graph.inputs, feeds, strict=True):
            self._given[v] = array
            if isinstance(array, np.ndarray):
                self.table[owner.index[v]] = address(array)
        self.env = self.shaped.env
        self._values.clear()
        for v in owner.graph.outputs:
            self._allocate(v)

    def _allocate(self, v: Value) -> None:
        """Fresh memory for an output or a late-sized value, where its size is known by now."""
        constant = v in self._given or v in self._values or self.owner.weights.has(v)
        if constant or v.type.shape is None or v.type.dtype is None or v.type.dtype.is_string:
            return
        if any(d not in self.env for e in v.type.shape for d in e.free):
            return
        shape = tuple(evaluate(e, self.env) for e in v.type.shape)
        for size, dim in zip(shape, v.type.shape, strict=True):
            refuse_negative(size, dim)
        count, kind = (
            self.owner.limits.check_array(v.type.dtype, shape, v.name),
            v.type.dtype.numpy,
        )
        self._count(v, count * kind.itemsize)
        self._hold(v, logical(shape, v.layout, lambda dims: np.empty(dims, kind)))

    def _count(self, v: Value, nbytes: int) -> None:
        assert self._walk is not None
        self._sizes[v] = nbytes
        self._walk.hold(nbytes, v.name)

    def release(self, step: int) -> None:
        """Lets go of what only steps up to this one, of `Shaped.segments`, read."""
        for v in self.shaped.dying[step]:
            if self._values.pop(v, None) is not None and self._walk is not None:
                self._walk.live -= self._sizes.pop(v, 0)

    def forget(self) -> None:
        """Lets go of whatever a run left."""
        self._values.clear()
        self._sizes.clear()
        self._given, self._walk = {}, None

    def _hold(self, v: Value, array: Any) -> None:
        self._values[v] = array
        if isinstance(array, np.ndarray) and v in self.owner.index:
            self.table[self.owner.index[v]] = address(array)

    def launch(
        self, segment: Segment, abort: Callable[[], bool] | None = None, passed: float = 0.0
    ) -> None:
        """Runs a segment natively; `abort()` is asked now and then, `passed` seconds are over."""
        if segment.records is None:
            for step in segment.launches:
                for v in step.made:
                    if v not in self.owner.arena.place:
                        self._allocate(v)
                for promise in step.promises:
                    if any(x not in self.shaped.env for x in promise.dims):
                        promise.check(self.env)
            segment = Segment(segment.launches)
            segment.prepare(self.owner, self.env)
        poll = None if abort is None else _raising(abort)
        self.runner.run(self._job(segment, poll=poll, passed=passed), passed)

    def _job(self, segment: Segment, **options: Any) -> Job:
        assert segment.records is not None
        # Of a structured array numpy describes each field before it tells where that is.
        records = segment.records.view(np.uint8)
        where = address(records), len(segment.records), address(self.table)
        return self.runner.job_of(*where, segment.threads, watched=segment.watched, **options)

    def arm(self) -> None:
        """Makes the quick way (`quick`) ready where one native segment is all there is to a run."""
        segment, graph = self.shaped.whole, self.owner.graph
        if segment is None or segment.records is None:
            return
        inputs = [self.shaped.argument(v, False) for v in graph.inputs]
        outs = [self.shaped.argument(v, True) for v in graph.outputs]
        self._fresh = [(a.shape, a.dtype) for a in outs]
        # Freed once, as much as a run's outputs tells the C library not to give their memory back
        # to the system after every run, and to fetch it anew page by page in the next.
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self._fresh)
        np.empty(min(size, _KEPT), np.uint8)
        work = sum(evaluate(s.work, self.env) for s in segment.launches)
        self.entry = Entry(self._job(segment, release=work > _LONG), (*inputs, *outs))

    def quick(
        self, feeds: Sequence[Any], passed: float = 0.0, *, asked: bool = False
    ) -> list[Any] | None:
        """The outputs, where the feeds are arrays just as bound; None asks for the long way."""
        entry = self.entry
        if entry is None or (asked and entry.job.flags & YIELDING):
            return None
        if passed:
            entry.job.limit = self.runner.left(passed)
        outs: list[Any] = [np.empty(shape, dtype) for shape, dtype in self._fresh]
        done = entry.call(*feeds, *outs)
        if done is None:
            return outs
        if done is False:
            self.runner.check(entry.job, passed)
        return None

    def repeat(
        self, feeds: Sequence[Any], trips: Trips, walk: Walk
    ) -> tuple[dict[int, Array], dict[int, Array]] | None:
        """What trips that begin with these feeds end in, where one segment is all of each."""
        segment, entry = self.shaped.whole, self.entry
        if entry is None or segment is None:
            return None
        same = all(
            (entry.arguments[given].shape, entry.arguments[given].dtype)
            == (entry.arguments[len(feeds) + out].shape, entry.arguments[len(feeds) + out].dtype)
            for out, given in trips.carried.items()
        )
        return Stretch(self, segment, feeds, trips).run(walk) if same else None

    def run_host(self, step: Host, walk: Walk) -> None:
        """Runs a node in numpy between two segments."""
        node = step.node
        arrays = [None if v is None else self.read(v) for v in node.inputs]
        entered = self.owner.entered.get(node)
        env = {v: self.read(v) for v in (captured(node) if entered is None else entered)}
        results = walk.apply(node, arrays, env)
        check_results(node, results, self.env, self.owner.graph)
        read = [a for a in (*arrays, *env.values()) if isinstance(a, np.ndarray)]
        for v, result in zip(node.outputs, results, strict=False):
            if v is None:
                continue
            self._count(v, memory_of(result))
            result = _apart(result, read, {})
            if isinstance(result, np.ndarray):
                result = ordered(result, v.layout)
                self._learn(v, result.shape)
            self._hold(v, result)

    def _learn(self, v: Value, shape: tuple[int, ...]) -> None:
        for dim, size in zip(v.type.shape or (), shape, strict=False):
            if dim.op == "var" and dim not in self.env:
                self.env = {**self.env, dim: size}

    def read(self, v: Value) -> Any:
        """A value as numpy sees it now."""
        if v in self._given:
            return self._given[v]
        if v in self._values:
            return self._values[v]
        if self.owner.weights.has(v):
            return self.owner.weights.array(v)
        assert v.type.dtype is not None
        shape = tuple(evaluate(e, self.env) for e in v.type.dims)
        where, kind = int(self.table[self.owner.index[v]]), v.type.dtype.numpy
        return logical(shape, v.layout, lambda dims: view(where, dims, kind))

    def results(self) -> list[Any]:
        """The outputs of the run; nothing of them is shared with the program, which forgets it."""
        found = []
        for v in self.owner.graph.outputs:
            value = self.read(v)
            shared = v in self._given or self.owner.weights.has(v) or v not in self._values
            found.append(value.copy() if shared and isinstance(value, np.ndarray) else value)
        self.forget()
        return found


def _apart(result: Any, read: Sequence[Array], copies: dict[int, Array]) -> Any:
    """A result of numpy in memory of its own: what it read is overwritten once it is read.

    `copies` has those made so far, by the identity of what they are copies of.
    """
    if isinstance(result, list):
        return [_apart(item, read, copies) for item in result]
    if id(result) in copies:
        return copies[id(result)]
    if not isinstance(result, np.ndarray) or not any(np.may_share_memory(result, a) for a in read):
        return result
    return copies.setdefault(id(result), result.copy())


def known(segment: Segment, env: Bindings) -> bool:
    """Whether all sizes that a segment's launches need are."""
    return all(d in env for s in segment.launches for e in s.symbols for d in e.free)


def _check_trips(step: Launch, work: int, env: Bindings, limits: Limits) -> None:
    """Whether a kernel may loop that long: to go through elements that exist it always may.

    An element made is at most a sum over pairs of elements of two operands, unless it goes through
    a number that the model merely states.
    """
    known = [v.type.count for v in step.params if v.type.shape is not None]
    counts = [max(evaluate(c, env), 1) for c in known if all(x in env for x in c.free)]
    made, read = sum(counts[: step.outs]), sorted((1, 1, *counts[step.outs :]))
    if len(counts) == len(step.params) and work > _DENSE * made * read[-1] * read[-2]:
        limits.check_trips(work // made, step.nodes[-1].name)


def refuse_negative(size: int, dim: Expr) -> None:
    """ShapeMismatch (E0232) where a dim would be below 0."""
    if size < 0:
        raise ShapeMismatch(
            "E0232",
            f"the dim {show(dim)} inside the model would be {size} for inputs of these shapes",
            hint="feed larger inputs",
        )


def _raising(abort: Callable[[], bool]) -> Callable[[], None]:
    def poll() -> None:
        if abort():
            raise Terminated("E0509", "the run was asked to stop")

    return poll


def touched(step: Launch | Host) -> tuple[Value, ...]:
    """The values that a step reads and makes."""
    if isinstance(step, Launch):
        return step.params
    node = step.node
    return tuple(v for v in (*node.inputs, *captured(node), *node.outputs) if v is not None)


def _dying(segments: Sequence[Segment | Host], kept: Sequence[Value]) -> list[list[Value]]:
    """The values that no later segment touches, for each; those kept to the end are left out."""
    last: dict[Value, int] = {}
    for n, segment in enumerate(segments):
        for step in segment.launches if isinstance(segment, Segment) else [segment]:
            last.update(dict.fromkeys(touched(step), n))
    found: list[list[Value]] = [[] for _ in segments]
    for v in last.keys() - set(kept):
        found[last[v]].append(v)
    return found


def _segments(steps: Sequence[Launch | Host]) -> list[Segment | Host]:
    out: list[Segment | Host] = []
    for step in steps:
        if isinstance(step, Host):
            out.append(step)
            continue
        last = out[-1] if out else None
        if not isinstance(last, Segment):
            last = Segment()
            out.append(last)
        last.launches.append(step)
    return out

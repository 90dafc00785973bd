"""A graph run node by node with numpy: the meaning of a model, and the reference provider's core.

    outputs = run(graph, {"x": x})

Every node is `op.reference` (or `op.control` with its subgraphs). A value is freed after its last
reader. What a node will need is estimated from its inputs before it runs, so a model that asks for
more memory, trips or time than `core.limits` allows is refused, not tried.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from sardonyx.core import floats
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import (
    InvalidArgument,
    RuntimeException,
    SardonyxError,
    ShapeMismatch,
    Terminated,
    UnsupportedOperator,
    foreign,
)
from sardonyx.core.limits import Limits
from sardonyx.graph.ir import Graph, Node, Type, Value, captured, subgraphs
from sardonyx.graph.op import Op, Opaque, as_arrays
from sardonyx.graph.type import array_type, tensor_type
from sardonyx.graph.type import elements as elements

# Bytes of an entry of a map: two objects and the references to them.
_ENTRY = 128
# A Python string besides its characters, and a pointer to it.
STRING = 64
# Elements of an operand that sizes may be read from: no tensor has as many dims.
_SIZES = 64

Watch: TypeAlias = Callable[[Node, tuple[Any, ...]], None]


class Entered(Protocol):
    """What runs a subgraph another way than node by node."""

    def __call__(self, walk: Walk, inputs: Sequence[Any], env: Mapping[Value, Any]) -> list[Any]:
        """The outputs, from the inputs and what is around."""

    def many(
        self, walk: Walk, env: Mapping[Value, Any], trips: int, inputs: Sequence[Any],
        moving: Mapping[int, Array], states: Mapping[int, int], stacked: Sequence[int],
    ) -> tuple[list[Any], list[Array]] | None:  # fmt: skip
        """`Calls.many` with what is around."""


@dataclass(frozen=True)
class Calls:
    """What a control-flow op runs its bodies by.

    `many(body, trips, inputs, moving, states, stacked)` is a number of trips at once, or None where
    each is to be run: `inputs` are those of the first of them, row t of `moving[n]` is input n of
    trip t, output `o` becomes input `states[o]`. It gives these after the last trip, and the
    outputs `stacked`, trip by trip.
    """

    one: Callable[[Graph, Sequence[Any]], list[Any]]
    many: Callable[..., tuple[list[Any], list[Array]] | None]

    def __call__(self, graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one call of a subgraph."""
        return self.one(graph, inputs)


def run(
    graph: Graph,
    feeds: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    abort: Callable[[], bool] | None = None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """The outputs by name, from feeds by name (arrays of the dtypes declared; lists, None).

    `abort()` is asked before every node: Terminated when it says yes. `watch(node, outputs)` sees
    every result, subgraphs' included. InvalidArgument for a missing feed, UnsupportedOperator for
    an op without a definition, LimitExceeded over a budget, RuntimeException where an op fails.
    """
    env: dict[Value, Any] = {}
    for value in graph.inputs:
        if value.name in feeds:
            env[value] = feeds[value.name]
        elif value.const is None:
            raise InvalidArgument("E0201", "an input is missing", tensor=value.name)
    walk = Walk(limits or Limits.current(), abort, watch)
    with np.errstate(all="ignore"), floats.standard():
        results = walk.body(graph, env)
    return {v.name: result for v, result in zip(graph.outputs, results, strict=True)}


def evaluate(op: Op, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The outputs of one op (not a control-flow op) on arrays."""
    with np.errstate(all="ignore"), floats.standard():
        return tuple(_plain(r) for r in as_arrays(op.reference(*arrays)))


def _plain(result: Any) -> Any:
    known = isinstance(result, np.ndarray | list | dict | None)
    return result if known else np.asarray(result, object if isinstance(result, str) else None)


@dataclass(frozen=True)
class _Lifetimes:
    """The nodes of one graph, each with the values that nobody reads after it."""

    steps: tuple[tuple[Node, tuple[Value, ...]], ...]
    captures: tuple[Value, ...]


def _plan(graph: Graph) -> _Lifetimes:
    if not graph.is_sorted():
        graph.sort()
    kept = set(graph.outputs)
    last: dict[Value, Node] = {}
    captures: dict[Value, None] = {}
    own = set(graph.values())
    for node in graph.nodes:
        for v in (*node.inputs, *captured(node)):
            if v is not None:
                last[v] = node
                if v not in own:
                    captures[v] = None
        last.update((v, node) for v in node.outputs if v is not None)
    captures.update((v, None) for v in graph.outputs if v not in own)
    dying: dict[Node, list[Value]] = {}
    for v, node in last.items():
        if v not in kept:
            dying.setdefault(node, []).append(v)
    steps = tuple((node, tuple(dying.get(node, ()))) for node in graph.nodes)
    return _Lifetimes(steps, tuple(captures))


@dataclass
class Walk:
    """One run: its budgets, and the plans of the graphs it has entered."""

    limits: Limits
    abort: Callable[[], bool] | None = None
    watch: Watch | None = None
    trips: int = 0
    ahead: int = 1
    live: int = 0
    _compiled: Mapping[Graph, Entered] = field(default_factory=dict)
    _plans: dict[int, _Lifetimes] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._allowed = self.limits.memory_allowed()

    def plan(self, graph: Graph) -> _Lifetimes:
        """The plan of a graph, made once."""
        found = self._plans.get(id(graph))
        if found is None:
            found = self._plans[id(graph)] = _plan(graph)
        return found

    def body(self, graph: Graph, env: dict[Value, Any]) -> list[Any]:
        """The outputs of a graph whose inputs and captured values are in `env`."""
        sizes: dict[Value, int] = {}
        for node, dying in self.plan(graph).steps:
            self.permit(node.name)
            arrays = [None if v is None else self._read(v, env) for v in node.inputs]
            results = self.apply(node, arrays, env)
            if self.watch is not None:
                self.watch(node, results)
            for v, result in zip(node.outputs, results, strict=False):
                if v is not None:
                    env[v] = result
                    sizes[v] = memory_of(result)
                    self.hold(sizes[v], v.name)
            for v in dying:
                env.pop(v, None)
                self.live -= sizes.pop(v, 0)
        self.live -= sum(sizes.values())
        return [self._read(v, env) for v in graph.outputs]

    @contextlib.contextmanager
    def entering(self, compiled: Mapping[Graph, Entered]) -> Iterator[None]:
        """Within the block these subgraphs are not walked node by node, but run as said here."""
        before, self._compiled = self._compiled, compiled
        try:
            yield
        finally:
            self._compiled = before

    def permit(self, node: str | None = None) -> None:
        """Raises Terminated when asked to stop, LimitExceeded when the run's time is over."""
        if self.abort is not None and self.abort():
            raise Terminated("E0509", "the run was asked to stop", node=node)
        if self.limits.run_seconds is not None:
            self.limits.check_run_seconds(self.passed)

    def hold(self, nbytes: int, tensor: str | None = None) -> None:
        """Counts memory that the run takes from now on, LimitExceeded where it is too much."""
        self.live += nbytes
        if self.live > self._allowed:
            self.limits.check_memory(self.live, tensor)

    @property
    def passed(self) -> float:
        """The seconds since the run began."""
        return time.monotonic() - self._started

    def _read(self, v: Value, env: dict[Value, Any]) -> Any:
        if v in env:
            return env[v]
        if v.const is None:
            raise RuntimeException("E0403", "a value is read before it is made", tensor=v.name)
        return v.const.numpy()

    def apply(self, node: Node, arrays: list[Any], env: dict[Value, Any]) -> tuple[Any, ...]:
        """The outputs of one node on arrays; `env` has what its subgraphs capture."""
        op = node.op
        try:
            if isinstance(op, Opaque):
                raise _unsupported(op)
            if op.has("control"):
                return tuple(_plain(r) for r in as_arrays(self._control(node, arrays, env)))
            self._foresee(op, arrays)
            return tuple(_plain(r) for r in as_arrays(op.reference(*arrays)))
        except SardonyxError as error:
            raise error.locate(node=node.name, op=op.op_type) from error.__cause__
        except NotImplementedError:
            raise _unsupported(op).locate(node=node.name) from None
        except (MemoryError, RecursionError) as problem:
            raise foreign(problem).locate(node=node.name, op=op.op_type) from problem
        except Exception as problem:
            said = f"{op.op_type} failed: {problem}"
            given = ", ".join(_brief(a) for a in arrays)
            raise RuntimeException(
                "E0403", said, node=node.name, op=op.op_type, given=given
            ) from problem

    def _control(self, node: Node, arrays: list[Any], env: dict[Value, Any]) -> Any:
        states, kept, carried = node.op.carried(len(arrays)), 0, 0
        ahead, trips = self.ahead, node.op.trips(*arrays)
        left = 0 if trips is None else ahead * trips
        self.limits.check_trips(self.trips + left, node.name)

        def call(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
            nonlocal kept, carried, left
            self.ahead, left = max(left, 1), left - 1
            self.trips += 1
            self.limits.check_trips(self.trips, node.name)
            made = self._enter(graph, inputs, env)
            if states is not None:
                before, carried = carried, sum(map(memory_of, made[:states]))
                more = carried - before + sum(map(memory_of, made[states:]))
                kept += more
                self.hold(more)
            return made

        def many(graph: Graph, trips: int, *how: Any) -> Any:
            compiled = self._compiled.get(graph)
            self.limits.check_trips(self.trips + trips, node.name)
            found = None if compiled is None else compiled.many(self, env, trips, *how)
            self.trips += trips if found is not None else 0
            return found

        try:
            return node.op.control(Calls(call, many), *arrays)
        finally:
            self.live -= kept
            self.ahead = ahead

    def _enter(self, graph: Graph, inputs: Sequence[Any], env: dict[Value, Any]) -> list[Any]:
        """The outputs of a subgraph; `env` has what it captures."""
        compiled = self._compiled.get(graph)
        if compiled is not None:
            self.permit()
            return compiled(self, inputs, env)
        inner = {v: env[v] for v in self.plan(graph).captures if v in env}
        inner.update(zip(graph.inputs, inputs, strict=True))
        return self.body(graph, inner)

    def _foresee(self, op: Op, arrays: list[Any]) -> None:
        types = [None if a is None else _sized(a) for a in arrays]
        try:
            made = op.infer(*types)
        except NotImplementedError:
            return
        need = self.live
        for t in made if isinstance(made, tuple) else (made,):
            shape = None if t is None else t.static_shape
            if shape is not None and min(shape, default=0) < 0:
                said = "a dim would be negative for inputs of these shapes"
                raise ShapeMismatch("E0232", said, given=shape)
            if t is not None and shape is not None and t.dtype is not None:
                need += self.limits.check_array(t.dtype, shape) * t.dtype.numpy.itemsize
        if need > self._allowed:
            self.limits.check_memory(need)


def _sized(a: Any) -> Type:
    """The type of a value, with its elements where they may be sizes: writing many takes long."""
    if isinstance(a, np.ndarray) and a.size > _SIZES:
        return tensor_type(DType.from_numpy(a.dtype), a.shape)
    return type_of(a)


def _unsupported(op: Op) -> UnsupportedOperator:
    return UnsupportedOperator(
        "E0401",
        f"nothing here can run the operator `{op.op_type}`",
        op=op.op_type,
        hint="`sardonyx ops` lists the operators; define it as a custom Op or inline it",
    )


def memory_of(result: Any) -> int:
    """About how many bytes a value takes: of a list, as if all were like the last."""
    if isinstance(result, list):
        return len(result) * memory_of(result[-1]) if result else 0
    if isinstance(result, dict):
        return _ENTRY * len(result)
    if not isinstance(result, np.ndarray):
        return 0
    if result.dtype == object:
        return STRING * result.size + sum(map(len, result.reshape(-1).tolist()))
    return result.nbytes


def _brief(a: Any) -> str:
    return f"{a.dtype}{list(a.shape)}" if isinstance(a, np.ndarray) else type(a).__name__


def type_of(a: Any) -> Type:
    """The type of a run-time value, with the elements of a small tensor."""
    if isinstance(a, list):
        return Type(kind="sequence", elem=type_of(a[0]) if a else None)
    if isinstance(a, dict):
        keys, values = (DType.from_numpy(_held(part)) for part in (a.keys(), a.values()))
        return Type(keys if a else None, kind="map", elem=Type(values if a else None, ()))
    return array_type(a)


def _held(items: Iterable[Any]) -> np.dtype[Any]:
    found = np.asarray(list(items))
    return np.dtype(object) if found.dtype.kind == "U" else found.dtype


def bodies(graph: Graph) -> list[Graph]:
    """The graph and every subgraph in it, outermost first."""
    found, stack = [], [graph]
    while stack:
        top = stack.pop()
        found.append(top)
        for node in top.nodes:
            stack.extend(subgraphs(node.op))
    return found

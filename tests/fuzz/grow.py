"""Random valid graphs, seeded: what a grower knows while it adds nodes, and how graphs are fed.

Steps live beside this module (`elements`, `moves`, `products`, `sums`); each reads values that
are there and adds nodes, or raises Skip where nothing fits. `graphs.grown` puts them together.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import numpy as np

import sardonyx.ops  # noqa: F401
from conformance import node_cases
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import Expr, evaluate, name_of, number
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import Op, find
from sardonyx.passes.allowed import refuse_types
from sardonyx.passes.infer import infer_node
from texts import dims_of

T = TypeVar("T")
OPSET = 28
CASE = "case/"

FLOATS = (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16)
INTS = (DType.INT64, DType.INT32, DType.UINT8, DType.INT8, DType.INT16, DType.UINT32)
SMALL = (1, 2, 3, 4, 5, 7, 8)
LARGE = (12, 16, 17, 24, 33, 64)


class Skip(Exception):  # noqa: N818
    """A step found nothing to work on."""


class Grower:
    """A graph under construction.

    `real` is the float type that most of the graph has.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = self.outermost = Graph(f"seed{seed}", opsets={"": OPSET})
        self.stem = "v"
        self.real = self.one(*[DType.FLOAT32] * 7, *FLOATS)
        self.channels = self.one(*SMALL, *LARGE)
        self.values: list[Value] = []
        for n in range(self.below(1, 5)):
            self.add_input(f"x{n}", self.real, self.dims())
        if self.maybe(0.3):
            self.add_input("k", self.one(*INTS), self.dims())
        if self.maybe(0.2):
            self.add_input("b", DType.BOOL, self.dims())

    def dims(self) -> tuple[int | str, ...]:
        """The dims of an input: rows, sequences, images, or anything."""
        c, e = self.channels, self.one(*SMALL, *LARGE)
        h, w = (self.one(*SMALL, 9, 12), self.one(*SMALL, 9, 12))
        return self.one(
            ("N", c), ("N", "S", c), ("N", "S", e), ("N", c, h, w), ("N", c, w), (c,), ("S", c),
            (1, c), ("N", 1, c), ("N", c, "S"), ("N", c, h, "S"), (e, c), (), ("N", e, c, 2),
        )  # fmt: skip

    def add_input(self, name: str, dtype: DType, dims: Sequence[int | str]) -> None:
        """One more input."""
        value = Value(name, tensor_type(dtype, dims_of(dims)))
        self.graph.inputs.append(value)
        self.values.append(value)

    def nested(self, inputs: Sequence[Value]) -> Self:
        """A grower of a body with these inputs, which reads what is here too."""
        inner = copy.copy(self)
        inner.stem = self.graph.fresh_name("b")
        inner.graph = Graph(inner.stem, opsets=self.graph.opsets)
        inner.graph.inputs = list(inputs)
        inner.values = [*self.values, *inputs]
        for v in inputs:
            v.name = f"{inner.stem}.{v.name}"
        return inner

    # Choices.

    def below(self, low: int, high: int) -> int:
        """A random integer in [low, high)."""
        return int(self.rng.integers(low, high))

    def maybe(self, chance: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < chance)

    def one(self, *items: T) -> T:
        """One of the items."""
        return items[self.below(0, len(items))]

    def some(self, items: Sequence[T]) -> list[T]:
        """A subset of the items that is not empty, in order."""
        kept = [x for x in items if self.maybe(0.5)]
        return kept or [self.one(*items)]

    def pick(self, fits: Callable[[Value], bool] = lambda v: True) -> Value:
        """A value, recent ones more often, Skip where none fits."""
        found = [v for v in self.values if fits(v)]
        if not found:
            raise Skip
        recent = max(0, len(found) - 4) if self.maybe(0.6) else 0
        return found[self.below(recent, len(found))]

    def number(self, low: int = 0, high: int = 6) -> Value:
        """A float value of a rank in [low, high)."""
        return self.pick(lambda v: is_float(v) and low <= rank(v) < high)

    def axis(self, x: Value) -> int:
        """An axis of a value, counted from the front or the end."""
        if rank(x) == 0:
            raise Skip
        return self.below(-rank(x), rank(x))

    # Constants.

    def const(self, array: Any) -> Value:
        """An initializer, or a Constant-free scalar."""
        return self.graph.constant(Tensor.of(np.asarray(array)), "c")

    def ints(self, *numbers: int) -> Value:
        """An int64 vector."""
        return self.const(np.array(numbers, np.int64))

    def scalar(self, number: int) -> Value:
        """An int64 scalar."""
        return self.const(np.array(number, np.int64))

    def normal(self, shape: Sequence[int], dtype: DType, scale: float = 1.0) -> Value:
        """Random numbers of a float or integer type."""
        array = self.rng.standard_normal(tuple(shape)) * scale
        if dtype.is_int:
            array = np.clip(np.rint(array * 3), 0 if dtype.numpy.kind == "u" else -9, 9)
        return self.const(array.astype(dtype.numpy))

    # Nodes.

    def emit(self, kind: str, *inputs: Value | None, outputs: int = 1, **settings: Any) -> Value:
        """The first output of a new node; all of them become values to read."""
        found = find("", kind, OPSET)
        assert found is not None, kind
        return self.attach(found(outputs=outputs, **settings), inputs, outputs)

    def attach(self, op: Op, inputs: Sequence[Value | None], outputs: int) -> Value:
        """As `emit`, for an op that is there."""
        outs = [Value(self.graph.fresh_name(self.stem)) for _ in range(outputs)]
        node = self.graph.append(op, inputs, outs)
        try:
            types = [None if v is None else v.type for v in inputs]
            refuse_types(op, self.outermost.opsets.get(type(op).domain), types)
            infer_node(node)
        except SardonyxError:
            self.graph.remove(node)
            raise Skip from None
        if any(too_large(v) for v in outs):
            self.graph.remove(node)
            raise Skip
        self.values += [v for v in outs if v.type.kind == "tensor"]
        return outs[0]

    def finish(self) -> Graph:
        """The graph, with the last values and some others as outputs."""
        made = [v for v in self.values if v.producer is not None]
        made = made or [self.emit("Identity", self.values[0])]
        outputs = dict.fromkeys(v for v in made if not v.uses)
        for _ in range(self.below(0, 3)):
            outputs[self.one(*made)] = None
        self.graph.outputs = list(outputs)[-6:]
        return self.graph


def is_float(v: Value) -> bool:
    """Whether a value is of a float type."""
    return v.dtype is not None and v.dtype.is_float


def is_int(v: Value) -> bool:
    """Whether a value is of an integer type."""
    return v.dtype is not None and v.dtype.is_int


def rank(x: Value) -> int:
    """The number of dims."""
    return len(x.type.dims)


def dim(x: Value, axis: int) -> int | None:
    """A dim where it is a number."""
    return number(x.type.dims[axis])


def known(x: Value, axis: int) -> int:
    """A dim that must be a positive number, else Skip."""
    found = dim(x, axis)
    if not found:
        raise Skip
    return found


def like(dims: Sequence[Expr]) -> tuple[int, ...]:
    """A constant shape that broadcasts to dims: symbols become 1."""
    return tuple(number(d) or 1 for d in dims)


def too_large(v: Value) -> bool:
    """Whether a value could become slow to compute with numpy."""
    if v.type.kind != "tensor":
        return False
    if v.type.shape is None or rank(v) > 6:
        return True
    total = 1
    for d in v.type.shape:
        found = number(d)
        total *= 5 if found is None else max(found, 1)
    return total > 1 << 17


def cased(name: str) -> Any:
    """What a case feeds to the input of a graph that has its name."""
    case, _, n = name.removeprefix(CASE).rpartition("/")
    return _case_inputs(case)[int(n)]


@functools.lru_cache(maxsize=1 << 12)
def _case_inputs(case: str) -> list[Any]:
    return [node_cases.plain(x) for x in node_cases.cases()[case].data_sets[0][0]]


def symbols(graph: Graph) -> set[str]:
    """The names of the symbols of the inputs that no case feeds."""
    free = (v for v in graph.inputs if not v.name.startswith(CASE))
    return {str(d) for v in free for d in v.type.dims if number(d) is None}


def feeds(graph: Graph, sizes: dict[str, int], seed: int) -> dict[str, Any]:
    """Inputs of a graph for sizes of its symbols; an input's elements depend on its name only."""
    out = {v.name: cased(v.name) for v in graph.inputs if v.name.startswith(CASE)}
    free = [v for v in graph.inputs if v.name not in out]
    env = {s: sizes.get(name_of(s), 2) for v in free for d in v.type.dims for s in d.free}
    for v in graph.inputs:
        pairs = zip(v.type.dims, np.shape(out[v.name]), strict=True) if v.name in out else ()
        env |= {d: size for d, size in pairs if d.op == "var"}
    for v in free:
        assert v.dtype is not None
        rng = np.random.default_rng([seed, *v.name.encode(), *sizes.values()])
        out[v.name] = elements(rng, [evaluate(d, env) for d in v.type.dims], v.dtype)
    return out


def elements(rng: np.random.Generator, shape: Sequence[int], dtype: DType) -> Array:
    """Random elements of a type."""
    if dtype.is_bool:
        return np.asarray(rng.integers(0, 2, shape).astype(bool))
    if dtype.is_int:
        low = 0 if dtype.numpy.kind == "u" else -9
        return np.asarray(rng.integers(low, 10, shape).astype(dtype.numpy))
    array = np.asarray(rng.standard_normal(shape))
    if rng.random() < 0.3:
        array = np.rint(array * 2) / 2
    return np.asarray(array.astype(dtype.numpy))

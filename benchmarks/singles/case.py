"""A model of one operator: what it reads, at which sizes, and how such a graph is put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, evaluate, symbol
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value, tensor_type
from sardonyx.graph.op import find
from sardonyx.passes.infer import infer_node

OPSET = 23
SEED = 20250701
SYMBOL = "N"

Form = Literal["large", "small", "odd", "symbolic"]
FORMS: tuple[Form, ...] = ("large", "small", "odd", "symbolic")

Dim = int | Expr
Sizes = tuple[int, ...]
Data = Callable[[np.random.Generator, Sizes], Array]
Made = Value | tuple[Value, ...]


def normal(rng: np.random.Generator, shape: Sizes) -> Array:
    """Numbers around 0."""
    return rng.standard_normal(shape, np.float32)


def positive(rng: np.random.Generator, shape: Sizes) -> Array:
    """Numbers from 0.5 to 2."""
    return rng.uniform(0.5, 2.0, shape).astype(np.float32)


def near_one(rng: np.random.Generator, shape: Sizes) -> Array:
    """Numbers whose product over a long row stays finite."""
    return rng.uniform(0.9, 1.1, shape).astype(np.float32)


def below(high: int, low: int = 0) -> Data:
    """Integers in [low, high)."""
    return lambda rng, shape: rng.integers(low, high, shape)


def chance(share: float) -> Data:
    """Booleans, of which this share is true."""
    return lambda rng, shape: rng.random(shape) < share


def sizes_of(text: str) -> Sizes:
    """The sizes in a text like `1x64x72x72`."""
    return tuple(map(int, text.split("x")))


@dataclass(frozen=True)
class Fed:
    """An input of the model under construction, and what is fed to it."""

    value: Value
    data: Data


class Maker:
    """A graph under construction whose float tensors are of the type `real`.

    The elements of a constant and of a fed array depend on its number and the seed, not on `real`.
    Names begin with `prefix`, so that several models can share a graph.
    """

    def __init__(self, graph: Graph, real: DType = DType.FLOAT32, prefix: str = "") -> None:
        self.graph = graph
        self.real = real
        self.prefix = prefix
        self.fed: list[Fed] = []
        self.constants = 0

    def input(self, dims: Sequence[Dim], data: Data = normal, dtype: DType | None = None) -> Value:
        """A new input; of the type `real` unless said."""
        name = f"{self.prefix}x{len(self.fed)}"
        value = Value(name, tensor_type(dtype or self.real, dims))
        self.graph.inputs.append(value)
        self.fed.append(Fed(value, data))
        return value

    def weights(self, *shape: int, data: Data = normal, dtype: DType | None = None) -> Value:
        """A constant of seeded elements; of the type `real` unless said."""
        self.constants += 1
        rng = np.random.default_rng([SEED, self.constants])
        return self.const(data(rng, shape).astype((dtype or self.real).numpy))

    def const(self, elements: Any) -> Value:
        """A constant of these elements, numpy deciding their type."""
        return self.graph.constant(Tensor.of(np.asarray(elements)), f"{self.prefix}c")

    def ints(self, *numbers: int) -> Value:
        """A constant int64 vector."""
        return self.const(np.array(numbers, np.int64))

    def real_const(self, *numbers: float) -> Value:
        """A constant vector of the type `real`."""
        return self.const(np.array(numbers).astype(self.real.numpy))

    def all(self, kind: str, *inputs: Value | None, outputs: int = 1, **settings: Any) -> Any:
        """Every output of a new node, its types inferred."""
        found = find("", kind, self.graph.opsets[""])
        assert found is not None, kind
        outs = [Value(self.graph.fresh_name(f"{self.prefix}y")) for _ in range(outputs)]
        node = self.graph.append(found(outputs=outputs, **settings), inputs, outs)
        infer_node(node)
        return tuple(outs)

    def node(self, kind: str, *inputs: Value | None, outputs: int = 1, **settings: Any) -> Value:
        """The first output of a new node."""
        first: Value = self.all(kind, *inputs, outputs=outputs, **settings)[0]
        return first

    def quantized(
        self, kind: str, x: Value, weights: Value, spread: float, **settings: Any
    ) -> Value:
        """A product of uint8 elements and int8 weights to uint8 ones of that scale."""
        left = self.const(np.float32(0.02)), self.const(np.uint8(128))
        right = self.const(np.float32(0.005)), self.const(np.int8(0))
        out = self.const(np.float32(spread)), self.const(np.uint8(120))
        return self.node(kind, x, *left, weights, *right, *out, **settings)

    def feeds(self, dims: Mapping[str, int], seed: int) -> dict[str, Array]:
        """One array for every input at these sizes of its symbols."""
        env = {symbol(name): size for name, size in dims.items()}
        made = {}
        for number, fed in enumerate(self.fed):
            assert fed.value.dtype is not None
            shape = tuple(evaluate(d, env) for d in fed.value.type.dims)
            rng = np.random.default_rng([SEED, seed, number])
            made[fed.value.name] = fed.data(rng, shape).astype(fed.value.dtype.numpy)
        return made


@dataclass(frozen=True)
class Model:
    """A case in one form, ready to be saved and fed; `dims` binds its symbols."""

    name: str
    form: Form
    graph: Graph
    maker: Maker
    dims: Mapping[str, int]

    def feeds(self, sets: int) -> list[dict[str, Array]]:
        """Seeded input sets."""
        return [self.maker.feeds(self.dims, seed) for seed in range(sets)]


@dataclass(frozen=True)
class Case:
    """One operator with its settings, and three sets of sizes for it: large, small and odd.

    `make(maker, *sizes)` adds inputs and nodes and returns the output values. The symbolic form
    has the large sizes, the first of them being a symbol. `opset` is another one where no peer
    knows the operator's newest version.
    """

    name: str
    make: Callable[..., Made]
    sizes: str = "1024x1024 16x64 517x1021"
    opset: int = OPSET

    def of(self, form: Form) -> Sizes:
        """What `make` is given, as numbers."""
        large, small, odd = map(sizes_of, self.sizes.split())
        return {"small": small, "odd": odd}.get(form, large)

    def model(self, form: Form, real: DType = DType.FLOAT32) -> Model:
        """A model of its own."""
        maker = Maker(Graph(self.name, opsets={"": self.opset}), real)
        dims = self.add(maker, self.of(form), symbolic=form == "symbolic")
        return Model(self.name, form, maker.graph, maker, dims)

    def add(self, maker: Maker, sizes: Sizes, *, symbolic: bool) -> dict[str, int]:
        """Add the operator to the maker's graph; the size of its symbol, where it has one."""
        name = f"{maker.prefix}{SYMBOL}"
        given: tuple[Dim, ...] = (symbol(name), *sizes[1:]) if symbolic else sizes
        made = self.make(maker, *given)
        maker.graph.outputs += made if isinstance(made, tuple) else (made,)
        return {name: sizes[0]} if symbolic else {}


def apply(
    kind: str, *others: Callable[[Maker], Value], data: Data = normal, **settings: Any
) -> Callable[..., Made]:
    """A maker of one operator on one tensor, whose dims are the sizes, and on some constants."""

    def make(g: Maker, *dims: Dim) -> Made:
        x = g.input(dims, data)
        return g.node(kind, x, *(other(g) for other in others), **settings)

    return make


def numbers(*values: int) -> Callable[[Maker], Value]:
    """A constant int64 vector as a further operand of `apply`."""
    return lambda g: g.ints(*values)

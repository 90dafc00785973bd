"""Random tensors: every element is a function of a key and its place, so any thread can draw it.

    key = Seed()            y = Draws(key, dims)

The bits are splitmix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014): a mix of the key plus the place times the golden ratio. With a seed the key is told by it,
so every run gives the same numbers; without, each run draws a key.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, const, operate, sqrt, unary
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value, tensor_type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import settle, single, widen
from sardonyx.ops.base.shapes import check_size, known, length_of, need_rank, refuse, unknown_dims

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_DOMAIN = "ai.sardonyx"


def key_of(seed: float | None) -> Array:
    """[1]: what a seed stands for, another at every call where there is none."""
    if seed is None:
        return np.frombuffer(os.urandom(8), np.uint64).copy()
    word = np.array([np.float32(seed).view(np.uint32)], np.uint64)
    return _scrambled(word, np.zeros(1, np.uint64))


def _scrambled(key: Array, place: Array) -> Array:
    with np.errstate(over="ignore"):
        z = key + (place + np.uint64(1)) * np.uint64(_GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
        return np.asarray(z ^ (z >> np.uint64(31)))


def _word(value: int) -> Expr:
    return const(value, DType.UINT64)


def _mixed(z: Expr, by: int) -> Expr:
    return operate("bitxor", (z, operate("rshift", (z, _word(by)))))


def _bits(key: Expr, place: Expr) -> Expr:
    """`_scrambled` of one place."""
    z = key + (place + 1) * _word(_GOLDEN)
    return _mixed(_mixed(_mixed(z, 30) * _word(_FIRST), 27) * _word(_SECOND), 31)


def _part(z: Expr, low: int, count: int, dtype: DType) -> Expr:
    """`count` bits from bit `low` on as a number of `dtype` in [0, 1), less than 64 of them."""
    chosen = operate("rshift", (z, _word(low)))
    if low + count < 64:
        chosen = operate("bitand", (chosen, _word((1 << count) - 1)))
    narrow = DType.INT32 if count < 32 else DType.INT64
    return cast(cast(chosen, narrow), dtype) * 2.0**-count


def _share(z: Array, low: int, count: int, dtype: Any) -> Array:
    """`_part` of arrays."""
    chosen = (z >> np.uint64(low)) & np.uint64((1 << count) - 1)
    return np.asarray(chosen.astype(dtype) * dtype(2.0**-count))


class Seed(Op):
    """[1]: a key, another in every run."""

    domain = _DOMAIN
    since = 1
    random = True

    def infer(self) -> Type:
        return tensor_type(DType.UINT64, (1,))

    def reference(self) -> Array:
        return key_of(None)


class Draws(Op):
    """Numbers of the given dims that a key tells: even between two, or normal (mean, deviation).

    float32 has 24 bits of a place's 64 in even numbers and 31 and 24 in normal ones, float64 has 53
    in each. Narrower types are float32's, rounded. Box and Muller made the normal ones.
    """

    domain = _DOMAIN
    since = 1
    normal: int = 0
    first: float = 0.0
    second: float = 1.0
    dtype: int = 1

    @property
    def _wide(self) -> DType:
        return DType.FLOAT64 if DType.from_onnx(self.dtype) is DType.FLOAT64 else DType.FLOAT32

    def infer(self, key: Type, dims: Type) -> Type:
        del key
        dtype, shape = DType.from_onnx(self.dtype), known(dims)
        if not dtype.is_float:
            raise refuse("E0324", "random numbers are floats", dtype, "a float type")
        if shape is not None:
            return Type(dtype, shape)
        count = length_of(dims)
        return Type(dtype, None if count is None else unknown_dims("dim", count))

    def reference(self, key: Array, dims: Array) -> Array:
        shape = [int(d) for d in dims.reshape(-1)]
        if min(shape, default=0) < 0:
            raise InvalidArgument("E0211", "a negative dim", given=shape)
        # The bits stand beside what is made of them.
        check_size(DType.COMPLEX128, shape)
        place = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
        drawn: Array = self._drawn(key.reshape(()), place)
        return settle(drawn, DType.from_onnx(self.dtype).numpy)

    def _drawn(self, key: Array, place: Array) -> Array:
        real = self._wide.numpy.type
        first, second = real(single(self.first)), real(single(self.second))
        exact = self._wide is DType.FLOAT64
        if not self.normal:
            unit = _share(_scrambled(key, place), 11 if exact else 40, 53 if exact else 24, real)
            return np.asarray(first + (second - first) * unit)
        if exact:
            one, two = (_scrambled(key, place * np.uint64(2) + np.uint64(n)) for n in (0, 1))
            radius, angle = _share(one, 11, 53, real), _share(two, 11, 53, real)
        else:
            z = _scrambled(key, place)
            radius, angle = _share(z, 33, 31, real), _share(z, 0, 24, real)
        radius = radius + real(2.0**-54 if exact else 2.0**-32)
        normal = np.sqrt(real(-2) * np.log(radius)) * np.cos(real(2 * math.pi) * angle)
        return np.asarray(first + second * normal)

    def at(self, idx: Index, key: Operand, dims: Operand) -> Expr:
        del dims
        place: Expr = const(0)
        for i, d in zip(idx, idx.shape, strict=True):
            place = place * d + i
        word, at = key[(const(0),)], cast(place, DType.UINT64)
        real, exact = self._wide, self._wide is DType.FLOAT64
        first, second = (const(single(x), real) for x in (self.first, self.second))
        if not self.normal:
            low, count = (11, 53) if exact else (40, 24)
            made = first + (second - first) * _part(_bits(word, at), low, count, real)
        else:
            made = first + second * self._normal(word, at, real)
        return cast(made, DType.from_onnx(self.dtype))

    def _normal(self, key: Expr, place: Expr, real: DType) -> Expr:
        if real is DType.FLOAT64:
            radius, angle = (_part(_bits(key, place * 2 + n), 11, 53, real) for n in (0, 1))
            radius = radius + 2.0**-54
        else:
            z = _bits(key, place)
            radius, angle = _part(z, 33, 31, real) + 2.0**-32, _part(z, 0, 24, real)
        return sqrt(unary("log", radius) * -2.0) * unary("cos", angle * (2 * math.pi))


def _drawn(write: Body, seed: float | None, dims: Value, **settings: Any) -> Value:
    key = write(Seed()) if seed is None else write.constant(key_of(seed))
    return write(Draws(**settings), key, dims)


def _made(seed: float | None, shape: Sequence[int], **settings: Any) -> Array:
    return Draws(**settings).reference(key_of(seed), np.array(shape, np.int64))


class _Random(Op, abstract=True):
    """What the four say of the numbers; `first` and `second` name their two attributes."""

    random = True
    normal = 0

    def _settings(self, dtype: DType) -> dict[str, Any]:
        names = ("mean", "scale") if self.normal else ("low", "high")
        first, second = (getattr(self, name) for name in names)
        return {"normal": self.normal, "first": first, "second": second, "dtype": dtype.value}


class _Filled(_Random, abstract=True):
    """A tensor of the dims in `shape`."""

    shape: tuple[int, ...]
    dtype: int
    seed: float | None

    def infer(self) -> Type:
        return tensor_type(DType.from_onnx(self.dtype), self.shape)

    def reference(self) -> Array:
        return _made(self.seed, self.shape, **self._settings(DType.from_onnx(self.dtype)))

    def expand(self, graph: Graph) -> Value:
        write = Body(graph, self.op_type.lower())
        settings = self._settings(DType.from_onnx(self.dtype))
        return _drawn(write, self.seed, write.ints(*self.shape), **settings)


class _Like(_Random, abstract=True):
    """A tensor of the input's shape, and of its type unless `dtype` says another."""

    dtype: int | None
    seed: float | None

    def _dtype(self, given: DType | None) -> DType | None:
        return given if self.dtype is None else DType.from_onnx(self.dtype)

    def infer(self, x: Type) -> Type:
        return Type(self._dtype(x.dtype), x.shape)

    def reference(self, x: Array) -> Array:
        dtype = self._dtype(DType.from_numpy(x.dtype))
        assert dtype is not None
        return _made(self.seed, x.shape, **self._settings(dtype))

    def expand(self, graph: Graph, x: Value) -> Value | None:
        dtype = self._dtype(x.type.dtype)
        if dtype is None or not dtype.is_float:
            return None
        write = Body(graph, self.op_type.lower())
        return _drawn(write, self.seed, write("Shape", x), **self._settings(dtype))


class RandomNormal(_Filled):
    """Normally distributed numbers of a mean and a standard deviation (`scale`)."""

    since = 1
    normal = 1
    mean: float = 0.0
    scale: float = 1.0
    seed: float | None = None
    dtype: int = 1


class RandomNormalLike(_Like):
    """RandomNormal in the shape of the input."""

    since = 1
    normal = 1
    mean: float = 0.0
    scale: float = 1.0
    seed: float | None = None
    dtype: int | None = None


class RandomUniform(_Filled):
    """Numbers distributed evenly between `low` and `high`."""

    since = 1
    low: float = 0.0
    high: float = 1.0
    seed: float | None = None
    dtype: int = 1


class RandomUniformLike(_Like):
    """RandomUniform in the shape of the input."""

    since = 1
    low: float = 0.0
    high: float = 1.0
    seed: float | None = None
    dtype: int | None = None


def _chances(dtype: DType | None) -> DType:
    """The type in which numbers of a type are compared with what is drawn."""
    return DType.FLOAT64 if dtype is DType.FLOAT64 else DType.FLOAT32


class Bernoulli(Op):
    """1 with the probability that the input's element is, else 0."""

    since = 15
    random = True
    dtype: int | None = None
    seed: float | None = None

    def infer(self, x: Type) -> Type:
        return Type(x.dtype if self.dtype is None else DType.from_onnx(self.dtype), x.shape)

    def reference(self, x: Array) -> Array:
        dtype = x.dtype if self.dtype is None else DType.from_onnx(self.dtype).numpy
        kind = _chances(DType.from_numpy(x.dtype))
        drawn = _made(self.seed, x.shape, dtype=kind.value)
        return np.asarray(drawn < widen(x)).astype(dtype)

    def expand(self, graph: Graph, x: Value) -> Value:
        write, kind = Body(graph, "bernoulli"), _chances(x.type.dtype)
        drawn = _drawn(write, self.seed, write("Shape", x), dtype=kind.value)
        hit = write("Less", drawn, write("Cast", x, to=kind.value))
        dtype = x.type.dtype if self.dtype is None else DType.from_onnx(self.dtype)
        assert dtype is not None
        return write("Cast", hit, to=dtype.value)


class Multinomial(Op):
    """Class numbers drawn with the probabilities whose logarithms (up to a constant) are a row."""

    since = 7
    random = True
    dtype: int = 6
    sample_size: int = 1
    seed: float | None = None

    def infer(self, x: Type) -> Type:
        need_rank(x, 2, 2)
        dtype = DType.from_onnx(self.dtype)
        return Type(dtype, None if x.shape is None else (x.shape[0], const(self.sample_size)))

    def reference(self, x: Array) -> Array:
        # The draws and the classes stand beside what comes out.
        check_size(DType.COMPLEX128, (2, x.shape[0], self.sample_size))
        weights = np.exp((widen(x) - widen(x).max(1, keepdims=True)).astype(np.float64))
        edges = np.cumsum(weights, 1)
        kind = DType.FLOAT64.value
        draws = _made(self.seed, (x.shape[0], self.sample_size), dtype=kind) * edges[:, -1:]
        found = [np.searchsorted(e, d, "right") for e, d in zip(edges, draws, strict=True)]
        classes = np.minimum(np.array(found, np.int64), x.shape[1] - 1)
        return settle(classes.reshape(draws.shape), DType.from_onnx(self.dtype).numpy)

    def expand(self, graph: Graph, x: Value) -> Value:
        write, kind = Body(graph, "multinomial"), DType.FLOAT64.value
        wide = write("Cast", x, to=kind)
        least = write("Sub", wide, write("ReduceMax", wide, write.ints(1)))
        edges = write("CumSum", write("Exp", least), write.constant(np.int64(1)))
        whole = write.slice(edges, 1, -1, np.iinfo(np.int64).max)
        rows = write.slice(write("Shape", x), 0, 0, 1)
        dims = write("Concat", rows, write.ints(self.sample_size), axis=0)
        draws = write("Mul", _drawn(write, self.seed, dims, dtype=kind), whole)
        before = write(
            "LessOrEqual",
            write("Unsqueeze", edges, write.ints(1)),
            write("Unsqueeze", draws, write.ints(2)),
        )
        counted = write("Cast", before, to=DType.INT64.value)
        found = write("ReduceSum", counted, write.ints(2), keepdims=0)
        last = write("Sub", write.size(x, 1), write.constant(np.int64(1)))
        return write("Cast", write("Min", found, last), to=self.dtype)

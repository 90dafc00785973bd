"""Random tensors: the same seed gives the same numbers, which are numpy's own."""

from __future__ import annotations

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import const
from sardonyx.graph.ir import Type, tensor_type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import settle, single, widen
from sardonyx.ops.base.shapes import check_size, need_rank


def generator(seed: float | None) -> np.random.Generator:
    """A generator; two with one seed give the same numbers, those without a seed do not."""
    if seed is None:
        return np.random.default_rng()
    return np.random.default_rng(int(np.float32(seed).view(np.uint32)))


class _Filled(Op, abstract=True):
    """A tensor of the dims in `shape`."""

    random = True
    shape: tuple[int, ...]
    dtype: int
    seed: float | None

    def infer(self) -> Type:
        return tensor_type(DType.from_onnx(self.dtype), self.shape)

    def reference(self) -> Array:
        dtype = DType.from_onnx(self.dtype)
        if min(self.shape, default=0) < 0:
            raise InvalidArgument("E0211", "a negative dim", given=self.shape)
        check_size(dtype, self.shape)
        return self.draw(generator(self.seed), self.shape).astype(dtype.numpy)

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The numbers as float64."""
        raise NotImplementedError


class _Like(Op, abstract=True):
    """A tensor of the input's shape, and of its type unless `dtype` says another."""

    random = True
    dtype: int | None
    seed: float | None

    def infer(self, x: Type) -> Type:
        return Type(x.dtype if self.dtype is None else DType.from_onnx(self.dtype), x.shape)

    def reference(self, x: Array) -> Array:
        dtype = x.dtype if self.dtype is None else DType.from_onnx(self.dtype).numpy
        return self.draw(generator(self.seed), x.shape).astype(dtype)

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The numbers as float64."""
        raise NotImplementedError


class RandomNormal(_Filled):
    """Normally distributed numbers of a mean and a standard deviation (`scale`)."""

    since = 1
    mean: float = 0.0
    scale: float = 1.0
    seed: float | None = None
    dtype: int = 1

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return source.normal(single(self.mean), single(self.scale), shape)


class RandomNormalLike(_Like):
    """RandomNormal in the shape of the input."""

    since = 1
    mean: float = 0.0
    scale: float = 1.0
    seed: float | None = None
    dtype: int | None = None

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return source.normal(single(self.mean), single(self.scale), shape)


class RandomUniform(_Filled):
    """Numbers distributed evenly between `low` and `high`."""

    since = 1
    low: float = 0.0
    high: float = 1.0
    seed: float | None = None
    dtype: int = 1

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return source.uniform(single(self.low), single(self.high), shape)


class RandomUniformLike(_Like):
    """RandomUniform in the shape of the input."""

    since = 1
    low: float = 0.0
    high: float = 1.0
    seed: float | None = None
    dtype: int | None = None

    def draw(self, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return source.uniform(single(self.low), single(self.high), shape)


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
        return np.asarray(generator(self.seed).random(x.shape) < widen(x)).astype(dtype)


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
        weights = np.exp(widen(x) - widen(x).max(1, keepdims=True)).astype(np.float64)
        edges = np.cumsum(weights, 1)
        draws = generator(self.seed).random((x.shape[0], self.sample_size)) * edges[:, -1:]
        found = [np.searchsorted(e, d, "right") for e, d in zip(edges, draws, strict=True)]
        classes = np.minimum(np.array(found, np.int64), x.shape[1] - 1)
        return settle(classes.reshape(draws.shape), DType.from_onnx(self.dtype).numpy)

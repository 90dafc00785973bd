"""Batch normalization, and normalization across channels (LRN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, binary, cast, const, minimum, sqrt, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import both, some, total
from sardonyx.ops.base.shapes import like, need_rank, refuse, same_dims
from sardonyx.ops.reduce.normalization import moments


class BatchNormalizationV9(Op):
    """(x - mean) / sqrt(variance + epsilon) * scale + B, by channel, with given statistics."""

    traits = Trait.BY_CHANNEL
    epsilon: float = 1e-5
    momentum: float = 0.9

    @property
    def trains(self) -> bool:
        """Whether the statistics are those of the batch."""
        return False

    def infer(self, x: Type, *extras: Type) -> Any:
        need_rank(x, 1)
        for extra in extras:
            self._fits(x, extra)
        statistics = [like(extras[2]), like(extras[3])]
        if self.outputs > 3:
            statistics *= 2
        return some(self.outputs, like(x), *statistics)

    def _fits(self, x: Type, extra: Type) -> None:
        need_rank(extra, 1, 1, "scale, bias, mean and variance")
        if x.shape is not None:
            channels = x.shape[1:2] or (const(1),)
            same_dims(extra, channels, "scale, bias, mean and variance")

    @quiet
    def reference(self, x: Array, scale: Array, b: Array, mean: Array, var: Array) -> Any:
        a = widen(x)
        batch_mean, batch_var = widen(mean), widen(var)
        if self.trains:
            axes = (0, *range(2, x.ndim))
            batch_mean = a.mean(axis=axes)
            batch_var = np.square(a - _column(batch_mean, x.ndim)).mean(axis=axes)
        factor = widen(scale) / np.sqrt(batch_var + batch_var.dtype.type(self.epsilon))
        centred = a - _column(batch_mean, x.ndim)
        y = centred * _column(factor, x.ndim) + _column(widen(b), x.ndim)
        if self.trains:
            keep = batch_mean.dtype.type(self.momentum)
            mean = settle(widen(mean) * keep + batch_mean * (1 - keep), mean.dtype)
            var = settle(widen(var) * keep + batch_var * (1 - keep), var.dtype)
        return some(self.outputs, settle(y, x.dtype), mean, var, mean, var)

    def _moments(self, channel: Expr, x: Operand) -> tuple[Expr, Expr]:
        extents = (x.shape[0], *x.shape[2:])
        return moments(extents, lambda k: lift(x[(k[0], channel, *k[1:])]))

    def at(
        self, idx: Index, x: Operand, scale: Operand, b: Operand, mean: Operand, var: Operand
    ) -> Expr:
        own = self._own(idx, x)
        value = lift(x[idx])
        centre, spread = lift(mean[own]), lift(var[own])
        if self.trains:
            centre, spread = self._moments(idx[1], x)
        factor = lift(scale[own]) / cast(sqrt(spread + self.epsilon), lift(scale[own]).dtype)
        centred = value - cast(centre, value.dtype)
        shift = cast(lift(b[own]), value.dtype)
        return cast(centred * cast(factor, value.dtype) + shift, x.dtype)

    def _own(self, idx: Index, x: Operand) -> Sequence[Expr]:
        """The subscripts of an element's statistics."""
        return (idx[1] if x.rank > 1 else const(0),)

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        """The output, or a statistic: the mean where `which` is odd, else the variance."""
        if which == 0:
            return self.at(idx, *inputs)
        given: Operand = inputs[3 if which % 2 else 4]
        if not self.trains:
            return given[idx]
        batch = self._moments(idx[0], inputs[0])[0 if which % 2 else 1]
        old = lift(given[idx])
        return cast(old * self.momentum + cast(batch, old.dtype) * (1 - self.momentum), given.dtype)


def _column(values: Array, rank: int) -> Array:
    """One value a channel, shaped to broadcast over an array of that rank."""
    if values.ndim != 1:
        return values
    return values.reshape(-1, *[1] * max(0, rank - 2))


class BatchNormalization(BatchNormalizationV9):
    """Batch normalization whose `training_mode` says whether the batch gives the statistics."""

    since = 14
    training_mode: int = 0

    @property
    def trains(self) -> bool:
        return bool(self.training_mode)


class BatchNormalizationV7(BatchNormalizationV9):
    """BatchNormalization of opsets 7 and 8; with spatial=0 every element has its statistics."""

    spatial: int = 1

    def _fits(self, x: Type, extra: Type) -> None:
        if self.spatial:
            super()._fits(x, extra)
        elif x.shape is not None:
            same_dims(extra, x.shape[1:], "scale, bias, mean and variance")

    def _own(self, idx: Index, x: Operand) -> Sequence[Expr]:
        return super()._own(idx, x) if self.spatial else idx[1:]


class BatchNormalizationV6(BatchNormalizationV7):
    """BatchNormalization of opset 6, which trains unless `is_test` is set."""

    redefined = (6, 7)
    is_test: int = 0

    @property
    def trains(self) -> bool:
        return not self.is_test and self.outputs > 1


class BatchNormalizationV1(BatchNormalizationV6, kw_only=True):
    """BatchNormalization of opset 1, which told which inputs might be overwritten."""

    consumed_inputs: tuple[int, ...]


class LRN(Op, kw_only=True):
    """x / (bias + alpha / size * the sum of squares of the nearest `size` channels) ** beta."""

    since = 1
    tolerance = "reduction"
    traits = Trait.BY_CHANNEL
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def infer(self, x: Type) -> Type:
        need_rank(x, 2)
        if self.size < 1:
            raise refuse("E0341", "`size` must be positive", self.size)
        return like(x)

    @property
    def before(self) -> int:
        """How many channels before its own an element looks at."""
        return (self.size - 1) // 2

    @quiet
    def reference(self, x: Array) -> Array:
        a = widen(x)
        channels = x.shape[1]
        running = np.zeros((len(x), channels + 1, *x.shape[2:]), np.float64)
        np.cumsum(np.square(a, dtype=np.float64), axis=1, out=running[:, 1:])
        at = np.arange(channels)
        high = np.minimum(at + self.size - self.before, channels)
        squares = running[:, high] - running[:, np.maximum(at - self.before, 0)]
        return settle(a / (self.bias + self.alpha / self.size * squares) ** self.beta, x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        # A window that is wider than all channels costs no more than they do.
        before = minimum(const(self.before), x.shape[1])
        after = minimum(const(self.size - self.before), x.shape[1])

        def term(k: tuple[Expr, ...]) -> Expr:
            channel = idx[1] + k[0] - before
            inside = both([const(0) <= channel, channel < x.shape[1]])
            value = lift(x[(idx[0], channel, *idx[2:])])
            return where(inside, value * value, 0)

        squares = total("add", (before + after,), term)
        base = squares * (self.alpha / self.size) + self.bias
        return cast(lift(x[idx]) / binary("pow", base, self.beta), x.dtype)

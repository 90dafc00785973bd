"""Reductions, normalizations, and what orders or accumulates along an axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from singles.case import Case, Dim, Made, Maker, apply, near_one, normal, numbers, positive

IMAGE = "1x64x64x64 2x8x5x5 1x67x61x59"
TOKENS = "512x768 8x64 509x771"


def _topk(count: int, axis: int = -1) -> Callable[..., Made]:
    def make(g: Maker, *dims: Dim) -> Made:
        made: Made = g.all("TopK", g.input(dims), g.ints(count), axis=axis, outputs=2)
        return made

    return make


def _cumsum(axis: int) -> Callable[..., Made]:
    return apply("CumSum", lambda g: g.const(np.int64(axis)))


def _affine(kind: str, **settings: int) -> Callable[..., Made]:
    """A normalization with scale and bias over the last axis."""

    def make(g: Maker, *dims: Dim) -> Made:
        size = dims[-1]
        assert isinstance(size, int)
        x = g.input(dims)
        given = [g.weights(size, data=positive)]
        if kind != "RMSNormalization":
            given.append(g.weights(size))
        return g.node(kind, x, *given, **settings)

    return make


def _channels(kind: str, **settings: int) -> Callable[..., Made]:
    """A normalization with scale and bias for each channel."""

    def make(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
        x = g.input((n, c, h, w))
        scale = g.weights(c, data=positive)
        bias = g.weights(c)
        return g.node(kind, x, scale, bias, **settings)

    return make


def _batch_norm(g: Maker, n: Dim, c: int, h: int, w: int) -> Made:
    parts = [g.weights(c, data=data) for data in (positive, normal, normal, positive)]
    return g.node("BatchNormalization", g.input((n, c, h, w)), *parts)


CASES = (
    Case("ReduceSum last", apply("ReduceSum", numbers(1), keepdims=0)),
    Case("ReduceSum first", apply("ReduceSum", numbers(0), keepdims=0)),
    Case("ReduceSum all", apply("ReduceSum", data=positive)),
    Case("ReduceMean HW", apply("ReduceMean", numbers(2, 3)), IMAGE),
    Case("ReduceMean channels", apply("ReduceMean", numbers(1)), IMAGE),
    Case("ReduceMax last", apply("ReduceMax", numbers(1))),
    Case("ReduceMax first", apply("ReduceMax", numbers(0))),
    Case("ReduceMin all", apply("ReduceMin")),
    Case("ReduceProd last", apply("ReduceProd", numbers(1), data=near_one)),
    Case("ReduceL2 last", apply("ReduceL2", numbers(1))),
    Case("ReduceLogSumExp last", apply("ReduceLogSumExp", numbers(1))),
    Case("ArgMax last", apply("ArgMax", axis=-1)),
    Case("ArgMax first", apply("ArgMax", axis=0)),
    Case("Softmax last", apply("Softmax", axis=-1)),
    Case("Softmax first", apply("Softmax", axis=0)),
    Case("Softmax channels", apply("Softmax", axis=1), IMAGE),
    Case("LogSoftmax last", apply("LogSoftmax", axis=-1)),
    Case("LayerNormalization", _affine("LayerNormalization"), TOKENS),
    Case("RMSNormalization", _affine("RMSNormalization"), TOKENS),
    Case("InstanceNormalization", _channels("InstanceNormalization"), IMAGE),
    Case("BatchNormalization", _batch_norm, IMAGE),
    Case("LpNormalization", apply("LpNormalization", axis=-1)),
    Case("LRN", apply("LRN", size=5), IMAGE),
    Case("GlobalAveragePool", apply("GlobalAveragePool"), IMAGE),
    Case("GlobalMaxPool", apply("GlobalMaxPool"), IMAGE),
    Case("CumSum last", _cumsum(1)),
    Case("CumSum first", _cumsum(0)),
    Case("TopK 10", _topk(10)),
    Case("TopK 10 of a long row", _topk(10), "2x200000 1x100 3x30011"),
    Case("TopK 10 first axis", _topk(10, 0)),
)

"""Convolution: Conv over any number of spatial axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, number, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, SumOfProducts, Trait
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import common_dtype, divides, need_rank, refuse, same_dim
from sardonyx.ops.product.matmul import Read, accumulator, plain
from sardonyx.ops.window.windows import Window, gather, slide

_MOST_COLUMNS = 1 << 25


class Windowed(Op, abstract=True):
    """The attributes that all convolutions by sliding windows share, and what follows from them."""

    traits = Trait.SLIDES
    auto_pad: str = "NOTSET"
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def window(self, extent: tuple[Expr, ...], size: tuple[Expr, ...]) -> Window:
        """The window over spatial dims `extent` with the kernel of the weights."""
        if self.kernel_shape is not None:
            if len(self.kernel_shape) != len(size):
                given = list(self.kernel_shape)
                raise refuse("E0341", "`kernel_shape` does not fit the weights", given, size)
            pairs = zip(self.kernel_shape, size, strict=True)
            size = tuple(same_dim(const(k), d) for k, d in pairs)
        return slide(
            extent,
            size,
            strides=self.strides,
            dilations=self.dilations,
            pads=self.pads,
            auto_pad=self.auto_pad,
        )

    def shape(self, x: Type, w: Type) -> tuple[Expr, ...] | None:
        """The output's shape; InvalidGraph where weights and input do not fit."""
        need_rank(x, 3, what="the input")
        if x.shape is None or w.shape is None:
            return None
        need_rank(w, len(x.shape), len(x.shape), "the weights")
        if self.group < 1:
            raise refuse("E0341", "`group` must be positive", self.group)
        same_dim(x.shape[1], w.shape[1] * self.group)
        divides(w.shape[0], self.group, "the filters")
        return (x.shape[0], w.shape[0], *self.window(x.shape[2:], w.shape[2:]).trips)

    def convolve(self, x: Array, w: Array) -> Array:
        """The convolution of arrays, in their own precision."""
        extent, size = (tuple(map(const, a.shape[2:])) for a in (x, w))
        view = gather(x, self.window(extent, size), 0)
        rank = len(extent)
        trips = view.shape[2 : 2 + rank]
        y = np.empty((len(x), w.shape[0], *trips), np.result_type(x, w))
        depth = w.shape[1] * int(np.prod(w.shape[2:]))
        kernels = w.reshape(self.group, w.shape[0] // self.group, depth)
        each = depth * self.group * int(np.prod(trips[1:]))
        rows = max(1, _MOST_COLUMNS // max(1, each))
        images = max(1, rows // max(1, trips[0]))
        for n in range(0, len(x), images):
            for first in range(0, trips[0], rows):
                spot = (slice(n, n + images), slice(None), slice(first, first + rows))
                y[spot] = _multiplied(view[spot], kernels, rank)
        return y

    def element(
        self, idx: Index, x: Operand, w: Operand, left: Read = plain, right: Read = plain
    ) -> Expr:
        """One output element as a reduction over the taps and the channels of its group."""
        window = self.window(x.shape[2:], w.shape[2:])
        inner = w.shape[1]
        first = idx[1] // (w.shape[0] // self.group) * inner if self.group > 1 else const(0)

        def term(k: Subscripts) -> Expr:
            at = window.source(idx[2:], k[:-1])
            value = left(x, (idx[0], first + k[-1], *at))
            guarded = where(window.inside(at), value, 0)
            return guarded * right(w, (idx[1], k[-1], *k[:-1]))

        return total("add", (*window.size, inner), term)

    def product(
        self,
        x: Operand,
        w: Operand,
        acc: DType,
        left: Read,
        right: Read,
        finish: Callable[[Expr, Index], Expr],
    ) -> SumOfProducts | None:
        """The convolution as a contraction: rows are (batch, trips), k is (taps, channels).

        None where every channel has a kernel of its own, which leaves no product to speak of.
        """
        inner = w.shape[1]
        if self.group > 1 and number(inner) == 1:
            return None
        window = self.window(x.shape[2:], w.shape[2:])
        each = w.shape[0] // self.group
        groups = () if self.group == 1 else (const(self.group),)

        def read(b: Subscripts, m: Subscripts, k: Subscripts) -> Expr:
            at = window.source(m[1:], k[:-1])
            channel = b[0] * inner + k[-1] if b else k[-1]
            return where(window.inside(at), left(x, (m[0], channel, *at)), 0)

        def kernel(b: Subscripts, k: Subscripts, n: Subscripts) -> Expr:
            return right(w, (_filter(b, n, each), k[-1], *k[:-1]))

        def place(b: Subscripts, m: Subscripts, n: Subscripts) -> Subscripts:
            return (m[0], _filter(b, n, each), *m[1:])

        return SumOfProducts(
            batch=groups,
            m=(x.shape[0], *window.trips),
            n=(each,),
            k=(*window.size, inner),
            left=read,
            right=kernel,
            place=place,
            finish=finish,
            acc=acc,
        )


def _multiplied(view: Array, kernels: Array, rank: int) -> Array:
    """The product of kernels [groups, filters, depth] with a view of windows."""
    groups, filters, depth = kernels.shape
    trips = view.shape[2 : 2 + rank]
    taps = range(2 + rank, 2 + 2 * rank)
    columns = view.transpose(0, 1, *taps, *range(2, 2 + rank))
    columns = columns.reshape(len(view), groups, depth, int(np.prod(trips)))
    y: Array = np.matmul(kernels, columns)
    return y.reshape(len(view), groups * filters, *trips)


def _filter(b: Subscripts, n: Subscripts, each: Expr) -> Expr:
    return b[0] * each + n[0] if b else n[0]


class Conv(Windowed):
    """The sum over taps and channels of input times weights, plus a bias for each filter."""

    since = 1
    tolerance = "reduction"

    def weight_axis(self, rank: int) -> int | None:
        del rank
        return 0

    def infer(self, x: Type, w: Type, b: Type | None = None) -> Type:
        if b is not None and b.shape is not None and w.shape is not None:
            need_rank(b, 1, 1, "the bias")
            same_dim(b.shape[0], w.shape[0])
        return Type(common_dtype(x, w, b), self.shape(x, w))

    def reference(self, x: Array, w: Array, b: Array | None = None) -> Array:
        y = self.convolve(widen(x), widen(w))
        if b is not None:
            y = y + widen(b).reshape(-1, *[1] * (x.ndim - 2))
        return settle(y, x.dtype)

    def at(self, idx: Index, x: Operand, w: Operand, b: Operand | None = None) -> Expr:
        return _biased(self.element(idx, x, w), idx, x, b)

    def contract(
        self, out: Type, x: Operand, w: Operand, b: Operand | None = None
    ) -> SumOfProducts | None:
        del out
        kind = accumulator(x.dtype)
        return self.product(x, w, kind, plain, plain, lambda e, idx: _biased(e, idx, x, b))


def _biased(acc: Expr, idx: Index, x: Operand, b: Operand | None) -> Expr:
    if b is not None:
        acc = acc + lift(b[idx[1]])
    return cast(acc, x.dtype)

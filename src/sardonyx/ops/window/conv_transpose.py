"""Transposed convolution: the gradient of a convolution with respect to its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, eq, floordiv, mod, number, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts, SumOfProducts, Trait
from sardonyx.ops.base.element import lift, settle, widen
from sardonyx.ops.base.nest import both, total
from sardonyx.ops.base.shapes import check_size, common_dtype, divides, need_rank, refuse, same_dim
from sardonyx.ops.product.matmul import accumulator
from sardonyx.ops.window.windows import reach, settings, whole

Dims = tuple[Expr, ...]


@dataclass(frozen=True)
class _Spread:
    """How every input position writes a window of the output; one item per spatial axis."""

    extent: Dims
    size: Dims
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: Dims
    out: Dims


class ConvTranspose(Op):
    """Adds every input element times the kernel to a window of the output, plus a bias."""

    since = 1
    tolerance = "reduction"
    traits = Trait.SLIDES
    auto_pad: str = "NOTSET"
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    output_padding: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def spread(self, extent: Dims, size: Dims) -> _Spread:
        """The windows for spatial dims `extent`; E0341 where an attribute is wrong."""
        n = len(extent)
        if self.kernel_shape is not None:
            given = settings(self.kernel_shape, n, "kernel_shape")
            size = tuple(same_dim(const(k), d) for k, d in zip(given, size, strict=True))
        stride = settings(self.strides, n, "strides")
        dilation = settings(self.dilations, n, "dilations")
        added = settings(self.output_padding, n, "output_padding", default=0, least=0)
        full = [
            (x - 1) * s + reach(k, d) + a
            for x, s, k, d, a in zip(extent, stride, size, dilation, added, strict=True)
        ]
        begin, out = self._cropped(extent, stride, full)
        return _Spread(extent, size, stride, dilation, begin, out)

    def _cropped(
        self, extent: Dims, stride: tuple[int, ...], full: Sequence[Expr]
    ) -> tuple[Dims, Dims]:
        """What is cut off before each axis, and what is left of it."""
        n = len(extent)
        same = self.auto_pad in ("SAME_UPPER", "SAME_LOWER")
        if not same and self.auto_pad not in ("NOTSET", "VALID", ""):
            wanted = "SAME_UPPER, SAME_LOWER, VALID"
            raise refuse("E0341", "`auto_pad` is unknown", self.auto_pad, wanted)
        if self.output_shape or same:
            out: Dims = tuple(x * s for x, s in zip(extent, stride, strict=True))
            if self.output_shape:
                wanted_shape = self.output_shape[-n:]
                out = tuple(map(const, settings(wanted_shape, n, "output_shape")))
            lost = [f - o for f, o in zip(full, out, strict=True)]
            less = [floordiv(x, 2) for x in lost]
            upper = self.auto_pad == "SAME_UPPER"
            return tuple(a if upper else x - a for x, a in zip(lost, less, strict=True)), out
        given = None if self.auto_pad == "VALID" else self.pads
        pads = settings(given, 2 * n, "pads", default=0, least=0)
        begin = tuple(map(const, pads[:n]))
        return begin, tuple(f - b - e for f, b, e in zip(full, begin, pads[n:], strict=True))

    def weight_axis(self, rank: int) -> int | None:
        del rank
        return 1

    def infer(self, x: Type, w: Type, b: Type | None = None) -> Type:
        need_rank(x, 3, what="the input")
        dtype = common_dtype(x, w, b)
        if x.shape is None or w.shape is None:
            return Type(dtype)
        need_rank(w, len(x.shape), len(x.shape), "the weights")
        if self.group < 1:
            raise refuse("E0341", "`group` must be positive", self.group)
        same_dim(x.shape[1], w.shape[0])
        divides(x.shape[1], self.group, "the channels")
        filters = w.shape[1] * self.group
        if b is not None and b.shape is not None:
            need_rank(b, 1, 1, "the bias")
            same_dim(b.shape[0], filters)
        return Type(dtype, (x.shape[0], filters, *self.spread(x.shape[2:], w.shape[2:]).out))

    def reference(self, x: Array, w: Array, b: Array | None = None) -> Array:
        a, kernel = widen(x), widen(w)
        rank = a.ndim - 2
        spread = self.spread(*(tuple(map(const, v.shape[2:])) for v in (a, kernel)))
        begin, out = whole(spread.begin), whole(spread.out)
        groups, each = self.group, kernel.shape[1]
        parts = a.reshape(len(a), groups, a.shape[1] // groups, math.prod(a.shape[2:]))
        taps = kernel.reshape(groups, kernel.shape[0] // groups, math.prod(kernel.shape[1:]))
        made = np.matmul(taps.swapaxes(1, 2), parts)
        made = made.reshape(len(a), groups * each, *kernel.shape[2:], *a.shape[2:])
        room = [
            max((n - 1) * s + (k - 1) * d + 1, o + p)
            for n, s, k, d, o, p in zip(
                a.shape[2:],
                spread.stride,
                kernel.shape[2:],
                spread.dilation,
                out,
                begin,
                strict=True,
            )
        ]
        low = [max(0, -p) for p in begin]
        wide = (len(a), groups * each, *(r + v for r, v in zip(room, low, strict=True)))
        check_size(DType.FLOAT64, wide)
        y = np.zeros(wide)
        y = y.astype(a.dtype)
        for tap in np.ndindex(*kernel.shape[2:]):
            spots = tuple(
                slice(v + k * d, v + k * d + (n - 1) * s + 1, s)
                for v, k, d, n, s in zip(
                    low, tap, spread.dilation, a.shape[2:], spread.stride, strict=True
                )
            )
            every = (slice(None), slice(None))
            y[(*every, *spots)] += made[(*every, *tap)]
        first = [v + p for v, p in zip(low, begin, strict=True)]
        kept = tuple(slice(f, f + o) for f, o in zip(first, out, strict=True))
        y = y[(slice(None), slice(None), *kept)]
        if b is not None:
            y = y + widen(b).reshape(-1, *[1] * rank)
        return settle(y, x.dtype)

    def at(self, idx: Index, x: Operand, w: Operand, b: Operand | None = None) -> Expr:
        spread, each = self.spread(x.shape[2:], w.shape[2:]), w.shape[1]
        inner = x.shape[1] // self.group
        group = idx[1] // each

        def term(k: Subscripts) -> Expr:
            at, meets = _source(spread, idx[2:], k[:-1])
            channel = group * inner + k[-1]
            value = where(meets, lift(x[(idx[0], channel, *at)]), 0)
            return value * lift(w[(channel, idx[1] - group * each, *k[:-1])])

        return _biased(total("add", (*spread.size, inner), term), idx, x, b)

    def contract(
        self, out: Type, x: Operand, w: Operand, b: Operand | None = None
    ) -> SumOfProducts | None:
        del out
        spread, inner = (self.spread(x.shape[2:], w.shape[2:]), x.shape[1] // self.group)
        if self.group > 1 and number(inner) == 1:
            return None
        even = all(number(mod(o, s)) == 0 for o, s in zip(spread.out, spread.stride, strict=True))
        plain = all(d == 1 for d in spread.dilation)
        steps = spread.stride if even and plain else (1,) * len(spread.stride)
        return _Phases(self.group, spread, steps, inner, w.shape[1]).contraction(x, w, b)


def _source(spread: _Spread, at: Sequence[Expr], tap: Sequence[Expr]) -> tuple[Dims, Expr]:
    """The input position that writes output position `at` through a tap, and whether it does."""
    found, meets = [], []
    for o, k, n, s, d, p in zip(
        at, tap, spread.extent, spread.stride, spread.dilation, spread.begin, strict=True
    ):
        reached = o + p - k * d
        place = floordiv(reached, s)
        found.append(place)
        meets += [const(0) <= reached, place < n]
        if s > 1:
            meets.append(eq(mod(reached, s), 0))
    return tuple(found), both(meets)


def _biased(acc: Expr, idx: Sequence[Expr], x: Operand, b: Operand | None) -> Expr:
    if b is not None:
        acc = acc + lift(b[idx[1]])
    return cast(acc, x.dtype)


@dataclass(frozen=True)
class _Phases:
    """The output in phases: those whose positions are q * step + r meet the same taps.

    With `steps` all 1 there is one phase, and taps that do not meet a position are guarded.
    """

    group: int
    spread: _Spread
    steps: tuple[int, ...]
    inner: Expr
    each: Expr

    def contraction(self, x: Operand, w: Operand, b: Operand | None) -> SumOfProducts:
        groups = () if self.group == 1 else (const(self.group),)
        phases = tuple(const(s) for s in self.steps if s > 1)
        rows = tuple(o // s for o, s in zip(self.spread.out, self.steps, strict=True))
        taps = tuple(
            floordiv(k + (s - 1), s) for k, s in zip(self.spread.size, self.steps, strict=True)
        )

        def left(at: Subscripts, m: Subscripts, k: Subscripts) -> Expr:
            position = self._position(at, m)
            place, meets = self._place(position, at, k[:-1])
            channel = self._group(at) * self.inner + k[-1]
            return where(meets, lift(x[(m[0], channel, *place)]), 0)

        def right(at: Subscripts, k: Subscripts, n: Subscripts) -> Expr:
            tap = self._taps(at, k[:-1])
            real = both(
                [
                    t < size
                    for t, size, s in zip(tap, self.spread.size, self.steps, strict=True)
                    if s > 1
                ]
            )
            channel = self._group(at) * self.inner + k[-1]
            return where(real, lift(w[(channel, n[0], *tap)]), 0)

        def place(at: Subscripts, m: Subscripts, n: Subscripts) -> Subscripts:
            return (m[0], self._group(at) * self.each + n[0], *self._position(at, m))

        return SumOfProducts(
            batch=(*groups, *phases),
            m=(x.shape[0], *rows),
            n=(self.each,),
            k=(*taps, self.inner),
            left=left,
            right=right,
            place=place,
            finish=lambda acc, idx: _biased(acc, idx, x, b),
            acc=accumulator(x.dtype),
        )

    def _group(self, at: Subscripts) -> Expr:
        return at[0] if self.group > 1 else const(0)

    def _phase(self, at: Subscripts) -> Dims:
        rest = list(at[1:] if self.group > 1 else at)
        return tuple(rest.pop(0) if s > 1 else const(0) for s in self.steps)

    def _position(self, at: Subscripts, m: Subscripts) -> Dims:
        pairs = zip(m[1:], self.steps, self._phase(at), strict=True)
        return tuple(q * s + r for q, s, r in pairs)

    def _taps(self, at: Subscripts, k: Subscripts) -> Dims:
        """The kernel positions of the k-th taps of a phase."""
        found = []
        for r, p, s, j in zip(self._phase(at), self.spread.begin, self.steps, k, strict=True):
            found.append(mod(r + p, s) + j * s if s > 1 else j)
        return tuple(found)

    def _place(self, position: Dims, at: Subscripts, k: Subscripts) -> tuple[Dims, Expr]:
        """The input position under a tap, and whether there is one."""
        if not any(s > 1 for s in self.steps):
            return _source(self.spread, position, k)
        found, meets = [], []
        phase = self._phase(at)
        for axis, s in enumerate(self.steps):
            begin, n = self.spread.begin[axis], self.spread.extent[axis]
            quotient = (position[axis] - phase[axis]) // s
            place = quotient + floordiv(phase[axis] + begin, s) - k[axis]
            found.append(place)
            meets += [const(0) <= place, place < n]
        return tuple(found), both(meets)

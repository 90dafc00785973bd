"""Pooling over sliding windows: MaxPool, AveragePool, LpPool, and over whole axes: Global*Pool."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import (
    Expr,
    cast,
    const,
    eq,
    floordiv,
    maximum,
    minimum,
    number,
    product,
    where,
)
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Index, Op, Operand, Subscripts, Trait
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import lowest, p_norm, some, total
from sardonyx.ops.base.shapes import like, need_rank, ravel, unravel
from sardonyx.ops.window.windows import Window, gather, settings, slide, whole

# Taps from which a window is cheaper axis by axis, with what lies between stored and read again.
_SEPARATE = 16


class _Pool(Op, abstract=True, kw_only=True):
    traits = Trait.SLIDES
    ceil_mode = 0
    kernel_shape: tuple[int, ...]
    auto_pad: str = "NOTSET"
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    def window(self, extent: tuple[Expr, ...]) -> Window:
        """The window over spatial dims `extent`."""
        given = self.kernel_shape or ()
        size = tuple(map(const, settings(given, len(given), "kernel_shape")))
        return slide(
            extent,
            size,
            strides=self.strides,
            pads=self.pads,
            auto_pad=self.auto_pad,
            dilations=getattr(self, "dilations", None),
            ceil=bool(self.ceil_mode),
        )

    def pooled(self, x: Type) -> Type:
        """The type of the output."""
        need_rank(x, 3)
        if x.shape is None:
            return like(x)
        return x.with_shape((*x.shape[:2], *self.window(x.shape[2:]).trips))

    def infer(self, x: Type) -> Any:
        return self.pooled(x)

    def gathered(self, x: Array, fill: float) -> tuple[Array, tuple[int, ...]]:
        """The windows of an array and the axes of their taps."""
        view = gather(x, self.window(tuple(map(const, x.shape[2:]))), fill)
        return view, tuple(range(x.ndim, view.ndim))


class MaxPoolV1(_Pool, kw_only=True):
    """The largest element of each window."""

    tolerance = "exact"
    storage_order = 0
    traits = Trait.SELECTS | Trait.SLIDES

    def needs(self, *inputs: Any) -> int:
        del inputs
        return 8 if self.outputs > 1 else 1

    def infer(self, x: Type) -> Any:
        y = self.pooled(x)
        return some(self.outputs, y, like(y, DType.INT64))

    def reference(self, x: Array) -> Any:
        fill = lowest(DType.from_numpy(x.dtype)).arg
        view, taps = self.gathered(x, fill)
        y = np.ascontiguousarray(view.max(axis=taps))
        return some(self.outputs, y, self._indices(x) if self.outputs > 1 else None)

    def _indices(self, x: Array) -> Array:
        column = self.storage_order
        spatial = x.shape[2:]
        places = np.arange(np.prod(spatial, dtype=np.int64))
        places = places.reshape(spatial[::-1]).T if column else places.reshape(spatial)
        view, _ = self.gathered(x, lowest(DType.from_numpy(x.dtype)).arg)
        count = math.prod(view.shape[x.ndim :])
        flat = view.reshape(*view.shape[: x.ndim], count).argmax(-1)
        where_from, _ = self.gathered(places[None, None], 0)
        where_from = where_from.reshape(*where_from.shape[: x.ndim], count)
        where_from = np.broadcast_to(where_from, (*flat.shape, where_from.shape[-1]))
        picked = np.take_along_axis(where_from, flat[..., None], -1)[..., 0]
        lead = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(spatial))
        return np.asarray(picked + lead * places.size)

    def at(self, idx: Index, x: Operand) -> Expr:
        window = self.window(x.shape[2:])

        def term(k: Subscripts) -> Expr:
            at = window.source(idx[2:], k)
            return where(window.inside(at), x[(*idx[:2], *at)], lowest(x.dtype))

        return total("max", window.size, term)

    def expand(self, graph: Graph, x: Value) -> Value | None:
        """Large windows axis by axis: a window of n by n looks at 2 n elements instead of n²."""
        taps = self.kernel_shape or ()
        if self.outputs > 1 or math.prod(taps) < _SEPARATE or math.prod(taps) in taps:
            return None
        body, y = Body(graph, "pool"), x
        for axis in reversed(range(len(taps))):
            y = body(self._along(axis), y)
        return y

    def _along(self, axis: int) -> MaxPoolLine:
        """The same pool with windows along one axis alone."""
        rank, made = len(self.kernel_shape), dict[str, Any]()
        for name in ("kernel_shape", "strides", "dilations"):
            given = getattr(self, name, None)
            if given is not None:
                made[name] = tuple(n if k == axis else 1 for k, n in enumerate(given))
        if self.pads is not None:
            made["pads"] = tuple(n if k % rank == axis else 0 for k, n in enumerate(self.pads))
        return MaxPoolLine(auto_pad=self.auto_pad, ceil_mode=self.ceil_mode, **made)

    def at_output(self, which: int, idx: Index, x: Operand) -> Expr:
        """The largest element, or (output 1) its position in the input."""
        top = self.at(idx, x)
        if which == 0:
            return top
        window = self.window(x.shape[2:])
        taps = product(window.size)

        def term(k: Subscripts) -> Expr:
            at = window.source(idx[2:], k)
            value = where(window.inside(at), x[(*idx[:2], *at)], lowest(x.dtype))
            return where(eq(value, top), ravel(k, window.size), taps - 1)

        first = total("min", window.size, term)
        at = window.source(idx[2:], unravel(first, window.size))
        flat = (at[::-1], x.shape[:1:-1]) if self.storage_order else (at, x.shape[2:])
        return ravel(idx[:2], x.shape[:2]) * product(x.shape[2:]) + ravel(*flat)


class MaxPoolV8(MaxPoolV1, kw_only=True):
    """MaxPool with the position of each maximum as a second output."""

    storage_order: int = 0


class MaxPool(MaxPoolV8, kw_only=True):
    """MaxPool with dilations and with windows that may leave the padded input at the end."""

    since = 10
    ceil_mode: int = 0
    dilations: tuple[int, ...] | None = None


class MaxPoolLine(MaxPool, kw_only=True):
    """MaxPool with windows along one axis, which costs as much in any order of the axes."""

    domain = "ai.sardonyx"
    since = 1
    traits = Trait.SELECTS | Trait.BY_CHANNEL


class AveragePoolV1(_Pool, kw_only=True):
    """The mean of each window, padding not counted."""

    tolerance = "reduction"
    count_include_pad = 0
    traits = Trait.AVERAGES | Trait.SLIDES

    @quiet
    def reference(self, x: Array) -> Array:
        view, taps = self.gathered(widen(x), 0)
        return settle(view.sum(axis=taps) / self._counts(x.shape[2:]), x.dtype)

    def _counts(self, spatial: tuple[int, ...]) -> Array:
        window = self.window(tuple(map(const, spatial)))
        padding = bool(self.count_include_pad)
        lines = []
        for axis, trips in enumerate(whole(window.trips)):
            exact = [_taps(window, axis, const(t), padding) for t in range(trips)]
            lines.append(np.array(whole(exact), np.float64))
        return reduce(np.multiply.outer, lines).astype(np.float32)

    def at(self, idx: Index, x: Operand) -> Expr:
        window = self.window(x.shape[2:])

        def term(k: Subscripts) -> Expr:
            at = window.source(idx[2:], k)
            return where(window.inside(at), lift(x[(*idx[:2], *at)]), 0)

        padding = bool(self.count_include_pad)
        total_of = total("add", window.size, term)
        count = product(
            _taps(window, axis, idx[2 + axis], padding) for axis in range(len(window.size))
        )
        return cast(total_of / cast(count, total_of.dtype), x.dtype)


def _taps(window: Window, axis: int, trip: Expr, padding: bool) -> Expr:
    """How many taps of a trip count along one axis."""
    size, d = window.size[axis], window.dilation[axis]
    begin, end = window.begin[axis], window.end[axis]
    start = trip * window.stride[axis] - begin
    low, high, limit = const(0), size, window.extent[axis]
    if padding:
        limit = limit + end
    elif number(begin) != 0:
        low = maximum(floordiv(d - 1 - start, d), 0)
    if window.loose or (number(end) != 0 and not padding):
        high = minimum(floordiv(limit - start + (d - 1), d), size)
    return high - low


class AveragePoolV7(AveragePoolV1, kw_only=True):
    """AveragePool that may count padding."""

    count_include_pad: int = 0


class AveragePoolV10(AveragePoolV7, kw_only=True):
    """AveragePool with windows that may leave the padded input at the end."""

    ceil_mode: int = 0


class AveragePool(AveragePoolV10, kw_only=True):
    """AveragePool with dilations."""

    since = 19
    dilations: tuple[int, ...] | None = None


class _LpWindow(_Pool, abstract=True):
    tolerance = "reduction"
    p: Any

    def reference(self, x: Array) -> Array:
        view, taps = self.gathered(widen(x), 0)
        p = view.dtype.type(self.p)
        return settle((np.abs(view) ** p).sum(axis=taps) ** (1 / p), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        window = self.window(x.shape[2:])

        def term(k: Subscripts) -> Expr:
            at = window.source(idx[2:], k)
            return where(window.inside(at), lift(x[(*idx[:2], *at)]), 0)

        return cast(p_norm(window.size, term, self.p), x.dtype)


class LpPoolV1(_LpWindow, kw_only=True):
    """LpPool of opset 1, whose p is a float and whose kernel may be left to the runtime."""

    kernel_shape: tuple[int, ...] | None = None  # type: ignore[assignment]
    p: float = 2.0


class LpPoolV2(_LpWindow, kw_only=True):
    """The p-norm of each window."""

    p: int = 2


class LpPool(LpPoolV2, kw_only=True):
    """LpPool with dilations and with windows that may leave the padded input at the end."""

    since = 18
    ceil_mode: int = 0
    dilations: tuple[int, ...] | None = None


class _Global(Op, abstract=True):
    tolerance = "reduction"

    def infer(self, x: Type) -> Type:
        need_rank(x, 2)
        if x.shape is None:
            return like(x)
        return x.with_shape((*x.shape[:2], *[1] * (len(x.shape) - 2)))


class GlobalMaxPool(_Global):
    """The largest element of every channel."""

    since = 1
    tolerance = "exact"

    def reference(self, x: Array) -> Array:
        return np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=True))

    def at(self, idx: Index, x: Operand) -> Expr:
        return total("max", x.shape[2:], lambda k: x[(*idx[:2], *k)])


class GlobalAveragePool(_Global):
    """The mean of every channel."""

    since = 1
    traits = Trait.AVERAGES

    @quiet
    def reference(self, x: Array) -> Array:
        axes = tuple(range(2, x.ndim))
        return settle(widen(x).mean(axis=axes, keepdims=True), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        found = total("add", x.shape[2:], lambda k: lift(x[(*idx[:2], *k)]))
        return cast(found / cast(product(x.shape[2:]), found.dtype), x.dtype)


class _GlobalLp(_Global, abstract=True):
    p: Any

    def reference(self, x: Array) -> Array:
        a = widen(x)
        p = a.dtype.type(self.p)
        found = (np.abs(a) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True)
        return settle(found ** (1 / p), x.dtype)

    def at(self, idx: Index, x: Operand) -> Expr:
        found = p_norm(x.shape[2:], lambda k: lift(x[(*idx[:2], *k)]), self.p)
        return cast(found, x.dtype)


class GlobalLpPoolV1(_GlobalLp):
    """GlobalLpPool of opset 1, whose p is a float."""

    p: float = 2.0


class GlobalLpPool(_GlobalLp):
    """The p-norm of every channel."""

    since = 2
    p: int = 2

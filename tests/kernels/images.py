"""Raw kernels of sliding windows for the tests: convolutions, plain and depthwise, and pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.contracts import INT32, Case, Dim, Env, Memory, flat, values
from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, cast, const, fresh, load, reduce, scalar, where
from sardonyx.loops.build import pointwise
from sardonyx.loops.ir import Contract, Store

F32 = DType.FLOAT32


@dataclass(frozen=True)
class Window:
    """A square window: taps, step, padding on every side."""

    taps: int = 3
    step: int = 1
    pad: int = 1


class Images:
    """Images in memory under the key x, channels last or (`planar`) first, and windows on them."""

    def __init__(
        self,
        images: Dim,
        channels: int,
        side: tuple[int, int],
        window: Window,
        env: Env | None,
        *,
        dtype: DType = F32,
        planar: bool = False,
    ) -> None:
        self.memory = Memory(dict(env or {}))
        self.rng = np.random.default_rng(0)
        self.window, self.side, self.planar = window, side, planar
        self.images, self.channels = images, channels
        self.out = tuple((d + 2 * window.pad - window.taps) // window.step + 1 for d in side)
        dims = (images, *side, channels)
        self.x = values(self.rng, self.memory.shape(dims), dtype)
        stored = self.x.transpose(0, 3, 1, 2).copy() if planar else self.x
        self.memory.add("x", stored, self.order(dims))
        self.b, self.h, self.v, self.c = map(fresh, (images, *self.out, channels))

    def order(self, last: tuple[Dim | Expr, ...]) -> tuple[Dim | Expr, ...]:
        """Dims or subscripts given channels last, in memory order."""
        b, h, v, c = last
        return (b, c, h, v) if self.planar else last

    def windows(self, x: Array, nothing: float = 0) -> Array:
        """[image, row, column, channel, tap, tap] of an array of images."""
        p, t, s = self.window.pad, self.window.taps, self.window.step
        sides = ((0, 0), (p, p), (p, p), (0, 0))
        padded = np.pad(x, sides, constant_values=nothing)
        view = np.lib.stride_tricks.sliding_window_view(padded, (t, t), (1, 2))
        return np.asarray(view[:, ::s, ::s])

    def element(self, i: Expr, j: Expr, nothing: float, zero: Expr | None = None) -> Expr:
        """The element under tap (i, j), less `zero`, or `nothing` outside the image."""
        y = self.h * self.window.step + i - self.window.pad
        x = self.v * self.window.step + j - self.window.pad
        inside = const(True, DType.BOOL)
        for at, extent in zip((y, x), self.side, strict=True):
            inside = binary("and", inside, binary("le", const(0), at))
            inside = binary("and", inside, binary("lt", at, const(extent)))
        subscripts = [const(e) for e in self.order((self.b, y, x, self.c))]
        value = self.memory.at("x", subscripts)
        if zero is not None:
            value = cast(value, INT32) - zero
        return where(inside, value, nothing if value.dtype.is_float else int(nothing))

    def place(self, channels: int, channel: Expr) -> tuple[tuple[Dim, ...], Expr]:
        """The output's dims, channels as in the input, and the position of an output element."""
        dims = self.order((self.images, *self.out, channels))
        at = self.order((self.b, self.h, self.v, channel))
        found = tuple(d for d in dims)
        return found, flat(found, [const(e) for e in at])

    def relu(self, total: Expr, channel: Expr, channels: int) -> Expr:
        """max(total + bias, 0), the bias being made on the way."""
        self.memory.add("bias", values(self.rng, (channels,), F32), (channels,))
        total = total + self.memory.at("bias", (channel,))
        return where(binary("lt", const(0.0, F32), total), total, 0.0)

    def stored(self, value: Array) -> Array:
        """A channels-last result in memory order."""
        return value.transpose(0, 3, 1, 2).copy() if self.planar else value

    def each(self, value: Expr, wanted: Array) -> Case:
        """The case of an elementwise kernel over images, channels last."""
        dims, at = self.place(self.channels, self.c)
        self.memory.out(dims, value.dtype)
        loops = (self.b, self.h, self.v, self.c)
        closed = pointwise("out", loops, at, value, self.memory.sizes)
        return self.memory.case(closed, wanted)


def conv(
    images: Dim,
    channels: int,
    filters: int,
    side: tuple[int, int],
    window: Window,
    *,
    env: Env | None = None,
    planar: bool = False,
) -> Case:
    """A 2-D convolution with bias and relu, channels last (`planar`: channels first)."""
    on = Images(images, channels, side, window, env, planar=planar)
    t = window.taps
    shape = (filters, channels, t, t)
    w = on.memory.add("w", values(on.rng, shape, F32), shape)
    f, i, j = map(fresh, (filters, t, t))
    acc = scalar("acc", F32)
    value = on.relu(acc, f, filters)
    taps = on.windows(on.x.astype(np.float64))
    wanted = np.einsum("nhwcij,fcij->nhwf", taps, w.astype(np.float64))
    wanted = np.maximum(wanted + on.memory.arrays["bias"], 0)
    dims, at = on.place(filters, f)
    on.memory.out(dims, F32)
    contract = Contract(
        (),
        (on.b, on.h, on.v),
        (f,),
        (i, j, on.c),
        acc,
        on.element(i, j, 0.0),
        on.memory.at("w", (f, on.c, i, j)),
        (Store(0, at, value),),
    )
    return on.memory.contraction(contract, on.stored(wanted))


def conv_bytes(
    images: Dim,
    channels: int,
    filters: int,
    side: tuple[int, int],
    window: Window,
    kinds: tuple[DType, DType],
    *,
    env: Env | None = None,
) -> Case:
    """A channels-last convolution of bytes less zero points, outside the image nothing."""
    on = Images(images, channels, side, window, env, dtype=kinds[0])
    t = window.taps
    shape = (filters, channels, t, t)
    w = on.memory.add("w", values(on.rng, shape, kinds[1]), shape)
    zero_x = on.memory.add("zx", values(on.rng, (1,), kinds[0]), (1,))
    zero_w = on.memory.add("zw", values(on.rng, (filters,), kinds[1]), (filters,))
    taps = on.windows(on.x.astype(np.int64) - int(zero_x[0]))
    weights = w.astype(np.int64) - zero_w.astype(np.int64)[:, None, None, None]
    wanted = np.einsum("nhwcij,fcij->nhwf", taps, weights)
    f, i, j = map(fresh, (filters, t, t))
    left = on.element(i, j, 0, cast(load("zx", [0], kinds[0]), INT32))
    right = cast(on.memory.at("w", (f, on.c, i, j)), INT32)
    right = right - cast(on.memory.at("zw", (f,)), INT32)
    acc = scalar("acc", INT32)
    dims, at = on.place(filters, f)
    on.memory.out(dims, INT32)
    store = Store(0, at, acc)
    rows = (on.b, on.h, on.v)
    contract = Contract((), rows, (f,), (i, j, on.c), acc, left, right, (store,))
    return on.memory.contraction(contract, wanted)


def depthwise(
    images: Dim, channels: int, side: tuple[int, int], window: Window, *, env: Env | None = None
) -> Case:
    """A convolution of every channel by itself, channels last, with bias and relu."""
    on = Images(images, channels, side, window, env)
    t = window.taps
    w = on.memory.add("w", values(on.rng, (channels, t, t), F32), (channels, t, t))

    def term(i: Expr, j: Expr) -> Expr:
        return on.element(i, j, 0.0) * on.memory.at("w", (on.c, i, j))

    total = reduce("add", t, lambda i: reduce("add", t, lambda j: term(i, j)))
    value = on.relu(total, on.c, channels)
    taps = on.windows(on.x.astype(np.float64))
    wanted = np.einsum("nhwcij,cij->nhwc", taps, w.astype(np.float64))
    return on.each(value, np.maximum(wanted + on.memory.arrays["bias"], 0))


def pool(
    images: Dim,
    channels: int,
    side: tuple[int, int],
    window: Window,
    op: str,
    *,
    env: Env | None = None,
) -> Case:
    """The sum or the maximum over a window of every channel, channels last."""
    on = Images(images, channels, side, window, env)
    t, nothing = window.taps, 0.0 if op == "add" else float("-inf")
    value = reduce(op, t, lambda i: reduce(op, t, lambda j: on.element(i, j, nothing)))
    taps = on.windows(on.x.astype(np.float64), nothing)
    return on.each(value, taps.sum((-2, -1)) if op == "add" else taps.max((-2, -1)))

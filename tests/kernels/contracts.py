"""Raw contractions for the tests: matrix products and convolutions over flat buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.expr import (
    Expr,
    binary,
    cast,
    const,
    fresh,
    load,
    product,
    reduce,
    scalar,
    where,
)
from sardonyx.loops.build import Closed, contraction, pointwise
from sardonyx.loops.ir import Contract, Store

Array = np.ndarray[Any, Any]
Dim = Expr | int
Finish = Callable[[Expr, Expr, Expr], Expr]


@dataclass(frozen=True)
class Case:
    """A raw kernel, the arrays of its parameters (the output first) and what it must compute."""

    closed: Closed
    arrays: list[Array]
    wanted: Array
    symbols: list[int] = field(default_factory=list)


def values(rng: np.random.Generator, shape: Sequence[int], dtype: DType) -> Array:
    """Random elements of a kind that a contraction of that type is exact or well conditioned on."""
    if dtype.is_float:
        return rng.standard_normal(tuple(shape)).astype(dtype.numpy)
    low, high = (-5, 6) if dtype.bits > 8 else ((-128, 128) if dtype.is_signed else (0, 256))
    return rng.integers(low, high, tuple(shape)).astype(dtype.numpy)


def sized(arrays: Mapping[str, Array], symbols: Mapping[Expr, int], dims: Mapping[str, Any]) -> Any:
    """The sizes table of `close`: element type and count of every buffer."""
    del symbols
    return {
        key: (DType.from_numpy(a.dtype), product(map(const, dims.get(key, a.shape))))
        for key, a in arrays.items()
    }


def finish_case(
    contract: Contract, arrays: dict[str, Array], dims: Mapping[str, Any], env: Mapping[Expr, int],
    wanted: Array,
) -> Case:  # fmt: skip
    """Closes a contract over named arrays, `out` the output."""
    closed = contraction(contract, "out", sized(arrays, env, dims))
    ordered = [arrays[key].reshape(-1) for key in closed.params]
    return Case(closed, ordered, wanted.reshape(-1), [env[s] for s in closed.symbols])


def matmul(
    m: Dim, n: Dim, k: Dim, *, batch: Dim | None = None, dtype: DType = DType.FLOAT32,
    transposed: tuple[bool, bool] = (False, False), env: Mapping[Expr, int] | None = None,
    finish: Finish | None = None, extra: Mapping[str, Array] | None = None,
    apply: Callable[[Array], Array] | None = None, stored: DType | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """out[b, m, n] = finish(sum over k of a[b, m, k] * w[b, k, n]), `transposed` in memory.

    `stored` is the element type of the operands in memory, `dtype` that of the sum.
    """
    env = dict(env or {})
    rng = np.random.default_rng(seed)

    def size(d: Dim) -> int:
        return env[d] if isinstance(d, Expr) and d in env else int(const(d).arg)

    lead = () if batch is None else (batch,)
    dims_a = (*lead, k, m) if transposed[0] else (*lead, m, k)
    dims_w = (*lead, n, k) if transposed[1] else (*lead, k, n)
    kind = stored or dtype
    a, w = (values(rng, [size(d) for d in ds], kind) for ds in (dims_a, dims_w))
    left = np.swapaxes(a, -1, -2) if transposed[0] else a
    right = np.swapaxes(w, -1, -2) if transposed[1] else w
    exact = np.float64 if dtype.is_float else np.int64
    wanted = np.matmul(left.astype(exact), right.astype(exact))
    arrays = {"a": a, "w": w, **(extra or {})}
    wanted = apply(wanted) if apply else wanted
    acc = scalar("acc", dtype)
    b_, m_, n_, k_ = (tuple(map(fresh, axes)) for axes in (lead, (m,), (n,), (k,)))

    def at(key: str, dims: Sequence[Dim], subscripts: Sequence[Expr]) -> Expr:
        return cast(load(key, [flat(dims, subscripts)], kind), dtype)

    left_e = at("a", dims_a, (*b_, *k_, *m_) if transposed[0] else (*b_, *m_, *k_))
    right_e = at("w", dims_w, (*b_, *n_, *k_) if transposed[1] else (*b_, *k_, *n_))
    value = finish(acc, m_[0], n_[0]) if finish else acc
    store = Store(0, flat((*lead, m, n), (*b_, *m_, *n_)), value)
    arrays["out"] = np.zeros(wanted.shape, value.dtype.numpy)
    dims = {"a": dims_a, "w": dims_w, "out": (*lead, m, n)}
    contract = Contract(b_, m_, n_, k_, acc, left_e, right_e, (store,))
    return finish_case(contract, arrays, dims, env, wanted)


def flat(dims: Sequence[Dim], subscripts: Sequence[Expr]) -> Expr:
    """The row-major position of subscripts."""
    total = const(0)
    for d, i in zip(dims, subscripts, strict=True):
        total = total * d + i
    return total


@dataclass(frozen=True)
class Window:
    """A square convolution: taps, step, padding on every side."""

    taps: int = 3
    step: int = 1
    pad: int = 1


def conv(
    images: Dim, channels: int, filters: int, side: tuple[int, int], window: Window, *,
    env: Mapping[Expr, int] | None = None, planar: bool = False, seed: int = 0,
) -> Case:  # fmt: skip
    """A 2-D convolution with bias and relu, channels last (`planar`: channels first)."""
    env = dict(env or {})
    rng = np.random.default_rng(seed)
    height, width = side
    t, s, p = window.taps, window.step, window.pad
    count = env[images] if isinstance(images, Expr) else images
    oh, ow = ((d + 2 * p - t) // s + 1 for d in side)
    x = rng.standard_normal((count, height, width, channels)).astype(np.float32)
    w = rng.standard_normal((filters, channels, t, t)).astype(np.float32)
    bias = rng.standard_normal(filters).astype(np.float32)
    padded = np.pad(x.astype(np.float64), ((0, 0), (p, p), (p, p), (0, 0)))
    taps = np.lib.stride_tricks.sliding_window_view(padded, (t, t), (1, 2))[:, ::s, ::s]
    wanted = np.maximum(np.einsum("nhwcij,fcij->nhwf", taps, w.astype(np.float64)) + bias, 0)
    b, h, v, f, i, j, c = map(fresh, (images, oh, ow, filters, t, t, channels))
    y_at, x_at = h * s + i - p, v * s + j - p
    inside = const(True, DType.BOOL)
    for at, extent in ((y_at, height), (x_at, width)):
        inside = binary("and", inside, binary("le", const(0), at))
        inside = binary("and", inside, binary("lt", at, const(extent)))
    dims: tuple[Dim, ...] = (images, height, width, channels)
    place, out_dims, out_at = (b, y_at, x_at, c), (images, oh, ow, filters), (b, h, v, f)
    if planar:
        dims, place = (images, channels, height, width), (b, c, y_at, x_at)
        out_dims, out_at = (images, filters, oh, ow), (b, f, h, v)
        x, wanted = x.transpose(0, 3, 1, 2).copy(), wanted.transpose(0, 3, 1, 2).copy()
    left = where(inside, load("x", [flat(dims, place)], DType.FLOAT32), 0.0)
    right = load("w", [flat(w.shape, (f, c, i, j))], DType.FLOAT32)
    acc = scalar("acc", DType.FLOAT32)
    total = acc + load("bias", [f], DType.FLOAT32)
    value = where(binary("lt", const(0.0, DType.FLOAT32), total), total, 0.0)
    store = Store(0, flat(out_dims, out_at), value)
    contract = Contract((), (b, h, v), (f,), (i, j, c), acc, left, right, (store,))
    arrays = {"x": x, "w": w, "bias": bias, "out": np.zeros(wanted.shape, np.float32)}
    return finish_case(contract, arrays, {"x": dims, "out": out_dims}, env, wanted)


def depthwise(
    images: Dim, channels: int, side: tuple[int, int], window: Window, *,
    env: Mapping[Expr, int] | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """A convolution of every channel by itself, channels last, with bias and relu."""
    env = dict(env or {})
    rng = np.random.default_rng(seed)
    height, width = side
    t, s, p = window.taps, window.step, window.pad
    count = env[images] if isinstance(images, Expr) else images
    oh, ow = ((d + 2 * p - t) // s + 1 for d in side)
    x = rng.standard_normal((count, height, width, channels)).astype(np.float32)
    w = rng.standard_normal((channels, t, t)).astype(np.float32)
    bias = rng.standard_normal(channels).astype(np.float32)
    padded = np.pad(x.astype(np.float64), ((0, 0), (p, p), (p, p), (0, 0)))
    taps = np.lib.stride_tricks.sliding_window_view(padded, (t, t), (1, 2))[:, ::s, ::s]
    wanted = np.maximum(np.einsum("nhwcij,cij->nhwc", taps, w.astype(np.float64)) + bias, 0)
    b, h, v, c = map(fresh, (images, oh, ow, channels))

    def term(i: Expr, j: Expr) -> Expr:
        y_at, x_at = h * s + i - p, v * s + j - p
        inside = const(True, DType.BOOL)
        for at, extent in ((y_at, height), (x_at, width)):
            inside = binary("and", inside, binary("le", const(0), at))
            inside = binary("and", inside, binary("lt", at, const(extent)))
        index = flat((images, height, width, channels), (b, y_at, x_at, c))
        value = where(inside, load("x", [index], DType.FLOAT32), 0.0)
        return value * load("w", [flat(w.shape, (c, i, j))], DType.FLOAT32)

    total = reduce("add", t, lambda i: reduce("add", t, lambda j: term(i, j)))
    total = total + load("bias", [c], DType.FLOAT32)
    value = where(binary("lt", const(0.0, DType.FLOAT32), total), total, 0.0)
    dims = (images, oh, ow, channels)
    arrays = {"x": x, "w": w, "bias": bias, "out": np.zeros(wanted.shape, np.float32)}
    sizes = sized(arrays, env, {"x": (images, height, width, channels), "out": dims})
    closed = pointwise("out", (b, h, v, c), flat(dims, (b, h, v, c)), value, sizes)
    ordered = [arrays[key].reshape(-1) for key in closed.params]
    return Case(closed, ordered, wanted.reshape(-1), [env[s] for s in closed.symbols])


def _zero(key: str, kind: DType, which: str | None, at: Mapping[str, Expr]) -> Expr | None:
    if which is None:
        return None
    return cast(load(key, [at[which]], kind), DType.INT32)


def matmul_bytes(
    m: Dim, n: Dim, k: Dim, kinds: tuple[DType, DType], zeros: tuple[str | None, str | None], *,
    batch: int | None = None, env: Mapping[Expr, int] | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """A product of bytes less zero points: None, "one" for all, one for "rows" or "columns"."""
    env = dict(env or {})
    rng = np.random.default_rng(seed)
    size = {d: env[d] if isinstance(d, Expr) else d for d in (m, n, k)}
    lead = () if batch is None else (batch,)
    a = values(rng, (*lead, size[m], size[k]), kinds[0])
    w = values(rng, (*lead, size[k], size[n]), kinds[1])
    b_, (m_, n_, k_) = tuple(map(fresh, lead)), map(fresh, (m, n, k))
    left = cast(load("a", [flat((*lead, m, k), (*b_, m_, k_))], kinds[0]), DType.INT32)
    right = cast(load("w", [flat((*lead, k, n), (*b_, k_, n_))], kinds[1]), DType.INT32)
    arrays, dims = {"a": a, "w": w}, {"a": (*lead, m, k), "w": (*lead, k, n)}
    wide = [a.astype(np.int64), w.astype(np.int64)]
    places = {"one": const(0), "rows": m_, "columns": n_}
    found = []
    for i, which in enumerate(zeros):
        key, count = f"zero{i}", {"rows": size[m], "columns": size[n]}.get(which or "", 1)
        zero = _zero(key, kinds[i], which, places)
        found.append(zero)
        if zero is not None:
            arrays[key] = values(rng, (count,), kinds[i])
            dims[key] = (m if which == "rows" else n if which == "columns" else 1,)
            shift = arrays[key].astype(np.int64)
            wide[i] = wide[i] - (shift[:, None] if which == "rows" else shift)
    left, right = (e if z is None else e - z for e, z in zip((left, right), found, strict=True))
    wanted = np.matmul(wide[0], wide[1])
    acc = scalar("acc", DType.INT32)
    store = Store(0, flat((*lead, m, n), (*b_, m_, n_)), acc)
    arrays["out"], dims["out"] = np.zeros(wanted.shape, np.int32), (*lead, m, n)
    contract = Contract(b_, (m_,), (n_,), (k_,), acc, left, right, (store,))
    return finish_case(contract, arrays, dims, env, wanted)


def conv_bytes(
    images: Dim, channels: int, filters: int, side: tuple[int, int], window: Window,
    kinds: tuple[DType, DType], *, env: Mapping[Expr, int] | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """A channels-last convolution of bytes less zero points, outside the image nothing."""
    env = dict(env or {})
    rng = np.random.default_rng(seed)
    height, width = side
    t, s, p = window.taps, window.step, window.pad
    count = env[images] if isinstance(images, Expr) else images
    oh, ow = ((d + 2 * p - t) // s + 1 for d in side)
    x = values(rng, (count, height, width, channels), kinds[0])
    w = values(rng, (filters, channels, t, t), kinds[1])
    zero_x, zero_w = values(rng, (1,), kinds[0]), values(rng, (filters,), kinds[1])
    centred = x.astype(np.int64) - int(zero_x[0])
    padded = np.pad(centred, ((0, 0), (p, p), (p, p), (0, 0)))
    taps = np.lib.stride_tricks.sliding_window_view(padded, (t, t), (1, 2))[:, ::s, ::s]
    weights = w.astype(np.int64) - zero_w.astype(np.int64)[:, None, None, None]
    wanted = np.einsum("nhwcij,fcij->nhwf", taps, weights)
    b, h, v, f, i, j, c = map(fresh, (images, oh, ow, filters, t, t, channels))
    y_at, x_at = h * s + i - p, v * s + j - p
    inside = const(True, DType.BOOL)
    for at, extent in ((y_at, height), (x_at, width)):
        inside = binary("and", inside, binary("le", const(0), at))
        inside = binary("and", inside, binary("lt", at, const(extent)))
    dims: tuple[Dim, ...] = (images, height, width, channels)
    element = cast(load("x", [flat(dims, (b, y_at, x_at, c))], kinds[0]), DType.INT32)
    left = where(inside, element - cast(load("zx", [0], kinds[0]), DType.INT32), 0)
    right = cast(load("w", [flat(w.shape, (f, c, i, j))], kinds[1]), DType.INT32)
    right = right - cast(load("zw", [f], kinds[1]), DType.INT32)
    acc = scalar("acc", DType.INT32)
    store = Store(0, flat((images, oh, ow, filters), (b, h, v, f)), acc)
    contract = Contract((), (b, h, v), (f,), (i, j, c), acc, left, right, (store,))
    arrays = {"x": x, "w": w, "zx": zero_x, "zw": zero_w, "out": np.zeros(wanted.shape, np.int32)}
    return finish_case(contract, arrays, {"x": dims, "out": (images, oh, ow, filters)}, env, wanted)


def pool(
    images: Dim, channels: int, side: tuple[int, int], window: Window, op: str, *,
    env: Mapping[Expr, int] | None = None, seed: int = 0,
) -> Case:  # fmt: skip
    """The sum or the maximum over a window of every channel, channels last."""
    env = dict(env or {})
    rng = np.random.default_rng(seed)
    height, width = side
    t, s, p = window.taps, window.step, window.pad
    count = env[images] if isinstance(images, Expr) else images
    oh, ow = ((d + 2 * p - t) // s + 1 for d in side)
    x = rng.standard_normal((count, height, width, channels)).astype(np.float32)
    nothing = 0.0 if op == "add" else float("-inf")
    padded = np.pad(x.astype(np.float64), ((0, 0), (p, p), (p, p), (0, 0)), constant_values=nothing)
    taps = np.lib.stride_tricks.sliding_window_view(padded, (t, t), (1, 2))[:, ::s, ::s]
    wanted = taps.sum((-2, -1)) if op == "add" else taps.max((-2, -1))
    b, h, v, c = map(fresh, (images, oh, ow, channels))

    def term(i: Expr, j: Expr) -> Expr:
        y_at, x_at = h * s + i - p, v * s + j - p
        inside = const(True, DType.BOOL)
        for at, extent in ((y_at, height), (x_at, width)):
            inside = binary("and", inside, binary("le", const(0), at))
            inside = binary("and", inside, binary("lt", at, const(extent)))
        index = flat((images, height, width, channels), (b, y_at, x_at, c))
        return where(inside, load("x", [index], DType.FLOAT32), nothing)

    value = reduce(op, t, lambda i: reduce(op, t, lambda j: term(i, j)))
    dims = (images, oh, ow, channels)
    arrays = {"x": x, "out": np.zeros(wanted.shape, np.float32)}
    sizes = sized(arrays, env, {"x": (images, height, width, channels), "out": dims})
    closed = pointwise("out", (b, h, v, c), flat(dims, (b, h, v, c)), value, sizes)
    ordered = [arrays[key].reshape(-1) for key in closed.params]
    return Case(closed, ordered, wanted.reshape(-1), [env[s] for s in closed.symbols])

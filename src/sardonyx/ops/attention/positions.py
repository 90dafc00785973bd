"""Positions and caches around attention: RotaryEmbedding, TensorScatter, CausalConvWithState."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import INDEX, Expr, cast, const, mod, number, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Counted, Index, Op, Operand, Subscripts
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.given import wrapped
from sardonyx.ops.base.nest import both, filled, total
from sardonyx.ops.base.shapes import (
    at_most,
    axis_of,
    common_dtype,
    divides,
    like,
    need_rank,
    place,
    refuse,
    same_dims,
    wrap,
)


class RotaryEmbedding(Op):
    """Rotates pairs of elements of each head by the angle of their position.

    The input is [batch, heads, length, size] or [batch, length, heads * size]; cosines and sines
    are [positions, pairs] with `position_ids`, [batch, length, pairs] without.
    """

    since = 23
    interleaved: int = 0
    num_heads: int | None = None
    rotary_embedding_dim: int = 0

    def infer(self, x: Type, cos: Type, sin: Type, ids: Type | None = None) -> Type:
        need_rank(x, 3, 4)
        rank = 3 if ids is None else 2
        need_rank(cos, rank, rank, "the cosines")
        if cos.shape is not None:
            same_dims(sin, cos.shape, "the sines")
        if x.shape is not None:
            size = self._size(x.shape)
            count = self._rotated(size)
            at_most(count, size)
            divides(count, 2, "the rotated elements")
            lead = (x.shape[0], x.shape[1 if len(x.shape) == 3 else 2])
            same_dims(ids, lead, "position_ids")
            positions = lead if ids is None else cos.dims[:1]
            same_dims(cos, (*positions, count // 2), "the cosines")
        return like(x)

    def express(self, write: Body, opset: int, x: Value, *extras: Value) -> Any:
        del opset
        size = number(self._size(x.type.dims))
        if size is None:
            return "the length of a head is not known before running"
        cos, sin, *ids = extras
        packed = len(x.type.dims) == 3
        a = write.reshape(x, (0, 0, -1, size)) if packed else write.transpose(x, 0, 2, 1, 3)
        if ids:
            cos, sin = (write("Gather", t, ids[0], axis=0) for t in (cos, sin))
        c, s = (write("Unsqueeze", t, write.ints(2)) for t in (cos, sin))
        count = self.rotary_embedding_dim or size
        half, step = (1, 2) if self.interleaved else (count // 2, 1)
        ends = (count, count) if self.interleaved else (half, count)
        one, two = (write.slice(a, 3, n * half, ends[n], step) for n in (0, 1))
        real = write("Sub", write("Mul", c, one), write("Mul", s, two))
        imaginary = write("Add", write("Mul", s, one), write("Mul", c, two))
        if self.interleaved:
            pair = (write("Unsqueeze", v, write.ints(4)) for v in (real, imaginary))
            made = write.reshape(write("Concat", *pair, axis=4), (0, 0, 0, -1))
        else:
            made = write("Concat", real, imaginary, axis=3)
        if count < size:
            made = write("Concat", made, write.slice(a, 3, count, size), axis=3)
        return write.reshape(made, (0, 0, -1)) if packed else write.transpose(made, 0, 2, 1, 3)

    def _size(self, shape: Sequence[Expr]) -> Expr:
        """The length of a head."""
        if len(shape) == 4:
            return shape[3]
        if not self.num_heads:
            raise refuse("E0341", "a 3-D input needs num_heads", self.num_heads)
        divides(shape[2], self.num_heads, "the elements")
        return shape[2] // self.num_heads

    def _rotated(self, size: Expr) -> Expr:
        return const(self.rotary_embedding_dim) if self.rotary_embedding_dim else size

    @quiet
    def reference(self, x: Array, cos: Array, sin: Array, ids: Array | None = None) -> Array:
        a = widen(x)
        if x.ndim == 3:
            a = a.reshape(*a.shape[:2], self.num_heads or 1, -1)
        else:
            a = a.swapaxes(1, 2)
        c, s = (
            widen(t if ids is None else t[wrapped(ids, len(t))])[:, :, None] for t in (cos, sin)
        )
        count = self.rotary_embedding_dim or a.shape[3]
        turned, rest = a[..., :count], a[..., count:]
        if self.interleaved:
            one, two = turned[..., ::2], turned[..., 1::2]
        else:
            one, two = np.split(turned, 2, axis=-1)
        real, imaginary = c * one - s * two, s * one + c * two
        if self.interleaved:
            made = np.stack([real, imaginary], axis=-1).reshape(turned.shape)
        else:
            made = np.concatenate([real, imaginary], axis=-1)
        y = np.concatenate([made, rest], axis=-1)
        return settle(y.reshape(x.shape) if x.ndim == 3 else y.swapaxes(1, 2), x.dtype)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        has_ids = len(inputs) > 3 and inputs[3] is not None
        return [Counted(3, data, 0) for data in (1, 2)] if has_ids else []

    def at(
        self, idx: Index, x: Operand, cos: Operand, sin: Operand, ids: Operand | None = None
    ) -> Expr:
        size = self._size(x.shape)
        count = self._rotated(size)
        packed = x.rank == 3
        batch, place = idx[0], idx[1] if packed else idx[2]
        d = idx[2] % size if packed else idx[3]
        first = mod(d, 2) < 1 if self.interleaved else d < count // 2
        pair = d // 2 if self.interleaved else where(first, d, d - count // 2)
        pair = where(d < count, pair, const(0))
        one, two = (pair * 2, pair * 2 + 1) if self.interleaved else (pair, pair + count // 2)

        def read(at: Expr) -> Expr:
            return lift(x[(batch, place, idx[2] - d + at) if packed else (*idx[:3], at)])

        where_from: Subscripts = (batch, place, pair)
        if ids is not None:
            where_from = (wrap(cast(ids[(batch, place)], INDEX), cos.shape[0]), pair)
        c, s = lift(cos[where_from]), lift(sin[where_from])
        turned = where(first, c * read(one) - s * read(two), s * read(one) + c * read(two))
        return cast(where(d < count, turned, lift(x[idx])), x.dtype)


class TensorScatter(Op):
    """A cache with new rows written at each sample's index, wrapping round where circular."""

    since = 24
    tolerance = "exact"
    axis: int = -2
    mode: str = "linear"

    def infer(self, cache: Type, update: Type, indices: Type | None = None) -> Type:
        if self.mode not in ("linear", "circular"):
            raise refuse("E0341", "`mode` is unknown", self.mode, "linear, circular")
        common_dtype(cache, update)
        if cache.shape is None:
            return like(cache)
        axis = axis_of(self.axis, len(cache.shape))
        if axis == 0:
            raise refuse("E0341", "`axis` cannot be the batch", self.axis)
        same_dims(indices, cache.shape[:1], "write_indices")
        if update.shape is not None:
            need_rank(update, len(cache.shape), len(cache.shape), "the update")
            at_most(update.shape[axis], cache.shape[axis])
            same_dims(update, place(cache.shape, (axis,), (update.shape[axis],)), "the update")
        return like(cache)

    def reference(self, cache: Array, update: Array, indices: Array | None = None) -> Array:
        axis = axis_of(self.axis, cache.ndim)
        length, most = update.shape[axis], cache.shape[axis]
        starts = np.zeros(len(cache), np.int64) if indices is None else indices
        y = cache.copy()
        for b, start in enumerate(starts.tolist()):
            rows = start + np.arange(length)
            if self.mode == "circular":
                rows = rows % most
            elif length and (start < 0 or start + length > most):
                given = f"{length} rows from {start}"
                raise RuntimeException("E0404", "rows outside the cache", given=given, wanted=most)
            y[b][(slice(None),) * (axis - 1) + (rows,)] = update[b]
        return y

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        cache = inputs[0]
        if self.mode == "circular" or len(inputs) < 3 or inputs[2] is None or cache is None:
            return []
        axis = axis_of(self.axis, len(cache.dims))
        return [Counted(2, 0, axis, from_end=False, window=1)]

    def at(
        self, idx: Index, cache: Operand, update: Operand, indices: Operand | None = None
    ) -> Expr:
        axis = axis_of(self.axis, cache.rank)
        start = const(0) if indices is None else cast(indices[idx[0]], INDEX)
        row = idx[axis] - start
        if self.mode == "circular":
            row = mod(row, cache.shape[axis])
        inside = both([const(0) <= row, row < update.shape[axis]])
        return where(inside, update[(*idx[:axis], row, *idx[axis + 1 :])], cache[idx])


class CausalConvWithState(Op):
    """A convolution of each channel over itself and the past, and the past for the next call."""

    since = 27
    tolerance = "reduction"
    activation: str = "none"

    def infer(self, x: Type, w: Type, bias: Type | None = None, past: Type | None = None) -> Any:
        if self.activation not in ("none", "silu", "swish"):
            raise refuse("E0341", "`activation` is unknown", self.activation, "none, silu, swish")
        need_rank(x, 3, 3)
        need_rank(w, 3, 3, "the weights")
        if x.shape is None or w.shape is None:
            return like(x), Type(x.dtype)
        state = (*x.shape[:2], w.shape[2] - 1)
        same_dims(w, (x.shape[1], const(1), w.shape[2]), "the weights")
        same_dims(bias, x.shape[1:2], "the bias")
        same_dims(past, state, "the past")
        return like(x), Type(x.dtype, state)

    @quiet
    def reference(
        self, x: Array, w: Array, bias: Array | None = None, past: Array | None = None
    ) -> Any:
        size, length = w.shape[2], x.shape[2]
        before = np.zeros((*x.shape[:2], size - 1), x.dtype) if past is None else past
        whole = np.concatenate([before, x], axis=2)
        a, kernel = widen(whole), widen(w)[:, 0]
        y = sum(a[:, :, k : k + length] * kernel[:, k, None] for k in range(size))
        y = np.asarray(y) if bias is None else y + widen(bias)[:, None]
        if self.activation != "none":
            y = y / (1 + np.exp(-y))
        return settle(y, x.dtype), whole[:, :, whole.shape[2] - (size - 1) :]

    def express(self, write: Body, opset: int, *inputs: Value | None) -> Any:
        del opset
        x, w, bias, past = filled(inputs, 4)
        size, channels = number(w.type.dims[2]), number(w.type.dims[0])
        if size is None or channels is None:
            return "the shape of its weights is not known before running"
        if past is None:
            whole = write("Pad", x, write.ints(0, 0, size - 1, 0, 0, 0))
        else:
            whole = write("Concat", past, x, axis=2)
        y = write("Conv", whole, w, bias, group=channels)
        if self.activation != "none":
            y = write("Mul", y, write("Sigmoid", y))
        most = np.iinfo(np.int64).max
        length = write("Unsqueeze", write.size(x, 2), write.ints(0))
        return y, write("Slice", whole, length, write.ints(most), write.ints(2))

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        """The output, or the state (1)."""
        x, w, bias, past = filled(inputs, 4)
        before = w.shape[2] - 1

        def read(position: Expr) -> Expr:
            """The element at a position counted from the first of `x`."""
            now = x[(*idx[:2], position)]
            if past is None:
                return where(const(0) <= position, now, 0)
            return where(const(0) <= position, now, past[(*idx[:2], position + before)])

        if which:
            return read(idx[2] + x.shape[2] - before)
        y = total(
            "add",
            w.shape[2:],
            lambda k: lift(read(idx[2] + k[0] - before)) * lift(w[(idx[1], 0, k[0])]),
        )
        if bias is not None:
            y = y + lift(bias[idx[1]])
        if self.activation != "none":
            y = y * unary("sigmoid", y)
        return cast(y, x.dtype)

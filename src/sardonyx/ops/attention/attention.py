"""Scaled dot-product attention, with grouped heads, caches, masks and windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, const, maximum, number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Counted, Op
from sardonyx.ops.attention.weights import AttentionWeights
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.nest import filled, some
from sardonyx.ops.base.shapes import (
    Dims,
    assume,
    at_most,
    check_lengths,
    divides,
    fit_into,
    need_rank,
    refuse,
    same_dim,
    same_dims,
    same_shape,
)


class AttentionV23(Op):
    """Attention of opsets 23 and 24, without windows.

    Q, K and V are [batch, heads, length, size] or, with the heads packed into the last axis,
    [batch, length, heads * size]. Past keys and values are put before the present ones.
    """

    tolerance = "reduction"
    left_window_size = -1
    right_window_size = -1
    is_causal: int = 0
    kv_num_heads: int | None = None
    q_num_heads: int | None = None
    qk_matmul_output_mode: int = 0
    scale: float | None = None
    softcap: float = 0.0
    softmax_precision: int | None = None

    def weights(self) -> AttentionWeights:
        """The masked softmax as an op."""
        return AttentionWeights(
            causal=self.is_causal,
            left=self.left_window_size,
            right=self.right_window_size,
            softcap=self.softcap,
            precision=self.softmax_precision or 0,
        )

    def _heads(self, x: Type, heads: int | None, what: str) -> tuple[Expr, ...]:
        """The dims [batch, heads, length, size] of Q, K or V."""
        need_rank(x, 3, 4, what)
        dims = x.dims
        if len(dims) == 4:
            return dims
        if not heads or heads < 1:
            raise refuse("E0341", "3-D inputs need q_num_heads and kv_num_heads", heads)
        divides(dims[2], heads, f"the elements of {what}")
        return (dims[0], dims[1].like(heads), dims[1], dims[2] // heads)

    def infer(self, q: Type, k: Type, v: Type, *extras: Type | None) -> Any:
        mask, past_k, past_v, lengths = filled(extras, 4)
        if (past_k is None) != (past_v is None):
            raise refuse("E0343", "past keys and past values must be given together")
        kinds = (q.dtype, k.dtype, v.dtype)
        if q.shape is None or k.shape is None or v.shape is None:
            return some(self.outputs, *(Type(d) for d in (*kinds, q.dtype)))
        if not 0 <= self.qk_matmul_output_mode < 4:
            given = self.qk_matmul_output_mode
            raise refuse("E0341", "`qk_matmul_output_mode` is unknown", given, "0 to 3")
        check_scale(self.scale)
        own = self._heads(q, self.q_num_heads, "Q")
        key = self._heads(k, self.kv_num_heads, "K")
        value = self._heads(v, self.kv_num_heads, "V")
        check_heads(own, key, value)
        length = key[2]
        if past_k is not None and past_k.shape is not None:
            need_rank(past_k, 4, 4, "past_key")
            past = past_k.shape[2]
            same_dims(past_k, (*key[:2], past, key[3]), "past_key")
            same_dims(past_v, (*value[:2], past, value[3]), "past_value")
            length = length + past
        if past_k is None or past_k.shape is not None:
            _check_mask(mask, (*own[:3], length))
        same_dims(lengths, own[:1], "nonpad_kv_seqlen")
        y = (*own[:3], value[3])
        if len(q.shape) == 3:
            y = (own[0], own[2], own[1] * value[3])
        return some(
            self.outputs,
            Type(q.dtype, y),
            Type(k.dtype, (*key[:2], length, key[3])),
            Type(v.dtype, (*value[:2], length, value[3])),
            Type(q.dtype, (*own[:3], length)),
        )

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        keys, lengths = inputs[1], filled(inputs[3:], 4)[3]
        if lengths is None or keys is None or keys.shape is None:
            return []
        return [Counted(6, 1, len(keys.shape) - 2, from_end=False, ends=True)]

    @quiet
    def reference(self, q: Array, k: Array, v: Array, *extras: Array | None) -> Any:
        mask, past_k, past_v, lengths = filled(extras, 4)
        own = _split(q, self.q_num_heads)
        key, value = (_split(x, self.kv_num_heads) for x in (k, v))
        if past_k is not None and past_v is not None:
            key = np.concatenate([past_k, key], axis=2)
            value = np.concatenate([past_v, value], axis=2)
        if lengths is not None:
            check_lengths(lengths, key.shape[2])
        scale = 1 / math.sqrt(own.shape[3]) if self.scale is None else self.scale
        part = widen(own).dtype.type(math.sqrt(scale))
        groups = own.shape[1] // key.shape[1]
        grouped = (widen(own) * part).reshape(len(own), key.shape[1], groups, *own.shape[2:])
        scores = np.matmul(grouped, (widen(key) * part)[:, :, None].swapaxes(-1, -2))
        scores = scores.reshape(*own.shape[:3], key.shape[2])
        made = self.weights().steps(scores, mask, lengths, past_k)
        weights = made[-1].reshape(*grouped.shape[:-1], key.shape[2])
        y = np.matmul(weights.astype(scores.dtype), widen(value)[:, :, None])
        y = y.reshape(*own.shape[:3], value.shape[3])
        if q.ndim == 3:
            y = y.swapaxes(1, 2).reshape(len(y), y.shape[2], -1)
        shown = (scores, *made)[self.qk_matmul_output_mode]
        return some(self.outputs, settle(y, q.dtype), key, value, settle(shown, q.dtype))

    def expand(self, graph: Graph, q: Value, k: Value, v: Value, *extras: Value | None) -> Any:
        """Two MatMuls about AttentionWeights; None where the heads' numbers are not known."""
        mask, past_k, past_v, lengths = filled(extras, 4)
        if any(x.type.shape is None for x in (q, k, v)):
            return None
        own = self._heads(q.type, self.q_num_heads, "Q")
        key = self._heads(k.type, self.kv_num_heads, "K")
        heads, shared, size = number(own[1]), number(key[1]), number(own[3])
        if heads is None or shared is None or size is None:
            return None
        body = Body(graph, "attention")
        keys = _unpacked(body, k, shared, past_k)
        values = _unpacked(body, v, shared, past_v)
        part = math.sqrt(1 / math.sqrt(size) if self.scale is None else self.scale)
        assert q.type.dtype is not None
        factor = body.constant(np.array(part, q.type.dtype.numpy))
        queries = body("Mul", _unpacked(body, q, heads, None), factor)
        right = body("Mul", keys, factor)
        left, picked = queries, values
        groups = heads // shared
        if groups > 1:
            left = body.reshape(left, (0, shared, groups, -1, size))
            right = body.reshape(right, (0, shared, 1, -1, size))
            picked = body.reshape(values, (0, shared, 1, -1, number(values.type.dims[3]) or -1))
        order = (*range(len(right.type.dims) - 2), len(right.type.dims) - 1)
        turned = body.transpose(right, *order, len(right.type.dims) - 2)
        scores = body("MatMul", left, turned)
        weights = body(self.weights(), scores, mask, lengths, past_k)
        y = self._packed(body, body("MatMul", weights, picked), len(q.type.dims), heads)
        if self.outputs < 4:
            return (y, keys, values)[: max(1, self.outputs)]
        shown = replace(self.weights(), stage=self.qk_matmul_output_mode, merged=int(groups > 1))
        return y, keys, values, body(shown, scores, mask, lengths, past_k)

    def _packed(self, body: Body, y: Value, rank: int, heads: int) -> Value:
        """The output in the layout of the inputs."""
        grouped = len(y.type.dims) == 5
        if rank == 4:
            size = number(y.type.dims[-1])
            return body.reshape(y, (0, heads, -1, size or 0)) if grouped else y
        turned = body.transpose(y, *((0, 3, 1, 2, 4) if grouped else (0, 2, 1, 3)))
        return body.reshape(turned, (0, 0, -1))


class Attention(AttentionV23):
    """softmax(Q K' * scale + bias) V for every head; a query sees a window of keys, -1 for all."""

    since = 25
    left_window_size: int = -1
    right_window_size: int = -1


def check_heads(own: Dims, key: Dims, value: Dims) -> None:
    """The dims [batch, heads, length, size] of Q, K and V must fit."""
    same_shape((own[0], *key[1:3]), (key[0], *value[1:3]))
    same_dim(own[0], value[0])
    same_dim(own[3], key[3])
    groups, rest = number(own[1] // key[1]), number(own[1] % key[1])
    if rest or groups == 0:
        raise refuse("E0341", "the heads of Q do not divide by those of K", own[1], key[1])
    if rest is None:
        assume(own[1] % maximum(key[1], 1), const(0))


def check_scale(scale: float | None) -> None:
    """Both sides of a product take the root of the scale: E0341 where it has none."""
    if scale is not None and not scale >= 0:
        raise refuse("E0341", "`scale` has no root", scale, "0 or more")


def _check_mask(mask: Type | None, scores: Dims) -> None:
    """A mask must broadcast to the scores, of which it may leave out the last keys."""
    if mask is not None and not (mask.dtype is None or mask.dtype.is_float or mask.dtype.is_bool):
        raise refuse("E0323", "a mask is of bools or is added", mask.dtype)
    if mask is not None and mask.shape is not None:
        need_rank(mask, 1, 4, "the mask")
        at_most(mask.shape[-1], scores[-1])
        fit_into(mask.with_shape(mask.shape[:-1]), scores[:-1], "the mask")


def _split(x: Array, heads: int | None) -> Array:
    """[batch, heads, length, size] of an array that may have the heads packed."""
    if x.ndim == 4:
        return x
    assert heads is not None
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _unpacked(body: Body, x: Value, heads: int, past: Value | None) -> Value:
    """The same as nodes, what is past put before it."""
    if len(x.type.dims) == 3:
        x = body.transpose(body.reshape(x, (0, 0, heads, -1)), 0, 2, 1, 3)
    return x if past is None else body("Concat", past, x, axis=2)

"""Attention without softmax: a state that keys and values write, and queries read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, eq, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.nest import filled
from sardonyx.ops.base.shapes import (
    divides,
    fit_into,
    need_rank,
    refuse,
    same_dim,
    same_dims,
    same_shape,
)

_RULES = ("linear", "gated", "delta", "gated_delta")


class LinearAttention(Op, kw_only=True):
    """A state of keys times values, updated at every step and read by the queries.

    Query, key and value are [batch, steps, heads * size]; the state is [batch, heads, key size,
    value size]. Gated rules shrink it by exp(decay); delta rules write what it lacks.
    """

    since = 27
    tolerance = "reduction"
    kv_num_heads: int
    q_num_heads: int
    chunk_size: int = 64
    scale: float = 0.0
    update_rule: str = "gated_delta"

    def infer(self, q: Type, k: Type, v: Type, *extras: Type | None) -> Any:
        self._check(*extras)
        for x in (q, k, v):
            need_rank(x, 3, 3, "query, key and value")
        past = extras[0] if extras else None
        kept = q.dtype if past is None else past.dtype
        if q.shape is None or k.shape is None or v.shape is None:
            return Type(q.dtype), Type(kept)
        size, wide = (k.shape[2] // self.kv_num_heads, v.shape[2] // self.kv_num_heads)
        heads = q.shape[0].like(self.kv_num_heads)
        for x in (q, k, v):
            heads_of = self.q_num_heads if x is q else self.kv_num_heads
            divides(x.dims[2], heads_of, "the elements")
            same_dims(x, (*q.shape[:2], x.dims[2]), "query, key and value")
        same_dim(q.shape[2] // self.q_num_heads, size)
        y = Type(q.dtype, (*q.shape[:2], wide * self.q_num_heads))
        state = (q.shape[0], heads, size, wide)
        same_dims(past, state, "the past")
        self._check_gates(q, size, *filled(extras, 3)[1:])
        return y, Type(kept, state)

    def _check_gates(self, q: Type, size: Expr, decay: Type | None, beta: Type | None) -> None:
        """A gate of each step has one number for each head; a decay may have one for each row of
        the state instead.
        """
        heads = q.dims[0].like(self.kv_num_heads)
        if beta is not None and beta.shape is not None:
            need_rank(beta, 3, 3, "beta")
            same_shape(beta.shape[:2], q.dims[:2])
            fit_into(beta.with_shape(beta.shape[2:]), (heads,), "beta")
        if decay is not None and decay.shape is not None:
            need_rank(decay, 3, 3, "decay")
            wide = heads * size
            own = where(eq(decay.dims[2], heads), wide, decay.dims[2])
            same_shape((*decay.dims[:2], own), (*q.dims[:2], wide))

    def _check(self, *extras: object) -> None:
        if self.update_rule not in _RULES:
            raise refuse("E0341", "`update_rule` is unknown", self.update_rule, ", ".join(_RULES))
        if min(self.kv_num_heads, self.q_num_heads) < 1 or self.q_num_heads % self.kv_num_heads:
            given = f"{self.q_num_heads} and {self.kv_num_heads}"
            raise refuse("E0341", "the heads of the queries do not divide by those of keys", given)
        _, decay, beta = filled(extras, 3)
        needs = ("gated" in self.update_rule, "delta" in self.update_rule)
        if (decay is not None, beta is not None) != needs:
            wanted = f"decay: {needs[0]}, beta: {needs[1]}"
            raise refuse("E0341", f"inputs do not fit the rule {self.update_rule}", wanted=wanted)

    @quiet
    def reference(self, q: Array, k: Array, v: Array, *extras: Array | None) -> Any:
        self._check(*extras)
        past, decay, beta = filled(extras, 3)
        batch, steps, _ = q.shape
        own = widen(q).reshape(batch, steps, self.kv_num_heads, -1, q.shape[2] // self.q_num_heads)
        key, value = (widen(x).reshape(batch, steps, self.kv_num_heads, -1) for x in (k, v))
        scale = self.scale or 1 / math.sqrt(own.shape[-1])
        shape = (batch, self.kv_num_heads, key.shape[3], value.shape[3])
        state = np.zeros(shape, own.dtype) if past is None else widen(past)
        rows = []
        for t in range(steps):
            written = value[:, t]
            if decay is not None:
                gate = widen(decay[:, t]).reshape(batch, self.kv_num_heads, -1)
                state = state * np.exp(gate)[..., None]
            if beta is not None:
                found = np.matmul(key[:, t, :, None], state)[:, :, 0]
                written = widen(beta[:, t])[..., None] * (written - found)
            state = state + key[:, t, :, :, None] * written[:, :, None]
            rows.append(np.matmul(own[:, t], state) * own.dtype.type(scale))
        y = np.stack(rows, 1) if rows else np.zeros((batch, 0, self.q_num_heads, shape[3]))
        y = y.reshape(batch, steps, self.q_num_heads * shape[3])
        return settle(y, q.dtype), settle(state, q.dtype if past is None else past.dtype)

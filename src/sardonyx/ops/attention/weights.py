"""The masked softmax at the heart of attention, as an op of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, cast, const, eq, exp, minimum, unary, where
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Subscripts
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import both, total
from sardonyx.ops.base.shapes import like


class AttentionWeights(Op):
    """softmax over the keys that each query may see; zeros where it may see none.

    Inputs: scores [batch, heads, queries, keys] (heads may be two axes, shared and groups); a mask
    that broadcasts to them, bool (may be seen) or added, shorter ones ending the keys; lengths
    [batch], the keys that are no padding; the past keys, of which only the number matters.
    `stage` stops before: 0 gives the scores, 1 capped ones, 2 those with the mask, 3 the weights.
    `merged` makes one axis of the heads' two in the output.
    """

    domain = "ai.sardonyx"
    since = 1
    tolerance = "reduction"
    causal: int = 0
    left: int = -1
    right: int = -1
    softcap: float = 0.0
    precision: int = 0
    stage: int = 3
    merged: int = 0

    def infer(self, scores: Type, *extras: Type | None) -> Type:
        del extras
        if not self.merged:
            return like(scores)
        batch, shared, groups, *rest = scores.dims
        return scores.with_shape((batch, shared * groups, *rest))

    @quiet
    def reference(
        self,
        scores: Array,
        mask: Array | None = None,
        lengths: Array | None = None,
        past: Array | None = None,
    ) -> Array:
        flat = scores.reshape(len(scores), -1, *scores.shape[-2:])
        wide = widen(flat)
        found = (wide, *self.steps(wide, mask, lengths, past))[self.stage]
        shape = flat.shape if self.merged else scores.shape
        return settle(found.reshape(shape), scores.dtype)

    def steps(
        self, scores: Array, mask: Array | None, lengths: Array | None, past: Array | None
    ) -> tuple[Array, Array, Array]:
        """The capped scores, those with the mask, and the weights."""
        capped = scores
        if self.softcap > 0:
            cap = scores.dtype.type(self.softcap)
            capped = np.tanh(scores / cap) * cap
        biased = np.where(self._seen(scores.shape, lengths, past), capped, -np.inf)
        if mask is not None:
            biased = _masked(biased, mask)
        biased = biased.astype(scores.dtype)
        a = biased.astype(DType.from_onnx(self.precision).numpy) if self.precision else biased
        a = widen(a)
        top = a.max(axis=-1, keepdims=True, initial=-np.inf)
        e = np.exp(a - np.where(np.isneginf(top), 0, top))
        sum_of = e.sum(axis=-1, keepdims=True)
        return capped, biased, e / np.where(sum_of == 0, 1, sum_of)

    def _seen(self, shape: tuple[int, ...], lengths: Array | None, past: Array | None) -> Array:
        i, j = np.arange(shape[2])[:, None], np.arange(shape[3])[None]
        offset = np.zeros((1, 1, 1, 1), np.int64)
        if past is not None:
            offset = offset + past.shape[2]
        elif lengths is not None:
            offset = lengths.astype(np.int64).reshape(-1, 1, 1, 1) - shape[2]
        seen = np.ones((1, 1, *shape[2:]), bool)
        if self.causal:
            seen = seen & (j <= i + offset)
        if self.left >= 0:
            seen = seen & (i + offset - self.left <= j)
        if self.right >= 0:
            seen = seen & (j <= i + offset + self.right)
        if lengths is not None:
            seen = seen & (j < lengths.reshape(-1, 1, 1, 1))
        return seen

    def at(
        self,
        idx: Index,
        scores: Operand,
        mask: Operand | None = None,
        lengths: Operand | None = None,
        past: Operand | None = None,
    ) -> Expr:
        precision = DType.from_onnx(self.precision) if self.precision else None
        wide = DType.FLOAT64 if precision is DType.FLOAT64 else None

        def score(k: Subscripts) -> Expr:
            at = (*idx[:-1], k[0])
            value = lift(scores[self._split(at, scores)])
            if self.softcap > 0 and self.stage > 0:
                value = unary("tanh", value / self.softcap) * self.softcap
            if self.stage > 1:
                seen = self._seen_at(at, scores, lengths, past)
                value = _mask_at(value, seen, at, idx.shape, mask)
            return value if wide is None else cast(value, wide)

        if self.stage < 3:
            return cast(score((idx[-1],)), scores.dtype)
        keys = scores.shape[-1:]
        top = total("max", keys, score)
        nothing = top.like(-float("inf"))
        safe = where(eq(top, nothing), top.like(0.0), top)
        sum_of = total("add", keys, lambda k: exp(score(k) - safe))
        each = exp(score((idx[-1],)) - safe)
        return cast(where(eq(sum_of, 0.0), sum_of, each / sum_of), scores.dtype)

    def _split(self, at: Sequence[Expr], scores: Operand) -> Sequence[Expr]:
        """The subscripts into the scores of an output element's."""
        if not self.merged:
            return at
        groups = scores.shape[2]
        return (at[0], at[1] // groups, at[1] % groups, *at[2:])

    def _seen_at(
        self, at: Sequence[Expr], scores: Operand, lengths: Operand | None, past: Operand | None
    ) -> list[Expr]:
        """The conditions under which a query sees a key."""
        i, j = at[-2], at[-1]
        length = None if lengths is None else cast(lengths[at[0]], INDEX)
        offset = const(0)
        if past is not None:
            offset = past.shape[2]
        elif length is not None:
            offset = length - scores.shape[-2]
        found = []
        if self.causal:
            found.append(j <= i + offset)
        if self.left >= 0:
            found.append(i + offset - self.left <= j)
        if self.right >= 0:
            found.append(j <= i + offset + self.right)
        if length is not None:
            found.append(j < length)
        return found


def _masked(biased: Array, mask: Array) -> Array:
    missing = biased.shape[-1] - mask.shape[-1]
    if missing > 0:
        pads = [*[(0, 0)] * (mask.ndim - 1), (0, missing)]
        mask = np.pad(mask, pads, constant_values=False if mask.dtype == bool else -np.inf)
    if mask.dtype == bool:
        return np.where(mask, biased, -np.inf)
    wide = widen(mask)
    return np.where(np.isneginf(wide), -np.inf, biased + wide)


def _mask_at(
    value: Expr, seen: list[Expr], at: Sequence[Expr], shape: Sequence[Expr], mask: Operand | None
) -> Expr:
    low = value.like(-float("inf"))
    if mask is None:
        return where(both(seen), value, low)
    subscripts, dims = list(at), list(shape)
    if len(subscripts) == 5:
        subscripts = [at[0], at[1] * shape[2] + at[2], *at[3:]]
        dims = [shape[0], shape[1] * shape[2], *shape[3:]]
    own: list[Expr] = []
    for i, d, full in zip(subscripts[-mask.rank :], mask.shape, dims[-mask.rank :], strict=True):
        own.append(i if d is full or (d.is_const and d.arg != 1) else i * minimum(d - 1, 1))
    if mask.shape[-1] is not dims[-1]:
        own[-1] = subscripts[-1]
        seen = [*seen, subscripts[-1] < mask.shape[-1]]
    e = mask[own]
    if mask.dtype.is_bool:
        return where(both(seen) & e, value, low)
    extra = cast(lift(e), value.dtype)
    shown = where(eq(extra, -float("inf")), low, value + extra)
    return where(both(seen), shown, low)

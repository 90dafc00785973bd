"""The masked softmax at the heart of attention, as an op of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import INDEX, Expr, cast, const, eq, exp, minimum, number, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Subscripts
from sardonyx.ops.base.element import is_narrow, lift, quiet, settle, widen
from sardonyx.ops.base.nest import both, filled, total
from sardonyx.ops.base.shapes import like, refuse


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

    def express(self, write: Body, opset: int, *inputs: Value | None) -> Any:
        del opset
        scores, mask, lengths, past = filled(inputs, 4)
        dims = [number(d) for d in self.flat(scores.type.dims)]
        if dims.count(None) > 1:
            return "the shape of its scores is not known before running"
        shape = [-1 if d is None else d for d in dims]
        a = write.reshape(scores, shape) if len(scores.type.dims) == 5 else scores
        narrow = scores.dtype is not None and is_narrow(scores.dtype)
        a = write("Cast", a, to=DType.FLOAT32.value) if narrow else a
        if self.softcap > 0 and self.stage > 0:
            cap = write.number(self.softcap, a)
            a = write("Mul", write("Tanh", write("Div", a, cap)), cap)
        if self.stage > 1:
            a = self._hidden(write, a, mask, lengths, past)
        if self.stage == 3:
            a = self._weighed(write, a)
        a = a if a.dtype is scores.dtype else write("Cast", a, to=scores.dtype.value)
        if len(scores.type.dims) == 5 and not self.merged:
            a = write("Reshape", a, write("Shape", scores))
        return a

    @staticmethod
    def flat(dims: Sequence[Expr]) -> Sequence[Expr]:
        """The dims with one axis of heads."""
        return dims if len(dims) == 4 else (dims[0], dims[1] * dims[2], *dims[3:])

    def _hidden(
        self, write: Body, a: Value, mask: Value | None, lengths: Value | None, past: Value | None
    ) -> Value:
        """The scores of keys that are not seen as -inf, and the mask added."""
        low = write.number(-np.inf, a)
        zero, one = (write.constant(np.int64(n)) for n in (0, 1))
        i, j = (write("Range", zero, write.size(a, n), one) for n in (2, 3))
        i = write("Unsqueeze", i, write.ints(1))
        if lengths is not None:
            every = write.reshape(write("Cast", lengths, to=INDEX.value), (-1, 1, 1, 1))
        if past is not None:
            i = write("Add", i, write.size(past, 2))
        elif lengths is not None:
            i = write("Add", i, write("Sub", every, write.size(a, 2)))
        unseen = [write("Greater", j, i)] if self.causal else []
        if self.left >= 0:
            unseen.append(write("Less", j, write("Sub", i, write.constant(np.int64(self.left)))))
        if self.right >= 0:
            last = write("Add", i, write.constant(np.int64(self.right)))
            unseen.append(write("Greater", j, last))
        if lengths is not None:
            unseen.append(write("Not", write("Less", j, every)))
        for each in unseen:
            a = write("Where", each, low, a)
        return a if mask is None else self._biased(write, a, mask, low)

    def _biased(self, write: Body, a: Value, mask: Value, low: Value) -> Value:
        """The mask added, its missing last keys hidden."""
        keys, given = (number(v.type.dims[-1]) for v in (a, mask))
        is_bool = mask.dtype is DType.BOOL
        if not is_bool and mask.dtype is not a.dtype:
            mask = write("Cast", mask, to=a.dtype.value if a.dtype else 1)
        if keys is None or given is None:
            if mask.type.dims[-1] is not a.type.dims[-1]:
                raise refuse("E0320", "how many keys the mask has is not known before running")
        elif given < keys:
            pads = [*[0] * (2 * len(mask.type.dims) - 1), keys - given]
            fill = None if is_bool else low
            mask = write("Pad", mask, write.ints(*pads), fill)
        return write("Where", mask, a, low) if is_bool else write("Add", a, mask)

    def _weighed(self, write: Body, a: Value) -> Value:
        """The softmax, zeros where nothing is seen."""
        if self.precision:
            a = write("Cast", a, to=self.precision)
            if a.dtype is not None and is_narrow(a.dtype):
                a = write("Cast", a, to=DType.FLOAT32.value)
        over, low = write.ints(3), write.number(-np.inf, a)
        zero = write.number(0, a)
        top = write("ReduceMax", a, over)
        top = write("Where", write("Equal", top, low), zero, top)
        e = write("Exp", write("Sub", a, top))
        added = write("ReduceSum", e, over)
        safe = write("Where", write("Equal", added, zero), write.number(1, a), added)
        return write("Div", e, safe)

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

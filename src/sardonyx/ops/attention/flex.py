"""Attention whose scores and probabilities a model changes by graphs of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value, subgraphs
from sardonyx.graph.op import Op
from sardonyx.ops.attention.attention import check_heads, check_scale
from sardonyx.ops.base.element import is_narrow, settle, widen
from sardonyx.ops.base.shapes import need_rank


def _nests(body: Graph) -> bool:
    """Whether a body has bodies of its own."""
    return any(any(True for _ in subgraphs(node.op)) for node in body.nodes)


def _typed(write: Body, x: Value, to: DType | None) -> Value:
    return x if to is None or x.type.dtype is to else write("Cast", x, to=to.value)


def _shaped(write: Body, x: Value, *dims: Value) -> Value:
    return write("Reshape", x, write("Concat", *dims, axis=0))


def _passed(write: Body, body: Graph | None, x: Value) -> Value:
    """What a body with one input and one output makes of a value."""
    if body is None:
        return x
    known: dict[Value, Value | None] = {body.inputs[0]: x}
    for v in body.initializers.values():
        if v.const is not None:
            known[v] = write.constant(v.const.numpy())
    for node in body.nodes:
        made = write.all(node.op, *(v and known.get(v, v) for v in node.inputs))
        pairs = zip(node.outputs, made, strict=False)
        known.update({old: new for old, new in pairs if old is not None})
    found = known.get(body.outputs[0], body.outputs[0])
    assert found is not None
    return found


class FlexAttention(Op):
    """Attention whose scores and probabilities pass through subgraphs."""

    domain = "ai.onnx.preview"
    since = 1
    tolerance = "reduction"
    prob_mod: Graph | None = None
    scale: float | None = None
    score_mod: Graph | None = None
    softmax_precision: int | None = None

    def infer(self, q: Type, k: Type, v: Type) -> Type:
        check_scale(self.scale)
        for x in (q, k, v):
            need_rank(x, 4, 4, "Q, K and V")
        if q.shape is None or k.shape is None or v.shape is None:
            return Type(v.dtype)
        check_heads(q.shape, k.shape, v.shape)
        return Type(v.dtype, (*q.shape[:3], v.shape[3]))

    def _precision(self, dtype: DType) -> DType:
        """The type of the scores and of the probabilities."""
        if self.softmax_precision is not None:
            return DType.from_onnx(self.softmax_precision)
        return DType.FLOAT32 if is_narrow(dtype) else dtype

    def expand(self, graph: Graph, q: Value, k: Value, v: Value) -> Value | None:
        """Products about a Softmax and the two bodies; None where heads are not known numbers."""
        ranked = all(x.type.shape is not None for x in (q, k, v))
        nested = any(_nests(body) for body in (self.score_mod, self.prob_mod) if body is not None)
        if not ranked or nested or q.type.dtype is None:
            return None
        heads, size = number(q.type.dims[1]), number(q.type.dims[3])
        shared = number(k.type.dims[1])
        if heads is None or size is None or shared is None:
            return None
        write = Body(graph, "attention")
        kind = self._precision(q.type.dtype)
        wide = DType.FLOAT64 if q.type.dtype is DType.FLOAT64 else DType.FLOAT32
        scale = 1 / math.sqrt(size) if self.scale is None else self.scale
        part = write.number(math.sqrt(scale), q)

        rows = write("Shape", q)
        columns = write.slice(write("Shape", k), 0, 2, 3)
        groups = [
            write.slice(rows, 0, 0, 1),
            write.ints(shared, heads // shared),
            write.slice(rows, 0, 2, 3),
        ]
        lead = write.slice(rows, 0, 0, 3)

        own = _typed(write, write("Mul", q, part), wide)
        own = _shaped(write, own, *groups, write.ints(size))
        key = _typed(write, write("Mul", k, part), wide)
        key = write("Unsqueeze", key, write.ints(2))
        scores = write("MatMul", own, write.transpose(key, 0, 1, 2, 4, 3))
        scores = _typed(write, _shaped(write, scores, lead, columns), kind)
        weights = write("Softmax", _passed(write, self.score_mod, scores), axis=-1)
        weights = _passed(write, self.prob_mod, _typed(write, weights, kind))
        weights = _shaped(write, _typed(write, weights, wide), *groups, columns)
        value = write("Unsqueeze", _typed(write, v, wide), write.ints(2))
        y = write("MatMul", weights, value)
        y = _shaped(write, y, lead, write.slice(write("Shape", v), 0, 3, 4))
        return _typed(write, y, v.type.dtype)

    def control(
        self, call: Callable[[Graph, Sequence[Any]], list[Any]], q: Array, k: Array, v: Array
    ) -> Array:
        scale = 1 / math.sqrt(q.shape[3]) if self.scale is None else self.scale
        part = q.dtype.type(math.sqrt(scale))
        groups = q.shape[1] // k.shape[1]
        keys, values = (np.repeat(x, groups, axis=1) for x in (k, v))
        kind = self._precision(DType.from_numpy(q.dtype))
        scores = np.matmul(widen(q * part), widen(keys * part).swapaxes(-1, -2))
        scores = scores.astype(kind.numpy)
        if self.score_mod is not None:
            scores = call(self.score_mod, [scores])[0]
        a = widen(scores)
        e = np.exp(a - a.max(axis=-1, keepdims=True))
        weights = (e / e.sum(axis=-1, keepdims=True)).astype(kind.numpy)
        if self.prob_mod is not None:
            weights = call(self.prob_mod, [weights])[0]
        return settle(np.matmul(widen(weights), widen(values)), v.dtype)

"""Norms with the sums before them, and embeddings."""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.ops.base.shapes import refuse
from sardonyx.ops.microsoft.composed import Composed, Made, Results, integers, like
from sardonyx.ops.microsoft.products import first, last


def _summed(body: Body, x: Value, skip: Value, bias: Made) -> Value:
    total = body("Add", x, skip)
    return total if bias is None else body("Add", total, bias)


class SkipLayerNormalization(Composed):
    """LayerNormalization of input + skip + bias over the last axis, and that sum."""

    epsilon: float = 1e-12

    def compose(
        self, body: Body, x: Value, skip: Value, gamma: Value, beta: Made = None, bias: Made = None
    ) -> Results:
        total = _summed(body, x, skip, bias)
        made = body.all(
            "LayerNormalization", total, gamma, beta, axis=-1, epsilon=self.epsilon, outputs=3
        )
        return *made, total


class SkipSimplifiedLayerNormalization(Composed):
    """RMSNormalization of input + skip + bias over the last axis, and that sum."""

    epsilon: float = 1e-12

    def compose(
        self, body: Body, x: Value, skip: Value, gamma: Value, bias: Made = None
    ) -> Results:
        total = _summed(body, x, skip, bias)
        y = body("RMSNormalization", total, gamma, axis=-1, epsilon=self.epsilon)
        inverse = _inverse_mean_square(body, total, self.epsilon, -1)
        return y, body("Sub", inverse, inverse), inverse, total


class SimplifiedLayerNormalization(Composed):
    """RMSNormalization as ONNX Runtime writes it into the standard's domain."""

    domain = ""
    foreign = True
    axis: int = -1
    epsilon: float = 1e-5
    stash_type: int = 1

    def compose(self, body: Body, x: Value, scale: Value) -> Results:
        y = body("RMSNormalization", x, scale, axis=self.axis, epsilon=self.epsilon)
        return y, _inverse_mean_square(body, x, self.epsilon, self.axis)


def _inverse_mean_square(body: Body, x: Value, epsilon: float, axis: int) -> Value:
    rank = len(x.type.dims)
    wide = body("Cast", x, to=DType.FLOAT32.value)
    axes = integers(body, *range(axis % rank, rank))
    mean = body("ReduceMean", body("Mul", wide, wide), axes)
    return body("Reciprocal", body("Sqrt", body("Add", mean, like(body, mean, epsilon))))


class EmbedLayerNormalization(Composed):
    """The norm of the sum of word, position and segment embeddings, the lengths of a mask, and
    that sum."""

    epsilon: float = 1e-12
    mask_index_type: int | None = None

    def unranked(self, *inputs: Type | None) -> tuple[Type, ...]:
        word = inputs[2]
        assert word is not None
        return Type(word.dtype), Type(DType.INT32), Type(word.dtype)

    def compose(
        self,
        body: Body,
        ids: Value,
        segments: Value | None,
        word: Value,
        position: Value,
        segment: Value | None,
        gamma: Value,
        beta: Value,
        mask: Made = None,
        places: Made = None,
    ) -> Results:
        total = body("Gather", word, ids)
        total = body("Add", total, self._places(body, ids, position, places))
        if segments is not None:
            if segment is None:
                raise refuse("E0341", "segment ids need a table of segments")
            total = body("Add", total, body("Gather", segment, segments))
        y = body("LayerNormalization", total, gamma, beta, axis=-1, epsilon=self.epsilon)
        return y, self._lengths(body, ids, mask), total

    def _places(self, body: Body, ids: Value, position: Value, places: Made) -> Value:
        """The position embeddings: of the ids given, or of 0, 1, 2 …"""
        if places is not None:
            return body("Gather", position, places)
        length = body("Shape", ids, start=1)
        return body("Slice", position, integers(body, 0), length, integers(body, 0))

    def _lengths(self, body: Body, ids: Value, mask: Made) -> Value:
        if mask is None:
            batch = body("Shape", ids, end=1)
            return body("Cast", body("ConstantOfShape", batch), to=DType.INT32.value)
        return body("ReduceSum", mask, integers(body, 1), keepdims=0)


class _Grouped(Composed, kw_only=True, abstract=True):
    activation: int
    channels_last: int = 1
    epsilon: float = 1e-5
    groups: int

    def normalise(self, body: Body, x: Value, gamma: Value, beta: Value) -> Value:
        """The norm and its activation."""
        a = first(body, x) if self.channels_last else x
        assert a.type.dtype is not None
        own = [body("Cast", v, to=a.type.dtype.value) for v in (gamma, beta)]
        y = body("GroupNormalization", a, *own, epsilon=self.epsilon, num_groups=self.groups)
        if self.activation:
            y = body("Mul", y, body("Sigmoid", y))
        return last(body, y) if self.channels_last else y


class GroupNorm(_Grouped, kw_only=True):
    """GroupNormalization of an image whose channels are last, or second, and Swish."""

    def compose(self, body: Body, x: Value, gamma: Value, beta: Value) -> Value:
        return self.normalise(body, x, gamma, beta)


class SkipGroupNorm(_Grouped, kw_only=True):
    """GroupNorm of x + skip + bias, and that sum."""

    def compose(
        self, body: Body, x: Value, gamma: Value, beta: Value, skip: Value, bias: Made = None
    ) -> Results:
        lined = len(skip.type.dims) == 2
        if lined:
            skip = body(
                "Unsqueeze", skip, integers(body, *((1, 2) if self.channels_last else (2, 3)))
            )
        if bias is not None:
            skip = body("Add", skip, bias if self.channels_last else body.reshape(bias, (-1, 1, 1)))
        total = body("Add", x, skip)
        return self.normalise(body, total, gamma, beta), total

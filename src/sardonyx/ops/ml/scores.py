"""What the models of ai.onnx.ml share: tables of features, class labels, transforms of scores.

Where the standard is silent (ties, NaN, one score for two classes) it is as in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, binary, const, eq, exp, reduce, sqrt, unary, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import Dims, clamp, like, need_rank, refuse

# In the order of the numbers that TreeEnsemble has for them.
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

# The constants of Winitzki's formula for the inverse of erf, with the digits of ONNX Runtime.
_A, _B = np.float32(2) / (np.float32(3.14159) * np.float32(0.147)), 1 / np.float32(0.147)
_ROOT = np.float32(1.41421356)
_TINY = np.float32(0.0000001)


class Tabular(Op, abstract=True):
    """An operator of ai.onnx.ml."""

    domain = "ai.onnx.ml"


def one_of(value: str, choices: Sequence[str], what: str) -> str:
    """The value; E0341 where it is not one of the choices."""
    if value not in choices:
        raise refuse("E0341", f"`{what}` is unknown", value, ", ".join(choices))
    return value


def table_dims(x: Type) -> Dims | None:
    """Rows and features of [N, F] or [F]; None where the rank is unknown."""
    need_rank(x, 1, 2, "X")
    if x.shape is None:
        return None
    return x.shape if len(x.shape) == 2 else (const(1), *x.shape)


def table(x: Array) -> Array:
    """The rows as floats: float64 as they are, anything else as float32."""
    rows = x.reshape(1, -1) if x.ndim == 1 else x
    return rows if x.dtype == np.float64 else rows.astype(np.float32)


def table_of(body: Body, x: Value, dtype: DType | None = None) -> Value:
    """`table` as nodes; of another type where one is given."""
    dtype = dtype or (DType.FLOAT64 if x.type.dtype is DType.FLOAT64 else DType.FLOAT32)
    if x.type.dtype is not dtype:
        x = body("Cast", x, to=dtype.value)
    return body.reshape(x, (1, -1)) if x.type.rank == 1 else x


# Labels.


def labels(ints: Sequence[int] | None, strings: Sequence[str] | None) -> Array:
    """The class labels, of which one kind must be given; E0341 otherwise."""
    if bool(ints) == bool(strings):
        raise refuse("E0341", "class labels are either integers or strings, one kind of them")
    if strings:
        return np.array([*strings, ""], object)[:-1]
    return np.array(ints, np.int64)


def label_type(found: Array, dims: Dims | None) -> Type:
    """The type of the labels of all rows."""
    dtype = DType.STRING if found.dtype == object else DType.INT64
    return Type(dtype, None if dims is None else dims[:1])


def either(found: Array) -> Array:
    """The negative and the positive label of a model with one score."""
    if len(found) == 2:
        return found
    return np.array(["0", "1"] if found.dtype == object else [0, 1], found.dtype)


def top(scores: Array) -> Array:
    """The column of the greatest score of each row, the first of equal ones; NaN is never greater.

    Where the first score is NaN, it is the first column.
    """
    clean = np.where(np.isnan(scores), -np.inf, scores)
    clean[:, :1] = np.where(np.isnan(scores[:, :1]), np.inf, scores[:, :1])
    return np.asarray(np.argmax(clean, axis=1))


class TopClass(Op):
    """`top` as an operator."""

    domain = "ai.sardonyx"
    tolerance = "exact"

    def infer(self, scores: Type) -> Type:
        return Type(DType.INT64, scores.dims[:1])

    def reference(self, scores: Array) -> Array:
        return top(scores).astype(np.int64)

    def at(self, idx: Index, scores: Operand) -> Expr:
        def clean(k: Expr) -> Expr:
            e = scores[idx[0], k]
            return where(unary("isnan", e), e.like(-np.inf), e)

        columns, first = scores.shape[1], scores[idx[0], const(0)]
        best = reduce("max", columns, clean)
        place = reduce("min", columns, lambda k: where(eq(clean(k), best), k, columns))
        return where(unary("isnan", first), const(0), place)


class Label(Op):
    """The labels [classes] at places, which are among them."""

    domain = "ai.sardonyx"
    tolerance = "exact"

    def infer(self, place: Type, found: Type) -> Type:
        return like(place, found.dtype)

    def reference(self, place: Array, found: Array) -> Array:
        return np.asarray(found[place])

    def at(self, idx: Index, place: Operand, found: Operand) -> Expr:
        return found[clamp(place[idx], 0, found.shape[0] - 1)]


def chosen(body: Body, found: Array, place: Value) -> Value:
    """The labels at the places, as nodes."""
    return body(Label(), place, body.constant(found))


# Transforms.


@quiet
def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), as exact on both sides of 0."""
    v = 1 / (1 + np.exp(-np.abs(x)))
    return np.asarray(np.where(x < 0, 1 - v, v), x.dtype)


@quiet
def probit(x: Array) -> Array:
    """The quantile of the normal distribution, by Winitzki's formula in float32."""
    y = 2 * x.astype(np.float32) - 1
    log = np.log((1 - y) * (1 + y))
    v = _A + np.float32(0.5) * log
    found = np.sqrt(np.sqrt(v * v - _B * log) - v)
    return np.asarray(_ROOT * np.where(y < 0, -found, found), x.dtype)


@quiet
def softmax(x: Array, *, zeros: bool = False) -> Array:
    """exp(x - max) / sum of each row; with `zeros`, what is near 0 stays so and does not count."""
    most = np.fmax.reduce(x, axis=1, keepdims=True, initial=np.finfo(x.dtype).min)
    raised = np.exp(x - most)
    if not zeros:
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), x.dtype)
    near = ~((x > _TINY) | (x < -_TINY))
    total = np.where(near, 0, raised).sum(axis=1, keepdims=True)
    return np.asarray(np.where(near, x * np.exp(-most), raised) / total, x.dtype)


def transformed(scores: Array, kind: str) -> Array:
    """The scores [N, C] after a transform."""
    if kind in ("SOFTMAX", "SOFTMAX_ZERO"):
        return softmax(scores, zeros=kind == "SOFTMAX_ZERO")
    of: dict[str, Callable[[Array], Array]] = {"LOGISTIC": logistic, "PROBIT": probit}
    return of[kind](scores) if kind in of else scores


class PostTransform(Op):
    """`transformed` as an operator."""

    domain = "ai.sardonyx"
    kind: str = "NONE"

    def infer(self, scores: Type) -> Type:
        return like(scores)

    def reference(self, scores: Array) -> Array:
        return transformed(scores, self.kind)

    def at(self, idx: Index, scores: Operand) -> Expr:
        x = scores[idx]
        if self.kind == "LOGISTIC":
            v = 1 / (1 + exp(-unary("abs", x)))
            return where(x < 0, 1 - v, v)
        if self.kind == "PROBIT":
            return _probit(x)
        if self.kind == "NONE":
            return x
        return _softmax(idx, scores, zeros=self.kind == "SOFTMAX_ZERO")


def _probit(x: Expr) -> Expr:
    y = x * 2 - 1
    log = unary("log", (1 - y) * (1 + y))
    v = log * 0.5 + float(_A)
    found = sqrt(sqrt(v * v - log * float(_B)) - v)
    return where(y < 0, -found, found) * float(_ROOT)


def _softmax(idx: Index, scores: Operand, *, zeros: bool) -> Expr:
    columns, low = scores.shape[1], float(np.finfo(scores.dtype.numpy).min)

    def element(k: Expr) -> Expr:
        return scores[idx[0], k]

    def clean(k: Expr) -> Expr:
        return where(unary("isnan", element(k)), element(k).like(low), element(k))

    most = binary("max", reduce("max", columns, clean), low)
    if not zeros:
        total = reduce("add", columns, lambda k: exp(element(k) - most))
        return exp(scores[idx] - most) / total

    def far(e: Expr) -> Expr:
        return binary("or", e.like(float(_TINY)) < e, e < float(-_TINY))

    def counted(k: Expr) -> Expr:
        return where(far(element(k)), exp(element(k) - most), element(k).like(0))

    x = scores[idx]
    raised = where(far(x), exp(x - most), x * exp(-most))
    return raised / reduce("add", columns, counted)


# One score for two classes.


def pair(score: Array, kind: str, *, mixed: bool) -> Array:
    """The scores of two classes from that of the positive one [N, 1], transformed.

    What is left to the negative class is -s where the model's weights have both signs (`mixed`),
    and where it is a logistic model; 1 - s otherwise.
    """
    minus = mixed or kind == "LOGISTIC"
    first = -score if minus else 1 - score
    return transformed(np.concatenate([first, score], axis=1), _of_pair(kind))


def _of_pair(kind: str) -> str:
    return kind if kind in ("LOGISTIC", "PROBIT") else "NONE"


def pair_of(body: Body, score: Value, kind: str, *, mixed: bool) -> Value:
    """`pair` as nodes."""
    if mixed or kind == "LOGISTIC":
        first = body("Neg", score)
    else:
        assert score.type.dtype is not None
        first = body("Sub", body.constant(np.ones((), score.type.dtype.numpy)), score)
    both = body("Concat", first, score, axis=1)
    return transform_of(body, both, _of_pair(kind))


def transform_of(body: Body, scores: Value, kind: str) -> Value:
    """`transformed` as nodes."""
    return scores if kind == "NONE" else body(PostTransform(kind=kind), scores)

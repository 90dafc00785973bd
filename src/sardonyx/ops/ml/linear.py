"""Linear models: scores of classes, and regression targets."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import refuse, same_dim
from sardonyx.ops.ml.scores import (
    TRANSFORMS,
    Tabular,
    TopClass,
    chosen,
    either,
    label_type,
    labels,
    one_of,
    pair,
    pair_of,
    table,
    table_dims,
    table_of,
    top,
    transform_of,
    transformed,
)


def weights_of(coefficients: tuple[float, ...] | None, rows: int) -> Array:
    """The coefficients as [rows, features]; E0341 where they do not divide."""
    given = np.array(coefficients or (), np.float32)
    if rows < 1 or not given.size or given.size % rows:
        wanted = f"a multiple of {max(rows, 1)}"
        raise refuse("E0341", "`coefficients` does not fit", given.size, wanted)
    return given.reshape(rows, -1)


class _Linear(Tabular, abstract=True):
    """x W' + b."""

    tolerance = "reduction"
    intercepts: tuple[float, ...] | None = None
    post_transform: str = "NONE"

    @property
    def given(self) -> tuple[float, ...] | None:
        """The coefficients as they stand in the model."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """How many scores there are."""
        raise NotImplementedError

    @cached_property
    def weights(self) -> tuple[Array, Array | None]:
        """W [scores, features] and b [scores] in float32."""
        one_of(self.post_transform, TRANSFORMS, "post_transform")
        w = weights_of(self.given, self.count)
        if self.intercepts is not None and len(self.intercepts) != self.count:
            given = len(self.intercepts)
            raise refuse("E0341", "`intercepts` does not fit", given, self.count)
        return w, None if self.intercepts is None else np.array(self.intercepts, np.float32)

    def rows(self, x: Type) -> Any:
        """The dims of the table, whose columns must be as many as the weights have."""
        dims = table_dims(x)
        w, _ = self.weights
        if dims is not None:
            same_dim(dims[1], const(w.shape[1]))
        return dims

    @quiet
    def scored(self, x: Array) -> Array:
        """The scores of every row in float32."""
        w, b = self.weights
        scores = table(x).astype(np.float32) @ w.T
        return scores if b is None else scores + b

    def scores_of(self, body: Body, x: Value) -> Value:
        """`scored` as nodes."""
        w, b = self.weights
        product = body("MatMul", table_of(body, x, DType.FLOAT32), body.constant(w.T.copy()))
        return product if b is None else body("Add", product, body.constant(b))


class LinearRegressor(_Linear):
    """x W' + b, transformed where there are several targets."""

    coefficients: tuple[float, ...] | None = None
    targets: int = 1

    @property
    def given(self) -> tuple[float, ...] | None:
        return self.coefficients

    @property
    def count(self) -> int:
        return self.targets

    @property
    def transform(self) -> str:
        """What is done to the scores; a single one is at most made a quantile."""
        several = self.targets > 1 or self.post_transform == "PROBIT"
        return self.post_transform if several else "NONE"

    def infer(self, x: Type) -> Type:
        dims = self.rows(x)
        return Type(DType.FLOAT32, None if dims is None else (dims[0], const(self.targets)))

    def reference(self, x: Array) -> Array:
        return transformed(self.scored(x), self.transform)

    def expand(self, graph: Graph, x: Value) -> Value:
        body = Body(graph, "linear")
        return transform_of(body, self.scores_of(body, x), self.transform)


class LinearClassifier(_Linear, kw_only=True):
    """The label of the greatest of x W' + b, and these scores, transformed."""

    classlabels_ints: tuple[int, ...] | None = None
    classlabels_strings: tuple[str, ...] | None = None
    coefficients: tuple[float, ...]
    multi_class: int = 0

    @property
    def given(self) -> tuple[float, ...] | None:
        return self.coefficients

    @cached_property
    def labels(self) -> Array:
        """The class labels."""
        return labels(self.classlabels_ints, self.classlabels_strings)

    @property
    def count(self) -> int:
        if self.intercepts is not None:
            return len(self.intercepts)
        return len(self.labels)

    @property
    def paired(self) -> bool:
        """Whether the one score stands for two classes."""
        return self.count == 1 and len(self.labels) == 2

    @property
    def transform(self) -> str:
        """What is done to scores that are not paired."""
        several = self.count > 1 or self.post_transform == "PROBIT"
        return self.post_transform if several else "NONE"

    def infer(self, x: Type) -> Any:
        dims = self.rows(x)
        if self.count > max(1, len(self.labels)):
            raise refuse("E0341", "there are too few labels", len(self.labels), self.count)
        columns = const(2 if self.paired else self.count)
        scores = Type(DType.FLOAT32, None if dims is None else (dims[0], columns))
        found = either(self.labels) if self.count == 1 else self.labels
        return label_type(found, dims), scores

    def reference(self, x: Array) -> Any:
        scores = self.scored(x)
        if self.count == 1:
            found = either(self.labels)[(scores[:, 0] > 0).astype(np.int64)]
        else:
            found = self.labels[top(scores)]
        if self.paired:
            return found, pair(scores, self.post_transform, mixed=False)
        return found, transformed(scores, self.transform)

    def expand(self, graph: Graph, x: Value) -> Any:
        body = Body(graph, "linear")
        scores = self.scores_of(body, x)
        if self.count == 1:
            found = chosen(body, either(self.labels), positive(body, scores, 0.0))
        else:
            found = chosen(body, self.labels, body(TopClass(), scores))
        if self.paired:
            return found, pair_of(body, scores, self.post_transform, mixed=False)
        return found, transform_of(body, scores, self.transform)


def positive(body: Body, scores: Value, threshold: float, column: int = 0) -> Value:
    """1 for each row whose score in a column is greater than a threshold, else 0."""
    assert scores.type.dtype is not None
    at = body.constant(np.array(column, np.int64))
    one = body("Gather", scores, at, axis=1)
    over = body("Greater", one, body.constant(np.array(threshold, scores.type.dtype.numpy)))
    return body("Cast", over, to=DType.INT64.value)

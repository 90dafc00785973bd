"""Support vector machines: kernels of rows and vectors, their sums, votes, probabilities."""

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
from sardonyx.ops.ml.linear import positive, weights_of
from sardonyx.ops.ml.scores import (
    TRANSFORMS,
    Tabular,
    TopClass,
    chosen,
    label_type,
    labels,
    logistic,
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

_KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
# How far a probability of two classes stays from 0 and 1, and the sweeps that couple them.
_LEAST, _SWEEPS = np.float32(1e-7), 100


class _Vectors(Tabular, abstract=True):
    """What classifier and regressor share."""

    tolerance = "reduction"
    coefficients: tuple[float, ...] | None = None
    kernel_params: tuple[float, ...] | None = None
    kernel_type: str = "LINEAR"
    post_transform: str = "NONE"
    rho: tuple[float, ...] | None = None
    support_vectors: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        """How many support vectors there are; 0 for a linear model without."""
        raise NotImplementedError

    @property
    def linear(self) -> int:
        """How many rows of coefficients a linear model has."""
        raise NotImplementedError

    @cached_property
    def vectors(self) -> Array:
        """The support vectors [count, features], or the rows of a linear model."""
        one_of(self.post_transform, TRANSFORMS, "post_transform")
        one_of(self.kernel_type, _KERNELS, "kernel_type")
        if self.kernel_params is not None and len(self.kernel_params) != 3:
            given = len(self.kernel_params)
            raise refuse("E0341", "`kernel_params` are gamma, coef0 and degree", given, 3)
        if not self.rho:
            raise refuse("E0341", "`rho` is missing")
        if not self.count:
            return weights_of(self.coefficients, self.linear)
        found = np.array(self.support_vectors or (), np.float32)
        if not found.size or found.size % self.count:
            wanted = f"a multiple of {self.count}"
            raise refuse("E0341", "`support_vectors` does not fit", found.size, wanted)
        return found.reshape(self.count, -1)

    @property
    def numbers(self) -> tuple[np.float32, np.float32, np.float32]:
        """gamma, coef0 and degree."""
        gamma, start, degree = map(np.float32, self.kernel_params or (0, 0, 0))
        return gamma, start, degree

    def rows(self, x: Type) -> Any:
        """The dims of the table, whose columns must be as many as the vectors have."""
        dims = table_dims(x)
        if dims is not None:
            same_dim(dims[1], const(self.vectors.shape[1]))
        return dims

    @quiet
    def kernels(self, x: Array) -> Array:
        """The kernel of each row with each support vector, float32 [N, count]."""
        rows, v = table(x).astype(np.float32), self.vectors
        gamma, start, degree = self.numbers
        if not self.count or self.kernel_type == "LINEAR":
            return np.asarray(rows @ v.T)
        if self.kernel_type == "RBF":
            apart = np.stack([((r - v) ** 2).sum(axis=1) for r in rows] or [np.zeros(len(v))])
            return np.asarray(np.exp(-gamma * apart)[: len(rows)], np.float32)
        inner = rows @ v.T * gamma + start
        made = inner**degree if self.kernel_type == "POLY" else np.tanh(inner)
        return np.asarray(made, np.float32)

    def kernels_of(self, body: Body, x: Value) -> Value:
        """`kernels` as nodes."""
        rows, v = table_of(body, x, DType.FLOAT32), self.vectors
        gamma, start, degree = self.numbers
        if self.count and self.kernel_type == "RBF":
            return self._radial(body, rows, gamma)
        inner = body("MatMul", rows, body.constant(v.T.copy()))
        if not self.count or self.kernel_type == "LINEAR":
            return inner
        inner = body("Add", body("Mul", inner, body.constant(gamma)), body.constant(start))
        if self.kernel_type == "SIGMOID":
            return body("Tanh", inner)
        return body("Pow", inner, body.constant(degree))

    def _radial(self, body: Body, rows: Value, gamma: np.float32) -> Value:
        """exp(-gamma * the squared distance), the differences taken before they are squared."""
        wide = body("Unsqueeze", rows, body.constant(np.array([1], np.int64)))
        apart = body("Sub", wide, body.constant(self.vectors))
        axis = body.constant(np.array([2], np.int64))
        far = body("ReduceSumSquare", apart, axis, keepdims=0)
        return body("Exp", body("Mul", far, body.constant(np.float32(-gamma))))


class SVMRegressor(_Vectors):
    """The sum of coefficients times kernels, plus rho; 1 or -1 by its sign for one class."""

    n_supports: int = 0
    one_class: int = 0

    @property
    def count(self) -> int:
        return max(0, self.n_supports)

    @property
    def linear(self) -> int:
        return 1

    @cached_property
    def factors(self) -> Array | None:
        """What the kernels are multiplied with, [count, 1]; None for a linear model."""
        if not self.count:
            return None
        given = np.array(self.coefficients or (), np.float32)
        if len(given) != self.count:
            raise refuse("E0341", "`coefficients` does not fit", len(given), self.count)
        return given[:, None]

    def infer(self, x: Type) -> Type:
        dims = self.rows(x)
        assert self.factors is None or self.factors.size
        return Type(DType.FLOAT32, None if dims is None else (dims[0], const(1)))

    @quiet
    def reference(self, x: Array) -> Array:
        assert self.rho is not None
        made = self.kernels(x)
        made = made if self.factors is None else made @ self.factors
        made = made + np.float32(self.rho[0])
        return np.where(made > 0, 1, -1).astype(np.float32) if self.one_class else made

    def expand(self, graph: Graph, x: Value) -> Value:
        assert self.rho is not None
        body = Body(graph, "vectors")
        made = self.kernels_of(body, x)
        if self.factors is not None:
            made = body("MatMul", made, body.constant(self.factors))
        made = body("Add", made, body.constant(np.float32(self.rho[0])))
        if not self.one_class:
            return made
        one, zero = np.ones((), np.float32), np.zeros((), np.float32)
        over = body("Greater", made, body.constant(zero))
        return body("Where", over, body.constant(one), body.constant(-one))


class SVMClassifier(_Vectors):
    """The label with most votes of all pairs of classes, with scores of pairs or probabilities.

    Without support vectors it is a linear model, whose greatest score wins.
    """

    classlabels_ints: tuple[int, ...] | None = None
    classlabels_strings: tuple[str, ...] | None = None
    prob_a: tuple[float, ...] | None = None
    prob_b: tuple[float, ...] | None = None
    vectors_per_class: tuple[int, ...] | None = None

    @cached_property
    def labels(self) -> Array:
        """The class labels."""
        return labels(self.classlabels_ints, self.classlabels_strings)

    @cached_property
    def starts(self) -> Array:
        """Where the support vectors of each class begin, and where the last ones end."""
        given = self.vectors_per_class or ()
        if any(n < 0 for n in given):
            raise refuse("E0341", "`vectors_per_class` counts", list(given))
        return np.cumsum([0, *given])

    @property
    def count(self) -> int:
        return int(self.starts[-1])

    @property
    def linear(self) -> int:
        return len(self.labels)

    @cached_property
    def pairs(self) -> tuple[Array, Array]:
        """For each pair of classes the factors of all kernels, [pairs, count], and rho, [pairs].

        The coefficients are [classes - 1, count]: those of class i against class j stand in row
        j - 1 at its own vectors, those of class j against class i in row i.
        """
        classes, starts = len(self.labels), self.starts
        if len(starts) != classes + 1 or classes < 2:
            given = len(starts) - 1
            raise refuse("E0341", "`vectors_per_class` does not fit the labels", given, classes)
        found = np.array(self.coefficients or (), np.float32)
        if len(found) != (classes - 1) * self.count:
            wanted = (classes - 1) * self.count
            raise refuse("E0341", "`coefficients` does not fit", len(found), wanted)
        rows = found.reshape(classes - 1, self.count)
        made = []
        for i in range(classes):
            for j in range(i + 1, classes):
                row = np.zeros(self.count, np.float32)
                for k, other in ((i, j - 1), (j, i)):
                    row[starts[k] : starts[k + 1]] = rows[other, starts[k] : starts[k + 1]]
                made.append(row)
        return np.array(made).reshape(len(made), self.count), self._listed("rho", len(made))

    def _listed(self, name: str, count: int) -> Array:
        given = np.array(getattr(self, name) or (), np.float32)
        if len(given) < count:
            raise refuse("E0341", f"`{name}` is too short", len(given), count)
        return given[:count]

    @cached_property
    def sigmoids(self) -> tuple[Array, Array] | None:
        """prob_a and prob_b of each pair; None where no probabilities are asked for."""
        if not self.count or not (self.prob_a or self.prob_b):
            return None
        count = len(self.pairs[1])
        return self._listed("prob_a", count), self._listed("prob_b", count)

    @property
    def paired(self) -> bool:
        """Whether the one score stands for two classes."""
        return bool(self.count) and len(self.labels) == 2 and self.sigmoids is None

    def infer(self, x: Type) -> Any:
        dims = self.rows(x)
        columns = len(self.labels)
        if self.count:
            pairs = len(self.pairs[1])
            columns = columns if self.sigmoids is not None or self.paired else pairs
        scores = Type(DType.FLOAT32, None if dims is None else (dims[0], const(columns)))
        return label_type(self.labels, dims), scores

    @quiet
    def reference(self, x: Array) -> Any:
        assert self.rho is not None
        made = self.kernels(x)
        if not self.count:
            made = made + np.float32(self.rho[0])
            return self._linear_labels(made), transformed(made, self._kind(len(self.labels)))
        factors, rho = self.pairs
        exact = made.astype(np.float64) @ factors.T.astype(np.float64) + rho
        found, scores = self.labels[self._votes(exact)], exact.astype(np.float32)
        if self.sigmoids is not None:
            scores = coupled(scores, *self.sigmoids, len(self.labels))
            return found, transformed(scores, self._kind(len(self.labels)))
        if self.paired:
            return found, pair(scores, self.post_transform, mixed=self.post_transform == "NONE")
        return found, transformed(scores, self._kind(scores.shape[1]))

    def _kind(self, columns: int) -> str:
        several = columns > 1 or self.post_transform == "PROBIT"
        return self.post_transform if several else "NONE"

    def _votes(self, scores: Array) -> Array:
        """The class with most votes of each row, the first of equal ones."""
        votes, pairs = _voting(len(self.labels))
        return np.asarray(np.argmax((scores > 0) @ votes + (~(scores > 0)) @ pairs, axis=1))

    @property
    def _all_positive(self) -> bool:
        return min(self.coefficients or (0.0,)) >= 0

    def _linear_labels(self, scores: Array) -> Array:
        """Of two classes the second where its model's weights say so; see ONNX Runtime."""
        best = top(scores)
        if len(self.labels) == 2 and not self.prob_a:
            most = np.take_along_axis(scores, best[:, None], 1)[:, 0]
            second = most >= 0.5 if self._all_positive else most > 0
            return self.labels[np.where(second, 1, best)]
        return self.labels[best]

    def expand(self, graph: Graph, x: Value) -> Any:
        """Kernels, sums and votes as nodes; None where probabilities are coupled in sweeps."""
        if self.sigmoids is not None or (not self.count and len(self.labels) == 2):
            return None
        assert self.rho is not None
        body = Body(graph, "vectors")
        made = self.kernels_of(body, x)
        if not self.count:
            scores = body("Add", made, body.constant(np.float32(self.rho[0])))
            found = chosen(body, self.labels, body(TopClass(), scores))
            return found, transform_of(body, scores, self._kind(len(self.labels)))
        factors, rho = self.pairs
        product = body("MatMul", made, body.constant(factors.T.copy()))
        scores = body("Add", product, body.constant(rho))
        found = self._voted(body, scores)
        if self.paired:
            mixed = self.post_transform == "NONE"
            return found, pair_of(body, scores, self.post_transform, mixed=mixed)
        return found, transform_of(body, scores, self._kind(len(rho)))

    def _voted(self, body: Body, scores: Value) -> Value:
        first, second = _voting(len(self.labels))
        if len(first) == 1:
            return chosen(body, self.labels[::-1].copy(), positive(body, scores, 0.0))
        over = body("Greater", scores, body.constant(np.zeros((), np.float32)))
        won = body("Cast", over, to=DType.FLOAT32.value)
        change = (first.astype(np.float32) - second).astype(np.float32)
        votes = body("MatMul", won, body.constant(change))
        votes = body("Add", votes, body.constant(second.sum(axis=0).astype(np.float32)))
        return chosen(body, self.labels, body(TopClass(), votes))


def _voting(classes: int) -> tuple[Array, Array]:
    """For each pair of classes the one that is voted for, and the other one: [pairs, classes]."""
    first, second = np.triu_indices(classes, 1)
    return np.eye(classes, dtype=np.int64)[first], np.eye(classes, dtype=np.int64)[second]


@quiet
def coupled(scores: Array, a: Array, b: Array, classes: int) -> Array:
    """The probabilities of all classes from the scores of all pairs (Wu, Lin and Weng 2004)."""
    one = np.float32(1)
    of_first = np.clip(one - logistic(scores * a + b), _LEAST, one - _LEAST)
    r = np.zeros((len(scores), classes, classes), np.float32)
    first, second = np.triu_indices(classes, 1)
    r[:, first, second], r[:, second, first] = of_first, one - of_first
    q = -r.transpose(0, 2, 1) * r
    for i in range(classes):
        q[:, i, i] = (r[:, :, i] ** 2).sum(axis=1)
    p = np.full((len(scores), classes), one / np.float32(classes), np.float32)
    busy = np.arange(len(scores))
    for _ in range(_SWEEPS):
        qp = np.einsum("nij,nj->ni", q[busy], p[busy])
        pqp = (p[busy] * qp).sum(axis=1)
        moving = np.abs(qp - pqp[:, None]).max(axis=1) >= np.float32(0.005) / np.float32(classes)
        busy, qp, pqp = busy[moving], qp[moving], pqp[moving]
        if not busy.size:
            break
        p[busy] = _sweep(q[busy], p[busy], qp, pqp)
    return p


def _sweep(q: Array, p: Array, qp: Array, pqp: Array) -> Array:
    """One step of the coupling for each class in turn."""
    for i in range(p.shape[1]):
        change = (pqp - qp[:, i]) / q[:, i, i]
        p[:, i] += change
        grown = 1 + change
        pqp = (pqp + change * (change * q[:, i, i] + 2 * qp[:, i])) / grown / grown
        qp = (qp + change[:, None] * q[:, i]) / grown[:, None]
        p = p / grown[:, None]
    return p

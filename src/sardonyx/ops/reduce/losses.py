"""Losses of classification: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, eq, maximum, minimum, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Counted, Index, Op, Operand, Subscripts
from sardonyx.ops.base.element import lift, quiet, settle, widen
from sardonyx.ops.base.nest import some, total
from sardonyx.ops.base.shapes import like, need_rank, refuse, same_dims, same_shape

_REDUCTIONS = ("none", "sum", "mean")


class _Loss(Op, abstract=True):
    """The loss of each target class under log-probabilities [batch, classes, places...]."""

    tolerance = "reduction"
    ignore_index: int | None = None
    reduction: str = "mean"

    def loss_type(self, x: Type, target: Type, weight: Type | None) -> Type:
        """The type of the loss."""
        if self.reduction not in _REDUCTIONS:
            given, wanted = self.reduction, ", ".join(_REDUCTIONS)
            raise refuse("E0341", "`reduction` is unknown", given, wanted)
        need_rank(x, 2)
        shape = target.shape
        if x.shape is not None:
            same_dims(weight, x.shape[1:2], "the weights")
            places = (x.shape[0], *x.shape[2:])
            shape = places if shape is None else same_shape(places, shape)
        return Type(x.dtype, shape if self.reduction == "none" else ())

    def loss(self, log_p: Array, target: Array, weight: Array | None) -> Array:
        """The loss from log-probabilities of computing precision."""
        kept = np.ones(target.shape, bool)
        if self.ignore_index is not None:
            kept = target != self.ignore_index
        chosen = np.where(kept, target, 0)
        bad = chosen[(chosen < 0) | (chosen >= log_p.shape[1])]
        if bad.size:
            wanted = f"0 … {log_p.shape[1] - 1}"
            raise InvalidArgument("E0210", "no such class", given=int(bad[0]), wanted=wanted)
        picked = np.take_along_axis(log_p, np.expand_dims(chosen, 1), 1).squeeze(1)
        one = log_p.dtype.type(1)
        weights = np.where(kept, one if weight is None else widen(weight)[chosen], 0)
        each = -picked * weights.astype(log_p.dtype)
        if self.reduction == "none":
            return np.asarray(each)
        total_of = each.sum()
        return np.asarray(total_of if self.reduction == "sum" else total_of / weights.sum())

    def terms(
        self, at: Subscripts, log_p: Any, target: Operand, weight: Operand | None, classes: Expr
    ) -> tuple[Expr, Expr]:
        """(loss, weight) at a place; `log_p(place, class)` reads a log-probability."""
        label = target[at]
        safe = maximum(minimum(cast(label, classes.dtype), classes - 1), 0)
        picked = log_p(at, safe)
        factor = picked.like(1.0) if weight is None else lift(weight[safe])
        if self.ignore_index is not None:
            factor = where(eq(label, self.ignore_index), factor.like(0.0), factor)
            picked = where(eq(label, self.ignore_index), picked.like(0.0), picked)
        return -picked * factor, factor

    def reduced(
        self, idx: Index, log_p: Any, target: Operand, weight: Operand | None, classes: Expr
    ) -> Expr:
        """The element of the loss."""
        if self.reduction == "none":
            return self.terms(tuple(idx), log_p, target, weight, classes)[0]

        def part(which: int) -> Expr:
            return total(
                "add",
                target.shape,
                lambda at: self.terms(at, log_p, target, weight, classes)[which],
            )

        return part(0) if self.reduction == "sum" else part(0) / part(1)


class NegativeLogLikelihoodLoss(_Loss):
    """Minus the log-probability of each target class, weighted by class, then reduced."""

    since = 12

    def infer(self, x: Type, target: Type, weight: Type | None = None) -> Type:
        return self.loss_type(x, target, weight)

    @quiet
    def reference(self, x: Array, target: Array, weight: Array | None = None) -> Array:
        return settle(self.loss(widen(x), target, weight), x.dtype)

    def counted(self, *inputs: Type | None) -> Sequence[Counted]:
        del inputs
        return [Counted(1, 0, 1, from_end=False, ignored=self.ignore_index)]

    def at(self, idx: Index, x: Operand, target: Operand, weight: Operand | None = None) -> Expr:
        def read(at: Subscripts, c: Expr) -> Expr:
            return lift(x[(at[0], c, *at[1:])])

        return cast(self.reduced(idx, read, target, weight, x.shape[1]), x.dtype)


class SoftmaxCrossEntropyLoss(_Loss):
    """The negative log-likelihood loss of log-softmax over axis 1, which is the second output."""

    since = 12

    def infer(self, x: Type, labels: Type, weights: Type | None = None) -> Any:
        return some(self.outputs, self.loss_type(x, labels, weights), like(x))

    @quiet
    def reference(self, x: Array, labels: Array, weights: Array | None = None) -> Any:
        a = widen(x)
        a = a - a.max(axis=1, keepdims=True)
        log_p = a - np.log(np.exp(a).sum(axis=1, keepdims=True))
        loss = settle(self.loss(log_p, labels, weights), x.dtype)
        return some(self.outputs, loss, settle(log_p, x.dtype))

    def expand(self, graph: Graph, x: Value, labels: Value, weights: Value | None = None) -> Any:
        """LogSoftmax, then the loss of its result."""
        body = Body(graph, "cross_entropy")
        log_p = body("LogSoftmax", x, axis=1)
        op = NegativeLogLikelihoodLoss(self.ignore_index, self.reduction)
        return (body(op, log_p, labels, weights), log_p)[: max(1, self.outputs)]

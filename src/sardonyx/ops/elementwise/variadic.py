"""Elementwise functions of any number of tensors."""

from __future__ import annotations

from functools import reduce
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.expr import Expr, binary, cast
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import InPlace, lift, quiet, settle, widen
from sardonyx.ops.base.shapes import broadcast_types, refuse


class Variadic(Op, abstract=True):
    """A fold over the inputs, broadcast as numpy does."""

    traits = Trait.JOINS
    ufunc: ClassVar[np.ufunc]
    word: ClassVar[str]

    def infer(self, *inputs: Type) -> Type:
        if not inputs:
            raise refuse("E0325", f"{self.op_type} needs an input", 0, "1 or more")
        return broadcast_types(*inputs)

    @quiet
    def reference(self, *inputs: Array) -> Array:
        total = reduce(type(self).ufunc, map(widen, inputs))
        return settle(self.finish(total, len(inputs)), inputs[0].dtype)

    def finish(self, total: Any, count: int) -> Any:
        """The result, from the fold of `count` arrays or elements."""
        del count
        return total

    def at(self, idx: Index, *inputs: Operand) -> Expr:
        terms = (lift(x.broadcast(idx)) for x in inputs)
        total = reduce(lambda a, b: binary(self.word, a, b), terms)
        return cast(self.finish(total, len(inputs)), inputs[0].dtype)


class Sum(Variadic):
    """The sum of the inputs."""

    since = 8
    ufunc = np.add
    word = "add"


class Mean(Variadic):
    """The mean of the inputs."""

    since = 8
    ufunc = np.add
    word = "add"

    def finish(self, total: Any, count: int) -> Any:
        return total / total.dtype.type(count) if isinstance(total, np.ndarray) else total / count


class Max(Variadic):
    """The largest of the inputs; NaN where one is NaN."""

    since = 8
    tolerance = "exact"
    ufunc = np.maximum
    word = "max"


class Min(Variadic):
    """The smallest of the inputs; NaN where one is NaN."""

    since = 8
    tolerance = "exact"
    ufunc = np.minimum
    word = "min"


class SumV6(Sum):
    """Sum of opset 6."""


class MeanV6(Mean):
    """Mean of opset 6."""


class MaxV6(Max):
    """Max of opset 6."""


class MinV6(Min):
    """Min of opset 6."""


class SumV1(InPlace, Sum):
    """Sum of opset 1."""


class MeanV1(InPlace, Mean):
    """Mean of opset 1."""


class MaxV1(InPlace, Max):
    """Max of opset 1."""


class MinV1(InPlace, Min):
    """Min of opset 1."""

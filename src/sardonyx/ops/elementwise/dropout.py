"""Dropout, which does something only where a model asks for training."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, const
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base import given
from sardonyx.ops.base.element import InPlace, settle, widen
from sardonyx.ops.base.shapes import like


class Dropout(Op):
    """The input; in training, elements are zeroed with probability `ratio`, the rest scaled up.

    The second output tells which elements were kept.
    """

    since = 12
    seed: int | None = None

    def infer(
        self, x: Type, ratio: Type | None = None, training: Type | None = None
    ) -> tuple[Type, Type]:
        del ratio, training
        return like(x), Type(DType.BOOL, x.shape)

    def reference(
        self, x: Array, ratio: Array | None = None, training: Array | None = None
    ) -> tuple[Array, Array]:
        chance = 0.5 if ratio is None else float(given.single(ratio, "the ratio"))
        if training is None or not given.single(training, "whether it trains") or chance == 0:
            return x, np.ones(x.shape, bool)
        # The generator whose numbers the standard's own test data are made with.
        source = np.random.RandomState(None if self.seed is None else self.seed % (1 << 32))
        kept = np.asarray(source.uniform(0.0, 1.0, x.shape) >= chance)
        return settle(widen(x) * kept / (1 - chance), x.dtype), kept

    def at(self, idx: Index, *inputs: Operand | None) -> Expr:
        return self.at_output(0, idx, *inputs)

    def at_output(self, which: int, idx: Index, *inputs: Operand | None) -> Expr:
        x, _, training = (*inputs, None, None)[:3]
        assert x is not None
        if training is not None:
            known = training.known()
            if not known or not known[0].is_const or known[0].arg:
                raise NotImplementedError("dropout in training")
        return const(True, DType.BOOL) if which else x[idx]


class Inference(Op, abstract=True):
    """The forms of Dropout that never train."""

    ratio: float = 0.5

    def mask(self, x: DType | None) -> DType | None:
        """The type of the second output."""
        return x

    def infer(self, x: Type) -> tuple[Type, Type]:
        return like(x), Type(self.mask(x.dtype), x.shape)

    def reference(self, x: Array) -> tuple[Array, Array]:
        mask = self.mask(DType.from_numpy(x.dtype))
        assert mask is not None
        return x, np.ones(x.shape, mask.numpy)

    def at(self, idx: Index, x: Operand) -> Expr:
        return x[idx]

    def at_output(self, which: int, idx: Index, *inputs: Operand) -> Expr:
        mask = self.mask(inputs[0].dtype)
        assert mask is not None
        return const(1, mask) if which else inputs[0][idx]


class DropoutV10(Inference):
    """Dropout of opsets 10 and 11, whose mask is bool."""

    made_inputs = (12, ("ratio",))

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        training = inputs[2] if len(inputs) > 2 else None
        if training is not None:
            known = training.type.value
            if not known or not known[0].is_const or known[0].arg:
                return "before opset 12 nothing is dropped"
            inputs[2] = None
        given.pop("seed", None)
        return None

    def mask(self, x: DType | None) -> DType | None:
        del x
        return DType.BOOL


class DropoutV7(Inference):
    """Dropout of opsets 7 to 9."""


class DropoutV6(Inference):
    """Dropout of opset 6; `is_test` 0 asked for training, which nothing here does."""

    is_test: int = 0


class DropoutV1(InPlace, DropoutV6):
    """Dropout of opset 1."""

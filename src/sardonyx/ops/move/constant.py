"""Tensors made from attributes and numbers: Constant, ConstantOfShape, Range."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, cast, const, maximum, number
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value, tensor_type
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.graph.type import constant_type
from sardonyx.ops.base.element import is_narrow, lift, settle, widen
from sardonyx.ops.base.given import single
from sardonyx.ops.base.shapes import (
    as_index,
    check_size,
    choose,
    common_dtype,
    known,
    length_of,
    ravel,
    refuse,
    unknown_dim,
    unknown_dims,
)


class Constant(Op):
    """The tensor in the one attribute that is given."""

    since = 12
    tolerance = "exact"
    value: Tensor | None = None
    sparse_value: SparseTensor | None = None
    value_float: float | None = None
    value_floats: tuple[float, ...] | None = None
    value_int: int | None = None
    value_ints: tuple[int, ...] | None = None
    value_string: str | None = None
    value_strings: tuple[str, ...] | None = None

    def tensor(self) -> Tensor | SparseTensor:
        """What the node holds; E0325 unless exactly one attribute is given."""
        return _tensor_of(self)

    def infer(self) -> Type:
        return _type_of(self.tensor())

    def reference(self) -> Array:
        return self.tensor().numpy()

    def at(self, idx: Index) -> Expr:
        return _element(self.tensor(), idx)


_WRITTEN_OUT = 16
_FLOATS = (DType.FLOAT16, DType.FLOAT32, DType.FLOAT64)
_KINDS = {"float": DType.FLOAT32, "int": DType.INT64, "string": DType.STRING}


def _tensor_of(op: Op) -> Tensor | SparseTensor:
    given = op.attributes()
    if len(given) != 1:
        raise refuse("E0325", "a Constant needs exactly one value", ", ".join(given) or "none")
    ((name, value),) = given.items()
    if isinstance(value, Tensor | SparseTensor):
        return value
    return Tensor.of(np.array(value), _KINDS[name.removeprefix("value_").rstrip("s")])


def _type_of(tensor: Tensor | SparseTensor) -> Type:
    if isinstance(tensor, SparseTensor):
        return tensor_type(tensor.dtype, tensor.dims)
    return constant_type(tensor)


def _element(tensor: Tensor | SparseTensor, idx: Index) -> Expr:
    values = constant_type(tensor).value if isinstance(tensor, Tensor) else None
    position = ravel(idx, idx.shape)
    if not values or (len(values) > _WRITTEN_OUT and not position.is_const):
        raise NotImplementedError("the constant is read from memory")
    return choose(values, position)


class ConstantV11(Op):
    """Constant of opset 11."""

    tolerance = "exact"
    value: Tensor | None = None
    sparse_value: SparseTensor | None = None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        del inputs
        ((name, held),) = given.items()
        if name.startswith("value_"):
            del given[name]
            given["value"] = Tensor.of(np.array(held), _KINDS[name[6:].rstrip("s")])
        return None

    def infer(self) -> Type:
        return _type_of(_tensor_of(self))

    def reference(self) -> Array:
        return _tensor_of(self).numpy()

    def at(self, idx: Index) -> Expr:
        return _element(_tensor_of(self), idx)


class ConstantV1(Op):
    """Constant of opsets 1 to 10."""

    tolerance = "exact"
    value: Tensor

    def needs(self, *inputs: Any) -> int:
        del inputs
        return 1 if self.value.dtype in _FLOATS else 9

    def express(self, write: Body, opset: int) -> Value | None:
        return write.constant(self.value.numpy()) if opset < self.needs() else None

    def infer(self) -> Type:
        return _type_of(self.value)

    def reference(self) -> Array:
        return self.value.numpy()

    def at(self, idx: Index) -> Expr:
        return _element(self.value, idx)


class ConstantOfShape(Op):
    """A tensor of the given dims, every element the one in `value` (0.0 by default)."""

    since = 9
    tolerance = "exact"
    value: Tensor | None = None

    def _fill(self) -> Array:
        if self.value is None:
            return np.zeros(1, np.float32)
        if self.value.count != 1:
            raise refuse("E0325", "the value must have one element", self.value.count, 1)
        return self.value.numpy().reshape(1)

    def infer(self, shape: Type) -> Type:
        dtype = DType.from_numpy(self._fill().dtype)
        dims = known(shape)
        if dims is not None:
            return Type(dtype, dims)
        count = length_of(shape)
        return Type(dtype, None if count is None else unknown_dims("dim", count))

    def reference(self, shape: Array) -> Array:
        dims = [int(d) for d in shape.reshape(-1)]
        if min(dims, default=0) < 0:
            raise InvalidArgument("E0211", "a negative dim", given=dims)
        fill = self._fill()
        check_size(DType.from_numpy(fill.dtype), dims)
        return np.full(dims, fill[0], fill.dtype)

    def at(self, idx: Index, shape: Operand) -> Expr:
        del idx, shape
        fill = self._fill()
        return const(fill.tolist()[0], DType.from_numpy(fill.dtype))


class RangeV11(Op):
    """Range of opsets 11 to 26."""

    def infer(self, start: Type, limit: Type, delta: Type) -> Type:
        dtype = common_dtype(start, limit, delta)
        values = [x.value[0] if x.value else None for x in (start, limit, delta)]
        first, last, step = values
        if first is None or last is None or step is None:
            return Type(dtype, (unknown_dim("range"),))
        if dtype is not None and dtype.is_int:
            return Type(dtype, (_count(as_index(first), as_index(last), as_index(step)),))
        if not (first.is_const and last.is_const and step.is_const):
            return Type(dtype, (unknown_dim("range"),))
        return Type(dtype, (const(_length(first.arg, last.arg, step.arg)),))

    def reference(self, start: Array, limit: Array, delta: Array) -> Array:
        for x in (start, limit, delta):
            single(x, "an end or a step of a range")
        first, last, step = (widen(x.reshape(())) for x in (start, limit, delta))
        if step == 0:
            raise InvalidArgument("E0211", "a range with step 0")
        count = _length(first, last, step)
        dtype = DType.from_numpy(start.dtype)
        check_size(dtype, [count])
        return settle(first + np.arange(count).astype(first.dtype) * step, start.dtype)

    def at(self, idx: Index, start: Operand, limit: Operand, delta: Operand) -> Expr:
        del limit
        first, step = (lift(x[(const(0),) * x.rank]) for x in (start, delta))
        return cast(first + cast(idx[0], first.dtype) * step, start.dtype)


def _count(first: Expr, last: Expr, step: Expr) -> Expr:
    by = number(step)
    if by == 0:
        raise refuse("E0325", "a range with step 0", 0, "any other step")
    if by is None:
        return unknown_dim("range")
    if by > 0:
        return maximum(last - first + (by - 1), 0) // by
    return maximum(first - last + (-by - 1), 0) // -by


def _length(first: Any, last: Any, step: Any) -> int:
    """The number of elements of a range."""
    if not float(step):
        raise refuse("E0325", "a range with step 0", 0, "any other step")
    if np.asarray(first).dtype.kind in "iu":
        return max(-(-(int(last) - int(first)) // int(step)), 0)
    count = (float(last) - float(first)) / float(step)
    if not math.isfinite(count):
        raise refuse("E0325", "a range without an end", f"{first} to {last} by {step}")
    return max(math.ceil(count), 0)


class Range(RangeV11):
    """start, start + delta, … as long as it has not reached limit.

    Narrow floats are computed in float32 with `stash_type` 1, step by step in their own type
    otherwise.
    """

    since = 27
    stash_type: int = 1

    def reference(self, start: Array, limit: Array, delta: Array) -> Array:
        found = super().reference(start, limit, delta)
        if self.stash_type == 1 or not is_narrow(DType.from_numpy(start.dtype)):
            return found
        steps = (np.arange(found.size).astype(start.dtype) * delta.reshape(())).astype(start.dtype)
        return settle(start.reshape(()) + steps, start.dtype)

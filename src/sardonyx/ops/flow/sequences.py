"""Sequences (lists of tensors) and optionals (a value, or None)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import RuntimeException
from sardonyx.core.expr import const, number
from sardonyx.graph.ir import Type
from sardonyx.graph.op import Op
from sardonyx.ops.base.given import whole
from sardonyx.ops.base.shapes import axis_of, known_ints, refuse, unknown_dim
from sardonyx.ops.flow.control import joined


def sequence_of(elem: Type | None) -> Type:
    """The type of a sequence."""
    return Type(kind="sequence", elem=elem)


def _position(position: Array | None, length: int, most: int) -> int:
    """A position counted from the front; RuntimeException outside [-length, most)."""
    if position is None:
        return most - 1
    at = whole(position, "a position")
    if not -length <= at < most:
        given, wanted = at, f"[{-length}, {most})"
        raise RuntimeException("E0404", "no such place in a sequence", given=given, wanted=wanted)
    return at + length if at < 0 else at


class _Sequences(Op, abstract=True):
    tolerance = "exact"


class SequenceEmpty(_Sequences):
    """The sequence without elements."""

    since = 11
    dtype: int | None = None

    def infer(self) -> Type:
        return sequence_of(Type(DType.from_onnx(self.dtype or DType.FLOAT32.value)))

    def reference(self) -> Any:
        return ([],)


class SequenceConstruct(_Sequences):
    """The sequence of the inputs."""

    since = 11

    def infer(self, *inputs: Type) -> Type:
        elem = inputs[0]
        for t in inputs[1:]:
            elem = joined(elem, t)
        return sequence_of(elem)

    def reference(self, *inputs: Any) -> Any:
        return (list(inputs),)


class SequenceAt(_Sequences):
    """The element at a position, which may count from the end."""

    since = 11

    def infer(self, sequence: Type, position: Type) -> Type:
        del position
        return sequence.elem or Type()

    def reference(self, sequence: list[Any], position: Array) -> Any:
        return sequence[_position(position, len(sequence), len(sequence))]


class SequenceInsert(_Sequences):
    """The sequence with a tensor put before a position, at the end by default."""

    since = 11

    def infer(self, sequence: Type, tensor: Type, position: Type | None = None) -> Type:
        del position
        elem = sequence.elem
        return sequence_of(tensor if elem is None or elem.shape is None else joined(elem, tensor))

    def reference(self, sequence: list[Any], tensor: Any, position: Array | None = None) -> Any:
        at = _position(position, len(sequence), len(sequence) + 1)
        longer = sequence.copy()
        longer.insert(at, tensor)
        return (longer,)


class SequenceErase(_Sequences):
    """The sequence without the element at a position, the last by default."""

    since = 11

    def infer(self, sequence: Type, position: Type | None = None) -> Type:
        del position
        return sequence

    def reference(self, sequence: list[Any], position: Array | None = None) -> Any:
        at = _position(position, len(sequence), len(sequence))
        return ([*sequence[:at], *sequence[at + 1 :]],)


class SequenceLength(_Sequences):
    """The number of elements."""

    since = 11

    def infer(self, sequence: Type) -> Type:
        del sequence
        return Type(DType.INT64, ())

    def reference(self, sequence: list[Any]) -> Array:
        return np.array(len(sequence), np.int64)


class SplitToSequence(_Sequences):
    """The sequence of parts of a tensor along an axis; of single slices without `split`."""

    since = 11
    axis: int = 0
    keepdims: int = 1

    def infer(self, x: Type, split: Type | None = None) -> Type:
        if x.shape is None:
            return sequence_of(Type(x.dtype))
        axis = axis_of(self.axis, len(x.shape))
        if split is None and not self.keepdims:
            return sequence_of(x.with_shape((*x.shape[:axis], *x.shape[axis + 1 :])))
        sizes = (1,) if split is None else known_ints(split)
        extent = number(x.shape[axis])
        part = None
        if sizes and len(set(sizes)) == 1:
            (size,) = set(sizes)
            listed = split is not None and split.rank == 1
            if listed or (size > 0 and extent is not None and extent % size == 0):
                part = const(size)
        dims = list(x.shape)
        dims[axis] = part if part is not None else unknown_dim("part")
        return sequence_of(x.with_shape(dims))

    def reference(self, x: Array, split: Array | None = None) -> Any:
        axis = axis_of(self.axis, x.ndim)
        extent = x.shape[axis]
        if split is None:
            parts = np.split(x, extent, axis) if extent else []
            return ([p if self.keepdims else p.squeeze(axis) for p in parts],)
        sizes = split.reshape(-1).tolist()
        if split.ndim == 0:
            if sizes[0] < 1:
                raise RuntimeException("E0404", "`split` must be positive", given=sizes[0])
            cuts = list(range(sizes[0], extent, sizes[0]))
        elif sum(sizes) != extent or min(sizes, default=0) < 0:
            raise RuntimeException("E0404", "`split` does not add up", given=sizes, wanted=extent)
        else:
            cuts = np.cumsum(sizes)[:-1].tolist()
        return (list(np.split(x, cuts, axis)),)


class ConcatFromSequence(_Sequences, kw_only=True):
    """The elements joined along an axis, or stacked along a new one."""

    since = 11
    axis: int
    new_axis: int = 0

    def infer(self, sequence: Type) -> Type:
        elem = sequence.elem
        if elem is None or elem.shape is None:
            return Type(None if elem is None else elem.dtype)
        rank = len(elem.shape) + bool(self.new_axis)
        axis = axis_of(self.axis, rank)
        after = elem.shape[axis if self.new_axis else axis + 1 :]
        return Type(elem.dtype, (*elem.shape[:axis], unknown_dim("joined"), *after))

    def reference(self, sequence: list[Any]) -> Array:
        if not sequence:
            raise RuntimeException("E0404", "an empty sequence cannot be joined")
        return (
            np.stack(sequence, self.axis) if self.new_axis else np.concatenate(sequence, self.axis)
        )


class Optional(_Sequences):
    """An optional that holds the input, or nothing."""

    since = 15
    type: Type | None = None

    def infer(self, x: Type | None = None) -> Type:
        if x is None and self.type is None:
            raise refuse("E0341", "an empty Optional needs its `type`")
        elem = self.type if x is None else x
        return Type(kind="optional", elem=elem)

    def reference(self, x: Any = None) -> Any:
        return (x,)


class OptionalHasElement(_Sequences):
    """Whether an optional (or an optional input) holds anything."""

    since = 15

    def infer(self, x: Type | None = None) -> Type:
        del x
        return Type(DType.BOOL, ())

    def reference(self, x: Any = None) -> Array:
        return np.array(x is not None)


class OptionalGetElement(_Sequences):
    """What an optional holds; anything else unchanged."""

    since = 15

    def infer(self, x: Type) -> Type:
        return (x.elem or Type()) if x.kind == "optional" else x

    def reference(self, x: Any) -> Any:
        if x is None:
            raise RuntimeException("E0404", "the optional is empty")
        return (x,)

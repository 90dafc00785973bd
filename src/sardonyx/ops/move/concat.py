"""Concat and Split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, number, show, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.shapes import (
    added,
    assume,
    axis_of,
    common_dtype,
    known,
    place,
    refuse,
    same_dim,
    text,
    unknown_dim,
)

# Every element asks its way through half of the inputs; a formula of more sizes is no help.
_MOST = 256


class Concat(Op):
    """The inputs one after another along `axis`."""

    since = 4
    tolerance = "exact"
    traits = Trait.JOINS | Trait.BY_CHANNEL
    axis: int

    def along(self, rank: int) -> int:
        """The axis counted from 0."""
        return axis_of(self.axis, rank)

    def infer(self, *inputs: Type) -> Type:
        dtype = common_dtype(*inputs)
        shapes = [x.shape for x in inputs if x.shape is not None]
        if not shapes:
            return Type(dtype)
        rank = len(shapes[0])
        if any(len(s) != rank for s in shapes):
            raise refuse("E0320", "the inputs must have as many dims", ", ".join(map(text, shapes)))
        axis = self.along(rank)
        dims = list(shapes[0])
        for shape in shapes[1:]:
            dims = [d if n == axis else same_dim(d, shape[n]) for n, d in enumerate(dims)]
        parts = [s[axis] for s in shapes]
        told = len(shapes) == len(inputs) and len({d for d in parts if not d.is_const}) <= _MOST
        dims[axis] = added(parts) if told else unknown_dim("concat")
        return Type(dtype, tuple(dims))

    def reference(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, self.along(inputs[0].ndim))

    def at(self, idx: Index, *inputs: Operand) -> Expr:
        if len(inputs) > _MOST:
            raise NotImplementedError(f"more than {_MOST} inputs are copied one by one")
        axis = self.along(len(idx))
        starts = [const(0)]
        for x in inputs[:-1]:
            starts.append(starts[-1] + x.shape[axis])
        out: Expr | None = None
        for x, start in zip(reversed(inputs), reversed(starts), strict=True):
            inside = idx[axis] < start + x.shape[axis]
            if out is not None and inside.is_const and not inside.arg:
                continue
            here = x[place(idx, (axis,), (idx[axis] - start,))]
            out = here if out is None else where(inside, here, out)
        assert out is not None
        return out


class ConcatV1(Concat):
    """Concat of opsets 1 to 3, whose axis is 1 by default."""

    axis: int | None = None  # type: ignore[assignment]

    def along(self, rank: int) -> int:
        return axis_of(1 if self.axis is None else self.axis, rank)


class Pieces(Op, abstract=True):
    """Splitting along an axis into as many parts as the node has outputs."""

    tolerance = "exact"
    traits = Trait.BY_CHANNEL

    @property
    def along(self) -> int:
        """The axis as given."""
        raise NotImplementedError

    def sizes(self, total: Expr, split: Sequence[Expr] | None) -> list[Expr]:
        """The parts' sizes, from the sizes asked for (equal ones when None)."""
        if split is not None:
            if len(split) != self.outputs:
                raise refuse("E0325", "split does not fit the outputs", len(split), self.outputs)
            _check_sum(total, split)
            return list(split)
        whole = number(total)
        if whole is not None and whole % self.outputs:
            raise refuse("E0325", f"{whole} cannot be split evenly", whole, self.outputs)
        assume(total // self.outputs * self.outputs, total)
        return [total // self.outputs] * self.outputs

    def parts(self, x: Type, split: Sequence[Expr] | None) -> tuple[Type, ...]:
        """The types of the parts."""
        if x.shape is None:
            return (Type(x.dtype),) * self.outputs
        axis = axis_of(self.along, len(x.shape))
        sizes = self.sizes(x.shape[axis], split)
        return tuple(x.with_shape(place(x.dims, (axis,), (size,))) for size in sizes)

    def cut(self, x: Array, split: Sequence[int] | None) -> tuple[Array, ...]:
        """The parts of an array."""
        axis = axis_of(self.along, x.ndim)
        wanted = None if split is None else [const(n) for n in split]
        sizes = [number(d) or 0 for d in self.sizes(const(x.shape[axis]), wanted)]
        if sum(sizes) != x.shape[axis] or min(sizes) < 0:
            raise InvalidArgument("E0211", "split does not fit", given=sizes, wanted=x.shape[axis])
        return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))

    def part_at(self, which: int, idx: Index, x: Operand, split: Sequence[Expr] | None) -> Expr:
        """One element of one part."""
        axis = axis_of(self.along, x.rank)
        sizes = self.sizes(x.shape[axis], split)
        start = added(sizes[:which])
        return x[place(idx, (axis,), (idx[axis] + start,))]


def _check_sum(total: Expr, split: Sequence[Expr]) -> None:
    whole = added(split)
    if any((number(d) or 0) < 0 for d in split):
        raise refuse("E0325", "a part has a negative size", text(split), "0 or more")
    if whole.is_const and total.is_const and whole is not total:
        raise refuse("E0322", "the parts do not make the whole", text(split), number(total))
    assume(whole, total)


class SplitV13(Pieces):
    """Split of opsets 13 to 17."""

    axis: int = 0

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        if opset == 18 and len(inputs) < 2:
            given["num_outputs"] = self.outputs
        return None

    @property
    def along(self) -> int:
        return self.axis

    def infer(self, x: Type, split: Type | None = None) -> tuple[Type, ...]:
        wanted = known(split)
        if split is not None and wanted is None and x.shape is not None:
            axis = axis_of(self.axis, len(x.shape))
            return tuple(
                x.with_shape(place(x.dims, (axis,), (unknown_dim("part"),)))
                for _ in range(self.outputs)
            )
        return self.parts(x, wanted)

    def reference(self, x: Array, split: Array | None = None) -> tuple[Array, ...]:
        return self.cut(x, None if split is None else [int(n) for n in split.reshape(-1)])

    def at(self, idx: Index, *inputs: Any) -> Expr:
        return self.at_output(0, idx, *inputs)

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        x, split = (*inputs, None)[:2]
        wanted = None if split is None else known(split.type)
        if split is not None and wanted is None:
            raise NotImplementedError("the sizes are not known before running")
        return self.part_at(which, idx, x, wanted)


class Split(SplitV13):
    """The parts of the input along `axis`, of the sizes in `split`, or `num_outputs` equal ones.

    Where the whole cannot be divided evenly, the last part is smaller; E0325 where the others leave
    less than nothing.
    """

    since = 18
    num_outputs: int | None = None

    def sizes(self, total: Expr, split: Sequence[Expr] | None) -> list[Expr]:
        count = self.num_outputs or self.outputs
        if split is not None:
            return super().sizes(total, split)
        if count != self.outputs:
            raise refuse("E0325", "num_outputs does not fit the outputs", count, self.outputs)
        chunk = (total + (count - 1)) // count
        last = total - chunk * (count - 1)
        if (number(last) or 0) < 0:
            raise refuse("E0325", "there are too many parts", count, f"parts of {show(total)}")
        return [chunk] * (count - 1) + [last]

    def express(self, write: Body, opset: int, x: Value, *split: Value) -> Any:
        if any(split):
            return None
        del opset
        axis = axis_of(self.axis, len(x.type.dims))
        sizes = [number(t.dims[axis]) for t in self.infer(x.type)]
        if None in sizes:
            return "how long the parts are is not known before running"
        kind = Split(axis=self.axis, outputs=self.outputs)
        return write.all(kind, x, write.constant(np.array(sizes, np.int64)))


class SplitV2(Pieces):
    """Split of opsets 2 to 12, whose sizes are an attribute."""

    made_inputs = (13, ("split",))
    axis: int = 0
    split: tuple[int, ...] | None = None

    @property
    def along(self) -> int:
        return self.axis

    def infer(self, x: Type) -> tuple[Type, ...]:
        return self.parts(x, self._wanted)

    @property
    def _wanted(self) -> list[Expr] | None:
        return None if self.split is None else [const(n) for n in self.split]

    def reference(self, x: Array) -> tuple[Array, ...]:
        return self.cut(x, self.split)

    def at(self, idx: Index, *inputs: Any) -> Expr:
        return self.at_output(0, idx, *inputs)

    def at_output(self, which: int, idx: Index, *inputs: Any) -> Expr:
        return self.part_at(which, idx, inputs[0], self._wanted)


class SplitV1(Pieces):
    """Split of opset 1, whose sizes are an attribute or an input."""

    axis: int | None = None
    split: tuple[int, ...] | None = None

    @property
    def along(self) -> int:
        return self.axis or 0

    def infer(self, x: Type, split: Type | None = None) -> tuple[Type, ...]:
        return self.parts(x, self._wanted(known(split)))

    def _wanted(self, given: Sequence[Expr] | None) -> Sequence[Expr] | None:
        return given if self.split is None else [const(n) for n in self.split]

    def reference(self, x: Array, split: Array | None = None) -> tuple[Array, ...]:
        given = None if split is None else [int(n) for n in split.reshape(-1)]
        return self.cut(x, self.split if self.split is not None else given)

"""Pad: elements put before and after those of each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, const, maximum, minimum, number, where
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Trait
from sardonyx.ops.base.element import single
from sardonyx.ops.base.nest import both
from sardonyx.ops.base.shapes import (
    axes_of,
    check_size,
    clamp,
    known,
    known_ints,
    place,
    refuse,
    text,
    unknown_dim,
)


class Border(NamedTuple):
    """Elements put before and after those of an axis; a negative number takes some away."""

    axis: int
    before: Expr
    after: Expr


MODES = ("constant", "edge", "reflect", "wrap")


def _borders(pads: Sequence[Expr], axes: Sequence[int], rank: int) -> list[Border]:
    along = axes_of(axes, rank)
    if len(pads) != 2 * len(along):
        raise refuse("E0325", "pads needs two numbers for each axis", len(pads), 2 * len(along))
    return [Border(a, pads[n], pads[n + len(along)]) for n, a in enumerate(along)]


def _padded(x: Type, borders: Sequence[Border], mode: str) -> Type:
    if mode not in MODES:
        raise refuse("E0325", "an unknown mode", mode, ", ".join(MODES))
    dims = list(x.dims)
    for b in borders:
        dims[b.axis] = dims[b.axis] + b.before + b.after
        if (number(dims[b.axis]) or 0) < 0:
            raise refuse("E0325", f"the pads take more than dim {b.axis} has", text(x.shape))
    return x.with_shape(dims)


def _source(i: Expr, dim: Expr, mode: str) -> Expr:
    """The subscript whose element stands at `i`, which may lie outside [0, dim)."""
    if mode == "wrap":
        return i % dim
    if mode == "reflect":
        period = maximum((dim - 1) * 2, 1)
        j = i % period
        return minimum(j, period - j) if number(dim) != 1 else const(0)
    return clamp(i, 0, dim - 1)


def _padded_at(idx: Index, x: Operand, borders: Sequence[Border], mode: str, value: Expr) -> Expr:
    moved = [idx[b.axis] - b.before for b in borders]
    axes = [b.axis for b in borders]
    if mode != "constant":
        sources = [_source(i, x.shape[b.axis], mode) for i, b in zip(moved, borders, strict=True)]
        return x[place(idx, axes, sources)]
    e, inside = x[place(idx, axes, moved)], list[Expr]()
    for i, b in zip(moved, borders, strict=True):
        inside += [const(0) <= i, i < x.shape[b.axis]]
    return where(both(inside), e, value)


def pad(x: Array, borders: Sequence[tuple[int, int, int]], mode: str, value: object) -> Array:
    """`x` with (axis, before, after) elements added."""
    dims = list(x.shape)
    for axis, before, after in borders:
        dims[axis] += before + after
    if min(dims, default=0) < 0:
        raise InvalidArgument("E0211", "the pads take more than a dim has", given=list(x.shape))
    check_size(DType.from_numpy(x.dtype), dims)
    inside = np.ones(dims, bool)
    for axis, before, _ in borders:
        i = np.arange(dims[axis]) - before
        beside = [1] * axis + [-1] + [1] * (x.ndim - axis - 1)
        inside &= ((i >= 0) & (i < x.shape[axis])).reshape(beside)
        x = _taken(x, i, axis, mode)
    return np.where(inside, x, np.asarray(value, x.dtype)) if mode == "constant" else x


def _taken(x: Array, i: Array, axis: int, mode: str) -> Array:
    dim = x.shape[axis]
    if dim == 0:
        if mode != "constant" and i.size:
            raise InvalidArgument("E0211", "an axis without elements has none to repeat")
        return np.zeros((*x.shape[:axis], i.size, *x.shape[axis + 1 :]), x.dtype)
    if mode == "wrap":
        i = i % dim
    elif mode == "reflect":
        period = max(2 * (dim - 1), 1)
        i = np.minimum(i % period, period - i % period) if dim > 1 else i * 0
    return np.take(x, np.clip(i, 0, dim - 1), axis)


class Pad(Op):
    """`x` with elements added before and after those of each axis, as `mode` says.

    Negative pads take elements away.
    """

    since = 11
    tolerance = "exact"
    traits = Trait.BY_CHANNEL
    mode: str = "constant"

    def needs(self, *inputs: Any) -> int:
        if self.mode == "wrap":
            return 19
        return 18 if len(inputs) > 3 and inputs[3] is not None else 1

    def express(self, write: Body, opset: int, x: Value, pads: Value, *extras: Value | None) -> Any:
        value, axes = (*extras, None, None)[:2]
        rank = x.type.rank
        along = None if axes is None else known_ints(axes.type)
        if rank is None or along is None or opset < Pad.since:
            return None
        place, count = {a % rank: n for n, a in enumerate(along)}, len(along)
        both = [
            place[a] + end if a in place else 2 * count for end in (0, count) for a in range(rank)
        ]
        every = write("Concat", pads, write.ints(0), axis=0)
        full = write("Gather", every, write.ints(*both), axis=0)
        return write(Pad(mode=self.mode), x, full, value)

    def infer(
        self, x: Type, pads: Type, value: Type | None = None, axes: Type | None = None
    ) -> Type:
        del value
        if x.shape is None:
            return Type(x.dtype)
        borders = self._borders(x, pads, axes)
        if borders is None:
            return x.with_shape(unknown_dim("pad") for _ in x.shape)
        return _padded(x, borders, self.mode)

    def _borders(self, x: Type, pads: Type, axes: Type | None) -> list[Border] | None:
        wanted = known(pads)
        along = range(len(x.dims)) if axes is None else known_ints(axes)
        if wanted is None or along is None:
            return None
        return _borders(wanted, along, len(x.dims))

    def reference(
        self, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None
    ) -> Array:
        along = range(x.ndim) if axes is None else [int(a) for a in axes.reshape(-1)]
        wanted = [const(int(n)) for n in pads.reshape(-1)]
        borders = [
            (b.axis, number(b.before) or 0, number(b.after) or 0)
            for b in _borders(wanted, along, x.ndim)
        ]
        fill = value.reshape(-1)[0] if value is not None and value.size else _zero(x.dtype)
        return pad(x, borders, self.mode, fill)

    def at(
        self,
        idx: Index,
        x: Operand,
        pads: Operand,
        value: Operand | None = None,
        axes: Operand | None = None,
    ) -> Expr:
        borders = self._borders(x.type, pads.type, None if axes is None else axes.type)
        if borders is None:
            raise NotImplementedError("the pads are not known before running")
        fill = const(0, x.dtype) if value is None else value[(const(0),) * value.rank]
        return _padded_at(idx, x, borders, self.mode, fill)


def _zero(dtype: np.dtype[np.generic]) -> object:
    return "" if dtype.kind == "O" else np.zeros((), dtype)[()]


class Framed(Op, abstract=True):
    """Pad with numbers that are attributes."""

    tolerance = "exact"
    traits = Trait.BY_CHANNEL
    made_inputs = (11, ("pads", "value"))
    mode: str = "constant"
    value: float = 0.0

    @property
    def wanted(self) -> tuple[int, ...]:
        """The pads as given."""
        raise NotImplementedError

    def _borders(self, rank: int) -> list[Border]:
        return _borders([const(n) for n in self.wanted], range(rank), rank)

    def infer(self, x: Type) -> Type:
        if x.shape is None:
            return Type(x.dtype)
        return _padded(x, self._borders(len(x.shape)), self.mode)

    def reference(self, x: Array) -> Array:
        n = len(self.wanted) // 2
        rows = zip(range(n), self.wanted[:n], self.wanted[n:], strict=True)
        return pad(x, list(rows), self.mode, single(self.value))

    def at(self, idx: Index, x: Operand) -> Expr:
        fill = const(single(self.value), x.dtype)
        return _padded_at(idx, x, self._borders(x.rank), self.mode, fill)


class PadV2(Framed, kw_only=True):
    """Pad of opsets 2 to 10."""

    pads: tuple[int, ...]

    @property
    def wanted(self) -> tuple[int, ...]:
        return self.pads


class PadV1(Framed, kw_only=True):
    """Pad of opset 1."""

    paddings: tuple[int, ...]

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del inputs
        if opset == 2:
            given["pads"] = given.pop("paddings")
        return None

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        del inputs
        given["paddings"] = given.pop("pads")
        return None

    @property
    def wanted(self) -> tuple[int, ...]:
        return self.paddings

"""Calibration data in every form that callers have them, as feeds of one run each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import CalibrationError, InvalidArgument
from sardonyx.core.expr import Expr, evaluate, number
from sardonyx.graph.ir import Graph, Value

Feeds = dict[str, Array]
Data = Mapping[str, Any] | Array | Iterable[Mapping[str, Any]]

MOST_ROWS = 32
WORKING_BYTES = 256 << 20


def batches(graph: Graph, data: Data, kept: Sequence[Value] = ()) -> Iterator[Feeds]:
    """The feeds of one run after the other; every row is in at least one of them.

    A mapping holds rows along the first axis of each array, or along an axis before those of the
    model's input; a lone array is that of the only input. What has no rows at all, a model's input
    without its first axis, is one row. Anything else is iterated over and gives feeds as they are.
    Batches are as large as the model fixes, else at most 32 rows whose `kept` values stay below
    256 MiB. InvalidArgument (E0710) where inputs are missing or their rows do not match;
    CalibrationError (E0711) where there are none.
    """
    inputs = [v for v in graph.inputs if v.const is None]
    if isinstance(data, np.ndarray):
        data = {_only(inputs).name: data}
    if isinstance(data, Mapping):
        found = _split(inputs, data, kept)
    else:
        found = (_complete(inputs, feeds) for feeds in data)
    first = next(found, None)
    if first is None:
        raise CalibrationError("E0711", "the calibration data have no rows")
    return chain([first], found)


def _only(inputs: Sequence[Value]) -> Value:
    if len(inputs) != 1:
        names = ", ".join(v.name for v in inputs)
        raise InvalidArgument("E0710", "one array for several inputs", wanted=names)
    return inputs[0]


def _complete(inputs: Sequence[Value], data: Mapping[str, Any]) -> Feeds:
    """What the inputs are fed; other arrays of the data, such as labels, are left out."""
    for v in inputs:
        if v.name not in data:
            raise InvalidArgument(
                "E0710", f"the calibration data have no `{v.name}`", tensor=v.name,
                given=", ".join(data), wanted=", ".join(v.name for v in inputs),
            )  # fmt: skip
    return {v.name: np.asarray(data[v.name]) for v in inputs}


def _split(
    inputs: Sequence[Value], data: Mapping[str, Any], kept: Sequence[Value]
) -> Iterator[Feeds]:
    given = _complete(inputs, data)
    stacked = {v.name for v in inputs if v.type.rank == given[v.name].ndim - 1}
    rows = {v.name: _rows(v, given[v.name]) for v in inputs}
    count = _common(rows)
    size = 1 if stacked else _batch(inputs, rows, kept)
    last = count
    if _fixed(inputs) is not None:
        _enough(count, size)
        last = count - size
    for start in range(0, count, size):
        first = min(start, last)
        part = slice(first, first + size)
        yield {name: x[first if name in stacked else part] for name, x in rows.items()}


def _enough(count: int, size: int) -> None:
    if 0 < count < size:
        given = f"the calibration data have {count}"
        raise InvalidArgument("E0710", f"the model takes {size} rows at once, {given}")


def _common(rows: Feeds) -> int:
    lengths = {name: len(x) for name, x in rows.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"`{name}` has {n}" for name, n in lengths.items())
        raise InvalidArgument("E0710", "the inputs have different numbers of rows", given=told)
    return min(lengths.values(), default=0)


def _rows(v: Value, array: Array) -> Array:
    return array[None] if v.type.rank == array.ndim + 1 else np.atleast_1d(array)


def _fixed(inputs: Sequence[Value]) -> int | None:
    """The number of rows that the model itself fixes."""
    known = [number(v.type.dims[0]) for v in inputs if v.type.rank]
    return next((d for d in known if d is not None), None)


def _batch(inputs: Sequence[Value], rows: Feeds, kept: Sequence[Value]) -> int:
    fixed = _fixed(inputs)
    if fixed is not None:
        return max(fixed, 1)
    sizes: dict[Expr, int] = {}
    for v in inputs:
        shape = (1, *rows[v.name].shape[1:])
        named = zip(v.type.shape or (), shape, strict=False)
        sizes.update((dim, size) for dim, size in named if dim.op == "var")
    total = 4 * sum(_count(v, sizes) for v in kept)
    return max(1, min(MOST_ROWS, WORKING_BYTES // max(total, 1)))


def _count(v: Value, sizes: Mapping[Expr, int]) -> int:
    if v.type.shape is None:
        return 0
    count = v.type.count
    return int(evaluate(count, {x: sizes.get(x, 1) for x in count.free}))

"""Runs a model on calibration data and keeps the statistics of chosen values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sardonyx.core.errors import CalibrationError, InvalidArgument
from sardonyx.core.expr import number
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Value
from sardonyx.quantize.statistics import Statistics
from sardonyx.session import InferenceSession, SessionOptions

Array = np.ndarray[Any, Any]
BATCH = 32


def calibrate(
    graph: Graph, values: Sequence[Value], data: Mapping[str, Array],
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Statistics]:  # fmt: skip
    """The statistics of the values by name over all rows of `data` (arrays by input name).

    Raises InvalidArgument (E0710) for inputs that are missing or of different lengths, and
    CalibrationError (E0711) where a value is never finite.
    """
    watched = clone(graph)
    named = {v.name: v for v in watched.values()}
    watched.outputs = [named[v.name] for v in values]
    session = InferenceSession(watched, SessionOptions())
    found = {v.name: Statistics() for v in values}
    batches = list(_batches(graph, data))
    for n, feeds in enumerate(batches):
        for name, array in zip(found, session.run(None, feeds), strict=True):
            found[name].update(array)
        progress((n + 1) / len(batches))
    for name, seen in found.items():
        if not seen.finite:
            raise CalibrationError(
                "E0711", f"no finite value of `{name}` was seen in the calibration data",
                tensor=name, hint="look for NaN in the data, or in the model's weights",
            )  # fmt: skip
    return found


def _batches(graph: Graph, data: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    inputs = [v for v in graph.inputs if v.const is None]
    missing = [v.name for v in inputs if v.name not in data]
    if missing:
        raise InvalidArgument(
            "E0710", f"the calibration data have no `{missing[0]}`", tensor=missing[0],
            given=", ".join(data), wanted=", ".join(v.name for v in inputs),
        )  # fmt: skip
    rows = {v.name: _rows(v, data[v.name]) for v in inputs}
    lengths = {len(x) for x in rows.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise InvalidArgument(
            "E0710", f"the inputs have {sorted(lengths)} rows; the same number above 0 is wanted"
        )  # fmt: skip
    count, size = lengths.pop(), _batch_size(inputs)
    for start in range(0, count - count % size if count >= size else count, size):
        yield {name: x[start : start + size] for name, x in rows.items()}


def _rows(v: Value, array: Array) -> Array:
    """The array with rows in front; a single sample without the batch dim becomes one row."""
    return array[None] if v.type.rank == array.ndim + 1 else array


def _batch_size(inputs: Sequence[Value]) -> int:
    fixed = [number(v.type.dims[0]) for v in inputs if v.type.rank]
    known = [d for d in fixed if d is not None]
    return known[0] if known else BATCH

"""Runs a model on calibration data and keeps the statistics of chosen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized

from sardonyx.core.errors import CalibrationError
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph, Value
from sardonyx.quantize.rows import Data, batches
from sardonyx.quantize.statistics import Statistics
from sardonyx.session import InferenceSession

Progress = Callable[[float], None]


def calibrate(
    graph: Graph,
    values: Sequence[Value],
    data: Data,
    *,
    binned: bool = True,
    progress: Progress = lambda _: None,
) -> dict[str, Statistics]:
    """The statistics of the values by name over all rows of `data` (see `rows.batches`).

    Raises InvalidArgument (E0710) for data that do not fit the inputs, and CalibrationError
    (E0711) where there are no rows, or a value is never finite.
    """
    feeds = batches(graph, data, values)
    session = InferenceSession(_watching(graph, values))
    found = {v.name: Statistics(binned) for v in values}
    done, rows = 0, _length(data)
    for given in feeds:
        arrays = session.run(None, given)
        for name, array in zip(found, arrays, strict=True):
            found[name].update(array)
        done += max((len(x) for x in given.values() if x.ndim), default=1)
        progress(min(done / rows, 1.0) if rows else 0.0)
    for name, seen in found.items():
        if not seen.finite:
            raise CalibrationError(
                "E0711",
                f"no finite value of `{name}` was seen in the calibration data",
                tensor=name,
                hint="look for NaN in the data, or in the model's weights",
            )
    return found


def _watching(graph: Graph, values: Sequence[Value]) -> Graph:
    watched = clone(graph)
    named = {v.name: v for v in watched.values()}
    watched.outputs = [named[v.name] for v in values]
    return watched


def _length(data: Data) -> int:
    """How many rows there are, 0 where that is not known."""
    if isinstance(data, Mapping):
        return max((len(x) for x in data.values() if isinstance(x, Sized)), default=0)
    return len(data) if isinstance(data, Sized) else 0

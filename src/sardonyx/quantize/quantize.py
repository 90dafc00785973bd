"""Static int8 quantization: calibrate, insert pairs, say what was done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sardonyx.core.errors import InvalidArgument
from sardonyx.formats import load
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize
from sardonyx.quantize.calibrate import calibrate
from sardonyx.quantize.insert import insert
from sardonyx.quantize.statistics import Range, Statistics
from sardonyx.quantize.targets import DEFAULT, choose

Array = np.ndarray[Any, Any]
METHODS = ("minmax", "percentile")


@dataclass(frozen=True)
class Quantization:
    """The int8 graph, and what was done: `quantized` nodes, `skipped` ones with reasons, and the
    `ranges` of the activations by name.
    """

    graph: Graph
    quantized: tuple[str, ...]
    skipped: Mapping[str, str]
    ranges: Mapping[str, Range]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        ranges = {n: {"low": r.low, "high": r.high} for n, r in self.ranges.items()}
        return {"quantized": list(self.quantized), "skipped": dict(self.skipped), "ranges": ranges}


def quantize(
    model: Any, data: Mapping[str, Array] | Array, *, method: str = "minmax",
    percentile: float = 99.99, per_channel: bool = True, ops: Collection[str] = DEFAULT,
    exclude: Collection[str] = (), weight_bits: int = 8,
    progress: Callable[[float], None] = lambda _: None,
) -> Quantization:  # fmt: skip
    """An int8 model in quantize-dequantize form, which any ONNX runtime can run.

    `data`: rows by input name (or the only input's array). Weights are int8, symmetric, one scale
    per output channel; activations are uint8, ranged by `method` "minmax" (everything seen) or
    "percentile" (that share of the elements). `ops` are the operator types taken, `exclude` names
    nodes left in float32. `weight_bits` 7 suits processors whose int8 products saturate. Raises
    InvalidArgument, CalibrationError.
    """
    if method not in METHODS:
        raise InvalidArgument("E0713", f"no method `{method}`", wanted=", ".join(METHODS))
    if not 50.0 < percentile <= 100.0:
        raise InvalidArgument("E0713", f"a percentile of {percentile}", wanted="50 to 100")
    graph = model if isinstance(model, Graph) else load(model)
    better = optimize(graph).graph
    infer(better)
    targets = choose(better, ops, exclude)
    if not targets.nodes:
        reasons = "; ".join(f"`{n}` {r}" for n, r in list(targets.skipped.items())[:3])
        raise InvalidArgument("E0714", "nothing in the model can be quantized", given=reasons)
    seen = calibrate(better, list(targets.activations), named(better, data), progress)
    ranges = {n: _range(s, method, percentile) for n, s in seen.items()}
    made = clone(better)
    insert(made, choose(made, ops, exclude), ranges, per_channel, 2 ** (weight_bits - 1) - 1)
    infer(made)
    names = tuple(n.name for n in targets.nodes)
    return Quantization(made, names, targets.skipped, ranges)


def named(graph: Graph, data: Mapping[str, Array] | Array) -> dict[str, Array]:
    """The data by input name; a lone array belongs to the only input."""
    if isinstance(data, Mapping):
        return dict(data)
    inputs = [v.name for v in graph.inputs if v.const is None]
    if len(inputs) != 1:
        raise InvalidArgument("E0710", "one array for several inputs", wanted=", ".join(inputs))
    return {inputs[0]: np.asarray(data)}


def _range(seen: Statistics, method: str, percentile: float) -> Range:
    return seen.extremes() if method == "minmax" else seen.percentile(percentile)

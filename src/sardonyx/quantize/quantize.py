"""Static int8 quantization: calibrate, insert pairs, say what was done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sardonyx.compare.metrics import Difference, difference
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.near import near
from sardonyx.formats import Loadable, load
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize
from sardonyx.quantize.calibrate import Progress, calibrate
from sardonyx.quantize.insert import insert
from sardonyx.quantize.rows import Data, batches
from sardonyx.quantize.statistics import Range
from sardonyx.quantize.targets import DEFAULT, KNOWN, choose, label
from sardonyx.session import InferenceSession

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
    model: Loadable | Graph,
    data: Data,
    *,
    method: str = "minmax",
    percentile: float = 99.99,
    per_channel: bool = True,
    ops: Collection[str] = DEFAULT,
    exclude: Collection[str] = (),
    weight_bits: int = 8,
    progress: Progress = lambda _: None,
) -> Quantization:
    """An int8 model in quantize-dequantize form, which any ONNX runtime can run.

    `data`: rows by input name, the only input's array, or an iterable of feeds, each run as it is.
    Weights are int8, symmetric, one scale per output channel; activations are uint8, ranged by
    `method` "minmax" (everything seen) or "percentile" (that share of the elements). `ops` are the
    operator types taken, `exclude` names nodes left in float32. `weight_bits` 7 suits processors
    whose int8 products saturate. `progress` is called with 0 to 1. Raises InvalidArgument (E0710,
    E0713, E0714), CalibrationError (E0711), NotImplemented (E0712).
    """
    check_settings(method, percentile, ops, weight_bits)
    graph = model if isinstance(model, Graph) else load(model)
    better = optimize(graph).graph
    check_names(exclude, graph, better)
    targets = choose(better, ops, exclude)
    if not targets.nodes:
        reasons = "; ".join(f"`{n}`: {r}" for n, r in list(targets.skipped.items())[:3])
        raise InvalidArgument(
            "E0714", "nothing in the model can be quantized", given=reasons or None,
            wanted=f"float32 {', '.join(ops)} with a constant weight",
        )  # fmt: skip
    binned = method == "percentile"
    seen = calibrate(better, targets.calibrated(), data, binned=binned, progress=progress)
    ranges = {n: s.percentile(percentile) if binned else s.extremes() for n, s in seen.items()}
    insert(better, targets, ranges, per_channel, 2 ** (weight_bits - 1) - 1)
    infer(better)
    names = tuple(label(n) for n in targets.nodes)
    return Quantization(better, names, targets.skipped, ranges)


def agreement(model: Loadable | Graph, made: Quantization, data: Data) -> list[Difference]:
    """How far the int8 outputs are from those of the float model on the first batch of `data`."""
    graph = model if isinstance(model, Graph) else load(model)
    feeds = next(batches(graph, data))
    floats = InferenceSession(graph).run(None, feeds)
    ints = InferenceSession(made.graph).run(None, feeds)
    names = [v.name for v in graph.outputs]
    return [difference(n, a, b) for n, a, b in zip(names, floats, ints, strict=True)]


def check_settings(
    method: str, percentile: float, ops: Collection[str], bits: int, known: Collection[str] = KNOWN
) -> None:
    """InvalidArgument (E0713) for a setting that cannot be."""
    if method not in METHODS:
        raise InvalidArgument("E0713", f"no method `{method}`", wanted=", ".join(METHODS))
    if not 50.0 < percentile <= 100.0:
        raise InvalidArgument("E0713", f"a percentile of {percentile}", wanted="50 to 100")
    if bits not in (7, 8):
        raise InvalidArgument("E0713", f"weights of {bits} bits", wanted="7 or 8")
    for op in ops:
        if op not in known:
            raise InvalidArgument(
                "E0713", f"`{op}` is not quantized here", wanted=", ".join(known),
                hint=near(op, known),
            )  # fmt: skip


def check_names(exclude: Collection[str], graph: Graph, better: Graph) -> None:
    """InvalidArgument (E0713) for a name that no node has before or after optimisation."""
    known = {label(n) for g in (graph, better) for n in g.nodes if n.outputs[0] is not None}
    for name in exclude:
        if name not in known:
            raise InvalidArgument(
                "E0713", f"the model has no node `{name}` to exclude", node=name,
                hint=near(name, known),
            )  # fmt: skip

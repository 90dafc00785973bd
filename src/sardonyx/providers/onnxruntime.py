"""ONNX Runtime as a provider, its telemetry switched off before it is imported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import EPFail
from sardonyx.core.knobs import silence_peers
from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.loops.target import machine_features
from sardonyx.passes.infer import infer
from sardonyx.providers.base import Abort, Options, Provider, Runnable

_LEVELS = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
           "all": "ORT_ENABLE_ALL"}  # fmt: skip
_SATURATES = "sums of products of uint8 and int8 saturate on this CPU, which has no VNNI"


class OnnxRuntimeRunnable(Runnable):
    """One `onnxruntime.InferenceSession`."""

    def __init__(self, graph: Graph, options: Options) -> None:
        silence_peers()
        import onnxruntime as ort

        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        settings.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, _LEVELS[options.optimize]
        )
        self._names = [v.name for v in graph.outputs]
        providers = options.extra.get("providers", ["CPUExecutionProvider"])
        try:
            self.session = ort.InferenceSession(options.model, settings, providers=providers)
        except Exception as problem:
            raise EPFail("E0252", f"ONNX Runtime refuses the model: {problem}") from problem

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        del abort
        try:
            return list(self.session.run(self._names, dict(feeds)))
        except Exception as problem:
            raise EPFail("E0252", f"ONNX Runtime failed: {problem}") from problem


class OnnxRuntimeProvider(Provider):
    """ONNX Runtime, all its optimisations on; its option `providers` asks for others of its own."""

    name = "OnnxRuntimeExecutionProvider"
    aliases = ("onnxruntime", "ort")
    reads_graph = False
    package = "onnxruntime"

    def missing(self) -> str | None:
        """Also missing where its name is another module's, ours, in this process."""
        held, whole = sys.modules.get(self.package), sys.modules["sardonyx"]
        if held is not None and held.__file__ == whole.__file__:
            return "start Python without giving Sardonyx its name"
        return super().missing()

    def caveats(self, graph: Graph | None = None) -> list[str]:
        """That its integer products are not exact, where this CPU makes them so."""
        if not saturates() or (graph is not None and not multiplies_bytes(graph)):
            return []
        return [_SATURATES]

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """A session over the unoptimised model."""
        return OnnxRuntimeRunnable(graph, options)


def saturates() -> bool:
    """Whether its kernels add pairs of products of uint8 and int8 in 16 bits on this CPU."""
    have = machine_features()
    return "avx2" in have and have.isdisjoint(("avxvnni", "avx512vnni"))


def multiplies_bytes(graph: Graph) -> bool:
    """Whether it multiplies uint8 by int8 for a graph, whose types are inferred here."""
    infer(graph, strict=False)
    return _multiplies_bytes(graph)


def _multiplies_bytes(graph: Graph) -> bool:
    return any(
        _is_product_of_bytes(node) or any(map(_multiplies_bytes, subgraphs(node.op)))
        for node in graph.nodes
    )


def _is_product_of_bytes(node: Node) -> bool:
    """Whether codes of eight bits, which it makes uint8 if dequantized, meet those of a weight."""
    if not node.op.has("contract"):
        return False
    left, *others = map(_codes, node.inputs)
    if left is None or left.type.dtype not in (DType.UINT8, DType.INT8):
        return False
    unsigned = left.type.dtype is DType.UINT8 or left is not node.inputs[0]
    return unsigned and any(v is not None and _is_weight(v) for v in others)


def _is_weight(v: Value) -> bool:
    """Whether a value holds int8 codes and is no zero point, which has a dim at most."""
    shape = v.type.shape
    return v.type.dtype is DType.INT8 and (shape is None or len(shape) > 1)


def _codes(v: Value | None) -> Value | None:
    """What a value is dequantized from, or the value itself."""
    maker = v.producer if v is not None and v.made_by("DequantizeLinear") else None
    return v if maker is None else maker.inputs[0]

"""ONNX Runtime as a provider, its telemetry switched off before it is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from sardonyx.core.dtype import Array
from sardonyx.core.errors import EPFail
from sardonyx.core.knobs import silence_peers
from sardonyx.graph.ir import Graph
from sardonyx.providers.base import Abort, Gap, Options, Provider, Runnable

_LEVELS = {"off": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED",
           "all": "ORT_ENABLE_ALL"}  # fmt: skip


class OnnxRuntimeRunnable:
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
        self.gaps: list[Gap] = []
        self._names = [v.name for v in graph.outputs]
        try:
            self.session = ort.InferenceSession(
                options.model, settings, providers=["CPUExecutionProvider"]
            )
        except Exception as problem:
            raise EPFail("E0252", f"ONNX Runtime refuses the model: {problem}") from problem

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        del abort
        try:
            return list(self.session.run(self._names, dict(feeds)))
        except Exception as problem:
            raise EPFail("E0252", f"ONNX Runtime failed: {problem}") from problem

    def quick(self, feeds: Mapping[str, Any]) -> list[Any] | None:
        """Always None: feeds are checked."""
        del feeds
        return None


class OnnxRuntimeProvider(Provider):
    """The CPU provider of ONNX Runtime, all its optimisations on."""

    name = "OnnxRuntimeExecutionProvider"
    aliases = ("onnxruntime", "ort")
    reads_graph = False

    def missing(self) -> str | None:
        """How to install it, where it is not."""
        found = importlib.util.find_spec("onnxruntime")
        return None if found else "pip install 'sardonyx[onnxruntime]'"

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """A session over the unoptimised model."""
        return OnnxRuntimeRunnable(graph, options)

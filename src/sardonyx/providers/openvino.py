"""OpenVINO as a provider, in float32 and for latency unless asked otherwise."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import EPFail
from sardonyx.core.knobs import silence_peers
from sardonyx.graph.ir import Graph
from sardonyx.providers.base import Abort, Options, Provider, Runnable


class OpenVinoRunnable(Runnable):
    """One compiled model with one request."""

    def __init__(self, graph: Graph, options: Options) -> None:
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": options.threads,
            "INFERENCE_PRECISION_HINT": str(options.extra.get("precision", "f32")),
        }
        self._names = [v.name for v in graph.outputs]
        self._lock = threading.Lock()
        core = _core()
        try:
            if isinstance(options.model, bytes):
                model = core.read_model(model=options.model, weights=b"")
            else:
                model = core.read_model(model=options.model)
            self.compiled = core.compile_model(model, "CPU", config)
        except Exception as problem:
            raise EPFail("E0252", f"OpenVINO refuses the model: {problem}") from problem
        self._request = self.compiled.create_infer_request()

    def run(self, feeds: Mapping[str, Array], abort: Abort | None = None) -> list[Any]:
        """The outputs in the model's order."""
        del abort
        with self._lock:
            try:
                found = self._request.infer(dict(feeds), share_inputs=True)
            except Exception as problem:
                raise EPFail("E0252", f"OpenVINO failed: {problem}") from problem
            return [np.array(found[n]) for n in range(len(self._names))]


@functools.cache
def _core() -> Any:
    """The process's one OpenVINO.

    Each that is made gives its thread a stack for signal handlers and frees it at its own end, even
    where a later one took it for the stack to go back to: the next signal would end the process.
    """
    silence_peers()
    import openvino

    return openvino.Core()


class OpenVinoProvider(Provider):
    """The CPU plugin of OpenVINO."""

    name = "OpenVINOExecutionProvider"
    aliases = ("openvino", "ov")
    reads_graph = False
    package = "openvino"

    def prepare(self, graph: Graph, options: Options) -> Runnable:
        """A compiled model over the unoptimised model."""
        return OpenVinoRunnable(graph, options)

"""Factories of contenders that are peers at their best, driven through their own objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sardonyx.bench.contender import Arrays, Prepared, Run
from sardonyx.graph.ir import Graph
from sardonyx.providers.base import Options
from sardonyx.providers.onnxruntime import OnnxRuntimeRunnable
from sardonyx.providers.openvino import OpenVinoRunnable


class OnnxRuntime:
    """ONNX Runtime with all graph optimizations, by `run` or, bound, by `run_with_iobinding`."""

    def __init__(self, model: str, threads: int, binding: bool) -> None:
        runnable = OnnxRuntimeRunnable(Graph(), Options(threads, model=model))
        self.session = runnable.session
        self.binding = binding
        self.names: Sequence[str] = [output.name for output in self.session.get_outputs()]
        self.settings: Mapping[str, Any] = {
            "graph_optimization_level": "ORT_ENABLE_ALL",
            "intra_op_num_threads": threads,
            "call": "run_with_iobinding" if binding else "run",
        }

    def bind(self, feeds: Arrays) -> Run:
        """A run of these feeds; with binding, inputs and outputs are bound beforehand."""
        session = self.session
        if not self.binding:
            return lambda: session.run(None, feeds)
        bound = session.io_binding()
        for name, array in feeds.items():
            bound.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self.names:
            bound.bind_output(name)

        def run() -> Any:
            session.run_with_iobinding(bound)
            return bound

        return run

    def arrays(self, result: Any) -> Sequence[NDArray[Any]]:
        """The outputs of a run."""
        found = result.copy_outputs_to_cpu() if self.binding else result
        return cast("Sequence[NDArray[Any]]", found)


class OpenVino:
    """OpenVINO for latency: one stream, inputs and outputs shared rather than copied."""

    def __init__(self, model: str, threads: int, precision: str) -> None:
        options = Options(threads, model=model, extra={"precision": precision})
        runnable = OpenVinoRunnable(Graph(), options)
        self.request = runnable.compiled.create_infer_request()
        self.names: Sequence[str] = [port.any_name for port in runnable.compiled.outputs]
        self.settings: Mapping[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
        }

    def bind(self, feeds: Arrays) -> Run:
        """A run of these feeds."""
        infer = self.request.infer
        return lambda: infer(feeds, share_inputs=True, share_outputs=True)

    def arrays(self, result: Any) -> Sequence[NDArray[Any]]:
        """The outputs of a run, copied: the next run overwrites them."""
        return [np.array(result[place]) for place in range(len(self.names))]


def onnxruntime(*, model: str, threads: int, binding: bool = False) -> Prepared:
    """ONNX Runtime itself."""
    return OnnxRuntime(model, threads, binding)


def openvino(*, model: str, threads: int, precision: str = "f32") -> Prepared:
    """OpenVINO itself."""
    return OpenVino(model, threads, precision)

"""Sessions: a model loaded, prepared by a provider, and run; with ONNX Runtime's names.

    session = InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    session.run(None, {"x": x})
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sardonyx.core import knobs
from sardonyx.core.errors import InvalidArgument, UsageError
from sardonyx.core.expr import Expr, name_of, show
from sardonyx.core.limits import Limits
from sardonyx.session.feeds import as_array, check_feeds
from sardonyx.formats import load, to_bytes
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.session.options import RunOptions, SessionOptions
from sardonyx.passes.infer import infer
from sardonyx.providers.base import Gap, Options, Runnable
from sardonyx.providers.registry import find

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NodeArg:
    """An input or output: `name`, `type` such as `tensor(float)`, `shape` of integers, symbol
    names and (where nothing is known) None.
    """

    name: str
    type: str
    shape: list[int | str | None] | None


@dataclass(frozen=True)
class ModelMetadata:
    """What the model says about itself."""

    graph_name: str
    description: str
    domain: str = ""
    graph_description: str = ""
    producer_name: str = ""
    version: int = 0
    custom_metadata_map: Mapping[str, str] = field(default_factory=dict)


class InferenceSession:
    """A model ready to run. Thread-safe; picklable when made from a path.

    `model` is a path, bytes, a file object, an `onnx.ModelProto` or a Graph. `providers` is a
    list of provider names or (name, options) pairs, the first one is used: nothing falls back in
    silence. Raises NoSuchFile, InvalidProtobuf, InvalidGraph, ProviderUnavailable, LimitExceeded.
    """

    def __init__(
        self, model: Any, sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None, *,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self._options = sess_options or SessionOptions()
        name, extra = _chosen(providers, provider_options)
        self._provider = find(name)
        self._limits = limits or Limits.current()
        self.graph: Graph = model if isinstance(model, Graph) else load(model, self._limits)
        self._path = str(model) if isinstance(model, str) or hasattr(model, "__fspath__") else None
        infer(self.graph, limits=self._limits)
        self._lock = threading.Lock()
        self._runnable: Runnable = self._provider.prepare(self.graph, self._prepared(model, extra))
        self._quick = self._runnable.quick
        self._feeds = {v.name: v for v in self.graph.inputs if v.const is None}
        self._outputs = [v.name for v in self.graph.outputs]

    def _prepared(self, model: Any, extra: Mapping[str, Any]) -> Options:
        raw: str | bytes | None = self._path
        if raw is None and self._provider.name not in _GRAPH_PROVIDERS:
            raw = model if isinstance(model, bytes) else to_bytes(self.graph)
        threads = self._options.intra_op_num_threads or knobs.THREADS.get()
        level = self._options.graph_optimization_level.value_name
        return Options(threads, level, self._limits, raw, extra)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:  # fmt: skip
        """The named outputs (all, when None) for arrays by input name.

        An input is anything with `__dlpack__`, `__array_interface__` or `__array__`, a list or an
        OrtValue. Raises InvalidArgument for missing, unknown or wrongly typed inputs, ShapeMismatch
        for wrong shapes, Terminated when `run_options.terminate` is set during the run.
        """
        if output_names is None and run_options is None:
            found = self._quick(input_feed)
            if found is not None:
                return found
        feeds = check_feeds(self.graph, self._feeds, input_feed)
        abort = None if run_options is None else (lambda: run_options.terminate)
        found = self._runnable.run(feeds, abort)
        if output_names is None:
            return found
        return [found[self._position(name)] for name in output_names]

    def _position(self, name: str) -> int:
        if name not in self._outputs:
            raise InvalidArgument(
                "E0204", f"the model has no output `{name}`", tensor=name,
                wanted=", ".join(self._outputs),
            )  # fmt: skip
        return self._outputs.index(name)

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:  # fmt: skip
        """Like `run`, with OrtValues in and out."""
        return [OrtValue(x) for x in self.run(output_names, input_dict_ort_values, run_options)]

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that must be fed."""
        return [_node_arg(v) for v in self._feeds.values()]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs in order."""
        return [_node_arg(v) for v in self.graph.outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs that have a default value."""
        return [_node_arg(v) for v in self.graph.inputs if v.const is not None]

    def get_providers(self) -> list[str]:
        """The provider in use."""
        return [self._provider.name]

    def get_session_options(self) -> SessionOptions:
        """The options the session was made with."""
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        """The model's own description."""
        g = self.graph
        return ModelMetadata(g.name, g.doc, custom_metadata_map=dict(g.meta))

    def gaps(self) -> list[Gap]:
        """The nodes that the provider does not run natively, with reasons."""
        return list(self._runnable.gaps)

    def io_binding(self) -> IOBinding:
        """Inputs and outputs bound ahead of runs."""
        return IOBinding(self)

    def run_with_iobinding(
        self, iobinding: IOBinding, run_options: RunOptions | None = None
    ) -> None:
        """Runs on bound inputs; bound output arrays are written in place."""
        iobinding.complete(self.run(None, iobinding.inputs, run_options), self._outputs)

    def __getstate__(self) -> dict[str, Any]:
        if self._path is None:
            raise UsageError("E0903", "only a session made from a path can be pickled")
        return {"path": self._path, "options": self._options, "provider": self._provider.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        InferenceSession.__init__(self, state["path"], state["options"], [state["provider"]])


_GRAPH_PROVIDERS = ("CPUExecutionProvider", "ReferenceExecutionProvider")


def _chosen(
    providers: Sequence[str | tuple[str, Mapping[str, Any]]] | None,
    options: Sequence[Mapping[str, Any]] | None,
) -> tuple[str, Mapping[str, Any]]:
    if not providers:
        return "CPUExecutionProvider", {}
    first = providers[0]
    if isinstance(first, str):
        return first, (options[0] if options else {})
    return first


def _node_arg(v: Value) -> NodeArg:
    shape = None if v.shape is None else [_dim(d) for d in v.shape]
    return NodeArg(v.name, type_name(v.type), shape)


def _dim(d: Expr) -> int | str | None:
    if d.is_const:
        return int(d.arg)
    if d.op == "var":
        return None if name_of(d).startswith("?") else name_of(d)
    return show(d)


_NAMES = {"float32": "float", "float64": "double"}


def type_name(t: Type) -> str:
    """A type in ONNX Runtime's spelling, such as `tensor(float)` or `seq(tensor(int64))`."""
    if t.kind == "tensor":
        text = str(t.dtype) if t.dtype is not None else "undefined"
        return f"tensor({_NAMES.get(text, text)})"
    inner = type_name(t.elem) if t.elem is not None else "undefined"
    return f"{ {'sequence': 'seq'}.get(t.kind, t.kind) }({inner})".replace(" ", "")


class OrtValue:
    """A tensor (or sequence) that sessions take and give."""

    def __init__(self, value: Any) -> None:
        self._value = value if isinstance(value, list) else as_array(value)

    @classmethod
    def ortvalue_from_numpy(cls, array: Array, device: str = "cpu", device_id: int = 0) -> OrtValue:
        """A value over an array; `device` must be cpu."""
        del device_id
        if device != "cpu":
            raise InvalidArgument("E0208", f"there is no device `{device}` here", wanted="cpu")
        return cls(array)

    def numpy(self) -> Any:
        """The array."""
        return self._value

    def shape(self) -> list[int]:
        """The dims."""
        return list(self._value.shape)

    def data_type(self) -> str:
        """The type in ONNX Runtime's spelling."""
        from_numpy = np.asarray(self._value).dtype
        return f"tensor({_NAMES.get(str(from_numpy), str(from_numpy))})"

    def device_name(self) -> str:
        """Always cpu."""
        return "cpu"

    def is_tensor(self) -> bool:
        """Whether it is a tensor."""
        return isinstance(self._value, np.ndarray)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._value.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._value.__dlpack_device__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._value, dtype=dtype, copy=copy)


class IOBinding:
    """Inputs and outputs fixed ahead of runs of one session."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self.inputs: dict[str, Any] = {}
        self._outs: dict[str, Array | None] = {}
        self._results: list[Any] = []

    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Feeds an array to an input in every run."""
        self.inputs[name] = as_array(arr_on_cpu)

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Feeds a value to an input in every run."""
        self.inputs[name] = ortvalue.numpy()

    def bind_output(self, name: str, device_type: str = "cpu", **_: Any) -> None:
        """Asks for an output in memory of its own."""
        if device_type != "cpu":
            raise InvalidArgument("E0208", f"there is no device `{device_type}` here", wanted="cpu")
        self._outs[name] = None

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Has an output written into a value's memory."""
        self._outs[name] = ortvalue.numpy()

    def complete(self, results: Sequence[Any], names: Sequence[str]) -> None:
        """Takes the results of a run."""
        found = dict(zip(names, results, strict=True))
        for name, target in self._outs.items():
            if target is not None:
                np.copyto(target, found[name])
        self._results = [found[n] if t is None else t for n, t in self._outs.items()]

    def get_outputs(self) -> list[OrtValue]:
        """The results of the last run, in the order bound."""
        return [OrtValue(x) for x in self._results]

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The results of the last run as arrays."""
        return list(self._results)

    def clear_binding_inputs(self) -> None:
        """Forgets the bound inputs."""
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets the bound outputs."""
        self._outs.clear()

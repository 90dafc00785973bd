"""Sessions: a model loaded, prepared by a provider, and run; with ONNX Runtime's names.

session = InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
session.run(None, {"x": x})
"""

from __future__ import annotations

import importlib
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sardonyx.core import floats, knobs
from sardonyx.core.collector import held
from sardonyx.core.errors import (
    Fail,
    InvalidArgument,
    ModelLoadCanceled,
    NoModel,
    SardonyxError,
    foreign,
)
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import Tensor
from sardonyx.core.version import __version__
from sardonyx.formats import load, to_bytes
from sardonyx.gradient import written_out
from sardonyx.graph.check import verify
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph
from sardonyx.graph.origin import source_line
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import inlined
from sardonyx.passes.shared import release
from sardonyx.providers.base import Gap, Options, Provider, Runnable
from sardonyx.session.binding import IOBinding
from sardonyx.session.choose import Providers, choose
from sardonyx.session.describe import (
    ModelMetadata,
    NodeArg,
    OrtEpAssignedNode,
    OrtEpAssignedSubgraph,
    metadata,
    node_args,
)
from sardonyx.session.feeds import Feeds, unknown_input
from sardonyx.session.options import GraphOptimizationLevel, RunOptions, SessionOptions
from sardonyx.session.settle import settle, write_optimized
from sardonyx.session.value import OrtValue

if TYPE_CHECKING:
    from sardonyx.session.devices import OrtEpDevice, OrtMemoryInfo
    from sardonyx.session.profile import Profile

ProviderOptions = Sequence[Mapping[str, Any]]
_RECORDED = "session.record_ep_graph_assignment_info"


class InferenceSession:
    """A model ready to run. Thread-safe, picklable, usable after a fork.

    `path_or_bytes` is a path, bytes, a binary file object, an `onnx.ModelProto` or a Graph.
    `providers` are names or (name, options) pairs; the first usable one runs the whole model, and
    each one passed over is named in a UserWarning. `disabled_optimizers`, `enable_fallback` and
    `read_config_from_model` are accepted and do nothing, others too with a UserWarning.

    Raises NoModel, NoSuchFile, InvalidProtobuf, InvalidGraph, ProviderUnavailable, LimitExceeded.
    """

    def __init__(
        self,
        path_or_bytes: Any,
        sess_options: SessionOptions | None = None,
        providers: Providers | None = None,
        provider_options: ProviderOptions | None = None,
        *,
        limits: Limits | None = None,
        disabled_optimizers: object = None,
        enable_fallback: object = None,
        read_config_from_model: object = None,
        **unknown: object,
    ) -> None:
        del disabled_optimizers, enable_fallback, read_config_from_model
        if unknown:
            said = f"a session has no setting `{next(iter(unknown))}`: it is ignored"
            warnings.warn(said, UserWarning, stacklevel=2)
        self._options = sess_options or SessionOptions()
        self._limits = limits or Limits.current()
        if self._options.cancelled:
            raise ModelLoadCanceled("E0254", "loading was cancelled")
        self._model = path_or_bytes
        self.graph = self._load(path_or_bytes)
        self._given = Feeds(self.graph)
        self._names = {v.name: n for n, v in enumerate(self.graph.outputs)}
        provider, extra = choose(providers or self._options.providers, provider_options)
        self._profile = self._profiled(provider) if self._options.enable_profiling else None
        self._use(provider, extra)
        if self._options.optimized_model_filepath:
            write_optimized(self.graph, self._options)

    @floats.standard()
    def _load(self, model: Any) -> Graph:
        if model is None:
            raise NoModel("E0255", "a session needs a model", wanted="a path, bytes or a Graph")
        with held():
            with self._working(None):
                graph = clone(model) if isinstance(model, Graph) else load(model, self._limits)
            with self._working(graph):
                verify(graph, self._limits)
                settle(graph, self._options)
                infer(graph, limits=self._limits, allowed=True)
                release(graph)
                graph = written_out(graph)
        return graph

    def _profiled(self, provider: Provider) -> Profile:
        """A profile, written when asked for or when the session ends."""
        from sardonyx.session.profile import Profile  # noqa: PLC0415 - rarely needed

        made = Profile(self._options.profile_file_prefix, provider.name)
        weakref.finalize(self, made.write)
        return made

    @contextmanager
    def _working(self, graph: Graph | None) -> Iterator[None]:
        """Within the session's limits; whatever goes wrong leaves as an exception of ours."""
        try:
            with self._limits.ruling():
                yield
        except SardonyxError as error:
            raise located(error, graph) from error.__cause__
        except Exception as problem:
            raise located(foreign(problem), graph) from problem

    def _use(self, provider: Provider, extra: Mapping[str, Any]) -> None:
        self._provider, self._extra = provider, dict(extra)
        self._whole: Runnable | None = None
        with self._span("session_initialization"):
            self._runnable = self._prepare(_without_defaults(self.graph))
        if not self._given.optional:
            self._whole = self._runnable
        quick = self._runnable.quick if self._profile is None else _never
        self._quick: Callable[[Mapping[str, Any]], list[Any] | None] = quick

    def _span(self, name: str) -> AbstractContextManager[None]:
        return nullcontext() if self._profile is None else self._profile.span(name)

    @floats.standard()
    def _prepare(self, graph: Graph) -> Runnable:
        level = GraphOptimizationLevel(self._options.graph_optimization_level).passes
        threads = self._options.intra_op_num_threads or knobs.THREADS.get()
        model = None if self._provider.reads_graph else self._encoded()
        flush = self._options.config_entries.get("session.set_denormal_as_zero") == "1"
        options = Options(threads, level, self._limits, model, self._extra, flush)
        try:
            with self._working(self.graph):
                return self._provider.prepare(graph, options)
        finally:
            for v in graph.initializers.values():
                if isinstance(v.const, Tensor):
                    v.const.release()

    def _encoded(self) -> str | bytes:
        options = self._options
        sizes = options.free_dimensions or options.denoted_dimensions
        changed = bool(sizes or options.initializers or self.graph.functions)
        if isinstance(self._model, bytes) and not changed:
            return self._model
        if self.graph.source and not isinstance(self._model, Graph) and not changed:
            return self.graph.source
        return to_bytes(inlined(self.graph))

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """The named outputs (all, when None) for arrays by input name.

        An input is anything with `__dlpack__`, `__array_interface__` or `__array__`, a list or an
        OrtValue. Raises InvalidArgument for missing, unknown or wrongly typed inputs, ShapeMismatch
        for wrong shapes, Terminated when `run_options.terminate` is set during the run.
        """
        if not isinstance(input_feed, Mapping):
            raise InvalidArgument(
                "E0233",
                "the inputs are a mapping from names to arrays",
                given=type(input_feed).__name__,
                wanted="{" + ", ".join(f"{name!r}: array" for name in self._given.required) + "}",
            )
        found = self._quick(input_feed) if run_options is None else None
        if found is None:
            found = self._checked(input_feed, run_options)
        if not output_names:
            return found
        names = output_names if isinstance(output_names, Iterable) else [output_names]
        return [found[self.output_index(name)] for name in names]

    def _checked(self, given: Mapping[str, Any], options: RunOptions | None) -> list[Any]:
        for adapter in () if options is None else options.adapters:
            given = {**adapter.parameters, **given}
        feeds = self._given.check(given)
        for name in self._given.required:
            feeds.setdefault(name, None)
        abort = None if options is None else (lambda: options.terminate)
        runnable = self._runnable
        if len(feeds) > len(self._given.required):
            runnable = self._with_defaults()
            for name, value in self._given.optional.items():
                if name not in feeds and value.const is not None:
                    feeds[name] = value.const.numpy()
        with self._working(self.graph):
            if self._profile is not None:
                with self._profile.span("model_run"):
                    return runnable.watched(feeds, self._profile.step)
            found = runnable.quick(feeds) if abort is None else None
            return runnable.run(feeds, abort) if found is None else found

    def _with_defaults(self) -> Runnable:
        """The model with its defaults as inputs, prepared when the first of them is replaced."""
        found = self._whole
        if found is None:
            found = self._whole = self._prepare(self.graph)
        return found

    def output_index(self, name: str) -> int:
        """The position of an output; InvalidArgument (E0204) for an unknown name."""
        found = self._names.get(name) if isinstance(name, str) else None
        if found is None:
            raise InvalidArgument(
                "E0204",
                f"the model has no output `{name}`",
                given=name,
                wanted=", ".join(self._names),
                file=self.graph.source or None,
            )
        return found

    def check_input(self, name: str) -> None:
        """InvalidArgument (E0202) for an unknown name."""
        known = (*self._given.required, *self._given.optional)
        if name not in known:
            raise unknown_input(name, known)

    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: Mapping[str, OrtValue],
        run_options: RunOptions | None = None,
    ) -> list[OrtValue]:
        """Like `run`, with OrtValues in and out."""
        return [OrtValue(x) for x in self.run(output_names, input_dict_ort_values, run_options)]

    def run_with_ortvaluevector(
        self,
        run_options: RunOptions | None,
        feed_names: Sequence[str],
        feeds: Sequence[OrtValue],
        fetch_names: Sequence[str],
        fetches: list[OrtValue],
        fetch_devices: Sequence[Any] = (),
    ) -> None:
        """Like `run_with_ort_values`; the results are appended to `fetches`."""
        del fetch_devices
        given = dict(zip(feed_names, feeds, strict=True))
        fetches.extend(self.run_with_ort_values(fetch_names, given, run_options))

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], None],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Runs on another thread, which then calls `callback(outputs, user_data, error text)`.

        InvalidArgument (E0201, E0202) at once for names that do not fit.
        """
        self._given.names(input_feed)

        def work() -> None:
            try:
                found, said = self.run(output_names, input_feed, run_options), ""
            except SardonyxError as error:
                found, said = [], str(error)
            callback(found, user_data, said)

        threading.Thread(target=work, name="sardonyx-run", daemon=True).start()

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that must be fed."""
        return node_args(self.graph, self._given.required.values())

    def get_outputs(self) -> list[NodeArg]:
        """The outputs in order."""
        return node_args(self.graph, self.graph.outputs)

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Inputs that have a default value."""
        return node_args(self.graph, self._given.optional.values())

    def get_input_memory_infos(self) -> list[OrtMemoryInfo]:
        """The memory of each input: the CPU's."""
        return [devices().cpu_memory() for _ in self.get_inputs()]

    def get_output_memory_infos(self) -> list[OrtMemoryInfo]:
        """The memory of each output: the CPU's."""
        return [devices().cpu_memory() for _ in self.get_outputs()]

    def get_input_epdevices(self) -> list[OrtEpDevice]:
        """The provider in use with its device, for each input."""
        return [devices().OrtEpDevice(self._provider.name, __version__) for _ in self.get_inputs()]

    def get_provider_graph_assignment_info(self) -> list[OrtEpAssignedSubgraph]:
        """The nodes, all of which the provider in use runs.

        Fail (E0253) unless the options' entry `session.record_ep_graph_assignment_info` is 1.
        """
        if self._options.config_entries.get(_RECORDED) != "1":
            raise Fail("E0253", f"the configuration entry '{_RECORDED}' must be set to \"1\"")
        ops = ((n.name, n.op.domain, n.op.op_type) for n in self.graph.nodes)
        return [OrtEpAssignedSubgraph(self._provider.name, [OrtEpAssignedNode(*o) for o in ops])]

    def get_providers(self) -> list[str]:
        """The provider in use."""
        return [self._provider.name]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """The options of the provider in use, by its name."""
        return {self._provider.name: {k: str(v) for k, v in self._extra.items()}}

    def set_providers(
        self, providers: Providers | None = None, provider_options: ProviderOptions | None = None
    ) -> None:
        """Prepares the model again, for another provider."""
        self._use(*choose(providers, provider_options))

    def get_session_options(self) -> SessionOptions:
        """The options the session was made with."""
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        """The model's own description."""
        return metadata(self.graph)

    def gaps(self) -> list[Gap]:
        """The nodes that the provider does not run natively, with reasons."""
        return list(self._runnable.gaps)

    def io_binding(self) -> IOBinding:
        """Inputs and outputs bound ahead of runs."""
        return IOBinding(self)

    def run_with_iobinding(
        self, iobinding: IOBinding, run_options: RunOptions | None = None
    ) -> None:
        """Runs on bound inputs; bound output arrays are written in place.

        InvalidArgument (E0257) for a binding of another session.
        """
        if iobinding.session is not self:
            raise InvalidArgument("E0257", "the binding belongs to another session")
        iobinding.complete(self.run(None, iobinding.inputs, run_options))

    def create_ortvalue_from_shape_and_type(
        self,
        shape: Sequence[int],
        element_type: Any,
        device_type: Any = "cpu",
        device_id: int = 0,
        vendor_id: int = -1,
    ) -> OrtValue:
        """A value of zeros, to be written to; the device must be the CPU."""
        make = OrtValue.ortvalue_from_shape_and_type
        return make(shape, element_type, device_type, device_id, vendor_id)

    def disable_fallback(self) -> None:
        """Accepted; a session never changes its provider by itself."""

    def enable_fallback(self) -> None:
        """Accepted; a session never changes its provider by itself."""

    def end_profiling(self) -> str:
        """Writes the profile so far and ends it; its path, empty where nothing is profiled."""
        found, self._profile = self._profile, None
        self._quick = self._runnable.quick
        return "" if found is None else found.write()

    def get_profiling_start_time_ns(self) -> int:
        """When the profile began, or now without one, in nanoseconds of the monotonic clock."""
        return time.monotonic_ns() if self._profile is None else self._profile.start

    def get_tuning_results(self) -> list[Any]:
        """Accepted; there are none."""
        return []

    def set_tuning_results(self, results: Any, *, error_on_invalid: bool = False) -> None:
        """Accepted; nothing is tuned."""

    def set_ep_dynamic_options(self, options: Mapping[str, str]) -> None:
        """Accepted; the providers have none."""

    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        """Accepted; nothing is captured."""

    @property
    def _sess(self) -> InferenceSession:
        """The session below ONNX Runtime's class of this name: here there is none."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        source = self.graph.source
        return {
            "model": source or to_bytes(self.graph),
            "options": self._options,
            "limits": self._limits,
            "provider": (self._provider.name, self._extra),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        InferenceSession.__init__(
            self, state["model"], state["options"], [state["provider"]], limits=state["limits"]
        )


def located(error: SardonyxError, graph: Graph | None) -> SardonyxError:
    """The error with the model's file, and the user's own source line of the node that it names."""
    if graph is None:
        return error
    lines = (source_line(n) for n in graph.nodes if n.name and n.name == error.node)
    return error.locate(file=graph.source or None, source=next(lines, None))


def devices() -> types.ModuleType:
    """The module of devices, which hardly anybody asks for."""
    return importlib.import_module("sardonyx.session.devices")


def _never(feeds: Mapping[str, Any]) -> None:
    """A quick run that is never possible."""


def _without_defaults(graph: Graph) -> Graph:
    """The graph with its defaults as constants, which is how it is nearly always run."""
    if all(v.const is None for v in graph.inputs):
        return graph
    fixed = clone(graph)
    fixed.inputs = [v for v in fixed.inputs if v.const is None]
    return fixed

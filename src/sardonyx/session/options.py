"""Session and run options with every name that ONNX Runtime's have.

What means nothing here is accepted and does nothing: `NO_EFFECT` lists those names, and the
documents print the list.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sardonyx.core import errors
from sardonyx.core.errors import InvalidArgument, NotFound

NO_EFFECT = {
    "SessionOptions": (
        "clear_ep_context_data_read_func",
        "enable_cpu_mem_arena",
        "enable_mem_pattern",
        "enable_mem_reuse",
        "execution_mode",
        "execution_order",
        "inter_op_num_threads",
        "log_severity_level",
        "log_verbosity_level",
        "logid",
        "set_ep_context_data_read_func",
        "set_provider_selection_policy",
        "set_provider_selection_policy_delegate",
        "use_deterministic_compute",
        "use_per_session_threads",
    ),
    "RunOptions": (
        "add_run_config_entry",
        "log_severity_level",
        "log_verbosity_level",
        "logid",
        "only_execute_path_to_fetches",
    ),
}


class GraphOptimizationLevel(enum.IntEnum):
    """How much the graph is optimised before it is compiled."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99

    @property
    def passes(self) -> str:
        """The level as `passes.pipeline` names it."""
        named = {0: "off", 1: "basic", 2: "extended"}
        return named.get(self.value, "all")


class ExecutionMode(enum.IntEnum):
    """Kept for scripts that set it; a program always runs its steps in order."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(enum.IntEnum):
    """Kept for scripts that set it."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


@dataclass(slots=True)
class SessionOptions:
    """How a session is made; a misspelt name raises AttributeError.

    With `enable_profiling` runs go step by step, and `InferenceSession.end_profiling` writes when
    each began and ended. `intra_op_num_threads` 0 means as many as the `threads` knob says, by
    default one per usable core. `optimized_model_filepath` receives the optimised model when the
    session is made.
    """

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    execution_order: ExecutionOrder = ExecutionOrder.DEFAULT
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = "onnxruntime_profile_"
    optimized_model_filepath: str = ""
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    logid: str = ""
    use_deterministic_compute: bool = False
    use_per_session_threads: bool = True
    config_entries: dict[str, str] = field(default_factory=dict)
    free_dimensions: dict[str, int] = field(default_factory=dict)
    denoted_dimensions: dict[str, int] = field(default_factory=dict)
    initializers: dict[str, Any] = field(default_factory=dict)
    providers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    cancelled: bool = False

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps an entry; `session.set_denormal_as_zero` 1 has subnormal floats taken as zero."""
        self.config_entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """A configuration entry kept before; NotFound where there is none."""
        return _entry(self.config_entries, key)

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        """Fixes a symbol of the model's inputs: feeds must have this size there."""
        if value < 1:
            raise InvalidArgument("E0232", f"the size of `{name}` would be {value}")
        self.free_dimensions[name] = value

    def add_free_dimension_override_by_denotation(self, denotation: str, value: int) -> None:
        """Fixes the dims of the model's inputs that stand for a thing, such as DATA_BATCH."""
        if value < 1:
            raise InvalidArgument("E0232", f"the size of `{denotation}` would be {value}")
        self.denoted_dimensions[denotation] = value

    def add_initializer(self, name: str, ortvalue: Any) -> None:
        """Puts an array in the place of an initializer of the same type and dims."""
        self.initializers[name] = ortvalue

    def add_external_initializers(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """`add_initializer` for several."""
        self.initializers.update(zip(names, values, strict=True))

    def add_external_initializers_from_files_in_memory(self, *_: Any) -> None:
        """NotImplemented: external data are read from files beside the model."""
        raise impossible(
            "external data cannot be given as bytes",
            "keep them in files beside the model, or use add_initializer",
        )

    def add_provider(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        """A provider for sessions that are made without `providers`."""
        self.providers.append((name, dict(options or {})))

    def has_providers(self) -> bool:
        """Whether `add_provider` was called."""
        return bool(self.providers)

    def register_custom_ops_library(self, path: str) -> None:
        """NotImplemented: code of another runtime cannot be called."""
        raise impossible(
            f"custom operators cannot be taken from the library `{path}`",
            "write the operator as a Python class, or store it in the model as a function",
        )

    def set_load_cancellation_flag(self, value: bool) -> None:
        """While set, making a session raises ModelLoadCanceled."""
        self.cancelled = value

    def add_provider_for_devices(
        self, ep_devices: Sequence[Any], options: Mapping[str, Any] | None = None
    ) -> None:
        """`add_provider` for the provider of some of `get_ep_devices()`."""
        for name in dict.fromkeys(device.ep_name for device in ep_devices):
            self.add_provider(name, options)

    def set_provider_selection_policy(self, *_: Any) -> None:
        """Accepted; the first usable provider is taken."""

    def set_provider_selection_policy_delegate(self, *_: Any) -> None:
        """Accepted; the first usable provider is taken."""

    def set_ep_context_data_read_func(self, *_: Any) -> None:
        """Accepted; models hold no compiled code."""

    def clear_ep_context_data_read_func(self) -> None:
        """Accepted; models hold no compiled code."""


@dataclass(slots=True)
class RunOptions:
    """How one run goes; set `terminate` from another thread to end it at the next step."""

    terminate: bool = False
    logid: str = ""
    log_severity_level: int = -1
    log_verbosity_level: int = 0
    only_execute_path_to_fetches: bool = False
    config_entries: dict[str, str] = field(default_factory=dict)
    adapters: list[Any] = field(default_factory=list)

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keeps a configuration entry."""
        self.config_entries[key] = value

    def get_run_config_entry(self, key: str) -> str:
        """A configuration entry kept before; NotFound where there is none."""
        return _entry(self.config_entries, key)

    def add_active_adapter(self, adapter: Any) -> None:
        """Has the tensors of a LoraAdapter take the place of the inputs' defaults."""
        self.adapters.append(adapter)


def _entry(entries: Mapping[str, str], key: str) -> str:
    if key not in entries:
        raise NotFound("E0253", f"there is no configuration entry `{key}`")
    return entries[key]


def impossible(message: str, hint: str) -> errors.SardonyxError:
    """What to raise for something that ONNX Runtime can do and Sardonyx cannot (E0256)."""
    return errors.NotImplemented("E0256", message, hint=hint)

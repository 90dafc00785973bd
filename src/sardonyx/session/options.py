"""Session and run options with every name that ONNX Runtime's have.

What means nothing here is accepted and does nothing; `NO_EFFECT` lists those names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

NO_EFFECT = (
    "enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "execution_mode",
    "inter_op_num_threads", "log_severity_level", "log_verbosity_level", "logid",
    "optimized_model_filepath", "enable_profiling", "profile_file_prefix",
    "use_deterministic_compute", "execution_order",
)  # fmt: skip


class GraphOptimizationLevel(enum.Enum):
    """How much the graph is optimised before it is compiled."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99

    @property
    def value_name(self) -> str:
        """The level as our own passes name it."""
        return {0: "off", 1: "basic", 2: "extended", 3: "all", 99: "all"}[self.value]


class ExecutionMode(enum.Enum):
    """Kept for scripts that set it; a program always runs its steps in order."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


@dataclass
class SessionOptions:
    """How a session is made. `intra_op_num_threads` 0 means one per usable core."""

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    execution_order: Any = None
    enable_cpu_mem_arena: bool = True
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_profiling: bool = False
    profile_file_prefix: str = ""
    optimized_model_filepath: str = ""
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    logid: str = ""
    use_deterministic_compute: bool = False
    config_entries: dict[str, str] = field(default_factory=dict)

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Keeps a configuration entry."""
        self.config_entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """A configuration entry kept before; KeyError where there is none."""
        return self.config_entries[key]

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        """Accepted; dimensions stay symbolic and cost nothing."""
        self.config_entries[f"free_dimension:{name}"] = str(value)


@dataclass
class RunOptions:
    """How one run goes; set `terminate` from another thread to end it at the next step."""

    terminate: bool = False
    logid: str = ""
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    only_execute_path_to_fetches: bool = False
    config_entries: dict[str, str] = field(default_factory=dict)

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Keeps a configuration entry."""
        self.config_entries[key] = value

"""What ONNX Runtime's module says of itself and of the process, for programs that ask."""

from __future__ import annotations

import enum
import platform
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from sardonyx.core.errors import InvalidArgument
from sardonyx.core.version import __version__
from sardonyx.dropin.face import FOLLOWS, NAME
from sardonyx.providers.registry import get_available_providers
from sardonyx.session.choose import given_pairs
from sardonyx.session.devices import OrtEpDevice, OrtHardwareDevice, OrtMemoryInfo
from sardonyx.session.options import SessionOptions, impossible

package_name = NAME
cuda_version = ""


class OrtExecutionProviderDevicePolicy(enum.IntEnum):
    """Accepted; the first usable provider is taken."""

    DEFAULT = 0
    PREFER_CPU = 1
    PREFER_NPU = 2
    PREFER_GPU = 3
    MAX_PERFORMANCE = 4
    MAX_EFFICIENCY = 5
    MIN_OVERALL_POWER = 6


class ArenaExtendStrategy(enum.IntEnum):
    """Accepted; how an arena grows."""

    kNextPowerOfTwo = 0
    kSameAsRequested = 1


kNextPowerOfTwo, kSameAsRequested = ArenaExtendStrategy


class OrtArenaCfg:
    """Accepted; sizes of an arena: four numbers, or a mapping. InvalidArgument for other names."""

    def __init__(self, *given: Any) -> None:
        self.max_mem = 0
        self.arena_extend_strategy = self.initial_chunk_size_bytes = -1
        self.max_dead_bytes_per_chunk = self.initial_growth_chunk_size_bytes = -1
        self.max_power_of_two_extend_bytes = -1
        names = [*vars(self)]
        named = given[0] if len(given) == 1 else dict(zip(names[:4], given, strict=True))
        for name, value in named.items():
            if name not in names:
                raise InvalidArgument("E0257", f"an arena has no `{name}`", wanted=", ".join(names))
            setattr(self, name, value)


def get_device() -> str:
    """Always CPU."""
    return "CPU"


def get_ep_devices() -> list[OrtEpDevice]:
    """The usable providers, each with this CPU."""
    return [OrtEpDevice(name, __version__) for name in get_available_providers()]


def get_hardware_devices() -> list[OrtHardwareDevice]:
    """This CPU."""
    return [OrtHardwareDevice()]


def get_default_session_options() -> SessionOptions:
    """Fresh session options."""
    return SessionOptions()


def set_default_logger_callback(callback: object, severity: int = 2) -> None:
    """Accepted; nothing is logged, so nothing is called. InvalidArgument (E0257) but for a function
    or None.
    """
    _check_severity(severity)
    if callback is not None and not callable(callback):
        raise InvalidArgument("E0257", "no function to log by", given=type(callback).__name__)


def set_default_logger_severity(severity: int) -> None:
    """Accepted; nothing is logged. InvalidArgument (E0257) but for 0 to 4."""
    _check_severity(severity)


def _check_severity(severity: int) -> None:
    if severity not in range(5):
        raise InvalidArgument("E0257", "no severity of a log", given=severity, wanted="0 to 4")


def set_default_logger_verbosity(verbosity: int) -> None:
    """Accepted; nothing is logged."""


def set_seed(seed: int) -> None:
    """Accepted; random operators follow their `seed` attribute."""


def preload_dlls(
    cuda: bool = True, cudnn: bool = True, msvc: bool = True, directory: str | None = None
) -> None:
    """Accepted; there are none."""


def disable_telemetry_events() -> None:
    """Accepted; there is no telemetry to disable."""


def enable_telemetry_events() -> None:
    """Accepted; there is no telemetry to enable."""


def create_and_register_allocator(mem_info: OrtMemoryInfo, arena_cfg: OrtArenaCfg | None) -> None:
    """Accepted; sessions share what memory they can by themselves."""


def create_and_register_allocator_v2(
    provider_type: str, mem_info: OrtMemoryInfo, options: Any, arena_cfg: OrtArenaCfg | None
) -> None:
    """Accepted; sessions share what memory they can by themselves."""


def set_global_thread_pool_sizes(
    intra_op_num_threads: int = 0, inter_op_num_threads: int = 0
) -> None:
    """Accepted; every session has threads of its own, as many as its options say."""


def has_collective_ops() -> bool:
    """Always False."""
    return False


def register_execution_provider_library(registration_name: str, library_path: str) -> NoReturn:
    """NotImplemented: compiled providers of another runtime cannot be called."""
    raise impossible(
        f"the provider library `{library_path}` cannot be loaded",
        "a Python package brings a provider by the entry-point group sardonyx.providers",
    )


def unregister_execution_provider_library(registration_name: str) -> NoReturn:
    """NotImplemented: none can be registered."""
    raise impossible(
        f"the provider library `{registration_name}` was not registered", "nothing is to be done"
    )


def print_debug_info() -> None:
    """Prints the versions and the platform."""
    sys.stdout.write(
        f"{get_build_info()}, following {package_name} {FOLLOWS}\nplatform: {platform.platform()}\n"
    )


def get_version_string() -> str:
    """The version of Sardonyx."""
    return __version__


def get_build_info() -> str:
    """The version of Sardonyx, which is not built: it is Python."""
    return f"Sardonyx {__version__}, Build Info: pure Python"


def copy_tensors(src: Sequence[Any], dst: Sequence[Any], stream: Any = None) -> None:
    """Overwrites the elements of values by those of others of the same types and shapes."""
    del stream
    for a, b in zip(src, dst, strict=True):
        b.update_inplace(a)


def check_and_normalize_provider_args(
    providers: Any, provider_options: Any, available_provider_names: Sequence[str]
) -> tuple[list[str], list[dict[str, str]]]:
    """The names and the options of providers, apart and each once, as strings.

    InvalidArgument (E0257) for what is neither a name nor a pair, and for options given twice. A
    name that is not available stays, and is named in a UserWarning, as is one that comes again.
    """
    pairs = () if providers is None else given_pairs(providers, provider_options)
    found: dict[str, dict[str, str]] = {}
    for name, options in pairs:
        if name in found:
            warnings.warn(f"provider {name} came before: ignored", UserWarning, stacklevel=2)
        elif name not in available_provider_names:
            warnings.warn(f"provider {name} is not available", UserWarning, stacklevel=2)
        found.setdefault(name, {str(k): str(v) for k, v in options.items()})
    return list(found), list(found.values())


def check_distro_info() -> None:
    """Accepted; nothing depends on the distribution."""


def get_package_name_and_version_info() -> tuple[str, str, str]:
    """The name and version that are followed, and no version of CUDA."""
    return package_name, FOLLOWS, cuda_version


def check_training_module() -> tuple[bool, str, str, str]:
    """That there is no module for training, and what `get_package_name_and_version_info` says."""
    return (False, *get_package_name_and_version_info())

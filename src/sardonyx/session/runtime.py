"""What ONNX Runtime's module says of itself and of the process, for scripts that ask."""

from __future__ import annotations

import types

from sardonyx.core import errors

_state = types.SimpleNamespace(
    **{
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SardonyxError)
    }
)
capi = types.SimpleNamespace(onnxruntime_pybind11_state=_state)


def get_device() -> str:
    """Always CPU."""
    return "CPU"


def set_default_logger_callback(callback: object, severity: int = 2) -> None:
    """Accepted; nothing is logged, so nothing is called."""


def set_default_logger_severity(severity: int) -> None:
    """Accepted; nothing is logged."""


def set_default_logger_verbosity(verbosity: int) -> None:
    """Accepted; nothing is logged."""


def set_seed(seed: int) -> None:
    """Accepted; random operators follow their `seed` attribute."""


def preload_dlls(*args: object, **kwargs: object) -> None:
    """Accepted; there are none."""


def disable_telemetry_events() -> None:
    """Accepted; there is no telemetry to disable."""


def enable_telemetry_events() -> None:
    """Accepted; there is no telemetry to enable."""

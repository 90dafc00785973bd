"""What ONNX Runtime can do and Sardonyx cannot, by its names: each says what to do instead.

Model packages (folders that hold a model for each kind of device), code compiled ahead for a
device, streams of devices: a session here takes a model, and the device is the CPU.
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar, NoReturn

from sardonyx.session.options import impossible

_PACKAGES = (
    "model packages are neither opened nor written",
    "pass the model file of a variant to InferenceSession",
)
_COMPILED = (
    "models that hold code compiled for a device are neither read nor written",
    "pass the ONNX model that they were made from to InferenceSession",
)


class _Refused:
    _why: ClassVar[tuple[str, str]] = _PACKAGES

    def __init__(self, *_args: Any, **_named: Any) -> None:
        raise impossible(*self._why)


class ModelPackageWriteMode(enum.IntEnum):
    """Kept for scripts that name it."""

    PRESERVE = 0
    DENSE = 1


class ModelPackageContext(_Refused):
    """NotImplemented: packages are not opened; pass a variant's model to InferenceSession."""


class ModelPackageComponentContext(_Refused):
    """NotImplemented, as ModelPackageContext."""


class ModelPackageOptions(_Refused):
    """NotImplemented, as ModelPackageContext."""


class ModelPackage(_Refused):
    """NotImplemented: packages are not written."""

    @staticmethod
    def open(*_args: Any, **_named: Any) -> NoReturn:
        """NotImplemented, as the class."""
        raise impossible(*_PACKAGES)

    @staticmethod
    def compute_directory_hash(*_args: Any, **_named: Any) -> NoReturn:
        """NotImplemented, as the class."""
        raise impossible(*_PACKAGES)


class OrtEpContextData(_Refused):
    """NotImplemented: models hold no code compiled for a device."""

    _why = _COMPILED


class OrtEpContextDataBuffer(OrtEpContextData):
    """NotImplemented, as OrtEpContextData."""


class OrtSyncStream(_Refused):
    """NotImplemented: there are no streams; a run is over when it returns."""

    _why = "the CPU has no streams", "a run is over when it returns"


class SessionObjectInitializer(_Refused):
    """NotImplemented: sessions are made from models."""

    _why = "sessions are not made from initializers", "pass a model to InferenceSession"


class OrtCompiledModelCompatibility(enum.IntEnum):
    """Kept for scripts that name it: no compiled model is applicable."""

    EP_NOT_APPLICABLE = 0
    EP_SUPPORTED_OPTIMAL = 1
    EP_SUPPORTED_PREFER_RECOMPILATION = 2
    EP_UNSUPPORTED = 3


class OrtDeviceEpIncompatibilityReason(enum.IntFlag):
    """Kept for scripts that name it: the CPU is compatible."""

    NONE = 0
    DRIVER_INCOMPATIBLE = 1
    DEVICE_INCOMPATIBLE = 2
    MISSING_DEPENDENCY = 4
    UNKNOWN = -2147483648


def get_compatibility_info_from_model(model_path: str, ep_type: str) -> None:
    """None: no model holds compiled code that could be read here."""


def get_compatibility_info_from_model_bytes(model: bytes, ep_type: str) -> None:
    """None, as `get_compatibility_info_from_model`."""


def get_model_compatibility_for_ep_devices(devices: Any, info: str) -> int:
    """Always EP_NOT_APPLICABLE."""
    return OrtCompiledModelCompatibility.EP_NOT_APPLICABLE


def get_hardware_device_ep_incompatibility_details(ep_name: str, device: Any) -> dict[str, Any]:
    """That there is none."""
    return {"reasons_bitmask": 0, "notes": "", "error_code": 0}


def get_registered_ep_kernel_defs(ep_name: str) -> list[Any]:
    """Always []: no library of kernels can be registered."""
    return []


def get_session_initializer() -> NoReturn:
    """NotImplemented, as SessionObjectInitializer."""
    raise impossible(*SessionObjectInitializer._why)


def pack_fp4_weights_for_cuda_moe_gemm(q_weights: Any, N: int, K: int) -> NoReturn:
    """NotImplemented: a layout of weights for CUDA."""
    raise impossible("weights are not laid out for CUDA", "leave them as the model has them")

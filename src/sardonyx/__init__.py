"""The whole life of an ONNX model: convert, check, compare, optimize, compile, run, measure.

    import sardonyx as sx

    session = sx.InferenceSession("net.onnx")
    session.run(None, {"x": x})

Names are imported when they are first used. Those of sessions are ONNX Runtime's, so that
`import sardonyx as ort` runs existing scripts.
"""

from __future__ import annotations

import importlib
import sys
import types

from sardonyx.core.version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sardonyx.api import Source as Source
    from sardonyx.api import check as check
    from sardonyx.api import compare as compare
    from sardonyx.api import convert as convert
    from sardonyx.api import from_text as from_text
    from sardonyx.api import get_build_info as get_build_info
    from sardonyx.api import get_version_string as get_version_string
    from sardonyx.api import optimize as optimize
    from sardonyx.api import quantize as quantize
    from sardonyx.api import to_text as to_text
    from sardonyx.bench import bench as bench
    from sardonyx.core.errors import CalibrationError as CalibrationError
    from sardonyx.core.errors import CompileError as CompileError
    from sardonyx.core.errors import ConvertError as ConvertError
    from sardonyx.core.errors import DeviceReset as DeviceReset
    from sardonyx.core.errors import EngineError as EngineError
    from sardonyx.core.errors import EPFail as EPFail
    from sardonyx.core.errors import ExternalDataError as ExternalDataError
    from sardonyx.core.errors import Fail as Fail
    from sardonyx.core.errors import InternalError as InternalError
    from sardonyx.core.errors import InvalidArgument as InvalidArgument
    from sardonyx.core.errors import InvalidGraph as InvalidGraph
    from sardonyx.core.errors import InvalidProtobuf as InvalidProtobuf
    from sardonyx.core.errors import LimitExceeded as LimitExceeded
    from sardonyx.core.errors import ModelLoadCanceled as ModelLoadCanceled
    from sardonyx.core.errors import ModelLoaded as ModelLoaded
    from sardonyx.core.errors import ModelRequiresCompilation as ModelRequiresCompilation
    from sardonyx.core.errors import NoModel as NoModel
    from sardonyx.core.errors import NoSuchFile as NoSuchFile
    from sardonyx.core.errors import NotFound as NotFound
    from sardonyx.core.errors import NotImplemented as NotImplemented  # noqa: A004
    from sardonyx.core.errors import ProviderUnavailable as ProviderUnavailable
    from sardonyx.core.errors import RuntimeException as RuntimeException
    from sardonyx.core.errors import SardonyxError as SardonyxError
    from sardonyx.core.errors import ShapeMismatch as ShapeMismatch
    from sardonyx.core.errors import Terminated as Terminated
    from sardonyx.core.errors import UnsupportedOperator as UnsupportedOperator
    from sardonyx.core.errors import UsageError as UsageError
    from sardonyx.core.limits import Limits as Limits
    from sardonyx.core.tensor import Tensor as Tensor
    from sardonyx.formats import load as load
    from sardonyx.formats import save as save
    from sardonyx.formats import to_bytes as to_bytes
    from sardonyx.formats import to_proto as to_proto
    from sardonyx.graph.ir import Graph as Graph
    from sardonyx.providers.registry import get_all_providers as get_all_providers
    from sardonyx.providers.registry import get_available_providers as get_available_providers
    from sardonyx.session import ExecutionMode as ExecutionMode
    from sardonyx.session import ExecutionOrder as ExecutionOrder
    from sardonyx.session import GraphOptimizationLevel as GraphOptimizationLevel
    from sardonyx.session import InferenceSession as InferenceSession
    from sardonyx.session import IOBinding as IOBinding
    from sardonyx.session import ModelMetadata as ModelMetadata
    from sardonyx.session import NodeArg as NodeArg
    from sardonyx.session import OrtValue as OrtValue
    from sardonyx.session import RunOptions as RunOptions
    from sardonyx.session import SessionOptions as SessionOptions
    from sardonyx.session.packages import ModelPackage as ModelPackage
    from sardonyx.session.packages import (
        ModelPackageComponentContext as ModelPackageComponentContext,
    )
    from sardonyx.session.packages import ModelPackageContext as ModelPackageContext
    from sardonyx.session.packages import ModelPackageOptions as ModelPackageOptions
    from sardonyx.session.packages import ModelPackageWriteMode as ModelPackageWriteMode
    from sardonyx.session.runtime import capi as capi
    from sardonyx.session.runtime import disable_telemetry_events as disable_telemetry_events
    from sardonyx.session.runtime import enable_telemetry_events as enable_telemetry_events
    from sardonyx.session.runtime import get_device as get_device
    from sardonyx.session.runtime import preload_dlls as preload_dlls
    from sardonyx.session.runtime import set_default_logger_callback as set_default_logger_callback
    from sardonyx.session.runtime import set_default_logger_severity as set_default_logger_severity
    from sardonyx.session.runtime import (
        set_default_logger_verbosity as set_default_logger_verbosity,
    )
    from sardonyx.session.runtime import set_seed as set_seed

_PLACES = {
    "api": (
        "Source",
        "check",
        "compare",
        "convert",
        "from_text",
        "get_build_info",
        "get_version_string",
        "optimize",
        "quantize",
        "to_text",
    ),
    "bench": ("bench",),
    "core.errors": (
        "CalibrationError",
        "CompileError",
        "ConvertError",
        "DeviceReset",
        "EPFail",
        "EngineError",
        "ExternalDataError",
        "Fail",
        "InternalError",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "LimitExceeded",
        "ModelLoadCanceled",
        "ModelLoaded",
        "ModelRequiresCompilation",
        "NoModel",
        "NoSuchFile",
        "NotFound",
        "NotImplemented",
        "ProviderUnavailable",
        "RuntimeException",
        "SardonyxError",
        "ShapeMismatch",
        "Terminated",
        "UnsupportedOperator",
        "UsageError",
    ),
    "core.limits": ("Limits",),
    "core.tensor": ("Tensor",),
    "formats": ("load", "save", "to_bytes", "to_proto"),
    "graph.ir": ("Graph",),
    "providers.registry": ("get_all_providers", "get_available_providers"),
    "session": (
        "ExecutionMode",
        "ExecutionOrder",
        "GraphOptimizationLevel",
        "IOBinding",
        "InferenceSession",
        "ModelMetadata",
        "NodeArg",
        "OrtValue",
        "RunOptions",
        "SessionOptions",
    ),
    "session.packages": (
        "ModelPackage",
        "ModelPackageComponentContext",
        "ModelPackageContext",
        "ModelPackageOptions",
        "ModelPackageWriteMode",
    ),
    "session.runtime": (
        "capi",
        "disable_telemetry_events",
        "enable_telemetry_events",
        "get_device",
        "preload_dlls",
        "set_default_logger_callback",
        "set_default_logger_severity",
        "set_default_logger_verbosity",
        "set_seed",
    ),
}
_HOME = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `sardonyx` has no attribute `{name}`")
    found = getattr(importlib.import_module(f"sardonyx.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Package(types.ModuleType):
    """Keeps `sardonyx.compare` the function when the package of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

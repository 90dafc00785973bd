"""The whole life of an ONNX model: convert, check, compare, optimize, compile, run, measure.

    import sardonyx as sx

    session = sx.InferenceSession("net.onnx")
    session.run(None, {"x": x})

Names are imported when they are first used. Those of sessions are ONNX Runtime's, so that
`import sardonyx as ort` runs existing scripts, and `sys.modules["onnxruntime"] = sardonyx` whole
programs.
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
    from sardonyx.api import gradient as gradient
    from sardonyx.api import optimize as optimize
    from sardonyx.api import quantize as quantize
    from sardonyx.api import save as save
    from sardonyx.api import to_text as to_text
    from sardonyx.api import upgrade as upgrade
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
    from sardonyx.dropin.adapters import AdapterFormat as AdapterFormat
    from sardonyx.dropin.adapters import LoraAdapter as LoraAdapter
    from sardonyx.dropin.bound import SessionIOBinding as SessionIOBinding
    from sardonyx.dropin.compiling import ModelCompiler as ModelCompiler
    from sardonyx.dropin.compiling import OrtCompileApiFlags as OrtCompileApiFlags
    from sardonyx.dropin.compiling import OrtExternalInitializerInfo as OrtExternalInitializerInfo
    from sardonyx.dropin.environment import OrtArenaCfg as OrtArenaCfg
    from sardonyx.dropin.environment import (
        OrtExecutionProviderDevicePolicy as OrtExecutionProviderDevicePolicy,
    )
    from sardonyx.dropin.environment import copy_tensors as copy_tensors
    from sardonyx.dropin.environment import (
        create_and_register_allocator as create_and_register_allocator,
    )
    from sardonyx.dropin.environment import (
        create_and_register_allocator_v2 as create_and_register_allocator_v2,
    )
    from sardonyx.dropin.environment import cuda_version as cuda_version
    from sardonyx.dropin.environment import disable_telemetry_events as disable_telemetry_events
    from sardonyx.dropin.environment import enable_telemetry_events as enable_telemetry_events
    from sardonyx.dropin.environment import get_build_info as get_build_info
    from sardonyx.dropin.environment import get_device as get_device
    from sardonyx.dropin.environment import get_ep_devices as get_ep_devices
    from sardonyx.dropin.environment import get_version_string as get_version_string
    from sardonyx.dropin.environment import has_collective_ops as has_collective_ops
    from sardonyx.dropin.environment import package_name as package_name
    from sardonyx.dropin.environment import preload_dlls as preload_dlls
    from sardonyx.dropin.environment import print_debug_info as print_debug_info
    from sardonyx.dropin.environment import (
        register_execution_provider_library as register_execution_provider_library,
    )
    from sardonyx.dropin.environment import (
        set_default_logger_callback as set_default_logger_callback,
    )
    from sardonyx.dropin.environment import (
        set_default_logger_severity as set_default_logger_severity,
    )
    from sardonyx.dropin.environment import (
        set_default_logger_verbosity as set_default_logger_verbosity,
    )
    from sardonyx.dropin.environment import (
        set_global_thread_pool_sizes as set_global_thread_pool_sizes,
    )
    from sardonyx.dropin.environment import set_seed as set_seed
    from sardonyx.dropin.environment import (
        unregister_execution_provider_library as unregister_execution_provider_library,
    )
    from sardonyx.dropin.refused import ModelPackage as ModelPackage
    from sardonyx.dropin.refused import ModelPackageComponentContext as ModelPackageComponentContext
    from sardonyx.dropin.refused import ModelPackageContext as ModelPackageContext
    from sardonyx.dropin.refused import ModelPackageOptions as ModelPackageOptions
    from sardonyx.dropin.refused import ModelPackageWriteMode as ModelPackageWriteMode
    from sardonyx.dropin.refused import OrtEpContextData as OrtEpContextData
    from sardonyx.dropin.refused import OrtEpContextDataBuffer as OrtEpContextDataBuffer
    from sardonyx.dropin.refused import OrtSyncStream as OrtSyncStream
    from sardonyx.formats import load as load
    from sardonyx.formats import to_bytes as to_bytes
    from sardonyx.formats import to_proto as to_proto
    from sardonyx.graph.ir import Graph as Graph
    from sardonyx.graph.op import Op as Op
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
    from sardonyx.session.describe import OrtEpAssignedNode as OrtEpAssignedNode
    from sardonyx.session.describe import OrtEpAssignedSubgraph as OrtEpAssignedSubgraph
    from sardonyx.session.devices import OrtAllocatorType as OrtAllocatorType
    from sardonyx.session.devices import OrtDevice as OrtDevice
    from sardonyx.session.devices import OrtDeviceMemoryType as OrtDeviceMemoryType
    from sardonyx.session.devices import OrtDeviceVendorId as OrtDeviceVendorId
    from sardonyx.session.devices import OrtEpDevice as OrtEpDevice
    from sardonyx.session.devices import OrtHardwareDevice as OrtHardwareDevice
    from sardonyx.session.devices import OrtHardwareDeviceType as OrtHardwareDeviceType
    from sardonyx.session.devices import OrtMemoryInfo as OrtMemoryInfo
    from sardonyx.session.devices import OrtMemoryInfoDeviceType as OrtMemoryInfoDeviceType
    from sardonyx.session.devices import OrtMemType as OrtMemType
    from sardonyx.session.sparse import OrtSparseFormat as OrtSparseFormat
    from sardonyx.session.sparse import SparseTensor as SparseTensor

_PLACES = {
    "api": (
        "Source",
        "check",
        "compare",
        "convert",
        "from_text",
        "gradient",
        "optimize",
        "quantize",
        "save",
        "to_text",
        "upgrade",
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
    "dropin.adapters": ("AdapterFormat", "LoraAdapter"),
    "dropin.bound": ("SessionIOBinding",),
    "dropin.compiling": ("ModelCompiler", "OrtCompileApiFlags", "OrtExternalInitializerInfo"),
    "dropin.environment": (
        "OrtArenaCfg",
        "OrtExecutionProviderDevicePolicy",
        "copy_tensors",
        "create_and_register_allocator",
        "create_and_register_allocator_v2",
        "cuda_version",
        "disable_telemetry_events",
        "enable_telemetry_events",
        "get_build_info",
        "get_device",
        "get_ep_devices",
        "get_version_string",
        "has_collective_ops",
        "package_name",
        "preload_dlls",
        "print_debug_info",
        "register_execution_provider_library",
        "set_default_logger_callback",
        "set_default_logger_severity",
        "set_default_logger_verbosity",
        "set_global_thread_pool_sizes",
        "set_seed",
        "unregister_execution_provider_library",
    ),
    "dropin.refused": (
        "ModelPackage",
        "ModelPackageComponentContext",
        "ModelPackageContext",
        "ModelPackageOptions",
        "ModelPackageWriteMode",
        "OrtEpContextData",
        "OrtEpContextDataBuffer",
        "OrtSyncStream",
    ),
    "formats": ("load", "to_bytes", "to_proto"),
    "graph.op": ("Op",),
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
    "session.describe": ("OrtEpAssignedNode", "OrtEpAssignedSubgraph"),
    "session.devices": (
        "OrtAllocatorType",
        "OrtDevice",
        "OrtDeviceMemoryType",
        "OrtDeviceVendorId",
        "OrtEpDevice",
        "OrtHardwareDevice",
        "OrtHardwareDeviceType",
        "OrtMemType",
        "OrtMemoryInfo",
        "OrtMemoryInfoDeviceType",
    ),
    "session.sparse": ("OrtSparseFormat", "SparseTensor"),
}
# Where the submodules of ONNX Runtime lie, which both names reach: `sardonyx.capi`.
__path__ = [*__path__, f"{__path__[0]}/dropin/modules"]

_HOME = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "capi":
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module `sardonyx` has no attribute `{name}`")
    found = getattr(importlib.import_module(f"sardonyx.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "capi", "version"})


class _Package(types.ModuleType):
    """Keeps `sardonyx.compare` the function when the package of that name is imported.

    Under the name of `onnxruntime` its version is the one whose API it follows.
    """

    @property
    def version(self) -> str:
        """The version of Sardonyx, or of ONNX Runtime where its name is ours in this process."""
        if sys.modules.get("onnxruntime") is not self:
            return __version__
        from sardonyx.dropin.face import FOLLOWS  # noqa: PLC0415 - only then needed

        return FOLLOWS

    __version__ = version

    def __reduce__(self) -> tuple[Any, ...]:
        # What pickles functions of a main program takes modules as such by their exact type only.
        return importlib.import_module, (self.__name__,)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

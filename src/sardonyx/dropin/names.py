"""Which names the submodules of ONNX Runtime have here, by the module of Sardonyx they are of."""

from __future__ import annotations

Places = dict[str, tuple[str, ...]]

STATE: Places = {
    "core.errors": (
        *("DeviceReset", "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph"),
        *("InvalidProtobuf", "ModelLoadCanceled", "ModelLoaded", "ModelRequiresCompilation"),
        *("NoModel", "NoSuchFile", "NotFound", "NotImplemented", "RuntimeException"),
    ),
    "dropin.adapters": ("AdapterFormat", "LoraAdapter"),
    "dropin.bound": ("InferenceSession", "SessionIOBinding"),
    "dropin.compiling": ("ModelCompiler", "OrtCompileApiFlags", "OrtExternalInitializerInfo"),
    "dropin.environment": (
        *("ArenaExtendStrategy", "OrtArenaCfg", "OrtExecutionProviderDevicePolicy"),
        *("copy_tensors", "create_and_register_allocator", "create_and_register_allocator_v2"),
        *("disable_telemetry_events", "enable_telemetry_events", "get_build_info"),
        *("get_default_session_options", "get_device", "get_ep_devices", "get_hardware_devices"),
        *("get_version_string", "has_collective_ops"),
        *("kNextPowerOfTwo", "kSameAsRequested"),
        *("register_execution_provider_library", "set_default_logger_callback"),
        *("set_default_logger_severity", "set_default_logger_verbosity"),
        *("set_global_thread_pool_sizes", "set_seed", "unregister_execution_provider_library"),
    ),
    "dropin.kernels": ("get_all_operator_schema", "get_all_opkernel_def", "opkernel", "schemadef"),
    "dropin.refused": (
        *("ModelPackage", "ModelPackageComponentContext", "ModelPackageContext"),
        *("ModelPackageOptions", "ModelPackageWriteMode", "OrtCompiledModelCompatibility"),
        *("OrtDeviceEpIncompatibilityReason", "OrtEpContextData", "OrtEpContextDataBuffer"),
        *("OrtSyncStream", "SessionObjectInitializer", "get_compatibility_info_from_model"),
        *("get_compatibility_info_from_model_bytes", "get_model_compatibility_for_ep_devices"),
        *("get_hardware_device_ep_incompatibility_details", "get_registered_ep_kernel_defs"),
        *("get_session_initializer", "pack_fp4_weights_for_cuda_moe_gemm"),
    ),
    "providers.registry": ("get_all_providers", "get_available_providers"),
    "session.describe": (
        *("ModelMetadata", "NodeArg", "OrtEpAssignedNode", "OrtEpAssignedSubgraph"),
    ),
    "session.devices": (
        *("OrtAllocatorType", "OrtDevice", "OrtDeviceMemoryType", "OrtEpDevice"),
        *("OrtHardwareDevice", "OrtHardwareDeviceType", "OrtMemType", "OrtMemoryInfo"),
        "OrtMemoryInfoDeviceType",
    ),
    "session.options": (
        *("ExecutionMode", "ExecutionOrder", "GraphOptimizationLevel", "RunOptions"),
        "SessionOptions",
    ),
    "session.sparse": (
        *("OrtSparseFormat", "SparseBlockSparseView", "SparseCooView", "SparseCsrView"),
        "SparseTensor",
    ),
    "session.value": ("OrtValue", "OrtValueVector"),
}

QUANTIZATION: Places = {
    "dropin.quantizing": (
        *("CalibrationDataReader", "CalibrationMethod", "DynamicQuantConfig", "QuantFormat"),
        *("QuantType", "QuantizationMode", "StaticQuantConfig", "quant_pre_process", "quantize"),
        *("quantize_dynamic", "quantize_static"),
    )
}
SHAPES: Places = {"dropin.models": ("SymbolicShapeInference",)}
TRANSFORMERS: Places = {"dropin.models": ("FusionOptions", "OnnxModel", "optimize_model")}
BACKEND: Places = {"backend": ("is_compatible", "prepare", "run", "supports_device")}
FUSION: Places = {"dropin.models": ("FusionOptions",)}
MODEL: Places = {"dropin.models": ("OnnxModel",)}
DATASETS: Places = {"dropin.examples": ("get_example",)}
TOOLS: Places = {}

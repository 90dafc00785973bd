"""The modules below ONNX Runtime's own, imported with it."""

import importlib

for _name in (
    "onnxruntime_pybind11_state",
    "_pybind_state",
    "onnxruntime_inference_collection",
    "onnxruntime_validation",
    "build_and_package_info",
):
    importlib.import_module(f"{__name__}.{_name}")

"""Sessions: bind shapes, choose the provider, run; with ONNX Runtime's names."""

from sardonyx.session.options import ExecutionMode, GraphOptimizationLevel, RunOptions, SessionOptions
from sardonyx.session.session import (
    InferenceSession,
    IOBinding,
    ModelMetadata,
    NodeArg,
    OrtValue,
    type_name,
)

__all__ = [
    "ExecutionMode", "GraphOptimizationLevel", "IOBinding", "InferenceSession", "ModelMetadata",
    "NodeArg", "OrtValue", "RunOptions", "SessionOptions", "type_name",
]  # fmt: skip

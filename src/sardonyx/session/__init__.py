"""Sessions: bind shapes, choose the provider, run; with ONNX Runtime's names."""

from sardonyx.session.binding import IOBinding
from sardonyx.session.describe import ModelMetadata, NodeArg, type_name
from sardonyx.session.options import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    RunOptions,
    SessionOptions,
)
from sardonyx.session.session import InferenceSession
from sardonyx.session.value import OrtValue

__all__ = [
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
    "type_name",
]

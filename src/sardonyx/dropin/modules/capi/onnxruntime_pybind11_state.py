"""ONNX Runtime's binding."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import STATE

__all__, __getattr__, __dir__ = lazily("capi.onnxruntime_pybind11_state", STATE)

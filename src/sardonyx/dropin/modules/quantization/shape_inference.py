"""Quantization, where ONNX Runtime defines a part of it."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import QUANTIZATION

__all__, __getattr__, __dir__ = lazily("quantization.shape_inference", QUANTIZATION)

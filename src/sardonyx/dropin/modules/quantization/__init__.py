"""Quantization by ONNX Runtime's names."""

import importlib

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import QUANTIZATION

__all__, __getattr__, __dir__ = lazily("quantization", QUANTIZATION)

for _name in ("calibrate", "quant_utils", "quantize", "shape_inference"):
    importlib.import_module(f"{__name__}.{_name}")
quantize = __getattr__("quantize")  # the function, not the module of that name

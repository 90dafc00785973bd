"""Int8 models from float ones: calibrate on data, insert quantize-dequantize pairs."""

from sardonyx.quantize.dynamic import quantize_dynamic
from sardonyx.quantize.quantize import Quantization, agreement, quantize
from sardonyx.quantize.statistics import Range, Statistics

__all__ = ["Quantization", "Range", "Statistics", "agreement", "quantize", "quantize_dynamic"]

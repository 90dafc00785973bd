"""Int8 models from float ones: calibrate on data, insert quantize-dequantize pairs."""

from sardonyx.quantize.quantize import Quantization, quantize
from sardonyx.quantize.statistics import Range, Statistics

__all__ = ["Quantization", "Range", "Statistics", "quantize"]

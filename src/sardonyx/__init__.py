"""The whole life of an ONNX model: convert, check, compare, optimize, compile, run, measure."""

__version__ = "0.1.0"

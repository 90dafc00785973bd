"""Optimised models."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import MODEL

__all__, __getattr__, __dir__ = lazily("transformers.onnx_model", MODEL)

"""Optimisation by ONNX Runtime's names: it is in its submodules."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import TOOLS

__all__, __getattr__, __dir__ = lazily("transformers", TOOLS)

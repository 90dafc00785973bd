"""Tools by ONNX Runtime's names: they are in its submodules."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import TOOLS

__all__, __getattr__, __dir__ = lazily("tools", TOOLS)

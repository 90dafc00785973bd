"""The standard's backend interface, where ONNX Runtime has its own."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import BACKEND

__all__, __getattr__, __dir__ = lazily("backend", BACKEND)

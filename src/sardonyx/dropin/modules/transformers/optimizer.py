"""Optimisation of models."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import TRANSFORMERS

__all__, __getattr__, __dir__ = lazily("transformers.optimizer", TRANSFORMERS)

"""Options of optimisation."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import FUSION

__all__, __getattr__, __dir__ = lazily("transformers.fusion_options", FUSION)

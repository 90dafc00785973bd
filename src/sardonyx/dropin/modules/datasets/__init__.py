"""Small models for examples."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import DATASETS

__all__, __getattr__, __dir__ = lazily("datasets", DATASETS)

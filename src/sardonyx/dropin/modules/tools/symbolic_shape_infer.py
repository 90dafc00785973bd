"""Inference of shapes with symbols."""

from sardonyx.dropin.lazy import lazily
from sardonyx.dropin.names import SHAPES

__all__, __getattr__, __dir__ = lazily("tools.symbolic_shape_infer", SHAPES)

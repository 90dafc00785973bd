"""Derivatives of models, written as nodes of the standard: reverse mode, one rule an operator."""

from sardonyx.gradient.gradient import with_gradients as with_gradients
from sardonyx.gradient.gradient import written_out as written_out

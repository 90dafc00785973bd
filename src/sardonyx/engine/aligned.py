"""How many bytes a value takes where it is kept aligned."""

from __future__ import annotations

from sardonyx.core.expr import Expr
from sardonyx.graph.ir import Value

ALIGNMENT = 64


def nbytes(v: Value) -> Expr:
    """The bytes a value occupies, rounded up to the alignment."""
    assert v.type.dtype is not None
    size = v.type.count * (v.type.dtype.bits // 8)
    return ((size + (ALIGNMENT - 1)) // ALIGNMENT) * ALIGNMENT

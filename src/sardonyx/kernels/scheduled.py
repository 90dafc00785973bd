"""What a strategy makes of a raw kernel: the fast one, and operands to be laid out before it."""

from __future__ import annotations

from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr
from sardonyx.loops.ir import Kernel


@dataclass(frozen=True)
class Packed:
    """An operand in the layout that the main kernel wants.

    `kernel` writes `count` elements of `dtype` into its parameter 0 from its parameters 1.., which
    are the raw kernel's parameters `sources`. It runs once where those are constant, otherwise
    before every run of the main kernel. Its symbols are the raw kernel's.
    """

    count: Expr
    dtype: DType
    kernel: Kernel
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Scheduled:
    """A kernel ready for the emitter, made by `strategy`.

    Its parameters are the raw kernel's `params` in this order, the n-th packed operand counting
    as number len(raw.params) + n; None: the raw kernel's parameters, then the packed operands.
    """

    kernel: Kernel
    strategy: str
    packed: tuple[Packed, ...] = ()
    params: tuple[int, ...] | None = None

"""The steps of a program: kernels that are launched, and nodes that run in numpy.

A kept program needs these and nothing of what makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sardonyx.core.expr import Expr
    from sardonyx.engine.fuse.inside import Promise
    from sardonyx.graph.ir import Node, Value
    from sardonyx.loops.ir import Kernel


@dataclass(frozen=True)
class Host:
    """A node that runs in numpy, and why."""

    node: Node
    reason: str


@dataclass(frozen=True)
class Launch:
    """One call of one kernel: the values behind its parameters (the first `outs` are written)
    and the dims behind its symbols. `once`: everything it reads is constant, so it runs at load.
    `work` is the kernel's in the model's symbols, `scratch` the bytes each thread needs, `parallel`
    whether threads can share it. `kernel` is None where only its code was kept.
    """

    kernel: Kernel | None
    params: tuple[Value, ...]
    symbols: tuple[Expr, ...]
    outs: int
    nodes: tuple[Node, ...]
    once: bool
    strategy: str
    work: Expr
    scratch: int
    parallel: bool
    promises: tuple[Promise, ...] = ()

    @property
    def made(self) -> tuple[Value, ...]:
        """The values written."""
        return self.params[: self.outs]

    @property
    def read(self) -> tuple[Value, ...]:
        """The values read."""
        return self.params[self.outs :]

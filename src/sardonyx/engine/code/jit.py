"""Kernels into addresses: equal kernels are compiled once, on this machine once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sardonyx.engine.code import cache
from sardonyx.engine.code.link import Linker, Unit
from sardonyx.loops.target import Target

if TYPE_CHECKING:
    from sardonyx.loops.ir import Kernel


class Jit(Linker):
    """The machine code of kernels for one target; it lives as long as this object."""

    def __init__(self, target: Target, store: cache.Cache | None = None) -> None:
        super().__init__(target, store or cache.default())

    def functions(self, kernels: Sequence[Kernel]) -> list[int]:
        """The address of each kernel's function (see `engine.llvm` for how it is called).

        Kernels that differ in names only share one. CompileError where one cannot be made.
        """
        return self.load(self.units(kernels))

    def units(self, kernels: Sequence[Kernel]) -> list[Unit]:
        """What to load for each kernel."""
        found = {kernel: unit(kernel, self.target) for kernel in dict.fromkeys(kernels)}
        return [found[kernel] for kernel in kernels]


def unit(kernel: Kernel, target: Target) -> Unit:
    """A kernel as something to load, named by the digest of its canonical text."""
    from sardonyx.engine.emit.kernel import emit  # noqa: PLC0415 - not for a kept program
    from sardonyx.loops.text import canonical, digest_of, to_text  # noqa: PLC0415

    closed = canonical(kernel)
    text = to_text(closed)
    name = f"k_{digest_of(text)}"
    return Unit(name, text, lambda: emit(closed, target, name))

"""The choice of a strategy for a raw kernel: the first that does not refuse, with its reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sardonyx.kernels.blocks import blocks
from sardonyx.kernels.depthwise import depthwise
from sardonyx.kernels.gemm import gemm
from sardonyx.kernels.nest import nest
from sardonyx.kernels.recurrent import recurrent
from sardonyx.kernels.scheduled import Scheduled
from sardonyx.kernels.winograd import winograd
from sardonyx.loops.ir import Contract, Fold, For, Kernel, Stmt, statements
from sardonyx.loops.target import Target

Strategy = Callable[[Kernel, Target], Scheduled | str]


def _nest(kernel: Kernel, target: Target) -> Scheduled | str:
    made = nest(spelled_out(kernel), target)
    return made if isinstance(made, str) else Scheduled(made, "nest")


def _as_built(kernel: Kernel, target: Target) -> Scheduled | str:
    del target
    return Scheduled(spelled_out(kernel), "as built")


STRATEGIES: tuple[Strategy, ...] = (winograd, blocks, gemm, depthwise, recurrent, _nest, _as_built)


def schedule(kernel: Kernel, target: Target) -> Scheduled:
    """The kernel made fast for a target."""
    return explain(kernel, target)[0]


def explain(kernel: Kernel, target: Target) -> tuple[Scheduled, list[tuple[str, str]]]:
    """The chosen schedule, and (strategy, reason) for each one that refused."""
    refused: list[tuple[str, str]] = []
    for strategy in STRATEGIES:
        made = strategy(kernel, target)
        if isinstance(made, Scheduled):
            return made, refused
        refused.append((strategy.__name__.strip("_"), made))
    raise AssertionError("the last strategy takes every kernel")


def spelled_out(kernel: Kernel) -> Kernel:
    """A kernel whose contractions are plain loops and folds."""
    if not any(isinstance(s, Contract) for s in statements(kernel.body)):
        return kernel
    return replace(kernel, body=tuple(map(_spelled_out, kernel.body)))


def _spelled_out(s: Stmt) -> Stmt:
    if isinstance(s, Contract):
        return _loops(s)
    return replace(s, body=tuple(map(_spelled_out, s.body))) if isinstance(s, For) else s


def _loops(c: Contract) -> Stmt:
    inner: tuple[Stmt, ...] = (Fold(c.acc, "add", c.k, c.left * c.right), *c.body)
    for v in reversed((*c.batch, *c.m, *c.n)):
        inner = (For(v, inner),)
    return inner[0]

"""The order in which passes run: what any machine gains from, then what this engine needs.

optimize(graph, level)   portable: the result is saved as standard ONNX
prepare(graph)           machine-bound: integer kernels, memory layout, simpler operators
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sardonyx.core.errors import InvalidArgument, UsageError
from sardonyx.graph.check import LATEST
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph
from sardonyx.graph.rewrite import Log, Pass, Pipeline
from sardonyx.passes.affine import AFFINE
from sardonyx.passes.bits import BITS
from sardonyx.passes.cse import CSE
from sardonyx.passes.dead import DEAD
from sardonyx.passes.fold import FOLD
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import INLINE, take_branches
from sardonyx.passes.late import LATE
from sardonyx.passes.layout import LAYOUT
from sardonyx.passes.lower import LOWER
from sardonyx.passes.names import NAMES
from sardonyx.passes.quant import QUANT
from sardonyx.passes.simplify import SIMPLIFY
from sardonyx.passes.spans import SPANS
from sardonyx.passes.version import move, raise_refusals

Dump = Callable[[str, Graph], None]


def _infer(graph: Graph, log: Log) -> None:
    infer(graph)
    while take_branches(graph, log):
        infer(graph)


INFER = Pass("infer", _infer)

EXACT = (INLINE, INFER, DEAD, FOLD, CSE, SIMPLIFY, FOLD, DEAD)
BASIC = (*EXACT, NAMES)
EXTENDED = (*EXACT, AFFINE, DEAD, CSE, NAMES)
PREPARE = (BITS, QUANT, LOWER, BITS, FOLD, DEAD, INFER, LAYOUT, LATE, SPANS)

LEVELS: dict[str, tuple[Pass, ...]] = {
    "off": (INLINE, INFER),
    "basic": BASIC,
    "extended": EXTENDED,
    "all": EXTENDED,
}


@dataclass(frozen=True)
class Optimized:
    """A changed copy of a graph, and what was changed."""

    graph: Graph
    log: Log


def optimize(
    graph: Graph,
    level: str = "all",
    *,
    opset: int | None = None,
    dump: Dump | None = None,
    verify: Dump | None = None,
) -> Optimized:
    """An equal graph that runs faster anywhere; `graph` stays as it is.

    `level` is off (functions inlined and types inferred only), basic (exact changes), extended
    or all (changes within rounding too); UsageError for another. `opset` raises the model's
    version of the standard first, see `passes.version`. `dump` and `verify` see the
    graph after every pass, named `pass:NAME`.
    """
    if level not in LEVELS:
        raise UsageError("E0902", f"no level is called `{level}`", wanted=", ".join(LEVELS))
    made, log = clone(graph), Log()
    if opset is not None:
        made = _run(made, LEVELS["off"], None, None).graph
        log = _raised(made, opset)
    return _run(made, LEVELS[level], dump, verify, log)


def _raised(graph: Graph, opset: int) -> Log:
    now = graph.opsets.get("", 1)
    if not now <= opset <= LATEST[""]:
        raise InvalidArgument(
            "E0347",
            f"no way to opset {opset}",
            given=opset,
            wanted=f"{now} to {LATEST['']}",
            hint="`upgrade` goes to older ones",
        )
    log = move(graph, {"": opset})
    raise_refusals(log)
    return log


def prepare(
    graph: Graph, *, dump: Dump | None = None, verify: Dump | None = None, log: Log | None = None
) -> Graph:
    """A copy that the engine compiles: types inferred, operators lowered, memory order chosen.

    What was done is added to `log`.
    """
    return _run(clone(graph), (INLINE, INFER, *PREPARE), dump, verify, log).graph


def _run(
    graph: Graph,
    passes: tuple[Pass, ...],
    dump: Dump | None,
    verify: Dump | None,
    log: Log | None = None,
) -> Optimized:
    def see(name: str, at: Graph) -> None:
        for look in (verify, dump):
            if look is not None:
                look(name, at)

    return Optimized(graph, Pipeline(passes).run(graph, dump=see, log=log))

"""Is a model what the standard says? Everything that is not, each with a code.

Sessions run more than the standard allows, as ONNX Runtime does: what only breaks a rule, and can
be read in one way, is an error here and is read past there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sardonyx.checker.nodes import shaped, typed
from sardonyx.checker.stored import stored
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import name_of
from sardonyx.core.limits import Limits
from sardonyx.formats.onnx_write import write_model
from sardonyx.graph import check as structure
from sardonyx.graph.check import Finding
from sardonyx.graph.clone import clone
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import inlined
from sardonyx.passes.shared import contradicted

# What sessions mend by themselves: names in two scopes, nodes out of order, declared shapes.
_MENDED = frozenset({"E0302", "E0314", "E0333"})


def check(graph: Graph, limits: Limits | None = None) -> list[Finding]:
    """Every finding, errors first, each once.

    Structure first; where that holds, types; then what the file says. LimitExceeded where the graph
    is beyond the limits.
    """
    budget = limits or Limits.current()
    found = [_weighed(f) for f in structure.check(graph, limits=budget)]
    broken = any(f.is_error and f.code not in _MENDED for f in found)
    _add(found, shaped(graph))
    if not broken:
        _add(found, _inferred(graph, budget))
    _add(found, stored(write_model(graph)))
    return sorted(found, key=lambda f: not f.is_error)


def _weighed(f: Finding) -> Finding:
    return replace(f, severity="error") if f.code in _MENDED else f


def _add(found: list[Finding], more: Iterable[Finding]) -> None:
    """Adds what is not found yet: a code at a node is told by the first who finds it."""
    told = {(f.code, f.node, f.op) for f in found if f.is_error}
    for f in dict.fromkeys(map(_weighed, more)):
        if f.op is None or (f.code, f.node, f.op) not in told:
            found[:] = [old for old in found if old.is_error or _place(old) != _place(f)]
            found.append(f)


def _place(f: Finding) -> tuple[str | None, ...]:
    return f.code, f.node, f.tensor, f.op


def _inferred(graph: Graph, limits: Limits) -> Iterator[Finding]:
    made = clone(inlined(graph))
    for e in infer(made, strict=False, limits=limits, allowed=True):
        yield Finding(_weight(e), e.code, e.message, e.node, e.tensor, e.op, e.hint)
    yield from typed(made)
    for name, wanted in contradicted(made).items():
        said = f"no size of `{name_of(name)}` gives {wanted}"
        yield Finding("warning", "E0334", said, hint="sessions take each of its dims for one apart")


def _weight(error: SardonyxError) -> str:
    """What only nothing here runs is odd."""
    return "warning" if error.code == "E0401" else "error"

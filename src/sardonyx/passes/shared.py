"""Symbols that a model shares between dims which its own operators want to be of other sizes.

An exporter, or who wrote a model by hand, gives one name to dims that have nothing to do with each
other; ONNX Runtime does not look at names. What no size of a symbol fulfils is no symbol: each of
the dims is one of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from sardonyx.core.expr import Expr, evaluate, name_of, show, symbol, walk
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer

# A size beyond the numbers that the model mentions fulfils nothing new; no dim is tried further.
_MOST = 4096

Pair = tuple[Expr, Expr]


def contradicted(graph: Graph) -> dict[Expr, str]:
    """The symbols of several dims of inputs that no size suits, with what is wanted of them."""
    dims = Counter(d for v in graph.inputs for d in v.shape or () if d.op == "var")
    found: dict[Expr, str] = {}
    for shared in (d for d, count in dims.items() if count > 1):
        pairs = [pair for pair in graph.assumed if _free(pair) == {shared}]
        if len(pairs) > 0 and not _suits(shared, pairs):
            found[shared] = ", ".join(f"{show(a)} = {show(b)}" for a, b in pairs)
    return found


def release(graph: Graph) -> None:
    """Gives every dim of an input that has such a symbol one of its own, and infers types again."""
    loose = contradicted(graph)
    if not loose:
        return
    for v in graph.inputs:
        dims = enumerate(v.shape or ())
        own = [symbol(f"?{name_of(d)}_{v.name}_{n}") if d in loose else d for n, d in dims]
        v.type = replace(v.type, shape=tuple(own)) if v.shape is not None else v.type
    for body in bodies(graph):
        body.assumed = []
    infer(graph)


def _free(pair: Pair) -> set[Expr]:
    return {x for e in pair for x in e.free}


def _suits(shared: Expr, pairs: Iterable[Pair]) -> bool:
    """Whether all of these equalities hold for some size above 1."""
    told = list(pairs)
    parts = (e for pair in told for e in walk(*pair))
    numbers = [e.arg for e in parts if e.op == "const" and isinstance(e.arg, int)]
    most = min(_MOST, max(numbers, default=1) + 1)
    return any(
        all(evaluate(a, {shared: n}) == evaluate(b, {shared: n}) for a, b in told)
        for n in range(2, most + 1)
    )

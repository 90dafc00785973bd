"""Sizes that only a run tells become symbols of their own, which the step that makes them binds.

    y: [max(N, _trips)] = Scan(...)        y: [_size] = Scan(...)

A program learns a symbol from the shape of an array that a host step made. Of an expression with a
symbol that nothing else binds it would learn nothing. Symbols that inputs do not tell are numbered
by their order, so that the same model is the same program in every process.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from sardonyx.core.expr import Expr, substitute, symbol, walk
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.rewrite import Log, Pass
from sardonyx.ops.base.shapes import unknown_dim


def _late(graph: Graph, log: Log) -> None:
    known = {s for v in graph.inputs for d in v.shape or () for s in d.free}
    sizes: dict[Expr, Expr] = {}
    for node in graph.nodes:
        for v in node.outputs:
            if v is None or v.shape is None:
                continue
            dims = [substitute(d, sizes) for d in v.shape]
            known.update(d for d in dims if d.op == "var")
            for d in dims:
                if not d.free <= known:
                    sizes[d] = unknown_dim("size")
                    known.add(sizes[d])
                    log.fired("late", node)
    _substitute(graph, sizes)
    _substitute(graph, _numbers(graph))


def _numbers(graph: Graph) -> dict[Expr, Expr]:
    """A symbol numbered by its order for each that no input tells, and that has another number."""
    told = {s for v in graph.inputs for d in v.shape or () for s in d.free}
    taken = {str(s.arg[0]) for s in told}
    names = (name for n in count(1) if (name := f"_size_{n}") not in taken)
    values = (v for body in bodies(graph) for v in body.values())
    late = dict.fromkeys(s for v in values for d in v.shape or () for s in _in_order(d))
    found = {s: symbol(next(names), s.arg[1] or 0) for s in late if s not in told}
    return {old: new for old, new in found.items() if old is not new}


def _in_order(e: Expr) -> list[Expr]:
    return [x for x in walk(e) if x.op == "var"]


def _substitute(graph: Graph, sizes: dict[Expr, Expr]) -> None:
    for body in bodies(graph) if sizes else ():
        for v in body.values():
            _resize(v, sizes)
        body.assumed = [(substitute(a, sizes), substitute(b, sizes)) for a, b in body.assumed]


def _resize(v: Value, sizes: dict[Expr, Expr]) -> None:
    t = v.type
    if t.kind != "tensor":
        return
    shape = t.shape and tuple(substitute(d, sizes) for d in t.shape)
    value = t.value and tuple(substitute(e, sizes) for e in t.value)
    v.type = replace(t, shape=shape, value=value)


LATE = Pass("late", _late)

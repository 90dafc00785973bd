"""Sizes that only a run tells become symbols of their own, which the step that makes them binds.

    y: [max(N, _trips)] = Scan(...)        y: [_size] = Scan(...)

A program learns a symbol from the shape of an array that a host step made. Of an expression with a
symbol that nothing else binds it would learn nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sardonyx.core.expr import Expr, substitute
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
    for v in graph.values() if sizes else ():
        _resize(v, sizes)


def _resize(v: Value, sizes: dict[Expr, Expr]) -> None:
    t = v.type
    if t.kind != "tensor":
        return
    shape = t.shape and tuple(substitute(d, sizes) for d in t.shape)
    value = t.value and tuple(substitute(e, sizes) for e in t.value)
    v.type = replace(t, shape=shape, value=value)


LATE = Pass("late", _late)

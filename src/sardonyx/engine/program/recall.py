"""Programs kept on disk: a second start neither fuses nor schedules nor compiles.

What is kept is which kernels to launch on which values, by number, with the names of their code in
the object cache. The key covers the graph (its constants only as far as code depends on them), the
target, the knobs and our own source. Subgraphs are programs of their own, kept by keys of their
own. Graphs with foreign operators are not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sardonyx.core import knobs
from sardonyx.core.expr import Expr
from sardonyx.core.tensor import Tensor
from sardonyx.engine.code import cache
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.code.link import Unit
from sardonyx.engine.code.source import digest as source_digest
from sardonyx.engine.fuse.steps import Host, Launch
from sardonyx.engine.program import kept
from sardonyx.graph.ir import Graph, Value, captured, subgraphs
from sardonyx.graph.op import Op, Opaque
from sardonyx.graph.text import digest

_FORM = 3
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

Made = tuple[list[Launch | Host], dict[int, int]]


def made(key: str | None, graph: Graph, jit: Jit) -> Made | None:
    """The steps and their addresses by id, where this very program was kept and its code is."""
    store = cache.default("programs")
    content = store.get(key) if store and key else None
    if store is None or key is None or content is None:
        return None
    try:
        code, steps, names = kept.read(content, graph)
    except _DAMAGED:
        store.forget(key)
        return None
    addresses = jit.recall(code)
    if addresses is None:
        return None
    owners = zip(steps, names, strict=True)
    return steps, {id(step): addresses[name] for step, name in owners if name is not None}


def keep(
    key: str | None, graph: Graph, jit: Jit, steps: Sequence[Launch | Host], units: Sequence[Unit]
) -> None:
    """Keeps a program for `made`, where the cache is in use and the graph can be kept."""
    store = cache.default("programs")
    if store is not None and key is not None:
        named = {unit.name: unit for unit in units}
        keys = {name: jit.key_of(unit) for name, unit in named.items()}
        store.put(key, kept.Writer(graph).whole(steps, units, keys))


def key_of(graph: Graph, jit: Jit) -> str | None:
    """Where a program of this graph is kept; None where none can be."""
    if not knobs.CACHE.get() or not all(_keepable(n.op) for n in graph.nodes):
        return None
    rules = sorted({type(n.op).__module__ for n in graph.nodes})
    source = source_digest("sardonyx.engine.program.program", *rules)
    whole = hashlib.sha256(f"{_FORM} {jit.prefix} {source}".encode())
    numbers: dict[Value | None, int] = {None: -1}
    for n, v in enumerate(graph.values()):
        numbers[v] = n
        whole.update(_value(v))
    for node in graph.nodes:
        read = [numbers[v] for v in (*node.inputs, *captured(node))]
        written = [numbers[v] for v in node.outputs]
        whole.update(f"{type(node.op).__qualname__}{read}{written}".encode())
        whole.update(_attributes(node.op).encode())
    whole.update(repr([numbers[v] for v in (*graph.inputs, *graph.outputs)]).encode())
    return whole.hexdigest()


def _keepable(op: Op) -> bool:
    own = type(op).__module__.startswith("sardonyx.") and not isinstance(op, Opaque)
    return own and all(_keepable(n.op) for body in subgraphs(op) for n in body.nodes)


def _value(v: Value) -> bytes:
    t = v.type
    dims = b"?" if t.shape is None else _keys(t.shape)
    known = b"?" if t.value is None else _keys(t.value)
    head = f"|{v.dtype}{t.kind}{v.layout}{v.const is not None}{len(t.shape or ())}|".encode()
    return head + dims + b"|" + known


def _keys(exprs: Iterable[Expr]) -> bytes:
    return b"".join(e.key for e in exprs)


def _attributes(op: Op) -> str:
    parts = []
    for name, value in op.attributes().items():
        if isinstance(value, Tensor):
            value = digest(value)
        if isinstance(value, Graph):
            continue
        parts.append(f"{name}={value!r}")
    return ";".join(parts)

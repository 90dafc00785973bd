"""Programs kept on disk: a second start neither fuses nor schedules nor compiles.

What is kept is which kernels to launch on which values, by number, with the names of their code in
the object cache. The key covers the graph (its constants only as far as code depends on them), the
target, the knobs and our own source. Graphs with subgraphs or foreign operators are not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, walk
from sardonyx.core.tensor import Tensor
from sardonyx.core.term import make
from sardonyx.engine.code import cache
from sardonyx.engine.code.jit import Jit
from sardonyx.engine.code.link import Unit
from sardonyx.engine.code.source import digest as source_digest
from sardonyx.engine.fuse.fuse import Host
from sardonyx.engine.fuse.launches import Launch
from sardonyx.graph.ir import Graph, Type, Value, subgraphs
from sardonyx.graph.op import Op, Opaque

_FORM = 1

Made = tuple[list[Launch | Host], dict[int, int]]


def made(graph: Graph, jit: Jit) -> Made | None:
    """The steps and their addresses by id, where this very program was kept and its code is."""
    store, key = cache.default("programs"), _key(graph, jit)
    content = store.get(key) if store and key else None
    if content is None:
        return None
    kept = json.loads(content)
    addresses = jit.recall(kept["code"])
    if addresses is None:
        return None
    values = list(graph.values())
    values += [
        Value(name, Type(DType(dtype), (_expr(count),))) for name, dtype, count in kept["packed"]
    ]
    steps: list[Launch | Host] = []
    functions: dict[int, int] = {}
    nodes = graph.nodes
    for row in kept["steps"]:
        if "host" in row:
            steps.append(Host(nodes[row["host"]], row["reason"]))
            continue
        step = Launch(
            None,
            tuple(values[n] for n in row["params"]),
            tuple(map(_expr, row["symbols"])),
            row["outs"],
            tuple(nodes[n] for n in row["nodes"]),
            row["once"],
            row["strategy"],
            _expr(row["work"]),
            row["scratch"],
            row["parallel"],
        )
        functions[id(step)] = addresses[row["code"]]
        steps.append(step)
    return steps, functions


def keep(graph: Graph, jit: Jit, steps: Sequence[Launch | Host], units: Sequence[Unit]) -> None:
    """Keeps a program for `made`, where the cache is in use and the graph can be kept."""
    store, key = cache.default("programs"), _key(graph, jit)
    if store is None or key is None:
        return
    # An input with a default is among the values twice.
    values = list(graph.values())
    numbers = {v: n for n, v in enumerate(values)}
    packed: list[Any] = []
    for step in steps:
        for v in step.params if isinstance(step, Launch) else ():
            if v not in numbers:
                assert v.type.dtype is not None
                numbers[v] = len(values) + len(packed)
                packed.append([v.name, v.type.dtype.value, _listed(v.type.dims[0])])
    places = {node: n for n, node in enumerate(graph.nodes)}
    names = iter(units)
    rows: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Host):
            rows.append({"host": places[step.node], "reason": step.reason})
        else:
            rows.append(_row(step, next(names), numbers, [places[n] for n in step.nodes]))
    code = {unit.name: jit.key_of(unit) for unit in units}
    whole = {"code": code, "packed": packed, "steps": rows}
    store.put(key, json.dumps(whole, separators=(",", ":")).encode())


def _row(step: Launch, unit: Unit, numbers: dict[Value, int], nodes: list[int]) -> dict[str, Any]:
    return {
        "code": unit.name,
        "params": [numbers[v] for v in step.params],
        "symbols": [_listed(e) for e in step.symbols],
        "outs": step.outs,
        "nodes": nodes,
        "once": step.once,
        "strategy": step.strategy,
        "work": _listed(step.work),
        "scratch": step.scratch,
        "parallel": step.parallel,
    }


def _listed(e: Expr) -> list[Any]:
    """An index expression as rows [op, argument, operands by number], the last one being it."""
    places: dict[Expr, int] = {}
    rows: list[Any] = []
    for x in walk(e):
        places[x] = len(places)
        argument = list(x.arg) if isinstance(x.arg, tuple) else x.arg
        rows.append([x.op, argument, x.dtype.value, [places[a] for a in x.args]])
    return rows


def _expr(rows: list[Any]) -> Expr:
    made: list[Expr] = []
    for op, argument, dtype, operands in rows:
        if op == "const":
            made.append(const(argument, DType(dtype)))
            continue
        arg = tuple(argument) if isinstance(argument, list) else argument
        made.append(make(op, tuple(made[n] for n in operands), arg, DType(dtype)))
    return made[-1]


def _key(graph: Graph, jit: Jit) -> str | None:
    if not all(_keepable(n.op) for n in graph.nodes):
        return None
    rules = sorted({type(n.op).__module__ for n in graph.nodes})
    source = source_digest("sardonyx.engine.program.program", *rules)
    digest = hashlib.sha256(f"{_FORM} {jit.prefix} {source}".encode())
    numbers: dict[Value | None, int] = {None: -1}
    for n, v in enumerate(graph.values()):
        numbers[v] = n
        digest.update(_value(v))
    for node in graph.nodes:
        read = [numbers[v] for v in node.inputs]
        written = [numbers[v] for v in node.outputs]
        digest.update(f"{type(node.op).__qualname__}{read}{written}".encode())
        digest.update(_attributes(node.op).encode())
    digest.update(repr([numbers[v] for v in (*graph.inputs, *graph.outputs)]).encode())
    return digest.hexdigest()


def _keepable(op: Op) -> bool:
    own = type(op).__module__.startswith("sardonyx.") and not isinstance(op, Opaque)
    return own and not subgraphs(op)


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
            value = hashlib.sha256(bytes(value.packed())).hexdigest()
        parts.append(f"{name}={value!r}")
    return ";".join(parts)

"""Computes equal things once: nodes with equal ops, inputs and outputs asked for are one node."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.graph.op import Opaque, exactly
from sardonyx.graph.rewrite import Log, Pass, each_body, substitute

# Bytes up to which constants are compared: scalars, axes and shapes, which exporters repeat.
_SMALL = 4096


def _run(graph: Graph, log: Log) -> None:
    each_body(graph, lambda body: _merge(body, log))


def _merge(graph: Graph, log: Log) -> None:
    outputs = Counter(graph.outputs)
    _merge_constants(graph, outputs)
    seen: dict[Any, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, Opaque) or node.op.random or subgraphs(node.op):
            continue
        wanted = tuple(v is not None for v in node.outputs)
        first = seen.setdefault((exactly(node.op), node.inputs, wanted), node)
        if first is node:
            continue
        if any(v in outputs for v in node.outputs):
            log.refused("cse", node, "it names a graph output")
            continue
        log.fired("cse", node)
        for old, new in zip(node.outputs, first.outputs, strict=True):
            if old is not None and new is not None:
                substitute(graph, old, new, outputs)
        graph.remove(node)


def _merge_constants(graph: Graph, outputs: Counter[Value]) -> None:
    """Small initializers with equal elements become one."""
    seen: dict[Any, Value] = {}
    inputs = set(graph.inputs)
    for name, v in list(graph.initializers.items()):
        tensor = v.const
        if not isinstance(tensor, Tensor) or v in inputs or v in outputs:
            continue
        if tensor.dtype.is_string or tensor.nbytes > _SMALL:
            continue
        key = (tensor.dtype, tensor.shape, bytes(tensor.packed()))
        first = seen.setdefault(key, v)
        if first is not v:
            graph.replace(v, first, outputs=False)
            del graph.initializers[name]


CSE = Pass("cse", _run)

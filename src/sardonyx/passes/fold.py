"""Replaces what depends on constants alone by its result, within the folding budget.

A node is left where its result would be much larger than what it is made from (a broadcast is
cheaper to read through than to store), where the work is out of proportion, and where the budget
of `core.limits` ends. `DequantizeLinear` of a constant is left, for the integer kernels to see.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from sardonyx.core.errors import LimitExceeded, SardonyxError
from sardonyx.core.expr import Expr, number, walk
from sardonyx.core.limits import MIB, Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs
from sardonyx.graph.op import Opaque, loop_index
from sardonyx.graph.rewrite import Log, Pass, each_body
from sardonyx.graph.run import bodies, evaluate
from sardonyx.passes import values

SECONDS = 20.0
WORK = 1 << 32
_SMALL = 64 << 10
_KEPT = frozenset({"DequantizeLinear"})


class _Fold:
    """The budgets of one run over a graph and its subgraphs."""

    def __init__(self, graph: Graph, log: Log, limits: Limits) -> None:
        self.log, self.limits = log, limits
        self.total = 0
        self.model = sum(_nbytes(v) for g in bodies(graph) for v in g.initializers.values())
        self.deadline = time.monotonic() + SECONDS

    def graph(self, graph: Graph) -> None:
        """Folds in one sweep; the graph is sorted."""
        inputs, outputs = set(graph.inputs), set(graph.outputs)
        for node in graph.nodes:
            if not any(v is not None and v.uses for v in node.outputs):
                continue
            if self._fold_values(graph, node, outputs):
                continue
            if not all(v is None or (v.const is not None and v not in inputs) for v in node.inputs):
                continue
            reason = self._reason(node) or self._evaluate(graph, node, outputs)
            if reason:
                self.log.refused("fold", node, reason)

    def _fold_values(self, graph: Graph, node: Node, outputs: set[Value]) -> bool:
        """Whether shape arithmetic has already told all that the node makes."""
        wanted = [v for v in node.outputs if v is not None and (v.uses or v in outputs)]
        if node.op.op_type == "DequantizeLinear" or not all(_is_told(v.type) for v in wanted):
            return False
        told = [v if v in wanted else None for v in node.outputs]
        self._place(graph, node, [v and values.array(v.type) for v in told], outputs)
        return True

    def _reason(self, node: Node) -> str | None:
        op = node.op
        if isinstance(op, Opaque) or op.random or op.has("control") or subgraphs(op):
            return f"{op.op_type} is not computed before running"
        if op.op_type in _KEPT:
            return "kept for the integer kernels"
        if time.monotonic() > self.deadline:
            return f"folding has taken {SECONDS:.0f} s"
        return self._size_reason(node)

    def _size_reason(self, node: Node) -> str | None:
        held = [t for t in node.op.attributes().values() if isinstance(t, Tensor)]
        read = sum(_nbytes(v) for v in _distinct(node.inputs)) + sum(_bytes_of(t) for t in held)
        sizes = [_type_bytes(v.type) for v in node.outputs if v is not None]
        if any(s is None for s in sizes):
            return None if read <= MIB else "the size of the result is not known"
        made = sum(s for s in sizes if s is not None)
        consumed = sum(_nbytes(v) for v in _distinct(node.inputs) if len(v.uses) == 1)
        if made > MIB and made > 4 * read:
            return f"the result has {made} bytes, made from {read}"
        try:
            self.limits.check_fold(made - consumed, self.total + made, self.model, node.name)
        except LimitExceeded as error:
            return error.message
        if made + read > _SMALL and work(node) > WORK:
            return "the work is out of proportion"
        return None

    def _evaluate(self, graph: Graph, node: Node, outputs: set[Value]) -> str | None:
        arrays = [None if v is None or v.const is None else v.const.numpy() for v in node.inputs]
        try:
            results = evaluate(node.op, arrays)
        except NotImplementedError:
            return "it has no reference"
        except SardonyxError as error:
            return error.message
        except (ArithmeticError, ValueError, TypeError, IndexError) as problem:
            return f"it fails: {problem}"
        if not all(r is None or isinstance(r, np.ndarray) for r in results):
            return "the result is no tensor"
        self._place(graph, node, results, outputs)
        return None

    def _place(self, graph: Graph, node: Node, results: Sequence[Any], outputs: set[Value]) -> None:
        self.log.fired("fold", node)
        for v, result in zip(node.outputs, results, strict=False):
            if v is None or result is None or not v.uses:
                continue
            made = values.place(graph, result, v.name, v.type.dtype)
            self.total += _nbytes(made)
            graph.replace(v, made, outputs=False)
        if not any(v in outputs for v in node.outputs):
            graph.remove(node)


def _distinct(inputs: Sequence[Value | None]) -> list[Value]:
    return [v for v in dict.fromkeys(inputs) if v is not None]


def _is_told(t: Type) -> bool:
    if t.kind != "tensor" or t.value is None or t.static_shape is None:
        return False
    return all(e.is_const for e in t.value)


def _type_bytes(t: Type) -> int | None:
    shape = t.static_shape
    return None if shape is None or t.dtype is None else prod(shape) * t.dtype.numpy.itemsize


def _nbytes(v: Value) -> int:
    return 0 if v.const is None else _bytes_of(v.const)


def _bytes_of(tensor: Tensor | SparseTensor) -> int:
    count = prod(tensor.dims) if isinstance(tensor, SparseTensor) else tensor.count
    return count * tensor.dtype.numpy.itemsize


def work(node: Node) -> int:
    """About how many steps the reference takes: the output's elements times their reductions."""
    out = node.outputs[0]
    op = node.op
    if out is None or out.type.static_shape is None or not op.has("at"):
        return 0
    operands = [None if v is None else values.Known(v.type) for v in node.inputs]
    try:
        e = op.at(loop_index(out.type.dims), *operands)
    except (NotImplementedError, TypeError, ValueError, IndexError):
        return 0
    return prod(out.type.static_shape) * _trips(e)


def _trips(e: Expr) -> int:
    trips = 1
    for x in walk(e):
        if x.op == "reduce":
            trips *= number(x.args[0].args[0]) or 1
    return trips


def _run(graph: Graph, log: Log) -> None:
    fold = _Fold(graph, log, Limits.current())
    each_body(graph, fold.graph)


FOLD = Pass("fold", _run)

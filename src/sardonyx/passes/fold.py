"""Replaces what depends on constants alone by its result, within the folding budget.

A node is left where its result would be much larger than what it is made from (a broadcast is
cheaper to read through than to store), where the work is out of proportion, and where the budget
of `core.limits` ends. `DequantizeLinear` of constant integers is left, for the kernels to read
them as they are.
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
from sardonyx.graph.evaluate import bodies, evaluate
from sardonyx.graph.ir import Graph, Node, Type, Value
from sardonyx.graph.op import Opaque, Trait, loop_index
from sardonyx.graph.rewrite import Log, Pass, each_body
from sardonyx.passes import values

# Folding may not take longer than a user waits for a model to load; what is left runs as it is.
SECONDS = 20.0
# Operations of one folded node: about a second in numpy.
WORK = 1 << 32
# Bytes below which no operator's work is out of proportion.
_SMALL = 64 << 10
# A folded tensor above a MiB may be this many times what it was made from: a Cast, or an Expand
# of scales, and not a mask of the model's whole context.
_GROWTH = 4


class _Fold:
    """The budgets of one run over a graph and its subgraphs."""

    def __init__(self, graph: Graph, log: Log, limits: Limits) -> None:
        self.log, self.limits = log, limits
        self.total = 0
        self.outputs: set[Value] = set()
        held = [v for body in bodies(graph) for v in body.initializers.values()]
        self.model = sum(map(_nbytes, held))
        self.deadline = time.monotonic() + SECONDS

    def graph(self, graph: Graph) -> None:
        """Folds in one sweep; the graph is sorted."""
        self.outputs = set(graph.outputs)
        changeable = graph.defaults()
        for node in graph.nodes:
            if not any(v is not None and v.uses for v in node.outputs):
                continue
            if self.is_told(node):
                self.place(graph, node, [_array(v) for v in node.outputs])
            elif all(_is_constant(v, changeable) for v in node.inputs):
                reason = self.reason(node) or self.evaluate(graph, node)
                if reason:
                    self.log.refused("fold", node, reason)

    def is_told(self, node: Node) -> bool:
        """Whether shape arithmetic has already told all that the node makes."""
        if _widens(node):
            return False
        made = [v for v in node.outputs if v is not None]
        wanted = [v for v in made if v.uses or v in self.outputs]
        return all(_is_told(v.type) for v in wanted)

    def reason(self, node: Node) -> str | None:
        """Why a node is not even tried."""
        op = node.op
        if isinstance(op, Opaque) or op.random or op.has("control"):
            return f"{op.op_type} is not computed before running"
        if _widens(node):
            return "kept for the integer kernels"
        if time.monotonic() > self.deadline:
            return f"folding has taken {SECONDS:.0f} s"
        return self.size_reason(node)

    def size_reason(self, node: Node) -> str | None:
        """Why the result is too large or too much work."""
        read, consumed = _read(node)
        made = _made(node)
        if made is None:
            return None if read <= MIB else "the size of the result is not known"
        if made > MIB and made > _GROWTH * read:
            return f"the result has {made} bytes, made from {read}"
        total = self.total + made
        try:
            self.limits.check_fold(made - consumed, total, self.model, node.name)
        except LimitExceeded as error:
            return error.message
        if made + read > _SMALL and work(node) > WORK:
            return "the work is out of proportion"
        return None

    def evaluate(self, graph: Graph, node: Node) -> str | None:
        """Computes a node and places its results, or says why not."""
        arrays = [_constant_array(v) for v in node.inputs]
        try:
            results = evaluate(node.op, arrays)
        except NotImplementedError:
            return "it has no reference"
        except SardonyxError as error:
            return error.message
        except values.MISTAKES as problem:
            return f"it fails: {problem}"
        if not all(isinstance(r, np.ndarray) for r in results):
            return "the result is no tensor"
        self.place(graph, node, results)
        return None

    def place(self, graph: Graph, node: Node, results: Sequence[Any]) -> None:
        """Makes the results initializers that stand for the node's outputs."""
        self.log.fired("fold", node)
        for v, result in zip(node.outputs, results, strict=False):
            if v is None or result is None or not v.uses:
                continue
            made = values.place(graph, result, v.name, v.type.dtype)
            self.total += _nbytes(made)
            graph.replace(v, made, outputs=False)
        if not any(v in self.outputs for v in node.outputs):
            graph.remove(node)


def _is_constant(v: Value | None, changeable: set[Value]) -> bool:
    if v is None:
        return True
    return v.const is not None and v not in changeable


def _constant_array(v: Value | None) -> Any:
    if v is None or v.const is None:
        return None
    return v.const.numpy()


def _array(v: Value | None) -> Any:
    if v is None or not _is_told(v.type):
        return None
    return values.array(v.type)


def _read(node: Node) -> tuple[int, int]:
    """Bytes that a node reads, and those of them that nobody else reads."""
    given = [v for v in dict.fromkeys(node.inputs) if v is not None]
    read = sum(_nbytes(v) for v in given)
    consumed = sum(_nbytes(v) for v in given if len(v.uses) == 1)
    for held in node.op.attributes().values():
        if isinstance(held, Tensor):
            read += _bytes_of(held)
    return read, consumed


def _made(node: Node) -> int | None:
    """Bytes that a node makes, None where that is not known."""
    total = 0
    for v in node.outputs:
        if v is None:
            continue
        size = _type_bytes(v.type)
        if size is None:
            return None
        total += size
    return total


def _widens(node: Node) -> bool:
    codes = node.operand(0)
    if Trait.WIDENS not in node.op.traits or codes is None:
        return False
    return codes.type.dtype is None or codes.type.dtype.is_int


def _is_told(t: Type) -> bool:
    if t.kind != "tensor" or t.value is None or t.static_shape is None:
        return False
    return all(e.is_const for e in t.value)


def _type_bytes(t: Type) -> int | None:
    shape = t.static_shape
    if shape is None or t.dtype is None:
        return None
    return prod(shape) * t.dtype.numpy.itemsize


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
    except (SardonyxError, NotImplementedError, *values.MISTAKES):
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

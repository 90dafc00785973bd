"""How far a faithful model may be from its source: what the lengths of its sums allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sardonyx.compare.comparison import Comparison
from sardonyx.compare.tolerance import Tolerance
from sardonyx.convert.conversion import Accuracy
from sardonyx.core.expr import Expr, evaluate, name_of
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node, Value

EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}
_FLOOR, _ROUNDS, _SLACK = 32.0, 4.0, 4.0


def judged(
    found: Comparison, graph: Graph, sizes: Mapping[str, int], accuracy: Sequence[Accuracy]
) -> Comparison:
    """The comparison, judged by what rounding can do in this graph at the largest sizes compared.

    Terms that are added in another order round otherwise: over all sums of a graph that is about
    the root of the number of terms, in units of the last place. A model that is worse conditioned
    shows it in its own framework, whose errors against float64 are allowed four times over. Only
    the classes float32 and float64 are refined: in narrower types the class itself is the bound.
    """
    eps = EPS.get(found.tolerance.name)
    if eps is None or found.tolerance.why == "asked for":
        return found
    terms = sum(_terms(node, sizes) for body in bodies(graph) for node in body.nodes)
    allowed = eps * (_FLOOR + _ROUNDS * math.sqrt(terms))
    own = _SLACK * max((a.theirs for a in accuracy), default=allowed)
    why = f"since its sums have {terms} terms"
    if own > allowed:
        why = "since the source itself is that far from float64" if accuracy else why
    tolerance = Tolerance(found.tolerance.name, max(allowed, own), why=why)
    rows = [replace(row, refusal=tolerance.refusal(row.difference)) for row in found.rows]
    return replace(found, tolerance=tolerance, rows=tuple(rows))


def _terms(node: Node, sizes: Mapping[str, int]) -> int:
    """The number of terms in a sum that makes one element of a node's output; 0 for no sum."""
    op = node.op
    if op.standard("MatMul", "Gemm"):
        return _size(node.operand(0), sizes, -2 if getattr(op, "transA", 0) else -1)
    if op.standard("Conv", "ConvTranspose"):
        weight = node.operand(1)
        return math.prod(_size(weight, sizes, n) for n in range(1, _rank(weight)))
    if op.standard("LSTM", "GRU", "RNN"):
        inner = _size(node.operand(1), sizes, -1) + _size(node.operand(2), sizes, -1)
        return inner * _size(node.operand(0), sizes, 0)
    if op.standard(*_WHOLE) or op.op_type.startswith("Reduce"):
        return _size(node.operand(0), sizes, -1)
    return 0


_WHOLE = (
    "Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "InstanceNormalization",
    "GroupNormalization", "GlobalAveragePool", "CumSum", "Einsum", "Attention",
)  # fmt: skip


def _rank(v: Value | None) -> int:
    return 0 if v is None or v.shape is None else len(v.shape)


def _size(v: Value | None, sizes: Mapping[str, int], axis: int) -> int:
    """A dim at these sizes; 1 where it depends on data."""
    if v is None or v.shape is None or not -len(v.shape) <= axis < len(v.shape):
        return 1
    dim: Expr = v.shape[axis]
    known = {s: sizes[name_of(s)] for s in dim.free if name_of(s) in sizes}
    return max(1, evaluate(dim, known)) if len(known) == len(dim.free) else 1

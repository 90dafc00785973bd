"""Gradients of products of matrices."""

from __future__ import annotations

from sardonyx.gradient.step import Grads, Step, dims, rule
from sardonyx.graph.ir import Value


@rule("MatMul")
def _matmul(s: Step) -> Grads:
    """dy bᵀ and aᵀ dy, summed over the batches that broadcasting stretched."""
    a, b, dy = s.input(0), s.input(1), s.dy.value
    rows, columns = len(dims(a)) > 1, len(dims(b)) > 1
    if not rows:
        a = s("Unsqueeze", a, s.ints(0))
        dy = s("Unsqueeze", dy, s.ints(-2 if columns else 0))
    if not columns:
        b = s("Unsqueeze", b, s.ints(1))
        dy = s("Unsqueeze", dy, s.ints(-1))
    found: list[Value | None] = [None, None]
    if s.wanted[0]:
        left = s.summed(s("MatMul", dy, _turned(s, b)), a)
        found[0] = s.reshaped(left, s.input(0))
    if s.wanted[1]:
        right = s.summed(_right(s, a, b, dy), b)
        found[1] = s.reshaped(right, s.input(1))
    return found


def _right(s: Step, a: Value, b: Value, dy: Value) -> Value:
    """aᵀ dy, in one product where b has no batches of its own."""
    if len(dims(b)) == 2 and len(dims(a)) > 2:
        a = s("Flatten", a, axis=len(dims(a)) - 1)
        dy = s("Flatten", dy, axis=len(dims(dy)) - 1)
    return s("MatMul", _turned(s, a), dy)


def _turned(s: Step, x: Value) -> Value:
    rank = len(dims(x))
    return s.transpose(x, *range(rank - 2), rank - 1, rank - 2)


@rule("Gemm")
def _gemm(s: Step) -> Grads:
    """alpha dy bᵀ, alpha aᵀ dy, beta dy, each turned where the operand is."""
    a, b, dy = s.input(0), s.input(1), s.dy.value
    turned_a, turned_b = bool(s.op.transA), bool(s.op.transB)
    found: list[Value | None] = [None] * len(s.node.inputs)
    if s.wanted[0]:
        if turned_a:
            found[0] = _product(s, b, dy, turned_b, True)
        else:
            found[0] = _product(s, dy, b, False, not turned_b)
    if s.wanted[1]:
        if turned_b:
            found[1] = _product(s, dy, a, True, turned_a)
        else:
            found[1] = _product(s, a, dy, not turned_a, False)
    if len(found) > 2 and s.wanted[2]:
        found[2] = s.onto(s.dy * s.op.beta, 2)
    return found


def _product(s: Step, a: Value, b: Value, turned_a: bool, turned_b: bool) -> Value:
    alpha = s.op.alpha
    return s("Gemm", a, b, alpha=alpha, transA=int(turned_a), transB=int(turned_b))

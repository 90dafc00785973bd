"""Matrix products: MatMul and Gemm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import Expr, cast, const, minimum, number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.op import Index, Op, Operand, Subscripts, SumOfProducts
from sardonyx.ops.base.element import is_narrow, lift, settle, widen
from sardonyx.ops.base.nest import total
from sardonyx.ops.base.shapes import broadcast, common_dtype, need_rank, same_dim

Read: TypeAlias = Callable[[Operand, Sequence[Expr]], Expr]


def plain(x: Operand, at: Sequence[Expr]) -> Expr:
    """The element of an operand as a factor."""
    return lift(x[at])


def accumulator(dtype: DType) -> DType:
    """The element type in which products of elements of `dtype` are summed."""
    return DType.FLOAT32 if is_narrow(dtype) else dtype


def matmul_shape(a: Type, b: Type) -> tuple[Expr, ...] | None:
    """The shape of numpy's matmul; InvalidGraph where there is none, None while unknown."""
    need_rank(a, 1, what="the left operand")
    need_rank(b, 1, what="the right operand")
    if a.shape is None or b.shape is None:
        return None
    left = a.shape if len(a.shape) > 1 else (const(1), *a.shape)
    right = b.shape if len(b.shape) > 1 else (*b.shape, const(1))
    same_dim(left[-1], right[-2])
    batch = broadcast(left[:-2], right[:-2]) or ()
    rows = left[-2:-1] if len(a.shape) > 1 else ()
    columns = right[-1:] if len(b.shape) > 1 else ()
    return (*batch, *rows, *columns)


@dataclass(frozen=True)
class _Batch:
    """How the leading dims of a product are told apart: by both operands, or only by the left.

    A dim that the right operand repeats belongs to the rows, which makes one product of many.
    """

    dims: tuple[Expr, ...]
    left: tuple[Expr, ...]
    right: tuple[Expr, ...]
    shared: tuple[int, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, left: Sequence[Expr], right: Sequence[Expr], out: Sequence[Expr]) -> _Batch:
        one = const(1)
        rank = len(out)
        a = (one,) * (rank - len(left)) + tuple(left)
        b = (one,) * (rank - len(right)) + tuple(right)
        rows = tuple(i for i in range(rank) if number(b[i]) == 1)
        shared = tuple(i for i in range(rank) if i not in rows)
        return cls(tuple(out), a, b, shared, rows)

    def join(self, shared: Subscripts, rows: Subscripts) -> Subscripts:
        """The output's leading subscripts."""
        where_from = dict(zip(self.shared + self.rows, shared + rows, strict=True))
        return tuple(where_from[i] for i in range(len(self.dims)))

    def of_left(self, lead: Subscripts, rank: int) -> Subscripts:
        """The subscripts of the left operand's `rank` leading dims."""
        return _repeat(lead, self.left, self.dims, rank)

    def of_right(self, shared: Subscripts, rank: int) -> Subscripts:
        """The subscripts of the right operand's `rank` leading dims."""
        lead = self.join(shared, (const(0),) * len(self.rows))
        return _repeat(lead, self.right, self.dims, rank)


def _repeat(lead: Subscripts, dims: Sequence[Expr], out: Sequence[Expr], rank: int) -> Subscripts:
    pairs = zip(lead, dims, out, strict=True)
    found = [
        i if d is o or (d.is_const and number(d) != 1) else i * minimum(d - 1, 1)
        for i, d, o in pairs
    ]
    return tuple(found[len(found) - rank :])


def multiply(
    out: Type,
    a: Operand,
    b: Operand,
    read_left: Read,
    read_right: Read,
    finish: Callable[[Expr, Index], Expr],
    acc: DType,
) -> SumOfProducts:
    """numpy's matmul of two operands as a contraction; a read gives the factor at a subscript."""
    lead_a, lead_b = a.shape[:-2], b.shape[:-2]
    count = max(len(lead_a), len(lead_b))
    batch = _Batch.of(lead_a, lead_b, out.dims[:count])
    rows = a.shape[-2:-1] if a.rank > 1 else ()
    columns = b.shape[-1:] if b.rank > 1 else ()
    inner, free = (a.shape[-1],), len(batch.rows)

    def left(at: Subscripts, m: Subscripts, k: Subscripts) -> Expr:
        lead = batch.join(at, m[:free])
        return read_left(a, (*batch.of_left(lead, len(lead_a)), *m[free:], *k))

    def right(at: Subscripts, k: Subscripts, n: Subscripts) -> Expr:
        return read_right(b, (*batch.of_right(at, len(lead_b)), *k, *n))

    def place(at: Subscripts, m: Subscripts, n: Subscripts) -> Subscripts:
        return (*batch.join(at, m[:free]), *m[free:], *n)

    return SumOfProducts(
        batch=tuple(batch.dims[i] for i in batch.shared),
        m=(*(batch.dims[i] for i in batch.rows), *rows),
        n=columns,
        k=inner,
        left=left,
        right=right,
        place=place,
        finish=finish,
        acc=acc,
    )


def multiply_at(idx: Index, a: Operand, b: Operand, left: Read, right: Read) -> Expr:
    """One element of numpy's matmul as a reduction."""
    columns = idx[-1:] if b.rank > 1 else ()
    rest = idx[: len(idx) - len(columns)]
    rows = rest[-1:] if a.rank > 1 else ()
    lead = tuple(rest[: len(rest) - len(rows)])
    shape = idx.shape[: len(lead)]

    def pick(x: Operand, tail: Subscripts) -> Sequence[Expr]:
        count = max(0, x.rank - 2)
        dims = (const(1),) * (len(lead) - count) + x.shape[:count]
        return (*_repeat(lead, dims, shape, count), *tail)

    return total(
        "add",
        a.shape[-1:],
        lambda k: left(a, pick(a, (*rows, *k))) * right(b, pick(b, (*k, *columns))),
    )


class MatMul(Op):
    """numpy's matmul: leading dims broadcast, a 1-D operand is a row or a column."""

    since = 1
    tolerance = "reduction"

    def weight_axis(self, rank: int) -> int | None:
        return rank - 1

    def infer(self, a: Type, b: Type) -> Type:
        return Type(common_dtype(a, b), matmul_shape(a, b))

    def reference(self, a: Array, b: Array) -> Array:
        return settle(np.matmul(widen(a), widen(b)), a.dtype)

    def at(self, idx: Index, a: Operand, b: Operand) -> Expr:
        return cast(multiply_at(idx, a, b, plain, plain), a.dtype)

    def contract(self, out: Type, a: Operand, b: Operand) -> SumOfProducts:
        acc = accumulator(a.dtype)
        return multiply(out, a, b, plain, plain, lambda e, _: cast(e, a.dtype), acc)


class Gemm(Op):
    """alpha * A' @ B' + beta * C, where A' and B' may be transposed and C is broadcast."""

    since = 7
    tolerance = "reduction"
    alpha: float = 1.0
    beta: float = 1.0
    transA: int = 0  # noqa: N815 - ONNX's name
    transB: int = 0  # noqa: N815 - ONNX's name

    def weight_axis(self, rank: int) -> int | None:
        del rank
        return 0 if self.transB else 1

    def infer(self, a: Type, b: Type, c: Type | None = None) -> Type:
        need_rank(a, 2, 2, "A")
        need_rank(b, 2, 2, "B")
        dtype = common_dtype(a, b, c)
        if a.shape is None or b.shape is None:
            return Type(dtype)
        rows, inner = a.shape[:: -1 if self.transA else 1]
        depth, columns = b.shape[:: -1 if self.transB else 1]
        same_dim(inner, depth)
        if c is not None and c.shape is not None:
            need_rank(c, 0, 2, "C")
            broadcast((rows, columns), c.shape)
        return Type(dtype, (rows, columns))

    def reference(self, a: Array, b: Array, c: Array | None = None) -> Array:
        left, right = widen(a), widen(b)
        product = np.matmul(left.T if self.transA else left, right.T if self.transB else right)
        product = _scaled(product, self.alpha)
        if c is not None and self.beta != 0:
            product = product + _scaled(widen(c), self.beta)
        return settle(product, a.dtype)

    def at(self, idx: Index, a: Operand, b: Operand, c: Operand | None = None) -> Expr:
        depth = a.shape[0 if self.transA else 1]
        acc = total(
            "add", (depth,), lambda k: self._left(a, idx[0], k[0]) * self._right(b, k[0], idx[1])
        )
        return self._finish(acc, idx, a.dtype, c)

    def contract(
        self, out: Type, a: Operand, b: Operand, c: Operand | None = None
    ) -> SumOfProducts:
        rows, columns = out.dims
        return SumOfProducts(
            batch=(),
            m=(rows,),
            n=(columns,),
            k=(a.shape[0 if self.transA else 1],),
            left=lambda _, m, k: self._left(a, m[0], k[0]),
            right=lambda _, k, n: self._right(b, k[0], n[0]),
            place=lambda _, m, n: (*m, *n),
            finish=lambda acc, idx: self._finish(acc, idx, a.dtype, c),
            acc=accumulator(a.dtype),
        )

    def needs(self, *inputs: Any) -> int:
        return 1 if len(inputs) > 2 and inputs[2] is not None else 11

    def express(self, write: Body, opset: int, *inputs: Value | None) -> Value | None:
        del opset
        a = inputs[0]
        if a is None or a.dtype is None or self.needs(*inputs) == 1:
            return None
        return write(self, *inputs[:2], write.constant(np.zeros(1, a.dtype.numpy)))

    def _left(self, a: Operand, m: Expr, k: Expr) -> Expr:
        return lift(a[(k, m) if self.transA else (m, k)])

    def _right(self, b: Operand, k: Expr, n: Expr) -> Expr:
        return lift(b[(n, k) if self.transB else (k, n)])

    def _finish(self, acc: Expr, idx: Index, dtype: DType, c: Operand | None) -> Expr:
        if self.alpha != 1:
            acc = _scale(acc, self.alpha)
        if c is not None and self.beta != 0:
            extra = lift(c.broadcast(idx))
            acc = acc + (extra if self.beta == 1 else _scale(extra, self.beta))
        return cast(acc, dtype)


def _scaled(a: Array, factor: float) -> Array:
    if factor == 1:
        return a
    return a * a.dtype.type(factor) if a.dtype.kind == "f" else (a * factor).astype(a.dtype)


def _scale(e: Expr, factor: float) -> Expr:
    if e.dtype.is_float:
        return e * factor
    return cast(cast(e, DType.FLOAT64) * factor, e.dtype)


class GemmV1(Gemm):
    """Gemm of opsets 1 to 6, where `broadcast` allowed C to be smaller."""

    broadcast: int = 0

    def renew(self, opset: int, given: dict[str, Any], *inputs: Type | None) -> str | None:
        del inputs
        if opset == 7:
            given.pop("broadcast")
        return None

"""Products of bytes less their zero points, on instructions that multiply whole groups of k.

    sum over k of (x - zx) * (w - zw)    x, w 8 bits; either zero point may be missing

VNNI multiplies unsigned by signed bytes, four k at a time, so x becomes u8 and w becomes s8 (128
added or taken away, the zero points with them) and the zero points are applied to the sum:

    sum x*w  -  zx * (sum over k of w)  -  zw * (sum over k of x)  +  K * zx * zw

Elsewhere the differences are laid out as 16 bits and multiplied in pairs: exact, no correction.
A tile's step takes `Form.group` values of k, neighbours in memory in both operands:
A[i, k] = a[i * a_stride + k], B[k, j] = b[(k // group) * b_stride + j * group + k % group].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, binary, cast, const, load, scalar, substitute, var, where
from sardonyx.kernels.buffers import closed
from sardonyx.kernels.linear import count, parts, renumber
from sardonyx.kernels.pack import Form
from sardonyx.kernels.scheduled import Packed
from sardonyx.loops.build import map_statement
from sardonyx.loops.ir import Contract, Fold, For, Kernel, Stmt, Store
from sardonyx.loops.target import Target

_BYTES = frozenset({DType.UINT8, DType.INT8})
_INT = DType.INT32


@dataclass(frozen=True)
class Bytes:
    """A contraction of bytes: `contract` multiplies raw operands of `form`.

    `left_zero` (an Expr of batch and m) and `right_zero` (of batch and n) are still to be taken
    off the sum; None where they are nothing.
    """

    contract: Contract
    form: Form
    left_zero: Expr | None = None
    right_zero: Expr | None = None


@dataclass(frozen=True)
class _Difference:
    """where(test, cast(x) - zero, 0): `test` and `zero` None where absent."""

    x: Expr
    zero: Expr | None
    test: Expr | None


def of_bytes(c: Contract, target: Target, in_pairs: bool = False) -> Bytes | None:
    """The contraction on byte instructions, where its operands are differences of bytes.

    `in_pairs`: as 16-bit differences even where bytes could be multiplied.
    """
    if c.acc.dtype is not _INT:
        return None
    left, right = _difference(c.left), _difference(c.right)
    if left is None or right is None or right.test is not None:
        return None
    outside = any(d.zero is not None and d.zero.free & {*c.k} for d in (left, right))
    bytewise = target.has("avx512vnni") or target.has("avxvnni")
    if bytewise and not outside and not in_pairs:
        return _unsigned_by_signed(c, left, right)
    pair = replace(c, left=cast(c.left, DType.INT16), right=cast(c.right, DType.INT16))
    return Bytes(_narrow_guard(pair), Form(DType.INT16, DType.INT16, 2))


def _narrow_guard(c: Contract) -> Contract:
    """where(test, v, 0) cast as a whole becomes where(test, cast v, 0), which copies in pieces."""
    inner = c.left.args[0] if c.left.op == "cast" else c.left
    if inner.op != "where":
        return c
    test, yes, _ = inner.args
    return replace(c, left=where(test, cast(yes, DType.INT16), const(0, DType.INT16)))


def _difference(e: Expr) -> _Difference | None:
    test = None
    if e.op == "where" and e.args[2].is_const and e.args[2].arg == 0:
        test, e = e.args[0], e.args[1]
    zero = None
    if e.op == "sub":
        e, zero = e.args
        if not _is_byte(zero):
            return None
    if e.op != "cast" or e.args[0].op != "load" or e.args[0].dtype not in _BYTES:
        return None
    return _Difference(e.args[0], None if zero is not None and _is_nothing(zero) else zero, test)


def _is_byte(zero: Expr) -> bool:
    if zero.is_const:
        return bool(-128 <= zero.arg <= 255)
    return zero.op == "cast" and zero.args[0].dtype in _BYTES


def _is_nothing(zero: Expr) -> bool:
    return zero.is_const and zero.arg == 0


def _unsigned_by_signed(c: Contract, left: _Difference, right: _Difference) -> Bytes:
    a, a_zero = left.x, left.zero
    fill = const(0, a.dtype) if a_zero is None else _narrow(a_zero, a.dtype)
    if a.dtype is DType.INT8:
        a, fill = (cast(binary("bitxor", e, const(-128, e.dtype)), DType.UINT8) for e in (a, fill))
        a_zero = _shifted(a_zero, 128)
    if left.test is not None:
        a = where(left.test, a, fill)
    b, b_zero = right.x, right.zero
    if b.dtype is DType.UINT8:
        b = cast(binary("bitxor", b, const(128, DType.UINT8)), DType.INT8)
        b_zero = _shifted(b_zero, -128)
    product = replace(c, left=a, right=b)
    return Bytes(product, Form(DType.UINT8, DType.INT8, 4), a_zero, b_zero)


def _narrow(zero: Expr, dtype: DType) -> Expr:
    """A zero point in the type of the elements, which it is one of."""
    if zero.op == "cast" and zero.args[0].dtype is dtype:
        return zero.args[0]
    return cast(zero, dtype)


def _shifted(zero: Expr | None, by: int) -> Expr | None:
    if zero is None:
        return const(by, _INT)
    if zero.is_const:
        return const(zero.arg + by, _INT) if zero.arg + by else None
    return zero + by


def corrected(found: Bytes, columns_at: int, rows_at: int | None, first_row: Expr) -> Contract:
    """The contraction whose body takes the zero points off the sum.

    Buffer `columns_at` holds the sums of right over k as [batch][N], `rows_at` those of left for
    the rows from `first_row` on.
    """
    c, total = found.contract, found.contract.acc
    if found.left_zero is not None:
        at = _flat((*c.batch, *c.n))
        total = total - found.left_zero * load(columns_at, [at], _INT)
    if found.right_zero is not None and rows_at is not None:
        row = _flat(c.m) - first_row
        total = total - found.right_zero * load(rows_at, [row], _INT)
    if found.left_zero is not None and found.right_zero is not None:
        total = total + found.left_zero * found.right_zero * cast(count(c.k), _INT)
    body = tuple(map_statement(s, lambda e: substitute(e, {c.acc: total})) for s in c.body)
    return replace(c, body=body)


def _flat(axes: tuple[Expr, ...]) -> Expr:
    total = const(0)
    for v in axes:
        total = total * v.args[0] + v
    return total


def column_sums(kernel: Kernel, c: Contract) -> Packed:
    """The kernel summing `right` over k for every batch entry and column, as [batch][N] int32."""
    across = count(c.n)
    batch, lane = var("sums_batch", count(c.batch)), var("sums_column", across)
    value = substitute(c.right, parts(c.batch, batch))
    value = renumber(value, c.n, lane, parts(c.n, lane))
    total = scalar("column_sum", _INT)
    inner: tuple[Stmt, ...] = (
        Fold(total, "add", c.k, cast(value, _INT)),
        Store(0, batch * across + lane, total),
    )
    body = (For(batch, (For(lane, inner, "vector"),), "parallel"),)
    return closed(kernel, body, count(c.batch) * across, _INT)


def row_sums(buffer: int, row: Expr, k: Expr, value: Expr) -> Stmt:
    """For every row: stores the sum of `value` over k at element `row` of `buffer`."""
    total = scalar("row_sum", _INT)
    fold = Fold(total, "add", (k,), cast(value, _INT), "vector")
    return For(row, (fold, Store(buffer, row, total)))

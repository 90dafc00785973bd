"""What formulas are written with besides the operators of expressions.

Python numbers become constants of the operand beside them. Bits are INT32 of FLOAT32 and UINT64 of
FLOAT64, because int64 expressions are index arithmetic, which simplifies.
"""

from __future__ import annotations

from collections.abc import Sequence

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, eq, operate, unary, where

Operand = Expr | float
F32, F64 = DType.FLOAT32, DType.FLOAT64
_BITS = {F32: DType.INT32, F64: DType.UINT64}
MANTISSA, _BIAS = {F32: 23, F64: 52}, {F32: 127, F64: 1023}


def select(mask: Expr, yes: Expr, no: Operand) -> Expr:
    """`yes` where the mask holds, else `no`; both are computed."""
    other = yes.like(no)
    if mask.op == "const":
        return yes if mask.arg else other
    return operate("select", (mask, yes, other))


def fma(a: Expr, b: Operand, c: Operand) -> Expr:
    """a * b + c, rounded once where the machine can."""
    return operate("fma", (a, a.like(b), a.like(c)))


def poly(x: Expr, coefficients: Sequence[float]) -> Expr:
    """The polynomial with these coefficients, lowest first, by Horner's rule."""
    out = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = fma(out, x, c)
    return out


def copysign(a: Expr, sign: Expr) -> Expr:
    """|a| with the sign bit of `sign`."""
    return operate("copysign", (a, sign))


def size(x: Expr) -> Expr:
    """|x|."""
    return unary("abs", x)


def nan(x: Expr) -> Expr:
    """Whether x is NaN."""
    return operate("ne", (x, x))


def greatest(a: Operand, b: Expr) -> Expr:
    """a > b ? a : b; b where either is NaN."""
    a = b.like(a)
    return select(a > b, a, b)


def least(a: Operand, b: Expr) -> Expr:
    """a < b ? a : b; b where either is NaN."""
    a = b.like(a)
    return select(a < b, a, b)


def nearest(x: Expr) -> Expr:
    """The nearest integer, halves to even."""
    return unary("round", x)


def scale(a: Expr, n: Expr) -> Expr:
    """a * 2**n for an integer-valued float n, rounded once, subnormal results too.

    |n| stays below twice the exponent range.
    """
    return operate("scale", (a, n))


def bitcast(x: Expr, dtype: DType) -> Expr:
    """The bits of x read as another type of the same width."""
    return operate("bitcast", (x,), dtype)


def bits(x: Expr) -> Expr:
    """The bits of a float."""
    return bitcast(x, _BITS[x.dtype])


def whole(x: Expr) -> Expr:
    """An integer-valued float below 2**51 as an integer of the type of its bits."""
    if x.dtype is F32:
        return operate("toint", (x,), DType.INT32)
    return bitcast(operate("toint", (x,), DType.INT64), DType.UINT64)


def real(n: Expr, dtype: DType) -> Expr:
    """A signed integer below 2**51, of the type of bits, as a float."""
    if dtype is F64:
        return operate("tofloat", (bitcast(n, DType.INT64),), dtype)
    return cast(n, dtype)


def shift_left(x: Expr, by: int) -> Expr:
    """Bits moved up."""
    return operate("lshift", (x, x.like(by)))


def shift_right(x: Expr, by: int) -> Expr:
    """Bits moved down, zeros entering an unsigned and the sign a signed integer."""
    return operate("rshift", (x, x.like(by)))


def halved(x: Expr, by: int) -> Expr:
    """Bits moved down, the sign entering."""
    if x.dtype is not DType.UINT64:
        return shift_right(x, by)
    return bitcast(shift_right(bitcast(x, DType.INT64), by), DType.UINT64)


def masked(x: Expr, mask: int) -> Expr:
    """Bitwise and."""
    return operate("bitand", (x, x.like(mask)))


def flipped(a: Expr, b: Expr) -> Expr:
    """Bitwise exclusive or."""
    return operate("bitxor", (a, b))


def power_of_two(n: Expr, dtype: DType) -> Expr:
    """2**n of an integer n in the normal range, of the type of bits."""
    return bitcast(shift_left(n + _BIAS[dtype], MANTISSA[dtype]), dtype)


def signed(x: Expr) -> Expr:
    """Whether the sign bit of a float is set."""
    whole = bitcast(x, DType.INT32 if x.dtype is F32 else DType.INT64)
    return operate("lt", (whole, whole.like(0)))


def among(mask: Expr, better: Expr, value: Expr) -> Expr:
    """`better` where the mask holds, else `value`; nothing of `better` runs where none holds."""
    return where(operate("any", (mask,)), select(mask, better, value), value)


def is_zero(x: Expr) -> Expr:
    """Whether a float is 0 or -0."""
    return eq(x, 0.0)

"""Operations on floats that machines lack, some or all."""

from __future__ import annotations

import math

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, eq, operate, sqrt, unary
from sardonyx.loops.math.formulas import formula
from sardonyx.loops.math.parts import (
    F32,
    F64,
    MANTISSA,
    bitcast,
    bits,
    copysign,
    greatest,
    halved,
    least,
    nan,
    nearest,
    power_of_two,
    select,
    signed,
    size,
    whole,
)

_FLOATS = (F32, F64)


@formula("min", *_FLOATS)
def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller; NaN where either is NaN (`least` gives b then)."""
    return select(nan(a), a, least(a, b))


@formula("max", *_FLOATS)
def maximum(a: Expr, b: Expr) -> Expr:
    """The larger; NaN where either is NaN (`greatest` gives b then)."""
    return select(nan(a), a, greatest(a, b))


@formula("sign", *_FLOATS)
def sign(a: Expr) -> Expr:
    """1, 0 or -1, no zero being negative; NaN stays."""
    zero = a.like(0.0)
    one = select(operate("ne", (a, zero)), copysign(a.like(1.0), a), zero)
    return select(nan(a), a, one)


@formula("isnan", *_FLOATS)
def isnan(a: Expr) -> Expr:
    """Whether a is NaN."""
    return nan(a)


@formula("isinf", *_FLOATS)
def isinf(a: Expr) -> Expr:
    """Whether a is an infinity."""
    return eq(size(a), math.inf)


@formula("rsqrt", *_FLOATS)
def rsqrt(a: Expr) -> Expr:
    """1 / sqrt(a), 1.5 ulp."""
    return 1.0 / sqrt(a)


@formula("floordiv", *_FLOATS)
def floordiv(a: Expr, b: Expr) -> Expr:
    """The quotient, rounded down."""
    return unary("floor", a / b)


@formula("truncdiv", *_FLOATS)
def truncdiv(a: Expr, b: Expr) -> Expr:
    """The quotient without its fraction."""
    return unary("trunc", a / b)


@formula("mod", *_FLOATS)
def mod(a: Expr, b: Expr) -> Expr:
    """The remainder with the sign of b."""
    rest = operate("fmod", (a, b))
    some = operate("ne", (rest, rest.like(0.0)))
    differ = operate("xor", (signed(rest), signed(b)))
    return select(some, select(differ & some, rest + b, rest), copysign(rest, b))


FEW_PRODUCTS = (0.5, 1.0, 2.0, 3.0, -1.0)


@formula("pow", *_FLOATS, needs="few products")
def power(a: Expr, b: Expr) -> Expr:
    """a to the power of a literal for which a few operations do."""
    exponent = b.arg
    if exponent == 0.5:
        return select(eq(a, -math.inf), a.like(math.inf), size(sqrt(a)))
    if exponent < 0:
        return 1.0 / a
    out = a
    for _ in range(int(exponent) - 1):
        out = out * a
    return out


@formula("fma", *_FLOATS, unless="fma")
def fma(a: Expr, b: Expr, c: Expr) -> Expr:
    """a * b + c, rounded twice."""
    return a * b + c


@formula("round", *_FLOATS, unless="round")
def rint(a: Expr) -> Expr:
    """Adding and taking away 2**mantissa leaves an integer, without SSE4.1's instruction."""
    large = a.like(2.0 ** MANTISSA[a.dtype])
    magic = copysign(large, a)
    return select(size(a) < large, copysign(a + magic - magic, a), a)


@formula("floor", *_FLOATS, unless="round")
def floor(a: Expr) -> Expr:
    """The largest integer not above a."""
    near = nearest(a)
    return copysign(select(a < near, near - 1.0, near), a)


@formula("ceil", *_FLOATS, unless="round")
def ceil(a: Expr) -> Expr:
    """The smallest integer not below a."""
    near = nearest(a)
    return copysign(select(near < a, near + 1.0, near), a)


@formula("trunc", *_FLOATS, unless="round")
def trunc(a: Expr) -> Expr:
    """The integer part."""
    return copysign(unary("floor", size(a)), a)


@formula("scale", F32, unless="scale 32")
@formula("scale", F64, unless="scale 64")
def scale(a: Expr, n: Expr) -> Expr:
    """a * 2**n in two steps, of which the first is exact."""
    count = whole(n)
    half = halved(count, 1)
    return a * power_of_two(half, a.dtype) * power_of_two(count - half, a.dtype)


_MAGIC = float(3 << 51)


@formula("toint", F64, unless="long")
def toint(x: Expr) -> Expr:
    """The mantissa of x beside 3 * 2**51 holds the integer."""
    magic = bits(x.like(_MAGIC))
    return bitcast(bits(x + _MAGIC) - magic, DType.INT64)


@formula("tofloat", DType.INT64, unless="long")
def tofloat(n: Expr) -> Expr:
    """The other way round."""
    held = bitcast(n, DType.UINT64) + 0x4338000000000000
    return bitcast(held, F64) - _MAGIC

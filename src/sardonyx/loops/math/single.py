"""Elementary functions of float32 as expressions.

Each docstring states the largest error in ulp found over 2**20 samples that cover the exponent
range, the special values and the neighbourhoods where the formula changes. Coefficients are minimax
fits (Remez exchange on the weighted error named beside them).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, const, eq, operate, unary
from sardonyx.loops.math import double
from sardonyx.loops.math.formulas import formula
from sardonyx.loops.math.parts import (
    F32,
    F64,
    bitcast,
    bits,
    copysign,
    flipped,
    fma,
    greatest,
    is_zero,
    least,
    masked,
    nearest,
    poly,
    real,
    scale,
    select,
    shift_left,
    shift_right,
    size,
    whole,
)
from sardonyx.loops.math.tables import ERF_8, ERF_16, Table

INF, NAN = math.inf, math.nan
LOG2E = 1.4426950408889634
# ln 2 in two parts; the product of the first with an integer below 2**14 is exact.
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4

# (e^r - 1 - r) / r^2 on [-ln2/2, ln2/2], relative to e^r: 2^-28.3
EXP = (
    0.4999999403953552,
    0.1666651964187622,
    0.04166839271783829,
    0.008368780836462975,
    0.0013814467238262296,
)
# (log(1+f) - f + f^2/2) / f^3 for 1+f in [sqrt(1/2), sqrt(2)], relative to log: 2^-30.3
LOG = (
    0.3333331346511841,
    -0.25000008940696716,
    0.20002120733261108,
    -0.1666799634695053,
    0.1421951949596405,
    -0.12405543029308319,
    0.11888376623392105,
    -0.11676053702831268,
    0.06746642291545868,
)
# (tanh(x)/x - 1) / x^2 in x^2 up to 0.55^2: 2^-29.8
TANH = (
    -0.33333316445350647,
    0.13332585990428925,
    -0.05385230854153633,
    0.021071679890155792,
    -0.006274240557104349,
)
# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4 in r^2 up to (pi/4)^2: 2^-37, 2^-42
SIN = (-0.1666666716337204, 0.008333329111337662, -0.00019839327433146536, 2.71823728326126e-06)
COS = (0.0416666679084301, -0.0013888883404433727, 2.479951217537746e-05, -2.7209549102735764e-07)


def _near_exp(x: Expr) -> tuple[Expr, Expr]:
    """(r, n) with e^x = e^r * 2^n and |r| <= ln2/2."""
    # Clamped so that 2^n stays in reach of `scale`; NaN passes both clamps.
    y = least(89.0, greatest(-104.5, x))
    n = nearest(y * LOG2E)
    return fma(n, -LN2_LOW, fma(n, -LN2_HIGH, y)), n


@formula("exp", F32, needs="fma")
def exp(x: Expr) -> Expr:
    """e^x, 0.96 ulp; 0 below -104, infinity above 88.73."""
    r, n = _near_exp(x)
    return scale(poly(r, (1.0, 1.0, *EXP)), n)


@formula("exp", F32)
def exp_apart(x: Expr) -> Expr:
    """e^x without fused operations, 1.0 ulp."""
    r, n = _near_exp(x)
    return scale(fma(r * r, poly(r, EXP), r) + 1.0, n)


@formula("log", F32)
def log(x: Expr) -> Expr:
    """The natural logarithm, 0.83 ulp; -infinity at 0, NaN below."""
    tiny = x < 1.1754943508222875e-38
    y = select(tiny, x * 8388608.0, x)
    # The exponent of y relative to sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    exponent = shift_right(bits(y) - 0x3F3504F3, 23)
    f = bitcast(bits(y) - shift_left(exponent, 23), F32) - 1.0
    e = real(exponent, F32) - select(tiny, x.like(23.0), 0.0)
    square = f * f
    tail = fma(square * f, poly(f, LOG), e * LN2_LOW)
    return double.special_log(x, fma(e, LN2_HIGH, f + fma(square, -0.5, tail)))


@formula("tanh", F32)
def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent, 1.6 ulp."""
    return double.tanh_of(x, TANH, 20.0)


@formula("erf", F32, needs="wide tables")
def erf(x: Expr) -> Expr:
    """The error function, 0.83 ulp: erf(c) + t P(t) about the centre c of a segment."""
    return _erf(x, ERF_16)


@formula("erf", F32)
def erf_by_eight(x: Expr) -> Expr:
    """The error function by tables of eight segments, 0.83 ulp."""
    return _erf(x, ERF_8)


def _erf(x: Expr, table: Table) -> Expr:
    segments = len(table[0])
    # Rounds to 1 from 3.92 on; NaN passes.
    near = least(3.98, size(x))
    index = whole(near * (segments / 4))
    center, base, *coefficients = (_entry(row, index) for row in table)
    t = near - center
    slope = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        slope = fma(slope, t, c)
    # Nothing but rounding is lost near 0, where the slope is that of erf(x) - x.
    first = near < 4 / segments
    return copysign(fma(slope, t, select(first, t, base)), x)


def _entry(row: tuple[float, ...], index: Expr) -> Expr:
    return operate("lookup", (index, *(const(c, F32) for c in row)))


@formula("sin", F32)
def sin(x: Expr) -> Expr:
    """The sine, 1.6 ulp at any size of the argument; NaN at infinity."""
    return select(is_zero(x), x, _circular(x, 0, "libsin"))


@formula("cos", F32)
def cos(x: Expr) -> Expr:
    """The cosine, 1.6 ulp at any size of the argument; NaN at infinity."""
    return _circular(x, 1, "libcos")


def _circular(x: Expr, quarter: int, far: str) -> Expr:
    wide, n = double.reduce_circle(cast(x, F64), parts=3)
    r = cast(wide, F32)
    square = r * r
    sine = fma(square * poly(square, SIN), r, r)
    cosine = fma(square * square, poly(square, COS), fma(square, -0.5, 1.0))
    quadrant = operate("truncate", (n,), DType.INT32) + quarter
    turned = select(eq(masked(quadrant, 1), 1), cosine, sine)
    near = bitcast(flipped(bits(turned), shift_left(masked(quadrant, 2), 30)), F32)
    return double.beyond(x, near, lambda y: unary(far, y))


Function = Callable[[Expr], Expr]


def _through_double(op: str, of: Function) -> None:
    """`op` of float32 is that of float64, rounded: 0.51 ulp."""
    formula(op, F32)(lambda x: cast(of(cast(x, F64)), F32))


_through_double("tan", double.tan_short)
_DOUBLE = "asin acos atan sinh cosh asinh acosh atanh libsin libcos"
for _name in _DOUBLE.split():
    _through_double(_name, functools.partial(unary, _name))


@formula("pow", F32, unless="few products")
def power(x: Expr, y: Expr) -> Expr:
    """x^y with C's special cases, 0.51 ulp, through float64."""
    return cast(double.power_short(cast(x, F64), cast(y, F64)), F32)

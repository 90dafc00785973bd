"""Elementary functions of float32, in lanes.

Each docstring states the largest error in ulp found over 2**20 samples that cover the exponent
range, the special values and the neighbourhoods where the formula changes. Coefficients are minimax
fits (Remez exchange on the weighted error named beside them).
"""

from __future__ import annotations

import math

from sardonyx.core.dtype import DType
from sardonyx.engine.emit.math import double
from sardonyx.engine.emit.math.formula import Math, Operand
from sardonyx.engine.emit.math.tables import ERF_8, ERF_16
from sardonyx.engine.emit.types import vector

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


def exp(m: Math, x: str) -> str:
    """e^x, 0.96 ulp (1.0 without FMA); 0 below -104, infinity above 88.73."""
    # Clamped so that 2^n stays in reach of `scale`; NaN passes both clamps.
    y = m.min(89.0, m.max(-104.5, x))
    n = m.rint(m.mul(y, LOG2E))
    r = m.fma(n, -LN2_LOW, m.fma(n, -LN2_HIGH, y))
    return m.scale(_exp_reduced(m, r), n)


def _exp_reduced(m: Math, r: str) -> str:
    """e^r for |r| <= ln2/2."""
    if m.fused:
        return m.poly(r, (1.0, 1.0, *EXP))
    return m.add(m.fma(m.mul(r, r), m.poly(r, EXP), r), 1.0)


def log(m: Math, x: str) -> str:
    """The natural logarithm, 0.83 ulp; -infinity at 0, NaN below."""
    tiny = m.lt(x, 1.1754943508222875e-38)
    y = m.pick(tiny, m.mul(x, 8388608.0), x)
    bits = m.bits(y)
    # The exponent of y relative to sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2)).
    shifted = m.isub(bits, 0x3F3504F3)
    exponent = m.sar(shifted, 23)
    f = m.sub(m.of_bits(m.isub(bits, m.shl(exponent, 23))), 1.0)
    e = m.sub(m.to_float(exponent), m.pick(tiny, 23.0, 0.0))
    square = m.mul(f, f)
    tail = m.fma(m.mul(square, f), m.poly(f, LOG), m.mul(e, LN2_LOW))
    out = m.fma(e, LN2_HIGH, m.add(f, m.fma(square, -0.5, tail)))
    out = m.pick(m.eq(x, INF), INF, out)
    out = m.pick(m.eq(x, 0.0), -INF, out)
    return m.pick(m.w.let(f"fcmp ult {m.float} {x}, {m.k(0.0)}"), NAN, out)


def tanh(m: Math, x: str) -> str:
    """The hyperbolic tangent, 1.6 ulp."""
    size = m.abs(x)
    square = m.mul(x, x)
    small = m.fma(m.mul(square, m.poly(square, TANH)), size, size)
    grown = exp(m, m.min(20.0, m.add(size, size)))
    large = m.sub(1.0, m.div(2.0, m.add(grown, 1.0)))
    out = m.pick(m.lt(size, 0.55), small, large)
    return m.copysign(m.pick(m.nan(x), x, out), x)


def sigmoid(m: Math, x: str) -> str:
    """1 / (1 + e^-x), 2.0 ulp, down to the subnormal."""
    return double.sigmoid(m, x, exp)


def erf(m: Math, x: str) -> str:
    """The error function, 0.83 ulp: erf(c) + t P(t) about the centre c of a segment."""
    size = m.abs(x)
    table = ERF_16 if m.segments == 16 else ERF_8
    # Rounds to 1 from 3.92 on; NaN passes.
    near = m.min(3.98, size)
    index = m.to_int(m.mul(near, m.segments / 4))
    center, base, *coefficients = m.lookup(table, index)
    t = m.sub(near, center)
    slope = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        slope = m.fma(slope, t, c)
    # Nothing but rounding is lost near 0, where the slope is that of erf(x) - x.
    first = m.lt(near, 4 / m.segments)
    return m.copysign(m.fma(slope, t, m.pick(first, t, base)), x)


def sin(m: Math, x: str) -> str:
    """The sine, 1.6 ulp at any size of the argument; NaN at infinity."""
    return _circular(m, x, 0)


def cos(m: Math, x: str) -> str:
    """The cosine, 1.6 ulp at any size of the argument; NaN at infinity."""
    return _circular(m, x, 1)


def _circular(m: Math, x: str, quarter: int) -> str:
    r, n = _reduced(m, x)
    square = m.mul(r, r)
    sine = m.fma(m.mul(square, m.poly(square, SIN)), r, r)
    fourth = m.mul(square, square)
    cosine = m.fma(fourth, m.poly(square, COS), m.fma(square, -0.5, 1.0))
    quadrant = m.iadd(n, quarter)
    odd = m.int_eq(m.iand(quadrant, 1), 1)
    sign = m.shl(m.iand(quadrant, 2), 30)
    out = m.of_bits(m.ixor(m.bits(m.pick(odd, cosine, sine)), sign))
    if quarter == 0:
        return m.pick(m.eq(x, 0.0), x, out)
    return out


def _reduced(m: Math, x: str) -> tuple[str, str]:
    """(r, n) with x = r + n * pi/2 and |r| <= pi/4, through float64; n is exact modulo 4."""
    wide = Math(m.w, DType.FLOAT64, m.lanes)
    r, n = double.reduce_circle(wide, widen(m, x), parts=3)
    return narrow(m, r), m.w.let(f"fptosi {wide.float} {n} to {m.int}")


def tan(m: Math, x: str) -> str:
    """The tangent, 0.51 ulp, through float64."""
    return through_double(m, double.tan_short, x)


def through_double(m: Math, function: double.Function, *args: str) -> str:
    """`function` of float64 with float32 operands and result."""
    wide = Math(m.w, DType.FLOAT64, m.lanes)
    return narrow(m, function(wide, *(widen(m, a) for a in args)))


def widen(m: Math, x: Operand) -> str:
    """A float32 operand as float64."""
    return m.w.let(f"fpext {m.float} {m.k(x)} to {vector('double', m.lanes)}")


def narrow(m: Math, x: str) -> str:
    """A float64 operand rounded to float32."""
    return m.w.let(f"fptrunc {vector('double', m.lanes)} {x} to {m.float}")


def power(m: Math, x: str, y: str) -> str:
    """x^y with C's special cases, 0.51 ulp, through float64."""
    wide = Math(m.w, DType.FLOAT64, m.lanes)
    return narrow(m, double.power_short(wide, widen(m, x), widen(m, y)))

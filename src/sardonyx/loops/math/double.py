"""Elementary functions of float64 as expressions; float32 borrows the rarer ones.

`erf`, `tan`, `pow` and arguments of sine and cosine beyond 2**20 have no formula: the C library
is called for each element. Each docstring states the largest error in ulp found over 2**16 samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sardonyx.core.expr import Expr, eq, exp, sqrt, unary
from sardonyx.loops.math.formulas import formula
from sardonyx.loops.math.parts import (
    F32,
    F64,
    among,
    bitcast,
    bits,
    copysign,
    flipped,
    fma,
    greatest,
    halved,
    is_zero,
    least,
    masked,
    nan,
    nearest,
    poly,
    power_of_two,
    real,
    scale,
    select,
    shift_left,
    signed,
    size,
    whole,
)

INF, NAN = math.inf, math.nan
LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453
FAR = float(2**20)
# ln 2 in two parts; the product of the first with an integer below 2**20 is exact.
LN2_HIGH, LN2_LOW = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
# pi/2 in three parts of 33 bits and the rest.
HALF_PI = (
    1.57079632673412561417,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
    8.47842766036889956997e-32,
)

# (e^r - 1 - r) / r^2 on [-ln2/2, ln2/2], relative to e^r: 2^-64
EXP = (
    0.5,
    0.16666666666666682,
    0.04166666666666609,
    0.008333333333316918,
    0.0013888888889117261,
    0.00019841269896680983,
    2.4801586924610145e-05,
    2.755723455872791e-06,
    2.7557582790981237e-07,
    2.5112144517102212e-08,
    2.0826537735365727e-09,
)
# (2 atanh(s)/s - 2) / s^2 in s^2, |s| <= (sqrt(2)-1)/(sqrt(2)+1): 2^-66.7
LOG = (
    0.6666666666666666,
    0.4000000000000633,
    0.285714285690585,
    0.22222222650939358,
    0.18181775332587463,
    0.15387105376852236,
    0.13249787088186843,
    0.1325435206726021,
)
# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4 in r^2 up to (pi/4)^2: 2^-58, 2^-63.7
SIN = (
    -0.16666666666666632,
    0.008333333333322316,
    -0.00019841269829725216,
    2.755731366206148e-06,
    -2.5050753265092574e-08,
    1.5896504975467335e-10,
)
COS = (
    0.0416666666666666,
    -0.001388888888887399,
    2.4801587289394903e-05,
    -2.7557314326023604e-07,
    2.087571955774313e-09,
    -1.1359448630332592e-11,
)
# (atan(x)/x - 1) / x^2 in x^2 up to tan(pi/8)^2: 2^-64
ATAN = (
    -0.33333333333333326,
    0.19999999999997647,
    -0.14285714285385176,
    0.11111111087999719,
    -0.09090908138060116,
    0.07692282611559857,
    -0.06666224573963646,
    0.0587700031546869,
    -0.0521826547111636,
    0.04502982045140581,
    -0.033461189625940385,
    0.015181619846615334,
)
# (asin(x)/x - 1) / x^2 in x^2 up to 1/4: 2^-59.8
ASIN = (
    0.16666666666666763,
    0.07499999999969925,
    0.04464285717545989,
    0.03038194266657754,
    0.022372216160696342,
    0.017351590760464653,
    0.013981077205250863,
    0.011396798520010116,
    0.01079217127608494,
    0.0036611323358083495,
    0.02181822079415518,
    -0.02115668357220131,
    0.032727732921176665,
)
# (tanh(x)/x - 1) / x^2 in x^2 up to 0.55^2: 2^-60.6
TANH = (
    -0.333333333333333,
    0.13333333333326597,
    -0.053968253963746986,
    0.021869488385454584,
    -0.008863232594681176,
    0.0035920919602609753,
    -0.001455542381681958,
    0.0005884425266391101,
    -0.00023337645175576977,
    8.33089359600643e-05,
    -1.9489938407409023e-05,
)


def _parts(x: Expr) -> tuple[Expr, Expr, Expr]:
    """(r, r^2 P(r), n) with e^x = (1 + r + r^2 P) * 2^n."""
    n = nearest(x * LOG2E)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return r, r * r * poly(r, EXP), n


@formula("exp", F64)
def exp_of(x: Expr) -> Expr:
    """e^x, 1.0 ulp."""
    r, rest, n = _parts(least(710.0, greatest(-746.0, x)))
    return scale(rest + r + 1.0, n)


def expm1(x: Expr) -> Expr:
    """e^x - 1 for |x| <= 700."""
    r, rest, n = _parts(x)
    power = power_of_two(whole(n), F64)
    return select(is_zero(x), x, fma(power, r + rest, power - 1.0))


@formula("log", F64)
def log(x: Expr) -> Expr:
    """The natural logarithm, 0.76 ulp; -infinity at 0, NaN below."""
    tiny = x < 2.2250738585072014e-308
    f, e = _split(select(tiny, x * 2.0**54, x))
    e = e - select(tiny, x.like(54.0), 0.0)
    return special_log(x, _log_of(f, e, None))


def _split(y: Expr) -> tuple[Expr, Expr]:
    """(f, e) with y = (1 + f) * 2^e and 1 + f in [sqrt(1/2), sqrt(2))."""
    exponent = halved(bits(y) - 0x3FE6A09E667F3BCD, 52)
    f = bitcast(bits(y) - shift_left(exponent, 52), F64) - 1.0
    return f, real(exponent, F64)


def _log_of(f: Expr, e: Expr, correction: Expr | None) -> Expr:
    """log((1 + f) * 2^e) + correction."""
    s = f / (f + 2.0)
    square = s * s
    series = square * poly(square, LOG)
    half = f * f * 0.5
    low = fma(e, LN2_LOW, s * (half + series))
    if correction is not None:
        low = low + correction
    return fma(e, LN2_HIGH, f - (half - low))


def special_log(x: Expr, out: Expr) -> Expr:
    """`out` but at infinity, at 0, below it and at NaN."""
    out = select(eq(x, INF), x.like(INF), out)
    out = select(is_zero(x), x.like(-INF), out)
    return select(x.like(0.0) <= x, out, NAN)


def log1p(x: Expr) -> Expr:
    """log(1 + x)."""
    y = x + 1.0
    f, e = _split(y)
    # What the rounding of 1 + x lost, relative to it.
    lost = select(x < 1.0, x - (y - 1.0), 1.0 - (y - x))
    out = special_log(y, _log_of(f, e, lost / y))
    return select(size(x) < 2.0**-54, x, out)


@formula("tanh", F64)
def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent, 1.2 ulp."""
    return tanh_of(x, TANH, 44.0)


def tanh_of(x: Expr, coefficients: Sequence[float], one: float) -> Expr:
    """The hyperbolic tangent by a polynomial near 0; it is 1 where 2 |x| is beyond `one`."""
    far = size(x)
    square = x * x
    small = fma(square * poly(square, coefficients), far, far)
    grown = exp(least(one, far + far))
    out = select(far < 0.55, small, 1.0 - 2.0 / (grown + 1.0))
    return copysign(select(nan(x), x, out), x)


@formula("sigmoid", F32, F64)
def sigmoid(x: Expr) -> Expr:
    """1 / (1 + e^-x), 2.0 ulp, down to the subnormal."""
    shrunk = exp(-size(x))
    return select(x < 0.0, shrunk, 1.0) / (shrunk + 1.0)


@formula("sinh", F64)
def sinh(x: Expr) -> Expr:
    """The hyperbolic sine, 2.1 ulp."""
    far = size(x)
    low = expm1(least(32.0, far))
    low = (low + low / (low + 1.0)) * 0.5
    return select(nan(x), x, copysign(select(far > 30.0, _half_exp(far), low), x))


def _half_exp(x: Expr) -> Expr:
    """e^x / 2 without overflow on the way, as the square of e^(x/2)."""
    r, rest, n = _parts(least(711.0, x))
    return scale(rest + r + 1.0, n - 1.0)


@formula("cosh", F64)
def cosh(x: Expr) -> Expr:
    """The hyperbolic cosine, 1.3 ulp."""
    far = size(x)
    low = exp(least(32.0, far))
    low = (low + 1.0 / low) * 0.5
    return select(nan(x), x, select(far > 30.0, _half_exp(far), low))


@formula("asinh", F64)
def asinh(x: Expr) -> Expr:
    """The inverse hyperbolic sine, 1.6 ulp."""
    far = size(x)
    square = far * far
    small = log1p(far + square / (sqrt(square + 1.0) + 1.0))
    large = log(far) + LN2
    return copysign(select(far > 2.0**28, large, small), x)


@formula("acosh", F64)
def acosh(x: Expr) -> Expr:
    """The inverse hyperbolic cosine, 1.8 ulp; NaN below 1."""
    t = x - 1.0
    small = log1p(t + sqrt(t * (t + 2.0)))
    out = select(x > 2.0**28, log(x) + LN2, small)
    return select(x < 1.0, x.like(NAN), out)


@formula("atanh", F64)
def atanh(x: Expr) -> Expr:
    """The inverse hyperbolic tangent, 1.8 ulp; NaN beyond 1."""
    far = size(x)
    out = log1p((far + far) / (1.0 - far)) * 0.5
    return copysign(select(far > 1.0, x.like(NAN), out), x)


@formula("atan", F64)
def atan(x: Expr) -> Expr:
    """The inverse tangent, 1.4 ulp."""
    far = size(x)
    steep, middle = far > 2.414213562373095, far > 0.41421356237309503

    def by_part(first: Expr | float, second: Expr | float, third: Expr | float) -> Expr:
        return select(steep, x.like(first), select(middle, x.like(second), third))

    z = by_part(-1.0, far - 1.0, far) / by_part(far, far + 1.0, 1.0)
    square = z * z
    series = square * poly(square, ATAN) * z
    base = by_part(math.pi / 2, math.pi / 4, 0.0)
    rest = by_part(6.123233995736766e-17, 3.061616997868383e-17, 0.0)
    return select(is_zero(x), x, copysign(base + (z + (series + rest)), x))


@formula("asin", F64)
def asin(x: Expr) -> Expr:
    """The inverse sine, 1.7 ulp; NaN beyond 1."""
    far = size(x)
    inner, outer = _asin_parts(far)
    base = math.pi / 2 - (outer + outer - 6.123233995736766e-17)
    out = copysign(select(far > 0.5, base, inner), x)
    return select(is_zero(x), x, out)


@formula("acos", F64)
def acos(x: Expr) -> Expr:
    """The inverse cosine, 1.1 ulp; NaN beyond 1."""
    far = size(x)
    inner, outer = _asin_parts(far)
    twice = outer + outer
    steep = select(x < 0.0, math.pi - (twice - 1.2246467991473532e-16), twice)
    flat = math.pi / 2 - (copysign(inner, x) - 6.123233995736766e-17)
    return select(far > 0.5, steep, flat)


def _asin_parts(far: Expr) -> tuple[Expr, Expr]:
    """asin(far) for far <= 1/2, and asin(sqrt((1 - far) / 2)) for the rest."""
    big = far > 0.5
    square = select(big, (1.0 - far) * 0.5, far * far)
    root = sqrt(square)
    z = select(big, root, far)
    tail = square * poly(square, ASIN) * z
    # The root in two parts; the square of the first is exact.
    high = bitcast(masked(bits(root), ((1 << 37) - 1) << 27), F64)
    low = (square - high * high) / greatest(root + high, root.like(2.0**-1000))
    return tail + z, tail + low + high


def reduce_circle(x: Expr, parts: int = 4) -> tuple[Expr, Expr]:
    """(r, n) with x = r + n * pi/2, |r| <= pi/4, n an integer-valued float, for |x| <= 2**20.

    `parts` of pi/2 are used: 3 serve operands of float32's precision.
    """
    n = nearest(x * (2 / math.pi))
    r = x
    for part in HALF_PI[:parts]:
        r = fma(n, -part, r)
    return r, n


def beyond(x: Expr, near: Expr, of: Callable[[Expr], Expr]) -> Expr:
    """`near`, but `of(x)` where x is beyond the reach of `reduce_circle` or is no number."""
    far = size(x) > FAR
    return among(far, of(select(far, x, 0.0)), near)


def _sine_cosine(r: Expr) -> tuple[Expr, Expr]:
    square = r * r
    sine = fma(square * poly(square, SIN), r, r)
    half = square * 0.5
    one = 1.0 - half
    rest = 1.0 - one - half
    return sine, one + fma(square * square, poly(square, COS), rest)


@formula("sin", F64)
def sin(x: Expr) -> Expr:
    """The sine, 1.6 ulp; NaN at infinity."""
    return select(is_zero(x), x, _circular(x, 0, "libsin"))


@formula("cos", F64)
def cos(x: Expr) -> Expr:
    """The cosine, 1.6 ulp; NaN at infinity."""
    return _circular(x, 1, "libcos")


def _circular(x: Expr, quarter: int, far: str) -> Expr:
    r, n = reduce_circle(x)
    sine, cosine = _sine_cosine(r)
    quadrant = whole(n) + quarter
    turned = select(eq(masked(quadrant, 1), 1), cosine, sine)
    near = bitcast(flipped(bits(turned), shift_left(masked(quadrant, 2), 62)), F64)
    return beyond(x, near, lambda y: unary(far, y))


def tan_short(x: Expr) -> Expr:
    """The tangent of operands and result of float32's precision."""
    r, n = reduce_circle(x, parts=3)
    sine, cosine = _sine_cosine(r)
    odd = eq(masked(whole(n), 1), 1)
    out = select(odd, -cosine, sine) / select(odd, sine, cosine)
    return beyond(x, select(is_zero(x), x, out), lambda y: unary("tan", y))


def power_short(x: Expr, y: Expr) -> Expr:
    """x^y of operands and result of float32's precision: e^(y log x) with the sign by parity."""
    far = size(x)
    out = exp(y * log(far))
    whole_y, half = unary("trunc", y), y * 0.5
    odd = eq(whole_y, y) & _differ(unary("trunc", half), half)
    out = select(odd & signed(x), -out, out)
    fractional = (x < 0.0) & _differ(whole_y, y)
    out = select(fractional & (far > 0.0), x.like(NAN), out)
    out = select(eq(far, INF) & fractional, select(y > 0.0, x.like(INF), 0.0), out)
    endless = eq(size(y), INF) & eq(far, 1.0)
    return select(eq(x, 1.0) | eq(y, 0.0) | endless, x.like(1.0), out)


def _differ(a: Expr, b: Expr) -> Expr:
    """Whether a is below or above b."""
    return (a < b) | (b < a)

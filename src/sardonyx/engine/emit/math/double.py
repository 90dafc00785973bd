"""Elementary functions of float64, in lanes; float32 borrows the rarer ones.

`erf`, `tan`, `power` and the reduction of arguments beyond 2**20 call the C library lane by lane;
all else runs in vectors. Each docstring states the largest error in ulp found over 2**16 samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sardonyx.engine.emit.math.formula import Math

Function = Callable[..., str]
INF, NAN = math.inf, math.nan
LOG2E = 1.4426950408889634
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


def _parts(m: Math, x: str) -> tuple[str, str, str]:
    """(r, r^2 P(r), n) with e^x = (1 + r + r^2 P) * 2^n."""
    n = m.rint(m.mul(x, LOG2E))
    high = m.fma(n, -LN2_HIGH, x)
    r = m.fma(n, -LN2_LOW, high)
    return r, m.mul(m.mul(r, r), m.poly(r, EXP)), n


def exp(m: Math, x: str) -> str:
    """e^x, 1.0 ulp."""
    r, rest, n = _parts(m, m.min(710.0, m.max(-746.0, x)))
    return m.scale(m.add(m.add(rest, r), 1.0), n)


def expm1(m: Math, x: str) -> str:
    """e^x - 1 for |x| <= 700."""
    r, rest, n = _parts(m, x)
    scale = m.power_of_two(m.to_int(n))
    grown = m.add(r, rest)
    out = m.fma(scale, grown, m.sub(scale, 1.0))
    return m.pick(m.eq(x, 0.0), x, out)


def log(m: Math, x: str) -> str:
    """The natural logarithm, 0.76 ulp; -infinity at 0, NaN below."""
    tiny = m.lt(x, 2.2250738585072014e-308)
    f, e = _split(m, m.pick(tiny, m.mul(x, 2.0**54), x))
    e = m.sub(e, m.pick(tiny, 54.0, 0.0))
    return _special_log(m, x, _log_of(m, f, e, None))


def _split(m: Math, y: str) -> tuple[str, str]:
    """(f, e) with y = (1 + f) * 2^e and 1 + f in [sqrt(1/2), sqrt(2))."""
    bits = m.bits(y)
    exponent = m.sar(m.isub(bits, 0x3FE6A09E667F3BCD), 52)
    f = m.sub(m.of_bits(m.isub(bits, m.shl(exponent, 52))), 1.0)
    return f, m.to_float(exponent)


def _log_of(m: Math, f: str, e: str, correction: str | None) -> str:
    """log((1 + f) * 2^e) + correction."""
    s = m.div(f, m.add(f, 2.0))
    square = m.mul(s, s)
    series = m.mul(square, m.poly(square, LOG))
    half = m.mul(m.mul(f, f), 0.5)
    low = m.fma(e, LN2_LOW, m.mul(s, m.add(half, series)))
    if correction is not None:
        low = m.add(low, correction)
    return m.fma(e, LN2_HIGH, m.sub(f, m.sub(half, low)))


def _special_log(m: Math, x: str, out: str) -> str:
    out = m.pick(m.eq(x, INF), INF, out)
    out = m.pick(m.eq(x, 0.0), -INF, out)
    return m.pick(m.w.let(f"fcmp ult {m.float} {x}, {m.k(0.0)}"), NAN, out)


def log1p(m: Math, x: str) -> str:
    """log(1 + x)."""
    y = m.add(x, 1.0)
    f, e = _split(m, y)
    # What the rounding of 1 + x lost, relative to it.
    lost = m.pick(m.lt(x, 1.0), m.sub(x, m.sub(y, 1.0)), m.sub(1.0, m.sub(y, x)))
    out = _special_log(m, y, _log_of(m, f, e, m.div(lost, y)))
    return m.pick(m.lt(m.abs(x), 2.0**-54), x, out)


def tanh(m: Math, x: str) -> str:
    """The hyperbolic tangent, 1.2 ulp."""
    size = m.abs(x)
    square = m.mul(x, x)
    near = m.fma(m.mul(square, m.poly(square, TANH)), size, size)
    grown = exp(m, m.min(44.0, m.add(size, size)))
    out = m.pick(m.lt(size, 0.55), near, m.sub(1.0, m.div(2.0, m.add(grown, 1.0))))
    return m.copysign(m.pick(m.nan(x), x, out), x)


def sigmoid(m: Math, x: str, of: Function = exp) -> str:
    """1 / (1 + e^-x), 2.0 ulp, down to the subnormal; `of` is the exponential of m's type."""
    shrunk = of(m, m.neg(m.abs(x)))
    one = m.pick(m.lt(x, 0.0), shrunk, 1.0)
    return m.div(one, m.add(shrunk, 1.0))


def sinh(m: Math, x: str) -> str:
    """The hyperbolic sine, 2.1 ulp."""
    size = m.abs(x)
    low = expm1(m, m.min(32.0, size))
    low = m.mul(m.add(low, m.div(low, m.add(low, 1.0))), 0.5)
    high = _half_exp(m, size)
    out = m.copysign(m.pick(m.gt(size, 30.0), high, low), x)
    return m.pick(m.nan(x), x, out)


def _half_exp(m: Math, x: str) -> str:
    """e^x / 2 without overflow on the way, as the square of e^(x/2)."""
    r, rest, n = _parts(m, m.min(711.0, x))
    return m.scale(m.add(m.add(rest, r), 1.0), m.sub(n, 1.0))


def cosh(m: Math, x: str) -> str:
    """The hyperbolic cosine, 1.3 ulp."""
    size = m.abs(x)
    low = exp(m, m.min(32.0, size))
    low = m.mul(m.add(low, m.div(1.0, low)), 0.5)
    out = m.pick(m.gt(size, 30.0), _half_exp(m, size), low)
    return m.pick(m.nan(x), x, out)


def asinh(m: Math, x: str) -> str:
    """The inverse hyperbolic sine, 1.6 ulp."""
    size = m.abs(x)
    square = m.mul(size, size)
    root = m.sqrt(m.add(square, 1.0))
    small = log1p(m, m.add(size, m.div(square, m.add(root, 1.0))))
    large = m.add(log(m, size), 0.6931471805599453)
    return m.copysign(m.pick(m.gt(size, 2.0**28), large, small), x)


def acosh(m: Math, x: str) -> str:
    """The inverse hyperbolic cosine, 1.8 ulp; NaN below 1."""
    t = m.sub(x, 1.0)
    small = log1p(m, m.add(t, m.sqrt(m.mul(t, m.add(t, 2.0)))))
    large = m.add(log(m, x), 0.6931471805599453)
    out = m.pick(m.gt(x, 2.0**28), large, small)
    return m.pick(m.lt(x, 1.0), NAN, out)


def atanh(m: Math, x: str) -> str:
    """The inverse hyperbolic tangent, 1.8 ulp; NaN beyond 1."""
    size = m.abs(x)
    out = m.mul(log1p(m, m.div(m.add(size, size), m.sub(1.0, size))), 0.5)
    return m.copysign(m.pick(m.gt(size, 1.0), NAN, out), x)


def atan(m: Math, x: str) -> str:
    """The inverse tangent, 1.4 ulp."""
    size = m.abs(x)
    steep = m.gt(size, 2.414213562373095)
    middle = m.gt(size, 0.41421356237309503)
    numerator = m.pick(steep, -1.0, m.pick(middle, m.sub(size, 1.0), size))
    denominator = m.pick(steep, size, m.pick(middle, m.add(size, 1.0), 1.0))
    z = m.div(numerator, denominator)
    square = m.mul(z, z)
    series = m.mul(m.mul(square, m.poly(square, ATAN)), z)
    base = m.pick(steep, math.pi / 2, m.pick(middle, math.pi / 4, 0.0))
    rest = m.pick(steep, 6.123233995736766e-17, m.pick(middle, 3.061616997868383e-17, 0.0))
    out = m.add(base, m.add(z, m.add(series, rest)))
    return m.pick(m.eq(x, 0.0), x, m.copysign(out, x))


def asin(m: Math, x: str) -> str:
    """The inverse sine, 1.7 ulp; NaN beyond 1."""
    size = m.abs(x)
    inner, outer = _asin_parts(m, size)
    base = m.sub(math.pi / 2, m.sub(m.add(outer, outer), 6.123233995736766e-17))
    out = m.copysign(m.pick(m.gt(size, 0.5), base, inner), x)
    return m.pick(m.eq(x, 0.0), x, out)


def acos(m: Math, x: str) -> str:
    """The inverse cosine, 1.1 ulp; NaN beyond 1."""
    size = m.abs(x)
    inner, outer = _asin_parts(m, size)
    twice = m.add(outer, outer)
    negative = m.lt(x, 0.0)
    far = m.pick(negative, m.sub(math.pi, m.sub(twice, 1.2246467991473532e-16)), twice)
    signed = m.copysign(inner, x)
    near = m.sub(math.pi / 2, m.sub(signed, 6.123233995736766e-17))
    return m.pick(m.gt(size, 0.5), far, near)


def _asin_parts(m: Math, size: str) -> tuple[str, str]:
    """asin(size) for size <= 1/2, and asin(sqrt((1 - size) / 2)) for the rest."""
    big = m.gt(size, 0.5)
    square = m.pick(big, m.mul(m.sub(1.0, size), 0.5), m.mul(size, size))
    root = m.sqrt(square)
    z = m.pick(big, root, size)
    tail = m.mul(m.mul(square, m.poly(square, ASIN)), z)
    # The root in two parts; the square of the first is exact.
    high = m.of_bits(m.iand(m.bits(root), -1 << 27))
    low = m.div(m.sub(square, m.mul(high, high)), m.max(m.add(root, high), 2.0**-1000))
    return m.add(tail, z), m.add(m.add(tail, low), high)


def reduce_circle(m: Math, x: str, parts: int = 4) -> tuple[str, str]:
    """(r, n) with x = r + n * pi/2, |r| <= pi/4, n an integer-valued float exact modulo 4.

    `parts` of pi/2 are used: 3 serve operands of float32's precision. Beyond 2**20 the C
    library's sine and cosine find r and the quadrant; NaN at infinity.
    """
    n = m.rint(m.mul(x, 2 / math.pi))
    r = x
    for part in HALF_PI[:parts]:
        r = m.fma(n, -part, r)
    far = m.gt(m.abs(x), FAR)
    out = m.mend(far, (r, n), lambda: _reduce_far(m, m.pick(far, x, 0.0)))
    return out[0], out[1]


def _reduce_far(m: Math, x: str) -> tuple[str, str]:
    s, c = m.each("sin", x), m.each("cos", x)
    size_s, size_c = m.abs(s), m.abs(c)
    cosine_leads = m.gt(size_c, size_s)
    # In quadrant 0 sin = s, in 1 sin = cos(r): r is the inverse sine of the smaller of the two.
    n = m.pick(cosine_leads, m.pick(m.lt(c, 0.0), 2.0, 0.0), m.pick(m.lt(s, 0.0), 3.0, 1.0))
    small = m.pick(cosine_leads, m.mul(s, m.copysign(1.0, c)), m.mul(m.neg(c), m.copysign(1.0, s)))
    return asin(m, small), n


def sin(m: Math, x: str) -> str:
    """The sine, 1.6 ulp."""
    return _circular(m, x, 0)


def cos(m: Math, x: str) -> str:
    """The cosine, 1.6 ulp."""
    return _circular(m, x, 1)


def _sine_cosine(m: Math, r: str) -> tuple[str, str]:
    square = m.mul(r, r)
    sine = m.fma(m.mul(square, m.poly(square, SIN)), r, r)
    half = m.mul(square, 0.5)
    one = m.sub(1.0, half)
    rest = m.sub(m.sub(1.0, one), half)
    fourth = m.mul(square, square)
    cosine = m.add(one, m.fma(fourth, m.poly(square, COS), rest))
    return sine, cosine


def _circular(m: Math, x: str, quarter: int) -> str:
    r, n = reduce_circle(m, x)
    sine, cosine = _sine_cosine(m, r)
    quadrant = m.iadd(m.to_int(n), quarter)
    odd = m.int_eq(m.iand(quadrant, 1), 1)
    sign = m.shl(m.iand(quadrant, 2), 62)
    out = m.of_bits(m.ixor(m.bits(m.pick(odd, cosine, sine)), sign))
    return m.pick(m.eq(x, 0.0), x, out) if quarter == 0 else out


def tan(m: Math, x: str) -> str:
    """The tangent, by the C library."""
    return m.each("tan", x)


def tan_short(m: Math, x: str) -> str:
    """The tangent of operands and result of float32's precision."""
    r, n = reduce_circle(m, x, parts=3)
    sine, cosine = _sine_cosine(m, r)
    odd = m.int_eq(m.iand(m.to_int(n), 1), 1)
    out = m.div(m.pick(odd, m.neg(cosine), sine), m.pick(odd, sine, cosine))
    return m.pick(m.eq(x, 0.0), x, out)


def erf(m: Math, x: str) -> str:
    """The error function, by the C library."""
    return m.each("erf", x)


def power(m: Math, x: str, y: str) -> str:
    """x^y with C's special cases, by the C library."""
    return m.each("pow", x, y)


def power_short(m: Math, x: str, y: str) -> str:
    """x^y of operands and result of float32's precision: e^(y log x) with the sign by parity."""
    size = m.abs(x)
    out = exp(m, m.mul(y, log(m, size)))
    whole = m.eq(m.trunc(y), y)
    half = m.mul(y, 0.5)
    odd = m.both(whole, m.w.let(f"fcmp one {m.float} {m.trunc(half)}, {half}"))
    negative = m.int_lt(m.bits(x), 0)
    out = m.pick(m.both(odd, negative), m.neg(out), out)
    fractional = m.both(m.lt(x, 0.0), m.w.let(f"fcmp one {m.float} {m.trunc(y)}, {y}"))
    out = m.pick(m.both(fractional, m.gt(size, 0.0)), NAN, out)
    out = m.pick(m.both(m.eq(size, INF), fractional), m.pick(m.gt(y, 0.0), INF, 0.0), out)
    endless = m.both(m.eq(m.abs(y), INF), m.eq(size, 1.0))
    one = m.either(m.either(m.eq(x, 1.0), m.eq(y, 0.0)), endless)
    return m.pick(one, 1.0, out)

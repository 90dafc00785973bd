"""Operations on integers that machines lack: nothing traps, dividing by zero gives 0."""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, const, operate, unary
from sardonyx.loops.math.formulas import Formula, formula
from sardonyx.loops.math.parts import F32, F64, bitcast, fma, select, shift_right

_SIGNED = (DType.INT8, DType.INT16, DType.INT32, DType.INT64)
_UNSIGNED = (DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64)
_INTEGERS = (*_SIGNED, *_UNSIGNED)


def _on(op: str, a: Expr, b: Expr | int) -> Expr:
    return operate(op, (a, b if isinstance(b, Expr) else const(b, a.dtype)))


@formula("neg", *_INTEGERS)
def neg(a: Expr) -> Expr:
    """-a."""
    return _on("sub", const(0, a.dtype), a)


@formula("abs", *_SIGNED)
def absolute(a: Expr) -> Expr:
    """|a|; the least number stays."""
    return select(_on("lt", a, 0), neg(a), a)


@formula("sign", *_INTEGERS)
def sign(a: Expr) -> Expr:
    """-1, 0 or 1."""
    kind = a.dtype
    some = select(_on("eq", a, 0), const(0, kind), const(1, kind))
    if not kind.is_signed:
        return some
    return select(_on("lt", a, 0), const(-1, kind), some)


@formula("bitnot", *_INTEGERS)
def bitnot(a: Expr) -> Expr:
    """The bits turned."""
    every = -1 if a.dtype.is_signed else (1 << a.dtype.bits) - 1
    return _on("bitxor", a, every)


@formula("bitnot", DType.BOOL)
@formula("not", DType.BOOL)
def negation(a: Expr) -> Expr:
    """The other one."""
    return operate("bitxor", (a, const(True, DType.BOOL)))


@formula("isnan", *_INTEGERS)
@formula("isinf", *_INTEGERS)
def never(_: Expr) -> Expr:
    """No integer is."""
    return const(False, DType.BOOL)


_BY_BITS = dict(zip((8, 16, 32, 64), _UNSIGNED, strict=True))


@formula("shl", *_INTEGERS)
def shl(a: Expr, b: Expr) -> Expr:
    """Bits moved up; 0 where they all leave."""
    short, by = _count(b, 0)
    return select(short, _on("lshift", a, by), const(0, a.dtype))


@formula("shr", *_INTEGERS)
def shr(a: Expr, b: Expr) -> Expr:
    """Bits moved down, the sign entering a signed one; what is left where they all leave."""
    if a.dtype.is_signed:
        return _on("rshift", a, _count(b, a.dtype.bits - 1)[1])
    short, by = _count(b, 0)
    return select(short, _on("rshift", a, by), const(0, a.dtype))


def _count(b: Expr, most: int) -> tuple[Expr, Expr]:
    """Whether a count is within the type's bits, and the count, `most` where it is not."""
    if b.op == "const" and 0 <= b.arg < b.dtype.bits:
        return const(True, DType.BOOL), b
    short = _on("lt", bitcast(b, _BY_BITS[b.dtype.bits]), b.dtype.bits)
    return short, select(short, b, const(most, b.dtype))


def _divided(a: Expr, b: Expr, down: bool) -> tuple[Expr, Expr]:
    """Quotient and remainder, rounded to zero or down; rubbish where b is 0."""
    zero, one = const(0, a.dtype), const(1, a.dtype)
    minus = None
    safe = select(_on("eq", b, 0), one, b)
    if a.dtype.is_signed:
        # The lowest number over -1 leaves the range: negate by wrapping instead.
        minus = _on("eq", b, -1)
        safe = select(minus, one, safe)
    quotient = _on("quotient", a, safe)
    rest = _on("sub", a, _on("mul", quotient, safe))
    if minus is not None:
        quotient = select(minus, _on("sub", zero, a), quotient)
        if down:
            differ = _on("lt", _on("bitxor", rest, b), 0)
            off = operate("and", (_on("ne", rest, 0), differ))
            quotient = select(off, _on("sub", quotient, one), quotient)
            rest = select(off, _on("add", rest, b), rest)
    return quotient, rest


def _unless_zero(b: Expr, out: Expr) -> Expr:
    return select(_on("eq", b, 0), const(0, b.dtype), out)


@formula("div", *_INTEGERS)
@formula("truncdiv", *_INTEGERS)
def truncdiv(a: Expr, b: Expr) -> Expr:
    """The quotient without its fraction."""
    found, _ = _divided(a, b, down=False)
    return _unless_zero(b, found)


@formula("floordiv", *_INTEGERS)
def floordiv(a: Expr, b: Expr) -> Expr:
    """The quotient, rounded down."""
    found, _ = _divided(a, b, down=True)
    return _unless_zero(b, found)


@formula("fmod", *_INTEGERS)
def fmod(a: Expr, b: Expr) -> Expr:
    """The remainder with the sign of a."""
    _, found = _divided(a, b, down=False)
    return _unless_zero(b, found)


@formula("mod", *_INTEGERS)
def mod(a: Expr, b: Expr) -> Expr:
    """The remainder with the sign of b."""
    _, found = _divided(a, b, down=True)
    return _unless_zero(b, found)


@formula("quotient", *_SIGNED[:3], *_UNSIGNED[:3], needs="vector")
def quotient(a: Expr, b: Expr) -> Expr:
    """a / b as floats that hold them, which cannot round up to a whole number."""
    kind = a.dtype
    real = F64 if kind.bits == 32 else F32
    ratio = cast(a, real) / cast(b, real)
    if kind.bits == 32:
        return operate("truncate", (ratio,), kind)
    return cast(operate("truncate", (ratio,), DType.INT32), kind)


@formula("index.floordiv", DType.INT64, needs="scalar")
def index_floordiv(a: Expr, divisor: Expr) -> Expr:
    """a // divisor of a subscript that is not negative by a positive literal."""
    by = int(divisor.arg)
    word = bitcast(a, DType.UINT64)
    if by & (by - 1) == 0:
        return bitcast(shift_right(word, by.bit_length() - 1), DType.INT64)
    return bitcast(_on("quotient", word, by), DType.INT64)


@formula("index.mod", DType.INT64, needs="scalar")
def index_mod(a: Expr, divisor: Expr) -> Expr:
    """a % divisor, as `index_floordiv`."""
    by = int(divisor.arg)
    word = bitcast(a, DType.UINT64)
    if by & (by - 1) == 0:
        return _on("bitand", a, by - 1)
    whole = _on("mul", _on("quotient", word, by), by)
    return bitcast(_on("sub", word, whole), DType.INT64)


@formula("index.floordiv", DType.INT64, needs="vector")
def lanes_floordiv(a: Expr, divisor: Expr) -> Expr:
    """As `index_floordiv`, dividing as float64: subscripts stay below 2**51."""
    return _by_float(a, divisor, index_floordiv, whole=True)


@formula("index.mod", DType.INT64, needs="vector")
def lanes_mod(a: Expr, divisor: Expr) -> Expr:
    """As `index_mod`, dividing as float64: subscripts stay below 2**51."""
    return _by_float(a, divisor, index_mod, whole=False)


def _by_float(a: Expr, divisor: Expr, by_bits: Formula, whole: bool) -> Expr:
    number = int(divisor.arg)
    if number & (number - 1) == 0:
        return by_bits(a, divisor)
    by = float(number)
    x = operate("tofloat", (a,), F64)
    quotient = unary("floor", x * (1 / by))
    rest = fma(-quotient, by, x)
    below, above = rest < 0.0, x.like(by) <= rest
    out, step = (quotient, 1.0) if whole else (rest, -by)
    less = select(below, out - step, out)
    out = select(above, out + step, less)
    return operate("toint", (out,), DType.INT64)

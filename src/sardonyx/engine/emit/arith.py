"""Operations of the expression language on operands: one function per kind of element.

Integers wrap; dividing by zero gives 0 and nothing traps. Minimum and maximum give NaN where either
side is NaN. FLOAT16 and BFLOAT16 compute in float32 and round once.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError
from sardonyx.engine.emit.cast import cast
from sardonyx.engine.emit.math import double, single
from sardonyx.engine.emit.math.formula import Math
from sardonyx.engine.emit.types import HALVES, constant, register, splat, vector
from sardonyx.engine.emit.writer import Writer

FLOAT32, FLOAT64 = DType.FLOAT32, DType.FLOAT64
_ARITH = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT_ARITH = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "bitand": "and",
    "bitor": "or",
    "bitxor": "xor",
    "and": "and",
    "or": "or",
    "xor": "xor",
}
_FLOAT_COMPARE = {"lt": "olt", "le": "ole", "eq": "oeq", "ne": "une"}
_INT_COMPARE = {"lt": "lt", "le": "le", "eq": "eq", "ne": "ne"}
_BY_DOUBLE = frozenset({"asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"})
_FORMULAS = _BY_DOUBLE | {"exp", "log", "erf", "tanh", "sin", "cos", "tan", "sigmoid"}


class Arith:
    """Writes operations on elements of one dtype at one width."""

    def __init__(self, w: Writer, dtype: DType, lanes: int | None) -> None:
        self.w, self.dtype, self.lanes = w, dtype, lanes
        self.kind = register(dtype, lanes)
        self.bool = vector("i1", lanes)

    def const(self, value: float) -> str:
        """A literal of this dtype and width."""
        return constant(self.dtype, value, self.lanes)

    def op(self, name: str, a: str, b: str) -> str:
        """An instruction of two operands."""
        return self.w.let(f"{name} {self.kind} {a}, {b}")

    def pick(self, mask: str, a: str, b: str) -> str:
        """a where the mask holds, else b."""
        return self.w.let(f"select {self.bool} {mask}, {self.kind} {a}, {self.kind} {b}")

    def invert(self, mask: str) -> str:
        """Where the mask does not hold."""
        return self.w.let(f"xor {self.bool} {mask}, {splat('i1', 'true', self.lanes)}")


def binary(w: Writer, op: str, dtype: DType, lanes: int | None, a: str, b: str) -> str:
    """The register of `op` on two operands of `dtype`; comparisons give i1."""
    if dtype in HALVES:
        wide = [cast(w, x, dtype, FLOAT32, lanes) for x in (a, b)]
        out = binary(w, op, FLOAT32, lanes, wide[0], wide[1])
        return out if op in _FLOAT_COMPARE else cast(w, out, FLOAT32, dtype, lanes)
    x = Arith(w, dtype, lanes)
    if dtype.is_float:
        return _binary_float(x, op, a, b)
    return _binary_int(x, op, a, b)


def _binary_float(x: Arith, op: str, a: str, b: str) -> str:
    if op in _ARITH:
        return x.op(_ARITH[op], a, b)
    if op in _FLOAT_COMPARE:
        return x.op(f"fcmp {_FLOAT_COMPARE[op]}", a, b)
    m = Math(x.w, x.dtype, x.lanes)
    if op in ("min", "max"):
        # b where unordered, so only a NaN in a is left to see.
        out = m.min(a, b) if op == "min" else m.max(a, b)
        return m.pick(m.nan(a), a, out)
    if op == "pow":
        return single.power(m, a, b) if m.single else double.power(m, a, b)
    if op == "floordiv":
        return m.floor(m.div(a, b))
    if op == "truncdiv":
        return m.trunc(m.div(a, b))
    rest = m.each("fmodf" if m.single else "fmod", a, b)
    if op == "fmod":
        return rest
    if op != "mod":
        raise CompileError("E0821", f"no instructions for {op} of {x.dtype}")
    differ = m.int_lt(m.ixor(m.bits(rest), m.bits(b)), 0)
    some = x.op("fcmp une", rest, m.k(0.0))
    moved = m.pick(m.both(differ, some), m.add(rest, b), rest)
    return m.pick(some, moved, m.copysign(rest, b))


def _binary_int(x: Arith, op: str, a: str, b: str) -> str:
    if op in _INT_ARITH:
        return x.op(_INT_ARITH[op], a, b)
    sign = "s" if x.dtype.is_signed else "u"
    if op in _INT_COMPARE:
        prefix = "" if op in ("eq", "ne") else sign
        return x.op(f"icmp {prefix}{_INT_COMPARE[op]}", a, b)
    if op in ("min", "max"):
        less = x.op(f"icmp {sign}lt", a, b)
        return x.pick(less, a, b) if op == "min" else x.pick(less, b, a)
    if op in ("shl", "shr"):
        return _shift(x, op, a, b)
    if op in ("div", "truncdiv", "floordiv", "mod", "fmod"):
        return _divide(x, op, a, b)
    if op == "pow":
        return _power(x, a, b)
    raise CompileError("E0821", f"no instructions for {op} of {x.dtype}")


def _shift(x: Arith, op: str, a: str, b: str) -> str:
    short = x.op("icmp ult", b, x.const(x.dtype.bits))
    if op == "shr" and x.dtype.is_signed:
        return x.op("ashr", a, x.pick(short, b, x.const(x.dtype.bits - 1)))
    moved = x.op("shl" if op == "shl" else "lshr", a, x.pick(short, b, x.const(0)))
    return x.pick(short, moved, x.const(0))


def _divide(x: Arith, op: str, a: str, b: str) -> str:
    signed = x.dtype.is_signed
    none = x.op("icmp eq", b, x.const(0))
    one, zero = x.const(1), x.const(0)
    safe = x.pick(none, one, b)
    if signed:
        # The lowest number over -1 leaves the range: negate by wrapping instead.
        minus = x.op("icmp eq", b, x.const(-1))
        safe = x.pick(minus, one, safe)
    quotient = _quotient(x, a, safe)
    rest = x.op("sub", a, x.op("mul", quotient, safe))
    if signed:
        quotient = x.pick(minus, x.op("sub", zero, a), quotient)
        if op in ("floordiv", "mod"):
            some = x.op("icmp ne", rest, zero)
            differ = x.op("icmp slt", x.op("xor", rest, b), zero)
            down = x.w.let(f"and {x.bool} {some}, {differ}")
            quotient = x.pick(down, x.op("sub", quotient, one), quotient)
            rest = x.pick(down, x.op("add", rest, b), rest)
    return x.pick(none, zero, rest if op in ("mod", "fmod") else quotient)


def _quotient(x: Arith, a: str, b: str) -> str:
    """a / b without its fraction, b not 0 and no overflow.

    Vectors of up to 32 bits divide as floats that hold them, which cannot
    round up to a whole number.
    """
    signed = x.dtype.is_signed
    if x.lanes is None or x.dtype.bits > 32:
        return x.op("sdiv" if signed else "udiv", a, b)
    m = Math(x.w, FLOAT64 if x.dtype.bits == 32 else FLOAT32, x.lanes)
    from_int, to_int = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    sides = [x.w.let(f"{from_int} {x.kind} {v} to {m.float}") for v in (a, b)]
    ratio = m.div(*sides)
    if x.dtype.bits == 32:
        return x.w.let(f"{to_int} {m.float} {ratio} to {x.kind}")
    whole = x.w.let(f"fptosi {m.float} {ratio} to {m.int}")
    return x.w.let(f"trunc {m.int} {whole} to {x.kind}")


def divide_index(w: Writer, op: str, a: str, divisor: int, lanes: int | None) -> str:
    """floordiv or mod of an int64 that is not negative by a positive literal.

    Vectors divide as float64: subscripts stay below 2**51.
    """
    kind = vector("i64", lanes)
    whole = op == "floordiv"
    if divisor & (divisor - 1) == 0:
        name = "lshr" if whole else "and"
        bits = divisor.bit_length() - 1 if whole else divisor - 1
        return w.let(f"{name} {kind} {a}, {splat('i64', str(bits), lanes)}")
    if lanes is None:
        return w.let(f"{'udiv' if whole else 'urem'} i64 {a}, {divisor}")
    m = Math(w, FLOAT64, lanes)
    x, by = m.to_float(a), float(divisor)
    quotient = m.floor(m.mul(x, 1 / by))
    rest = m.fma(m.neg(quotient), by, x)
    below = m.lt(rest, 0.0)
    above = w.let(f"fcmp oge {m.float} {rest}, {m.k(by)}")
    out, step = (quotient, 1.0) if whole else (rest, -by)
    less = m.pick(below, m.sub(out, step), out)
    return m.to_int(m.pick(above, m.add(out, step), less))


def _power(x: Arith, a: str, b: str) -> str:
    """By squaring; a negative exponent gives 1/a rounded to zero."""
    start = [(x.kind, x.const(1)), (x.kind, a), (x.kind, b)]
    with x.w.loop(str(x.dtype.bits), start, nonempty=True, writes=frozenset()) as trip:
        out, base, rest = trip.values
        odd = x.op("icmp ne", x.op("and", rest, x.const(1)), x.const(0))
        out = x.pick(odd, x.op("mul", out, base), out)
        trip.next([out, x.op("mul", base, base), x.op("lshr", rest, x.const(1))])
    out = trip.results[0]
    if not x.dtype.is_signed:
        return out
    unit = x.op("icmp ult", x.op("add", a, x.const(1)), x.const(3))
    nonzero = x.op("icmp ne", a, x.const(0))
    units = x.w.let(f"and {x.bool} {unit}, {nonzero}")
    negative = x.op("icmp slt", b, x.const(0))
    return x.pick(negative, x.pick(units, out, x.const(0)), out)


def power_by(w: Writer, dtype: DType, lanes: int | None, a: str, exponent: float) -> str | None:
    """a to the power of a literal for which a few instructions do, else None."""
    if dtype in HALVES or exponent not in (0.5, 1.0, 2.0, 3.0, -1.0):
        return None
    m = Math(w, dtype, lanes)
    if exponent == 0.5:
        root = m.abs(m.sqrt(a))
        return m.pick(m.eq(a, float("-inf")), float("inf"), root)
    if exponent < 0:
        return m.div(1.0, a)
    out = a
    for _ in range(int(exponent) - 1):
        out = m.mul(out, a)
    return out


def unary(w: Writer, op: str, dtype: DType, lanes: int | None, a: str) -> str:
    """The register of `op` on an operand of `dtype`; predicates give i1."""
    if dtype in HALVES:
        wide = cast(w, a, dtype, FLOAT32, lanes)
        out = unary(w, op, FLOAT32, lanes, wide)
        return out if op in ("isnan", "isinf") else cast(w, out, FLOAT32, dtype, lanes)
    if dtype.is_float:
        return _unary_float(Math(w, dtype, lanes), op, a)
    return _unary_int(Arith(w, dtype, lanes), op, a)


def _unary_int(x: Arith, op: str, a: str) -> str:
    zero = x.const(0)
    if op in ("not", "bitnot"):
        return x.op("xor", a, x.const(True if x.dtype.is_bool else -1))
    if op == "neg":
        return x.op("sub", zero, a)
    if op in ("abs", "sign"):
        if not x.dtype.is_signed:
            return a if op == "abs" else x.pick(x.op("icmp eq", a, zero), zero, x.const(1))
        negative = x.op("icmp slt", a, zero)
        if op == "abs":
            return x.pick(negative, x.op("sub", zero, a), a)
        positive = x.pick(x.op("icmp eq", a, zero), zero, x.const(1))
        return x.pick(negative, x.const(-1), positive)
    if op in ("floor", "ceil", "round", "trunc"):
        return a
    if op in ("isnan", "isinf"):
        return splat("i1", "false", x.lanes)
    raise CompileError("E0821", f"no instructions for {op} of {x.dtype}")


def _unary_float(m: Math, op: str, a: str) -> str:
    if op in _FORMULAS:
        return _formula(m, op, a)
    if op in ("neg", "abs", "sqrt", "floor", "ceil", "trunc"):
        out: str = getattr(m, op)(a)
        return out
    if op == "rsqrt":
        return m.div(1.0, m.sqrt(a))
    if op == "round":
        return m.rint(a)
    if op == "isnan":
        return m.nan(a)
    if op == "isinf":
        return m.eq(m.abs(a), float("inf"))
    if op == "sign":
        zero = m.w.let(f"fcmp une {m.float} {a}, {m.k(0.0)}")
        unit = m.pick(zero, m.copysign(1.0, a), a)
        return m.pick(m.nan(a), a, unit)
    raise CompileError("E0821", f"no instructions for {op} of {m.dtype}")


def _formula(m: Math, op: str, a: str) -> str:
    if m.single and op in _BY_DOUBLE:
        return single.through_double(m, getattr(double, op), a)
    formula: double.Function = getattr(single if m.single else double, op)
    return formula(m, a)

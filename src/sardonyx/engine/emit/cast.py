"""Conversions between element types, with ONNX Cast's meaning.

A float becomes an integer by dropping its fraction; beyond the range it saturates, NaN gives 0.
Integers wrap. To BOOL is `!= 0`. To FLOAT16 and BFLOAT16 rounds to nearest, halves to even.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.engine.emit.math.formula import Math
from sardonyx.engine.emit.types import HALVES, constant, register, splat, vector
from sardonyx.engine.emit.writer import Writer


def cast(w: Writer, a: str, source: DType, to: DType, lanes: int | None) -> str:
    """The register of an operand of dtype `source` converted to `to`."""
    if source is to:
        return a
    if source in HALVES:
        return cast(w, _widen(w, a, source, lanes), DType.FLOAT32, to, lanes)
    if to.is_bool:
        compare = "fcmp une" if source.is_float else "icmp ne"
        return w.let(f"{compare} {register(source, lanes)} {a}, {constant(source, 0, lanes)}")
    if to in HALVES:
        return _to_half(w, a, source, to, lanes)
    if source.is_float:
        return _from_float(w, a, source, to, lanes)
    return _from_int(w, a, source, to, lanes)


def _from_float(w: Writer, a: str, source: DType, to: DType, lanes: int | None) -> str:
    before, after = register(source, lanes), register(to, lanes)
    if to.is_float:
        name = "fpext" if to.bits > source.bits else "fptrunc"
        return w.let(f"{name} {before} {a} to {after}")
    return _to_int(Math(w, source, lanes), a, to)


def _to_int(m: Math, a: str, to: DType) -> str:
    """A float without its fraction: clamped first, or put right after."""
    signed, ints = to.is_signed, register(to, m.lanes)
    low = -(1 << (to.bits - 1)) if signed else 0
    high = low + (1 << to.bits)
    name = "fptosi" if signed else "fptoui"
    if to.bits <= m.mantissa:
        known = m.pick(m.nan(a), 0.0, m.min(high - 1.0, m.max(float(low), a)))
        if to.bits == 32:
            return m.w.let(f"{name} {m.float} {known} to {ints}")
        wide = vector("i32", m.lanes)
        whole = m.w.let(f"fptosi {m.float} {known} to {wide}")
        return m.w.let(f"trunc {wide} {whole} to {ints}")
    over = m.w.let(f"fcmp oge {m.float} {a}, {m.k(float(high))}")
    under = m.lt(a, float(low))
    outside = m.either(m.either(over, under), m.nan(a))
    inside = m.pick(outside, 0.0, a)
    out = m.w.let(f"{name} {m.float} {inside} to {ints}")
    for mask, limit in ((over, high - 1), (under, low)):
        edge = constant(to, limit, m.lanes)
        choice = f"{m.bool} {mask}, {ints} {edge}, {ints} {out}"
        out = m.w.let(f"select {choice}")
    return out


def _from_int(w: Writer, a: str, source: DType, to: DType, lanes: int | None) -> str:
    before, after = register(source, lanes), register(to, lanes)
    signed = source.is_signed and not source.is_bool
    if to.is_float:
        return w.let(f"{'sitofp' if signed else 'uitofp'} {before} {a} to {after}")
    bits = 1 if source.is_bool else source.bits
    if to.bits == bits:
        return a
    name = "trunc" if to.bits < bits else "sext" if signed else "zext"
    return w.let(f"{name} {before} {a} to {after}")


def _widen(w: Writer, a: str, source: DType, lanes: int | None) -> str:
    """FLOAT16 or BFLOAT16 bits as float32, exactly."""
    words, floats = vector("i32", lanes), vector("float", lanes)
    if source is DType.BFLOAT16:
        long = w.let(f"zext {vector('i16', lanes)} {a} to {words}")
        return w.let(f"bitcast {words} {_int(w, 'shl', long, 16, lanes)} to {floats}")
    if _has_half(w):
        half = w.let(f"bitcast {vector('i16', lanes)} {a} to {vector('half', lanes)}")
        return w.let(f"fpext {vector('half', lanes)} {half} to {floats}")
    return _widen_by_bits(w, a, lanes)


def _has_half(w: Writer) -> bool:
    return w.target.has("f16c") or w.target.level == "neon"


def _int(w: Writer, op: str, a: str, b: int | str, lanes: int | None) -> str:
    other = b if isinstance(b, str) else splat("i32", str(b), lanes)
    return w.let(f"{op} {vector('i32', lanes)} {a}, {other}")


def _select(w: Writer, mask: str, a: str, b: str, lanes: int | None) -> str:
    kind = vector("i32", lanes)
    return w.let(f"select {vector('i1', lanes)} {mask}, {kind} {a}, {kind} {b}")


def _widen_by_bits(w: Writer, a: str, lanes: int | None) -> str:
    words, floats = vector("i32", lanes), vector("float", lanes)
    long = w.let(f"zext {vector('i16', lanes)} {a} to {words}")
    size = _int(w, "shl", _int(w, "and", long, 0x7FFF, lanes), 13, lanes)
    sign = _int(w, "shl", _int(w, "and", long, 0x8000, lanes), 16, lanes)
    # Multiplying by 2**112 moves the exponent, subnormals included; infinity and NaN are set.
    small = w.let(f"bitcast {words} {size} to {floats}")
    factor = constant(DType.FLOAT32, 2.0**112, lanes)
    grown = w.let(f"fmul {floats} {small}, {factor}")
    bits = w.let(f"bitcast {floats} {grown} to {words}")
    special = _int(w, "icmp uge", size, 0x0F800000, lanes)
    quiet = _int(w, "or", size, 0x7F800000, lanes)
    out = _int(w, "or", _select(w, special, quiet, bits, lanes), sign, lanes)
    return w.let(f"bitcast {words} {out} to {floats}")


def _to_half(w: Writer, a: str, source: DType, to: DType, lanes: int | None) -> str:
    floats = vector("float", lanes)
    if source is not DType.FLOAT32:
        if source is DType.FLOAT64 and to is DType.FLOAT16:
            a = _round_to_odd(w, a, lanes)
        else:
            a = cast(w, a, source, DType.FLOAT32, lanes)
    if to is DType.BFLOAT16:
        return _to_bfloat(w, a, lanes)
    if _has_half(w):
        # Unfenced, LLVM may turn what made the float into arithmetic on halves, which has no
        # instructions below AVX512-FP16 and becomes calls.
        a = w.call(_intrinsic("arithmetic.fence", "f32", lanes), floats, (floats, a))
        half = w.let(f"fptrunc {floats} {a} to {vector('half', lanes)}")
        return w.let(f"bitcast {vector('half', lanes)} {half} to {vector('i16', lanes)}")
    return _to_half_by_bits(w, a, lanes)


def _round_to_odd(w: Writer, a: str, lanes: int | None) -> str:
    """float64 to float32 so that a second rounding gives what one would have given."""
    doubles, floats, words = (vector(t, lanes) for t in ("double", "float", "i32"))
    near = w.let(f"fptrunc {doubles} {a} to {floats}")
    back = w.let(f"fpext {floats} {near} to {doubles}")
    size = w.call(_intrinsic("fabs", "f64", lanes), doubles, (doubles, a))
    back_size = w.call(_intrinsic("fabs", "f64", lanes), doubles, (doubles, back))
    over = w.let(f"fcmp ogt {doubles} {back_size}, {size}")
    inexact = w.let(f"fcmp one {doubles} {back}, {a}")
    bits = w.let(f"bitcast {floats} {near} to {words}")
    down = w.let(f"zext {vector('i1', lanes)} {over} to {words}")
    odd = w.let(f"zext {vector('i1', lanes)} {inexact} to {words}")
    bits = _int(w, "or", _int(w, "sub", bits, down, lanes), odd, lanes)
    return w.let(f"bitcast {words} {bits} to {floats}")


def _intrinsic(name: str, suffix: str, lanes: int | None) -> str:
    return f"llvm.{name}.{'' if lanes is None else f'v{lanes}'}{suffix}"


def _to_bfloat(w: Writer, a: str, lanes: int | None) -> str:
    floats, words = vector("float", lanes), vector("i32", lanes)
    bits = w.let(f"bitcast {floats} {a} to {words}")
    odd = _int(w, "and", _int(w, "lshr", bits, 16, lanes), 1, lanes)
    rounded = _int(w, "add", _int(w, "add", bits, 0x7FFF, lanes), odd, lanes)
    nan = w.let(f"fcmp uno {floats} {a}, {a}")
    quiet = _int(w, "or", bits, 0x400000, lanes)
    high = _int(w, "lshr", _select(w, nan, quiet, rounded, lanes), 16, lanes)
    return w.let(f"trunc {words} {high} to {vector('i16', lanes)}")


def _to_half_by_bits(w: Writer, a: str, lanes: int | None) -> str:
    floats, words = vector("float", lanes), vector("i32", lanes)
    bits = w.let(f"bitcast {floats} {a} to {words}")
    sign = _int(w, "lshr", _int(w, "and", bits, -0x80000000, lanes), 16, lanes)
    size = _int(w, "and", bits, 0x7FFFFFFF, lanes)
    # Normal: move the exponent and round by adding. Subnormal: let an addition of 0.5 round.
    odd = _int(w, "and", _int(w, "lshr", size, 13, lanes), 1, lanes)
    moved = _int(w, "add", size, 0xC8000FFF - (1 << 32), lanes)
    normal = _int(w, "lshr", _int(w, "add", moved, odd, lanes), 13, lanes)
    small = w.let(f"bitcast {words} {size} to {floats}")
    pushed = w.let(f"fadd {floats} {small}, {constant(DType.FLOAT32, 0.5, lanes)}")
    low = w.let(f"bitcast {floats} {pushed} to {words}")
    subnormal = _int(w, "sub", low, 0x3F000000, lanes)
    out = _select(w, _int(w, "icmp ult", size, 0x38800000, lanes), subnormal, normal, lanes)
    infinite = splat("i32", str(0x7C00), lanes)
    out = _select(w, _int(w, "icmp uge", size, 0x47800000, lanes), infinite, out, lanes)
    nan = splat("i32", str(0x7E00), lanes)
    out = _select(w, _int(w, "icmp ugt", size, 0x7F800000, lanes), nan, out, lanes)
    return w.let(f"trunc {words} {_int(w, 'or', out, sign, lanes)} to {vector('i16', lanes)}")

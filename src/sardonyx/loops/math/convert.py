"""Conversions between element types, with ONNX Cast's meaning.

A float becomes an integer by dropping its fraction; what that gives beyond the range, and of NaN,
is told by `core.scalar`. Integers wrap. To BOOL is `!= 0`. To FLOAT16 and BFLOAT16 rounds to
nearest, halves to even.
"""

from __future__ import annotations

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, cast, const, operate
from sardonyx.loops.math.formulas import Abilities, Formula
from sardonyx.loops.math.parts import (
    F32,
    F64,
    bitcast,
    masked,
    nan,
    select,
    shift_left,
    shift_right,
    size,
)

HALVES = (DType.FLOAT16, DType.BFLOAT16)
_F16, _WORD = DType.FLOAT16, DType.UINT32


def conversion(source: DType, to: DType, able: Abilities) -> Formula | None:
    """The formula of a conversion; None where machines have it as it is."""
    if "half" in able and {source, to} == {_F16, F32}:
        return None
    if source in HALVES:
        return lambda x: cast(widened(x), to)
    if to.is_bool:
        return lambda x: operate("ne", (x, const(0, source)))
    if to in HALVES:
        return lambda x: _to_half(x, to, able)
    if source.is_float and to.is_int:
        return lambda x: _to_int(x, to)
    return None


def widened(x: Expr) -> Expr:
    """FLOAT16 or BFLOAT16 as float32, exactly."""
    word = cast(bitcast(x, DType.UINT16), _WORD)
    if x.dtype is DType.BFLOAT16:
        return bitcast(shift_left(word, 16), F32)
    large, sign = shift_left(masked(word, 0x7FFF), 13), shift_left(masked(word, 0x8000), 16)
    # Multiplying by 2**112 moves the exponent, subnormals included; infinity and NaN are set.
    moved = bitcast(bitcast(large, F32) * 2.0**112, _WORD)
    return bitcast(_or(select(large < 0x0F800000, moved, _or(large, 0x7F800000)), sign), F32)


def _or(a: Expr, b: Expr | int) -> Expr:
    return operate("bitor", (a, a.like(b)))


def _to_half(x: Expr, to: DType, able: Abilities) -> Expr:
    if x.dtype is F64 and to is _F16:
        x = _to_odd(x)
    x = cast(x, F32)
    if to is DType.BFLOAT16:
        return _half_of(_bfloat(x), to)
    return cast(x, to) if "half" in able else _half_of(_float16(x), to)


def _half_of(word: Expr, to: DType) -> Expr:
    return bitcast(cast(word, DType.UINT16), to)


def _to_odd(x: Expr) -> Expr:
    """float64 to float32 so that a second rounding gives what one would have given."""
    near = cast(x, F32)
    back = cast(near, F64)
    over, inexact = size(x) < size(back), (back < x) | (x < back)
    word = bitcast(near, _WORD)
    return bitcast(_or(word - cast(over, _WORD), cast(inexact, _WORD)), F32)


def _bfloat(x: Expr) -> Expr:
    word = bitcast(x, _WORD)
    rounded = word + 0x7FFF + masked(shift_right(word, 16), 1)
    return shift_right(select(nan(x), _or(word, 0x400000), rounded), 16)


def _float16(x: Expr) -> Expr:
    word = bitcast(x, _WORD)
    sign, large = shift_right(masked(word, 1 << 31), 16), masked(word, 0x7FFFFFFF)
    # Normal: move the exponent and round by adding. Subnormal: let an addition of 0.5 round.
    normal = shift_right(large + 0xC8000FFF + masked(shift_right(large, 13), 1), 13)
    subnormal = bitcast(bitcast(large, F32) + 0.5, _WORD) - 0x3F000000
    out = select(large < 0x38800000, subnormal, normal)
    out = select(large < 0x47800000, out, 0x7C00)
    return _or(select(large <= 0x7F800000, out, 0x7E00), sign)


def _to_int(x: Expr, to: DType) -> Expr:
    """A float without its fraction, as `core.scalar.truncated` has it; the machine's own cannot be
    asked for, since LLVM knows no result beyond the range."""
    kind = DType.INT64 if to.bits == 64 else DType.INT32
    half = float(1 << (kind.bits - 1))
    if to.is_signed or to.bits < 32:
        return cast(_signed(x, kind), to)
    above = x.like(half) <= x
    moved = _signed(select(above, x - half, x), kind)
    return bitcast(moved, to) + select(above, const(1 << (to.bits - 1), to), const(0, to))


def _signed(x: Expr, kind: DType) -> Expr:
    half = float(1 << (kind.bits - 1))
    return operate("truncate", (select(size(x) < half, x, x.like(-half)),), kind)

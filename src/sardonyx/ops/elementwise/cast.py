"""Conversions of the element type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.expr import Expr, binary, cast, operate
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Type, Value
from sardonyx.graph.make import attribute_fields
from sardonyx.graph.op import Index, Op, Operand
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import like, refuse

EIGHT = frozenset({
    DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ,
})  # fmt: skip
NATIVE = frozenset(d for d in DType if d.bits in (8, 16, 32, 64) and not d.is_complex) - EIGHT - {
    DType.FLOAT8E8M0
}  # fmt: skip


@quiet
def convert(x: Array, to: DType, saturate: bool = True, round_mode: str = "up") -> Array:
    """`x` with another element type, as Cast does it.

    Floats become integers by truncation (`core.scalar` says what beyond the range) and text in the
    shortest form that reads back. `saturate` keeps what is too large for an 8-bit float at its
    largest number; `round_mode` (up, down, nearest) is how a number becomes a power of two for
    float8e8m0.
    """
    source = DType.from_numpy(x.dtype)
    if to is source:
        return x
    if to.is_string:
        return _to_text(x, source)
    if source.is_string:
        return convert(_from_text(x, to), to, saturate, round_mode)
    if to in EIGHT:
        return _to_eight(x, to, saturate)
    if to is DType.FLOAT8E8M0:
        return _to_power(x, round_mode, saturate)
    if to.is_float and to.bits < 8:
        return _to_tiny(x, to)
    return _plain(x, source, to)


def _plain(x: Array, source: DType, to: DType) -> Array:
    if to.is_bool:
        return np.asarray(_wide(x, source) != 0)
    if to.is_int and to.is_packed:
        return _to_packed(_wide(x, source), to)
    wide = _wide(x, source)
    if to.is_int and source.is_float:
        return _truncated(wide, to)
    return wide.astype(to.numpy)


def _truncated(x: Array, to: DType) -> Array:
    """Floats as integers: what `core.scalar.truncated` says, of arrays."""
    half = x.dtype.type(2.0 ** (63 if to.bits == 64 else 31))
    whole = np.trunc(x)
    above = whole >= half if not to.is_signed and to.bits >= 32 else np.zeros(x.shape, bool)
    whole = np.where(above, whole - half, whole)
    fits = (whole >= -half) & (whole < half)
    found = np.where(fits, whole, -half).astype(np.int64).astype(np.uint64)
    return (found + above * np.uint64(half)).astype(to.numpy)


def _wide(x: Array, source: DType) -> Array:
    """The array in a type of numpy's own that holds all its values."""
    if source.is_float and source.bits < 32:
        return x.astype(np.float32)
    if source.is_packed:
        return x.astype(np.int8 if source.is_signed else np.uint8)
    return x


def _to_packed(x: Array, to: DType) -> Array:
    whole = _truncated(x, DType.INT32) if x.dtype.kind == "f" else x
    low = -(1 << (to.bits - 1)) if to.is_signed else 0
    kept = ((whole.astype(np.int64) - low) & ((1 << to.bits) - 1)) + low
    return kept.astype(np.int8 if to.is_signed else np.uint8).astype(to.numpy)


def _to_eight(x: Array, to: DType, saturate: bool) -> Array:
    real = _wide(x, DType.from_numpy(x.dtype))
    real = real if real.dtype.kind == "f" else real.astype(np.float32)
    if saturate:
        top = _largest(to)
        real = np.clip(real, -top, top)
    found = real.astype(to.numpy)
    if not saturate and to in (DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2FNUZ):
        found = np.where(np.isinf(real), np.array(np.nan, to.numpy), found)
    return found


def _largest(to: DType) -> float:
    finfo: Any = ml_dtypes.finfo
    return float(finfo(to.numpy).max)


def _to_tiny(x: Array, to: DType) -> Array:
    real = _wide(x, DType.from_numpy(x.dtype)).astype(np.float32)
    top = _largest(to)
    return np.clip(real, -top, top).astype(to.numpy)


def _to_power(x: Array, round_mode: str, saturate: bool) -> Array:
    """The exponents of |x|, biased by 127; 255 is NaN."""
    real = np.abs(_wide(x, DType.from_numpy(x.dtype)).astype(np.float32))
    bits = real.view(np.uint32)
    exponent, fraction = bits >> 23, bits & 0x7FFFFF
    # Below 2**-126 a float32 has no exponent of its own: 2**-127 is 0x400000.
    if round_mode == "nearest":
        raised = np.where(exponent == 0, fraction > 0x600000, fraction >= 0x400000)
    elif round_mode == "up":
        raised = np.where(exponent == 0, fraction > 0x400000, fraction > 0)
    elif round_mode == "down":
        raised = np.zeros(real.shape, bool)
    else:
        raise refuse("E0325", "an unknown round_mode", round_mode, "up, down or nearest")
    found = exponent + raised
    found = np.where((found > 254) & ~np.isinf(real), 254 if saturate else 255, found)
    found = np.where(np.isnan(real), 255, np.where(np.isinf(real), 254 if saturate else 255, found))
    return found.astype(np.uint8).view(DType.FLOAT8E8M0.numpy)


def _to_text(x: Array, source: DType) -> Array:
    out = np.empty(x.size, object)
    wide = _wide(x, source)
    out[:] = [_word(e, wide.dtype) for e in wide.reshape(-1)]
    return out.reshape(x.shape)


def _word(e: Any, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "1" if e else "0"
    if dtype.kind in "iu":
        return str(int(e))
    if np.isnan(e):
        return "NaN"
    if np.isinf(e):
        return "INF" if e > 0 else "-INF"
    return str(e)


def _from_text(x: Array, to: DType) -> Array:
    words = [str(e) for e in x.reshape(-1)]
    try:
        if to.is_int:
            numbers = np.array([int(w) for w in words], to.numpy if not to.is_packed else np.int64)
        elif to.is_bool:
            numbers = np.array([float(w) != 0 for w in words], bool)
        else:
            numbers = np.array([float(w) for w in words], np.float64)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("E0212", f"text that is no {to}: {error}") from None
    return numbers.reshape(x.shape)


class Conversion(Op, abstract=True):
    """Every element converted to another type."""

    tolerance = "exact"
    saturate = 1
    round_mode = "up"

    def target(self, *others: Any) -> DType:
        """The type to convert to."""
        raise NotImplementedError

    def infer(self, x: Type, *others: Type) -> Type:
        if any(t.dtype is None for t in others):
            return Type(None, x.shape)
        return like(x, self.target(*(t.dtype for t in others)))

    def reference(self, x: Array, *others: Array) -> Array:
        to = self.target(*(DType.from_numpy(a.dtype) for a in others))
        return convert(x, to, bool(self.saturate), self.round_mode)

    def at(self, idx: Index, x: Operand, *others: Operand) -> Expr:
        to = self.target(*(o.dtype for o in others))
        if x.dtype is not to and not {x.dtype, to} <= NATIVE:
            raise NotImplementedError(f"{x.dtype} to {to}")
        e = x[idx]
        if to.is_bool and not e.dtype.is_bool:
            return binary("ne", e, 0)
        return cast(e, to)


def _of_narrow_floats(kind: type[Op], given: dict[str, Any]) -> None:
    """Leaves out how 8-bit floats are made, for opsets that have none of them."""
    for name in ("saturate", "round_mode"):
        if name not in attribute_fields(kind):
            given.pop(name, None)


class CastV6(Conversion):
    """Cast of opsets 6 to 18."""

    to: int

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        del inputs
        _of_narrow_floats(cls, given)
        return None

    def target(self, *others: Any) -> DType:
        del others
        return DType.from_onnx(self.to)


class CastV19(CastV6):
    """Cast of opsets 19 to 23, with 8-bit floats."""

    saturate: int = 1


class Cast(CastV19):
    """Every element converted to the type `to`; see `convert`."""

    since = 24
    round_mode: str = "up"


class CastV1(Conversion):
    """Cast of opset 1, whose type is a word."""

    redefined = (6,)
    to: str

    def target(self, *others: Any) -> DType:
        del others
        return DType.parse(self.to)


class CastLikeV15(Conversion):
    """CastLike of opsets 15 to 18."""

    @classmethod
    def revert(cls, given: dict[str, Any], inputs: list[Value | None]) -> str | None:
        del inputs
        _of_narrow_floats(cls, given)
        return None

    def express(self, write: Body, opset: int, x: Value, like: Value) -> Any:
        del opset
        if like.type.dtype is None:
            return "the type to convert to is not known before running"
        return write("Cast", x, to=like.type.dtype.value, **self.attributes())

    def target(self, *others: Any) -> DType:
        found: DType = others[0]
        return found


class CastLikeV19(CastLikeV15):
    """CastLike of opsets 19 to 23, with 8-bit floats."""

    saturate: int = 1


class CastLike(CastLikeV19):
    """Every element converted to the type of the second input; see `convert`."""

    since = 24
    round_mode: str = "up"


# Types whose elements have their own bits in a register.
_PLAIN = {
    *(DType.parse(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    DType.FLOAT32,
    DType.FLOAT64,
}


class BitCast(Op):
    """The bits of every element read as another type of the same width."""

    since = 26
    tolerance = "exact"
    to: int

    def infer(self, x: Type) -> Type:
        to = DType.from_onnx(self.to)
        if x.dtype is not None and x.dtype.bits != to.bits:
            raise refuse("E0324", "the types differ in width", x.dtype, to)
        return like(x, to)

    def reference(self, x: Array) -> Array:
        to = DType.from_onnx(self.to)
        if to.is_string or DType.from_numpy(x.dtype).bits != to.bits:
            raise refuse("E0324", "the types differ in width", x.dtype, to)
        return np.ascontiguousarray(x).view(to.numpy).reshape(x.shape)

    def at(self, idx: Index, x: Operand) -> Expr:
        to = DType.from_onnx(self.to)
        if x.dtype.is_bool and to.is_int:
            return cast(x[idx], to)
        if not {x.dtype, to} <= _PLAIN:
            raise NotImplementedError("bits of types that are computed in another")
        return operate("bitcast", (x[idx],), to)

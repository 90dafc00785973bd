"""Scalars of element types, and operations on them: what machine code is compared with.

Integers are Python ints that wrap to their dtype, BOOL is bool, floats are numpy scalars of their
dtype. Narrow floats compute in float32 and round once. A float becomes an integer as `truncated`
says.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sardonyx.core import operations
from sardonyx.core.dtype import DType

Scalar = Any
_FLOATS = (DType.FLOAT32, DType.FLOAT64)


def wrap(value: int, dtype: DType) -> int:
    """An integer modulo the range of `dtype`."""
    low, high = operations.limits(dtype)
    if low <= value <= high:
        return value
    return int((value - low) % (1 << dtype.bits) + low)


def of(value: Any, dtype: DType) -> Scalar:
    """A number, as read from an array or written in an expression, as a scalar of `dtype`."""
    if dtype.is_bool:
        return bool(value)
    return wrap(int(value), dtype) if dtype.is_int else dtype.numpy.type(value)


def cast(value: Scalar, source: DType, to: DType) -> Scalar:
    """A scalar converted as ONNX Cast does."""
    if to.is_bool:
        return bool(value != 0)
    if source.is_float:
        return _narrow(value, to) if to.is_float else truncated(float(value), to)
    if to.is_int:
        return wrap(int(value), to)
    exact = np.uint64 if source is DType.UINT64 else np.int64
    return _narrow(exact(value).astype(np.float64 if to is DType.FLOAT64 else np.float32), to)


def _narrow(value: Scalar, to: DType) -> Scalar:
    if to not in (*_FLOATS, DType.FLOAT16):
        value = value.astype(np.float32)
    return value.astype(to.numpy)


def truncated(value: float, to: DType) -> int:
    """A float as an integer: without its fraction, and as x86-64 has it beyond the range.

    What no int32 (int64, for the types of 64 bits) holds, and NaN, is the least of these; of
    those, types of fewer bits take the low ones. UINT32 and UINT64 hold the upper half too.
    """
    half = 1 << (63 if to.bits == 64 else 31)
    above = half if not to.is_signed and to.bits >= 32 and value >= half else 0
    fits = -half - 1 < value - above < half
    return wrap((math.trunc(value) - above if fits else -half) + above, to)


def identity(op: str, dtype: DType) -> Scalar:
    """What reducing nothing with `op` gives."""
    return of(operations.identity(op, dtype), dtype)


def apply(op: str, args: Sequence[Scalar], dtype: DType, to: DType | None = None) -> Scalar:
    """`op` on scalars, the last of `dtype`; `to` is the result's type where that is given."""
    row = operations.find(op)
    if len(args) > 2 and row.arity == 2:
        return functools.reduce(lambda a, b: apply(op, (a, b), dtype), args)
    meaning = row.meaning(dtype)
    if row.result == "given":
        assert to is not None
        return of(meaning(args[0], dtype, to), to)
    if not dtype.is_float:
        out = meaning(*args)
        return bool(out) if dtype.is_bool or row.result == "bool" else wrap(out, dtype)
    kind = dtype.numpy.type if dtype in _FLOATS else np.float32
    first = args[: row.first is not None]
    rest = [np.float64(a) if row.wide else kind(a) for a in args[len(first) :]]
    out = meaning(*first, *rest)
    return bool(out) if row.result == "bool" else dtype.numpy.type(kind(out))


def binary(op: str, a: Scalar, b: Scalar, dtype: DType) -> Scalar:
    """`op` on two scalars of `dtype`."""
    return apply(op, (a, b), dtype)

"""What operations do to one element: the meaning that machine code is compared with.

Integers are Python ints that wrap to their dtype, BOOL is bool, floats are numpy scalars of their
dtype. Narrow floats compute in float32 and round once; float32 functions are float64's, rounded.
Integer division by zero gives 0, a float beyond an integer's range saturates, NaN becomes 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType

Scalar = Any
_FLOATS = (DType.FLOAT32, DType.FLOAT64)


def wrap(value: int, dtype: DType) -> int:
    """An integer modulo the range of `dtype`."""
    low, high = limits(dtype)
    if low <= value <= high:
        return value
    return (value - low) % (1 << dtype.bits) + low


def limits(dtype: DType) -> tuple[int, int]:
    """The least and greatest value of an integer dtype."""
    low = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    return low, low + (1 << dtype.bits) - 1


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
        return _narrow(value, to) if to.is_float else _saturate(float(value), to)
    if to.is_int:
        return wrap(int(value), to)
    exact = np.uint64 if source is DType.UINT64 else np.int64
    return _narrow(exact(value).astype(np.float64 if to is DType.FLOAT64 else np.float32), to)


def _narrow(value: Scalar, to: DType) -> Scalar:
    if to not in (*_FLOATS, DType.FLOAT16):
        value = value.astype(np.float32)
    return value.astype(to.numpy)


def _saturate(value: float, to: DType) -> int:
    low, high = limits(to)
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return low if value < 0 else high
    return min(max(math.trunc(value), low), high)


def identity(op: str, dtype: DType) -> Scalar:
    """What reducing nothing with `op` gives."""
    if op in ("and", "or"):
        return op == "and"
    if op in ("add", "mul"):
        return of(op == "mul", dtype)
    low, high = (-math.inf, math.inf) if dtype.is_float else (0, 1)
    if dtype.is_int:
        low, high = limits(dtype)
    return of(high if op == "min" else low, dtype)


def binary(op: str, a: Scalar, b: Scalar, dtype: DType) -> Scalar:
    """`op` on two scalars of `dtype`; comparisons give bool."""
    if op in _COMPARE:
        return bool(_COMPARE[op](a, b))
    if dtype.is_bool:
        return _LOGIC[op](a, b)
    if dtype.is_int:
        return wrap(_WHOLE[op](a, b, dtype), dtype)
    if dtype not in _FLOATS:
        wide = binary(op, a.astype(np.float32), b.astype(np.float32), DType.FLOAT32)
        return wide.astype(dtype.numpy)
    if op == "pow":
        return np.power(np.float64(a), np.float64(b)).astype(dtype.numpy)
    return _REAL[op](a, b)


def unary(op: str, a: Scalar, dtype: DType) -> Scalar:
    """`op` on a scalar of `dtype`; predicates give bool."""
    if dtype.is_bool:
        return not a
    if dtype.is_int:
        return _unary_whole(op, a, dtype)
    if op in ("isnan", "isinf"):
        return bool(np.isnan(a) if op == "isnan" else np.isinf(a))
    return _UNARY[op](np.float64(a)).astype(dtype.numpy)


def _unary_whole(op: str, a: int, dtype: DType) -> Scalar:
    if op in ("isnan", "isinf"):
        return False
    out = {"neg": -a, "abs": abs(a), "sign": (a > 0) - (a < 0), "bitnot": ~a, "not": ~a}
    return wrap(out.get(op, a), dtype)


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
}

_LOGIC: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "bitand": lambda a, b: a and b,
    "bitor": lambda a, b: a or b,
    "bitxor": lambda a, b: a != b,
    "min": lambda a, b: a and b,
    "max": lambda a, b: a or b,
    "mul": lambda a, b: a and b,
    "add": lambda a, b: a != b,
}


def _truncated(a: int, b: int, _: DType) -> int:
    quotient = abs(a) // abs(b) if b else 0
    same = (a < 0) == (b < 0)
    return quotient if same else -quotient


def _shift(a: int, b: int, dtype: DType, left: bool) -> int:
    beyond = not 0 <= b < dtype.bits
    if left:
        return 0 if beyond else a << b
    return a >> (dtype.bits if beyond else b)


def _power(a: int, b: int, dtype: DType) -> int:
    if b >= 0:
        return pow(a, b, 1 << dtype.bits)
    if a not in (1, -1):
        return 0
    return a if b % 2 else 1


_WHOLE: dict[str, Callable[[int, int, DType], int]] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "mul": lambda a, b, _: a * b,
    "div": _truncated,
    "truncdiv": _truncated,
    "floordiv": lambda a, b, _: a // b if b else 0,
    "mod": lambda a, b, _: a % b if b else 0,
    "fmod": lambda a, b, d: a - b * _truncated(a, b, d) if b else 0,
    "pow": _power,
    "min": lambda a, b, _: min(a, b),
    "max": lambda a, b, _: max(a, b),
    "bitand": lambda a, b, _: a & b,
    "bitor": lambda a, b, _: a | b,
    "bitxor": lambda a, b, _: a ^ b,
    "and": lambda a, b, _: a & b,
    "or": lambda a, b, _: a | b,
    "xor": lambda a, b, _: a ^ b,
    "shl": lambda a, b, d: _shift(a, b, d, left=True),
    "shr": lambda a, b, d: _shift(a, b, d, left=False),
}

_REAL: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "fmod": np.fmod,
    "mod": np.mod,
    "floordiv": lambda a, b: np.floor(np.divide(a, b)),
    "truncdiv": lambda a, b: np.trunc(np.divide(a, b)),
}


def _sign(x: Any) -> Any:
    return x if x == 0 or np.isnan(x) else np.copysign(np.float64(1), x)


_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.float64(1) / np.sqrt(x),
    "erf": lambda x: np.float64(math.erf(x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.float64(1) / (np.float64(1) + np.exp(-x)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "sign": _sign,
}

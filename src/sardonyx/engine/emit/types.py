"""The spelling of element types and constants in LLVM's text.

A BOOL is i1 in a register and a byte of 0 or 1 in memory. FLOAT16 and BFLOAT16 are their bits, i16,
in both: arithmetic on them happens in float32 between conversions.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.errors import CompileError

REGISTER: dict[DType, str] = {
    DType.BOOL: "i1",
    DType.INT8: "i8",
    DType.UINT8: "i8",
    DType.INT16: "i16",
    DType.UINT16: "i16",
    DType.INT32: "i32",
    DType.UINT32: "i32",
    DType.INT64: "i64",
    DType.UINT64: "i64",
    DType.FLOAT16: "i16",
    DType.BFLOAT16: "i16",
    DType.FLOAT32: "float",
    DType.FLOAT64: "double",
}
HALVES = (DType.FLOAT16, DType.BFLOAT16)


def register(dtype: DType, lanes: int | None = None) -> str:
    """The type of an element of `dtype` in a register, or of a vector of them."""
    found = REGISTER.get(dtype)
    if found is None:
        raise CompileError("E0820", f"no machine type for elements of {dtype}")
    return vector(found, lanes)


def memory(dtype: DType, lanes: int | None = None) -> str:
    """The type of an element of `dtype` in memory, or of a vector of them."""
    return vector("i8", lanes) if dtype.is_bool else register(dtype, lanes)


def vector(scalar: str, lanes: int | None) -> str:
    """The vector type of that many scalars (the scalar itself for None)."""
    return scalar if lanes is None else f"<{lanes} x {scalar}>"


def splat(scalar: str, constant: str, lanes: int | None) -> str:
    """A constant operand repeated over the lanes."""
    if lanes is None:
        return constant
    return "zeroinitializer" if constant == "0" else f"splat ({scalar} {constant})"


def constant(dtype: DType, value: Any, lanes: int | None = None) -> str:
    """A literal of `dtype` as an operand."""
    return splat(register(dtype), _literal(dtype, value), lanes)


def _literal(dtype: DType, value: Any) -> str:
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_int:
        return str(wrapped(int(value), dtype.bits))
    if dtype in HALVES:
        return str(int(np.array(value, dtype.numpy).view(np.int16)))
    if dtype is DType.FLOAT32:
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    return double(value)


def double(value: float) -> str:
    """A float or double literal: LLVM writes both as the bits of a double."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def wrapped(value: int, bits: int) -> int:
    """`value` modulo 2**bits as a signed number."""
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half

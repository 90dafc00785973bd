"""Operators that work element by element, casts and quantization among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sardonyx.core.dtype import DType
from singles.case import Case, Data, Dim, Made, Maker, apply, below, chance, normal, positive

Dtypes = DType | None
F32, F16, F64 = DType.FLOAT32, DType.FLOAT16, DType.FLOAT64
I32, I64, I8, U8, BOOL = DType.INT32, DType.INT64, DType.INT8, DType.UINT8, DType.BOOL


def _two(
    kind: str, data: Data = normal, other: Data = normal, dtype: Dtypes = None
) -> Callable[..., Made]:
    """Two tensors of the same dims."""

    def make(g: Maker, *dims: Dim) -> Made:
        x = g.input(dims, data, dtype)
        y = g.input(dims, other, dtype)
        return g.node(kind, x, y)

    return make


def _broadcast(kind: str, axis: int) -> Callable[..., Made]:
    """A tensor and a vector along one axis."""

    def make(g: Maker, *dims: Dim) -> Made:
        vector = [d if n == axis else 1 for n, d in enumerate(dims)]
        x = g.input(dims)
        return g.node(kind, x, g.input(vector, positive))

    return make


def _where(g: Maker, *dims: Dim) -> Made:
    condition = g.input(dims, chance(0.5), BOOL)
    x = g.input(dims)
    y = g.input(dims)
    return g.node("Where", condition, x, y)


def _clip(g: Maker, *dims: Dim) -> Made:
    x = g.input(dims)
    low, high = (g.const(g.real.numpy.type(bound)) for bound in (-0.5, 0.5))
    return g.node("Clip", x, low, high)


def _prelu(g: Maker, n: Dim, c: int) -> Made:
    x = g.input((n, c))
    slope = g.weights(c, data=positive)
    return g.node("PRelu", x, slope)


def _sum(g: Maker, *dims: Dim) -> Made:
    given = [g.input(dims) for _ in range(3)]
    return g.node("Sum", *given)


def _cast(to: DType, source: Dtypes = None, data: Data = normal) -> Callable[..., Made]:
    """From one type to another; `source` None is the type that the model computes in."""

    def make(g: Maker, *dims: Dim) -> Made:
        return g.node("Cast", g.input(dims, data, source), to=to.value)

    return make


def _cast_pair(g: Maker, *dims: Dim) -> Made:
    half = g.node("Cast", g.input(dims), to=F16.value)
    return g.node("Cast", half, to=F32.value)


def _quantize(g: Maker, *dims: Dim) -> Made:
    x = g.input(dims, dtype=F32)
    scale = g.const(np.float32(0.02))
    zero = g.const(np.uint8(128))
    return g.node("QuantizeLinear", x, scale, zero)


def _dequantize(g: Maker, n: Dim, c: int) -> Made:
    """One scale and zero point for each column."""
    scale = g.weights(c, data=positive, dtype=F32)
    zero = g.weights(c, data=below(20, -20), dtype=I8)
    x = g.input((n, c), below(127, -128), I8)
    return g.node("DequantizeLinear", x, scale, zero, axis=1)


def _dynamic(g: Maker, *dims: Dim) -> Made:
    made: Made = g.all("DynamicQuantizeLinear", g.input(dims, dtype=F32), outputs=3)
    return made


def _functions() -> tuple[Case, ...]:
    kinds = (
        "Relu", "Tanh", "Sigmoid", "Erf", "Exp", "Gelu", "Mish", "HardSwish", "Softplus", "Elu",
        "Sin", "Round", "Neg",
    )  # fmt: skip
    return tuple(Case(kind, apply(kind)) for kind in kinds)


CASES = (
    *_functions(),
    Case("Log", apply("Log", data=positive)),
    Case("Sqrt", apply("Sqrt", data=positive)),
    Case("Reciprocal", apply("Reciprocal", data=positive)),
    Case("Add", _two("Add")),
    Case("Add row", _broadcast("Add", 1)),
    Case("Mul column", _broadcast("Mul", 0)),
    Case("Div", _two("Div", other=positive)),
    Case("Pow", _two("Pow", positive)),
    Case("Max", _two("Max")),
    Case("Sum of 3", _sum),
    Case("Mod i32", _two("Mod", below(1000, -1000), below(50, 1), I32)),
    Case("Div i32", _two("Div", below(1000, -1000), below(50, 1), I32)),
    Case("BitwiseAnd i32", _two("BitwiseAnd", below(1 << 30), below(1 << 30), I32)),
    Case("Greater", _two("Greater")),
    Case("Equal i64", _two("Equal", below(3), below(3), I64)),
    Case("And", _two("And", chance(0.5), chance(0.5), BOOL)),
    Case("Not", lambda g, *dims: g.node("Not", g.input(dims, chance(0.5), BOOL))),
    Case("IsNaN", apply("IsNaN")),
    Case("Where", _where),
    Case("Clip", _clip),
    Case("PRelu", _prelu),
    Case("Cast f32 to i32", _cast(I32)),
    Case("Cast f32 to f16", _cast(F16)),
    Case("Cast f16 to f32", _cast(F32, F16)),
    Case("Cast f32 to f64", _cast(F64)),
    Case("Cast i64 to f32", _cast(F32, I64, below(1 << 20))),
    Case("Cast u8 to f32", _cast(F32, U8, below(256))),
    Case("Cast f32 to bool", _cast(BOOL)),
    Case("Cast f32 to f16 to f32", _cast_pair),
    Case("QuantizeLinear", _quantize),
    Case("DequantizeLinear axis 1", _dequantize),
    Case("DynamicQuantizeLinear", _dynamic),
)

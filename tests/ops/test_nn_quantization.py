"""Quantization and its inverse: granularities, rounding, saturation, element types."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from ops.lanes import symbolic
from ops.nn import agrees, close, normal, run_peer, whole
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.ops.quantized.linear import (
    DequantizeLinear,
    DynamicQuantizeLinear,
    QuantizeLinear,
    QuantizeLinearV10,
    extremes,
)

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, ml_dtypes.int4, ml_dtypes.uint4]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_type_rounds_half_to_even_and_saturates(dtype: Any) -> None:
    low, high = extremes(DType.from_numpy(np.dtype(dtype)))
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, np.inf, -np.inf, np.nan], np.float32)
    zero = np.array(1, dtype)
    rounded = np.array([1, 3, 3, 1, -1, high, low, high, low, low])
    wanted = np.clip(rounded, low, high).astype(dtype)
    agrees(QuantizeLinear(), [x, np.float32(1) * np.ones((), np.float32), zero], [[0]], wanted, 0)


SCALES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((6,), {}),
    ((4,), {"axis": -1}),
    ((5, 2, 4), {"axis": 1, "block_size": 3}),
    ((2, 6, 4), {"axis": 0, "block_size": 4}),
]


@pytest.mark.parametrize(("shape", "attributes"), SCALES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, ml_dtypes.int4])
@pytest.mark.parametrize("shifted", [False, True])
def test_granularities(
    shape: tuple[int, ...], attributes: dict[str, Any], dtype: Any, shifted: bool
) -> None:
    x = normal(0, 5, 6, 4) * 5
    scale = np.abs(normal(1, *shape)) + np.float32(0.1)
    zero = whole(2, 0, 4, *shape, dtype=dtype) if shifted else np.zeros(shape, dtype)
    (q,) = agrees(QuantizeLinear(**attributes), [x, scale, zero], [[0]], None, 0)
    arrays = [q, scale, zero if shifted else None]
    (back,) = agrees(DequantizeLinear(**attributes), arrays, [[0]])
    wide = QuantizeLinear(**attributes).spread(scale, x.shape)
    inside = (q > extremes(DType.from_numpy(q.dtype))[0]) & (
        q < extremes(DType.from_numpy(q.dtype))[1]
    )
    assert (np.abs(back - x) <= wide * 0.5001 + 1e-5)[inside].all()


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_a_narrow_scale_divides_and_multiplies_in_its_own_precision(kind: Any) -> None:
    x, scale = ((normal(0, 40) * 20).astype(kind), np.array(0.3, kind))
    wanted = np.clip(np.rint((x / scale).astype(np.float32)), -128, 127).astype(np.int8)
    (q,) = agrees(QuantizeLinear(), [x, scale, np.array(0, np.int8)], [[0]], wanted, 0)
    (back,) = agrees(DequantizeLinear(), [q, scale, None], [[0]], None, 0)
    assert back.dtype == kind
    wide = DequantizeLinear(output_dtype=1).reference(q, scale)
    assert wide.dtype == np.float32


@pytest.mark.parametrize(
    "kind", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float4_e2m1fn]
)
def test_small_floats(kind: Any) -> None:
    x = np.array([0, 1, -3.3, 1000, -1e6], np.float32)
    scale, zero = np.array(2, np.float32), np.array(0, kind)
    q = QuantizeLinear().reference(x, scale, zero)
    top = float(ml_dtypes.finfo(kind).max)  # type: ignore[no-untyped-call]
    assert q.dtype == kind
    assert q.astype(np.float32)[-1] == max(-top, -5e5)
    back = DequantizeLinear().reference(q, scale)
    close(back, q.astype(np.float32) * 2)


def test_int32_is_dequantized_without_a_zero_point() -> None:
    x = np.array([[2**24 + 1, -5], [7, 2**31 - 1]], np.int32)
    scale = np.array([0.5, 0.25], np.float32)
    wanted = x.astype(np.float32) * scale
    agrees(DequantizeLinear(), [x, scale, None], [[0]], wanted, 0)


def test_agrees_with_the_onnx_runtime() -> None:
    x = normal(0, 4, 6, 5) * 8
    scale, zero = (np.abs(normal(1, 6)) / 8 + np.float32(0.01), whole(2, 0, 200, 6, dtype=np.uint8))
    wanted = run_peer("QuantizeLinear", [x, scale, zero], 13, np.uint8, axis=1)
    agrees(QuantizeLinear(), [x, scale, zero], [[0]], wanted, 0)
    back = run_peer("DequantizeLinear", [wanted, scale, zero], 13, np.float32, axis=1)
    agrees(DequantizeLinear(), [wanted, scale, zero], [[0]], back, 1e-6)


@pytest.mark.parametrize("shift", [-4.0, 0.0, 4.0])
def test_dynamic_quantization(shift: float) -> None:
    x = normal(0, 3, 7) + np.float32(shift)
    q, scale, zero = agrees(DynamicQuantizeLinear(), [x], [[0]], None, 0)
    back = (q.astype(np.float32) - zero) * scale
    assert np.abs(back - x).max() <= scale * 0.5001
    assert (DynamicQuantizeLinear().reference(np.zeros(3, np.float32))[0] == 0).all()


@pytest.mark.parametrize(
    ("op", "scale", "code"),
    [
        (QuantizeLinear(), (5,), "E0322"),
        (QuantizeLinear(axis=3), (6,), "E0321"),
        (QuantizeLinear(block_size=2), (6,), "E0320"),
        (QuantizeLinear(block_size=2), (5, 2, 4), "E0322"),
        (DequantizeLinear(), (6, 4), "E0320"),
        (QuantizeLinearV10(), (6, 4), "E0320"),
    ],
)
def test_scales_that_do_not_fit(op: Any, scale: tuple[int, ...], code: str) -> None:
    types, _ = symbolic([normal(0, 5, 6, 4), normal(1, *scale)], [])
    with pytest.raises(InvalidGraph) as caught:
        op.infer(*types)
    assert caught.value.code == code


def test_the_output_type_is_said_once() -> None:
    types, _ = symbolic([normal(0, 3), normal(1), np.zeros((), np.int8)], [])
    with pytest.raises(InvalidGraph, match="E0323"):
        QuantizeLinear(output_dtype=DType.UINT8.value).infer(*types)

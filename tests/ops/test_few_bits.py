"""Constants of two and four bits: picked out of their bytes by native code, whatever their form."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import sardonyx as sx
from sardonyx.engine.fuse.fuse import fuse
from sardonyx.engine.fuse.launches import Launch, launches
from sardonyx.loops.target import host
from sardonyx.passes.pipeline import prepare

OPSETS = [helper.make_opsetid("", 25), helper.make_opsetid("com.microsoft", 1)]
TYPES = (ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, ml_dtypes.uint2)


class Form(NamedTuple):
    """Shape of the codes, shape of the scale, attributes, whether there is a zero point."""

    shape: tuple[int, ...]
    scale: tuple[int, ...]
    settings: dict[str, int]
    zero: bool = False


FORMS = (
    Form((5, 7), (), {}),
    Form((5, 7), (1,), {}, zero=True),
    Form((5, 7), (7,), {"axis": 1}, zero=True),
    Form((5, 7), (5,), {"axis": 0}),
    Form((3, 2, 5), (5,), {"axis": -1}, zero=True),
    Form((3,), (), {"axis": 0}, zero=True),
    Form((5, 7), (5, 3), {"axis": 1, "block_size": 3}, zero=True),
    Form((9, 3), (3, 3), {"axis": 0, "block_size": 4}, zero=True),
    Form((2, 9, 5), (2, 5, 5), {"axis": 1, "block_size": 2}),
    Form((0, 7), (), {}),
)


def width(dtype: Any) -> int:
    return 8 if dtype in (np.int8, np.uint8) else 4 if dtype in TYPES[:2] else 2


def codes(seed: int, dtype: Any, *shape: int) -> Any:
    bits = width(dtype)
    low = -(1 << bits - 1) if dtype in (*TYPES[::2], np.int8) else 0
    rng = np.random.default_rng(seed)
    return rng.integers(low, low + (1 << bits), shape).astype(np.int16).astype(dtype)


def constants(dtype: Any, form: Form) -> dict[str, Any]:
    scale = np.random.default_rng(1).random(form.scale).astype(np.float32) + 0.5
    found = {"w": codes(0, dtype, *form.shape), "s": scale}
    return {**found, "z": codes(2, dtype, *form.scale)} if form.zero else found


def model(nodes: list[Any], inputs: list[Any], held: dict[str, Any]) -> bytes:
    tensors = [numpy_helper.from_array(a, n) for n, a in held.items()]
    y = onnx.ValueInfoProto(name="y")
    graph = helper.make_graph(nodes, "few bits", inputs, [y], tensors)
    made = helper.make_model(graph, opset_imports=OPSETS, ir_version=12)
    raw: bytes = made.SerializeToString()
    return raw


def dequantized(held: dict[str, Any], **settings: int) -> Any:
    return helper.make_node("DequantizeLinear", list(held), ["y"], **settings)


def natively(raw: bytes, feeds: dict[str, Any]) -> Any:
    """What the engine says, which has no step in numpy, and the reference says too."""
    session = sx.InferenceSession(raw)
    assert not session.gaps()
    (found,) = session.run(None, feeds)
    (told,) = sx.InferenceSession(raw, providers=["reference"]).run(None, feeds)
    np.testing.assert_array_equal(found, told)
    return found


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_constant_is_dequantized_where_it_is_read(form: Form, dtype: Any) -> None:
    held = constants(dtype, form)
    add = helper.make_node("Add", ["y0", "x"], ["y"])
    node = helper.make_node("DequantizeLinear", list(held), ["y0"], **form.settings)
    x = helper.make_tensor_value_info("x", 1, [])
    found = natively(model([node, add], [x], held), {"x": np.array(0, np.float32)})
    np.testing.assert_array_equal(found, wanted(held, form))


def wanted(held: dict[str, Any], form: Form) -> Any:
    """The definition of the standard, one element at a time."""
    w = held["w"].astype(np.float32)
    axis, size = form.settings.get("axis", 1), form.settings.get("block_size", 0)

    def own(a: Any, at: tuple[int, ...]) -> Any:
        if a.size == 1:
            return a.reshape(())
        if not size:
            return a[at[axis]]
        place = list(at)
        place[axis] //= size
        return a[tuple(place)]

    out = np.empty(w.shape, np.float32)
    for at in np.ndindex(*w.shape):
        zero = np.float32(own(held["z"], at)) if form.zero else np.float32(0)
        out[at] = (w[at] - zero) * own(held["s"], at)
    return out


@pytest.mark.parametrize("dtype", TYPES[:2], ids=lambda t: t.__name__)
def test_rows_are_gathered_from_bytes(dtype: Any) -> None:
    held = {"w": codes(0, dtype, 6, 32), "s": np.array([[0.5, 2]] * 6, np.float32)}
    gather = helper.make_node(
        "GatherBlockQuantized", ["w", "x", "s"], ["y"], domain="com.microsoft", block_size=16
    )
    x = helper.make_tensor_value_info("x", 7, ["n"])
    rows = np.array([5, 0, 3], np.int64)
    found = natively(model([gather], [x], held), {"x": rows})
    scaled = held["w"][rows].astype(np.float32) * np.repeat([0.5, 2], 16)
    np.testing.assert_array_equal(found, scaled)


PRODUCTS = (
    Form((64, 24), (2, 24), {"axis": 0, "block_size": 32}),
    Form((64, 24), (2, 24), {"axis": 0, "block_size": 32}, zero=True),
    Form((24, 64), (24, 4), {"axis": 1, "block_size": 16}, zero=True),
    Form((64, 24), (24,), {"axis": 1}),
    Form((64, 24), (), {}, zero=True),
)


@pytest.mark.parametrize("dtype", [*TYPES, np.int8, np.uint8], ids=lambda t: t.__name__)
@pytest.mark.parametrize("form", PRODUCTS, ids=str)
def test_products_read_the_codes(form: Form, dtype: Any) -> None:
    """Blocked along the depth, by column, or with one scale; as MatMul and as Gemm."""
    held = constants(dtype, form)
    made = helper.make_node("DequantizeLinear", list(held), ["d"], **form.settings)
    turned = form.shape[0] == 24
    product = helper.make_node("Gemm" if turned else "MatMul", ["x", "d"], ["y"])
    if turned:
        product.attribute.append(helper.make_attribute("transB", 1))
    raw = model([made, product], [helper.make_tensor_value_info("x", 1, ["n", 64])], held)
    session = sx.InferenceSession(raw)
    assert session.graph is not None
    steps = launches(fuse(prepare(session.graph)), host())
    strategy = [s.strategy for s in steps if isinstance(s, Launch)][-1]
    assert strategy == f"blocks of {width(dtype)} bits"
    x = np.random.default_rng(5).standard_normal((3, 64)).astype(np.float32)
    (found,) = session.run(None, {"x": x})
    (told,) = sx.InferenceSession(raw, providers=["reference"]).run(None, {"x": x})
    np.testing.assert_allclose(found, told, rtol=1e-5, atol=1e-5 * np.abs(told).max())


@pytest.mark.parametrize("shape", [(7,), (3, 3)], ids=str)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_codes_made_in_the_run_are_dequantized_too(shape: tuple[int, ...], dtype: Any) -> None:
    """In numpy: no pass may take what is fed for a constant."""
    held = {"s": np.array(0.5, np.float32)}
    node = helper.make_node("DequantizeLinear", ["x", "s"], ["y"])
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x = helper.make_tensor_value_info("x", kind, list(shape))
    fed = codes(3, dtype, *shape)
    (found,) = sx.InferenceSession(model([node], [x], held)).run(None, {"x": fed})
    np.testing.assert_array_equal(found, fed.astype(np.float32) / 2)

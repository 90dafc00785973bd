"""What ONNX Runtime's tools write beside the standard runs, and `check` warns of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sardonyx as sx


def model(node: onnx.NodeProto, opset: int, **constants: Any) -> bytes:
    """One node on x [N, 4] of an opset of ai.onnx, and no other domain imported."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    held = [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph([node], "g", [x], [y], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(made.SerializeToString())


ONES = np.ones(4, np.float32)
CASES = {
    "a norm before its opset": (
        helper.make_node("LayerNormalization", ["x", "w"], ["y"]), "E0349", {"w": ONES}
    ),
    "a norm of ONNX Runtime": (
        helper.make_node("SimplifiedLayerNormalization", ["x", "w"], ["y"]), "E0349", {"w": ONES}
    ),
    "a domain that is not imported": (
        helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), "E0307", {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_runs_with_a_warning(name: str) -> None:
    node, code, constants = CASES[name]
    raw = model(node, 13, **constants)
    (finding,) = sx.check(raw)
    assert (finding.code, finding.severity) == (code, "warning")
    ort = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    (wanted,) = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    for provider in ("native", "reference"):
        (found,) = sx.InferenceSession(raw, providers=[provider]).run(None, {"x": x})
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_another_operator_before_its_opset_is_refused() -> None:
    raw = model(helper.make_node("Gelu", ["x"], ["y"]), 13)
    assert [f.code for f in sx.check(raw) if f.is_error] == ["E0309"]

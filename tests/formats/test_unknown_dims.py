"""Names that exporters give to every unknown dim are no shared symbols."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sardonyx as sx
from sardonyx.formats import load, to_bytes


def _model(name: str) -> bytes:
    dims = [name, name]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = made.SerializeToString()
    return data


UNKNOWN = ["?", "??", "", " ", "-1", "None", "none", "unk__12", "unk_3", "unk", "unknown", "*"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_dims_take_any_sizes_and_keep_their_text(name: str) -> None:
    session = sx.InferenceSession(_model(name))
    x = np.ones((2, 3), np.float32)
    assert session.run(None, {"x": x})[0].shape == (2, 3)
    peer = pytest.importorskip("onnxruntime").InferenceSession(
        _model(name), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape == peer.get_inputs()[0].shape
    kept = onnx.ModelProto.FromString(to_bytes(load(_model(name))))
    assert [d.dim_param for d in kept.graph.input[0].type.tensor_type.shape.dim] == [name] * 2


@pytest.mark.parametrize("name", ["N", "batch size", "unk__N", "N1", "None1"])
def test_other_names_are_shared(name: str) -> None:
    session = sx.InferenceSession(_model(name))
    assert session.run(None, {"x": np.ones((3, 3), np.float32)})[0].shape == (3, 3)
    with pytest.raises(sx.ShapeMismatch) as caught:
        session.run(None, {"x": np.ones((2, 3), np.float32)})
    assert caught.value.code == "E0206"


def test_unknown_dims_are_fixed_by_their_text() -> None:
    options = sx.SessionOptions()
    options.add_free_dimension_override_by_name("unk__12", 4)
    session = sx.InferenceSession(_model("unk__12"), options)
    assert session.get_inputs()[0].shape == [4, 4]

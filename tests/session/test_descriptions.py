"""Inputs and outputs are told in the file's own words, as ONNX Runtime tells them."""

from typing import Any

import numpy as np
import pytest

import sardonyx as sx

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

Dims = list[int | str | None] | None
RELU: tuple[str, dict[str, Any]] = ("Relu", {})
POOL: tuple[str, dict[str, Any]] = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})
CASES: list[tuple[tuple[str, dict[str, Any]], Dims, Dims]] = [
    (RELU, ["N", 3], None),
    (RELU, ["N", 3, None], None),
    (RELU, ["N", "?", "", None, -1], ["M", "unk__3", None, None, None]),
    (RELU, ["batch size", "Unk"], ["batch size", "unk__12"]),
    (RELU, [4, 3], ["N", "K"]),
    (RELU, ["N", "M"], [2, 3]),
    (RELU, ["N", "M"], ["Q", 3]),
    (RELU, [], []),
    (RELU, None, None),
    (("Flatten", {}), ["N", 3, "M"], ["A", "B"]),
    (("Flatten", {}), ["N", 3, "M"], ["N", None]),
    (("Flatten", {}), ["N", 3, "M"], None),
    (POOL, ["N", 3, "H", "W"], ["N", 3, "h", "w"]),
    (POOL, ["N", 3, "H", "W"], None),
    (POOL, ["N", 3, 8, "W"], ["N", 3, "h", None]),
    (("Concat", {"axis": 0}), ["N", 3], None),
]


def _model(op: str, attributes: dict[str, Any], given: Dims, made: Dims, **more: Any) -> bytes:
    helper = onnx.helper
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
        for name, dims in (("x", given), ("y", made))
    ]
    whole = helper.make_graph([node], "g", ends[:1], ends[1:])
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def _told(session: Any) -> list[tuple[str, str, list[int | str | None]]]:
    every = (*session.get_inputs(), *session.get_outputs(), *session.get_overridable_initializers())
    return [(a.name, a.type, a.shape) for a in every]


@pytest.mark.parametrize(("kind", "given", "made"), CASES)
def test_dims_are_those_of_onnxruntime(
    kind: tuple[str, dict[str, Any]], given: Dims, made: Dims
) -> None:
    model = _model(*kind, given, made)
    theirs = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert _told(sx.InferenceSession(model)) == _told(theirs)


@pytest.mark.parametrize("version", [3, 4])
def test_initializers_that_are_inputs_are_defaults_from_version_4_on(version: int) -> None:
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(n, floats, d) for n, d in (("x", ["N", 2]), ("w", [2]))]
    made = helper.make_tensor_value_info("y", floats, ["N", 2])
    weights = [helper.make_tensor("w", floats, [2], [1.0, 2.0])]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    whole = helper.make_graph([node], "g", ends, [made], weights)
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=version).SerializeToString()
    feeds = {"x": np.zeros((1, 2), np.float32), "w": np.ones(2, np.float32)}
    for lib, kind in ((ort, Exception), (sx, sx.InvalidArgument)):
        session = lib.InferenceSession(model, providers=["CPUExecutionProvider"])
        assert [i.name for i in session.get_inputs()] == ["x"]
        assert len(session.get_overridable_initializers()) == (version >= 4)
        assert session.run(None, {"x": feeds["x"]})[0].tolist() == [[1, 2]]
        if version >= 4:
            assert session.run(None, feeds)[0].tolist() == [[1, 1]]
        else:
            with pytest.raises(kind):
                session.run(None, feeds)


def test_maps_are_told_with_their_keys() -> None:
    helper = onnx.helper
    inner = helper.make_map_type_proto(
        onnx.TensorProto.INT64, helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    )
    ends = [helper.make_value_info(n, helper.make_sequence_type_proto(inner)) for n in "x"]
    model = helper.make_model(helper.make_graph([], "g", ends[:1], ends[:1]), ir_version=9)
    session = sx.InferenceSession(model)
    assert session.get_inputs()[0].type == "seq(map(int64,tensor(float)))"

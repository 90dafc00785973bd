"""Submodules of onnxruntime import by either name, hold what theirs hold, and work."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import sardonyx as sx
from session.models import AFFINE, graph

MODULES = [
    *("capi", "capi._pybind_state", "capi.onnxruntime_pybind11_state", "quantization"),
    *("capi.onnxruntime_inference_collection", "capi.onnxruntime_validation", "datasets"),
    *("capi.build_and_package_info", "quantization.calibrate", "quantization.quant_utils"),
    *("quantization.quantize", "quantization.shape_inference", "tools", "transformers"),
    *("tools.symbolic_shape_infer", "transformers.optimizer", "transformers.fusion_options"),
    "transformers.onnx_model",
]


@pytest.mark.parametrize("name", MODULES)
def test_every_name_of_ours_is_one_of_theirs(name: str) -> None:
    ours = importlib.import_module(f"sardonyx.{name}")
    for one in dir(ours):
        assert getattr(ours, one) is not None
    pytest.importorskip("onnxruntime")
    pytest.importorskip("sympy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = importlib.import_module(f"onnxruntime.{name}")
    named = set(getattr(ours, "__all__", ()))
    if name.startswith("quantization."):
        theirs = importlib.import_module("onnxruntime.quantization")
    assert {n for n in named if not hasattr(theirs, n)} <= {"QuantizationMode"}


def test_a_function_and_a_module_of_one_name() -> None:
    importlib.import_module("sardonyx.quantization.quantize")
    quantization = importlib.import_module("sardonyx.quantization")
    assert callable(quantization.quantize)


def test_shapes_are_inferred() -> None:
    onnx = pytest.importorskip("onnx")
    tools = importlib.import_module("sardonyx.tools.symbolic_shape_infer")
    text = AFFINE.replace("p: float32[N, 2]", "p")
    made = tools.SymbolicShapeInference.infer_shapes(sx.to_proto(graph(text)), auto_merge=True)
    onnx.checker.check_model(made)
    told = {v.name: v.type.tensor_type for v in made.graph.value_info}
    (inner,) = told.values()
    assert inner.elem_type == onnx.TensorProto.FLOAT
    assert [d.dim_param or d.dim_value for d in inner.shape.dim] == ["N", 2]


def test_models_are_optimised(tmp_path: Path) -> None:
    transformers = importlib.import_module("sardonyx.transformers.optimizer")
    sx.save(graph(AFFINE), tmp_path / "net.onnx")
    made = transformers.optimize_model(str(tmp_path / "net.onnx"), "bert", 12, 768, opt_level=1)
    made.save_model_to_file(str(tmp_path / "out.onnx"))
    x = {"x": np.ones((2, 3), np.float32)}
    found, wanted = (
        sx.InferenceSession(tmp_path / name).run(None, x)[0] for name in ("out.onnx", "net.onnx")
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert sum(made.get_operator_statistics().values()) == len(sx.load(tmp_path / "out.onnx"))
    with pytest.raises(sx.NotImplemented):
        made.convert_float_to_float16()


@pytest.mark.parametrize("name", ["mul_1.onnx", "sigmoid.onnx", "logreg_iris.onnx"])
def test_examples_look_like_theirs(name: str) -> None:
    datasets = importlib.import_module("sardonyx.datasets")
    session = sx.InferenceSession(datasets.get_example(name))
    given = session.get_inputs()[0]
    session.run(None, {given.name: np.ones(given.shape, np.float32)})
    ort = pytest.importorskip("onnxruntime")
    theirs = importlib.import_module("onnxruntime.datasets").get_example(name)
    peer = ort.InferenceSession(theirs, providers=["CPUExecutionProvider"])
    for way in ("get_inputs", "get_outputs"):
        found = [(a.name, a.type, a.shape) for a in getattr(session, way)()]
        assert found == [(a.name, a.type, a.shape) for a in getattr(peer, way)()]


def test_an_example_that_is_not_there() -> None:
    with pytest.raises(sx.NoSuchFile):
        importlib.import_module("sardonyx.datasets").get_example("cats.onnx")

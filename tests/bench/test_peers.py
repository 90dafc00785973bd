"""The real peers on a small model: they take part, agree, and are told apart from wrong ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sardonyx.bench import BenchReport, Plan, bench, contender
from sardonyx.bench.contender import load_pool, save_pool
from sardonyx.core.errors import EPFail, InvalidArgument

QUICK = Plan(pairs=4, restarts=2, block=0.004, timeout=60.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weight = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opset = helper.make_opsetid("", 17)
    proto = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    path = tmp_path_factory.mktemp("bench") / "small.onnx"
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="module")
def report(model: Path) -> BenchReport:
    against = ("onnxruntime", "onnxruntime-iobinding", "openvino")
    return bench(model, against, dims={"N": 3}, plan=QUICK)


def test_our_session_and_the_peers_agree(report: BenchReport) -> None:
    row = report.rows[0]
    everyone = (row.subject, *row.others)
    assert [figures.label for figures in everyone] == [
        "CPUExecutionProvider",
        "onnxruntime",
        "onnxruntime-iobinding",
        "openvino",
    ]
    assert all(figures.precision == "highest" for figures in everyone)


def test_peers_run_at_their_best(report: BenchReport) -> None:
    plain, bound, openvino = (figures.settings for figures in report.rows[0].others)
    assert plain["graph_optimization_level"] == "ORT_ENABLE_ALL"
    assert bound["call"] == "run_with_iobinding"
    assert openvino["PERFORMANCE_HINT"] == "LATENCY"
    assert openvino["INFERENCE_PRECISION_HINT"] == "f32"


def test_row_tells_model_and_dims(report: BenchReport) -> None:
    row = report.rows[0]
    assert row.model == "small"
    assert row.dims == {"N": 3}


def test_versions_of_everyone_are_told(report: BenchReport) -> None:
    assert {"numpy", "onnxruntime", "openvino"} <= set(report.versions)


def test_wrong_outputs_are_called_wrong(model: Path) -> None:
    feeds = {"x": np.ones((1, 16), np.float32)}
    wanted = [{"y": np.full((1, 8), 99.0)}]
    found = bench(model, (), subject="onnxruntime", feeds=feeds, wanted=wanted, plan=QUICK)
    assert found.rows[0].subject.precision == "wrong"


def test_a_model_in_memory_is_measured_too(model: Path) -> None:
    found = bench(model.read_bytes(), (), subject="onnxruntime", plan=QUICK)
    assert found.rows[0].dims == {"N": 1}


def test_an_unknown_provider_is_named(model: Path) -> None:
    with pytest.raises(EPFail, match="NoSuchProvider"):
        bench(model, (), subject="NoSuchProvider", plan=QUICK)


def test_a_nameless_contender_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="needs a name"):
        contender("", "model.onnx")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3.0),
        np.array(["a", "bc"], object),
        np.arange(3).astype("bfloat16"),
        np.arange(2).astype("int4"),
    ],
)
def test_pool_keeps_every_type(tmp_path: Path, array: np.ndarray) -> None:
    path = str(tmp_path / "pool.npz")
    save_pool(path, [{"x|y": array}, {"x|y": array}])
    found = load_pool(path)
    assert len(found) == 2
    assert np.array_equal(found[1]["x|y"], array)
    assert found[1]["x|y"].dtype.kind in (array.dtype.kind, "U")

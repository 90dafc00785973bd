"""The real peers on a small model: they take part, agree, and are told apart from wrong ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_model, make_opsetid
from onnx.numpy_helper import from_array
from onnx.parser import parse_graph

from sardonyx.bench import BenchReport, Contender, Plan, bench
from sardonyx.bench.contender import load_pool, save_pool
from sardonyx.core.errors import EPFail, InvalidArgument

QUICK = Plan(pairs=4, restarts=2, block=0.004, timeout=60.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = relu(x · w), 16 to 8."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(16, 8))
    graph = parse_graph(
        """small (float[N, 16] x) => (float[N, 8] y)
        { m = MatMul(x, w)  y = Relu(m) }"""
    )
    kept = from_array(weight.astype(np.float32), "w")
    graph.initializer.append(kept)
    opset = make_opsetid("", 17)
    proto = make_model(graph, opset_imports=[opset], ir_version=8)
    path = tmp_path_factory.mktemp("bench") / "small.onnx"
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="module")
def report(model: Path) -> BenchReport:
    against = ("onnxruntime", "onnxruntime-iobinding", "openvino")
    return bench(model, against, dims={"N": 3}, plan=QUICK)


def test_our_session_and_the_peers_agree(report: BenchReport) -> None:
    row = report.rows[0]
    classes = {figures.label: figures.precision for figures in (row.subject, *row.others)}
    assert classes == {
        "CPUExecutionProvider": "highest",
        "onnxruntime": "highest",
        "onnxruntime-iobinding": "highest",
        "openvino": "highest",
    }


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
    row = found.rows[0]
    assert row.subject.precision == "wrong"


def test_a_model_in_memory_is_measured_too(model: Path) -> None:
    data = model.read_bytes()
    found = bench(data, (), subject="onnxruntime", plan=QUICK)
    row = found.rows[0]
    assert row.dims == {"N": 1}


def test_an_unknown_provider_is_named(model: Path) -> None:
    with pytest.raises(EPFail, match="NoSuchProvider"):
        bench(model, (), subject="NoSuchProvider", plan=QUICK)


def test_a_nameless_contender_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="needs a name"):
        Contender.named("", "model.onnx")


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int4", "<U2"])
def test_pool_keeps_every_type(tmp_path: Path, dtype: str) -> None:
    array = np.arange(3).astype(dtype)
    path = str(tmp_path / "pool.npz")
    save_pool(path, [{"x|y": array}, {"x|y": array}])
    first, second = load_pool(path)
    found = second["x|y"]
    assert found.tolist() == array.tolist()
    assert found.dtype == array.dtype
    assert first.keys() == second.keys()


def test_pool_keeps_object_strings_as_strings(tmp_path: Path) -> None:
    path = str(tmp_path / "pool.npz")
    words = np.array(["a", "bc"], object)
    save_pool(path, [{"x": words}])
    (found,) = load_pool(path)
    assert found["x"].tolist() == ["a", "bc"]

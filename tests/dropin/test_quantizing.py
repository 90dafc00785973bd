"""`onnxruntime.quantization`: the same calls give models as close to the float one as theirs."""

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from quantize import models
from sardonyx.core.dtype import Array
from sardonyx.graph.ir import Graph

OURS = importlib.import_module("sardonyx.quantization")
Data = dict[str, Array]


class Reader:
    """Rows one by one, as ONNX Runtime's users write their readers."""

    def __init__(self, data: Data) -> None:
        self.rows = iter([{n: x[k : k + 1] for n, x in data.items()} for k in range(8)])

    def get_next(self) -> Data | None:
        return next(self.rows, None)


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("onnxruntime.quantization")


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Graph, Data]:
    rng = np.random.default_rng(5)
    graph, data = models.residual(rng), models.images(rng, 8)
    sx.save(graph, tmp_path / "net.onnx")
    return tmp_path / "net.onnx", graph, data


def _error(path: Path, graph: Graph, data: Data) -> float:
    wanted = sx.InferenceSession(graph).run(None, data)[0]
    found = sx.InferenceSession(path).run(None, data)[0]
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("per_channel", [False, True])
def test_static(
    per_channel: bool, source: tuple[Path, Graph, Data], theirs: ModuleType, tmp_path: Path
) -> None:
    path, graph, data = source
    errors = []
    for lib, out in ((OURS, tmp_path / "ours.onnx"), (theirs, tmp_path / "theirs.onnx")):
        with warnings.catch_warnings():
            if lib is theirs:
                warnings.simplefilter("ignore")
            lib.quantize_static(
                str(path),
                str(out),
                Reader(data),
                quant_format=lib.QuantFormat.QDQ,
                per_channel=per_channel,
                activation_type=lib.QuantType.QUInt8,
                weight_type=lib.QuantType.QInt8,
                calibrate_method=lib.CalibrationMethod.MinMax,
            )
        errors.append(_error(out, graph, data))
    assert 0 < errors[0] < max(1.5 * errors[1], 0.02)


def test_dynamic(theirs: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    graph, data = models.transformer(rng), models.sequences(rng, 4)
    sx.save(graph, tmp_path / "net.onnx")
    errors = []
    for lib, out in ((OURS, tmp_path / "ours.onnx"), (theirs, tmp_path / "theirs.onnx")):
        with warnings.catch_warnings():
            if lib is theirs:
                warnings.simplefilter("ignore")
            lib.quantize_dynamic(tmp_path / "net.onnx", out, weight_type=lib.QuantType.QInt8)
        errors.append(_error(out, graph, data))
    assert 0 < errors[0] < 2 * errors[1]


def test_configurations(source: tuple[Path, Graph, Data], tmp_path: Path) -> None:
    path, graph, data = source
    for n, config in enumerate(
        (OURS.StaticQuantConfig(Reader(data), per_channel=True), OURS.DynamicQuantConfig())
    ):
        OURS.quantize(path, tmp_path / f"{n}.onnx", config)
        assert 0 < _error(tmp_path / f"{n}.onnx", graph, data) < 0.05


def test_nodes_are_chosen_by_name(source: tuple[Path, Graph, Data], tmp_path: Path) -> None:
    path, _, data = source
    out = tmp_path / "out.onnx"
    OURS.quantize_static(path, out, Reader(data), nodes_to_quantize=["n10_Gemm", "none such"])
    kinds = [n.op.op_type for n in sx.load(out).nodes]
    assert kinds.count("QuantizeLinear") == 1
    OURS.quantize_static(path, out, Reader(data), nodes_to_exclude=["n10_Gemm"])
    assert "Gemm" in [n.op.op_type for n in sx.load(out).nodes]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quant_format": OURS.QuantFormat.QOperator}, "quantize-dequantize"),
        ({"calibrate_method": OURS.CalibrationMethod.Entropy}, "percentile"),
        ({"extra_options": {"SmoothQuant": True}}, "SmoothQuant"),
        ({"calibration_cache_path": "ranges.json"}, "cache"),
    ],
)
def test_what_means_something_else_is_said(
    settings: dict[str, Any], said: str, source: tuple[Path, Graph, Data], tmp_path: Path
) -> None:
    path, graph, data = source
    with pytest.warns(UserWarning, match=said):
        OURS.quantize_static(path, tmp_path / "out.onnx", Reader(data), **settings)
    assert _error(tmp_path / "out.onnx", graph, data) < 0.2


def test_refusals(source: tuple[Path, Graph, Data], tmp_path: Path) -> None:
    path, _, data = source
    out = tmp_path / "out.onnx"
    calls: tuple[Callable[[], Any], ...] = (
        lambda: OURS.quantize_static(path, out),
        lambda: OURS.quantize_static(path, out, Reader(data), weight_type=OURS.QuantType.QInt4),
        lambda: OURS.quantize_dynamic(path, out, weight_type=OURS.QuantType.QFLOAT8E4M3FN),
        lambda: OURS.quantize_dynamic(path, out, op_types_to_quantize=["Conv"]),
        lambda: OURS.QuantType.from_string("QInt3"),
        lambda: OURS.quant_pre_process(path),
    )
    for call in calls:
        with pytest.raises(sx.InvalidArgument):
            call()
    assert not out.exists()


def test_preparing_keeps_the_results(source: tuple[Path, Graph, Data], tmp_path: Path) -> None:
    path, graph, data = source
    for skip in (False, True):
        OURS.quant_pre_process(path, tmp_path / "out.onnx", skip_optimization=skip)
        assert _error(tmp_path / "out.onnx", graph, data) < 1e-5


class Counting(OURS.CalibrationDataReader):  # type: ignore[misc,name-defined]
    left = 2

    def get_next(self) -> Any:
        self.left -= 1
        return {"x": self.left} if self.left >= 0 else None


def test_readers_are_known_by_their_method_and_can_be_iterated_over() -> None:
    assert isinstance(Reader({"x": np.zeros((8, 1), np.float32)}), OURS.CalibrationDataReader)
    assert [f["x"] for f in Counting()] == [1, 0]
    assert next(Counting()) == {"x": 1}

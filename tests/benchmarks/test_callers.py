"""Several callers of one session: every side is measured, in processes of its own."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import callers
import models


@pytest.fixture
def files(tmp_path: Path) -> models.Files:
    found = models.files("tiny", tmp_path)
    found.model.parent.mkdir()
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"])], "g", [x], [y])
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), found.model)
    arrays = {"in|0|x": np.ones((2, 4), np.float32), "out|0|y": np.full((2, 4), 0.25)}
    np.savez(found.pool, **arrays)  # type: ignore[arg-type]
    return found


def test_every_side_is_measured_and_in_turn(
    files: models.Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = callers.elsewhere

    def noted(side: str, *given: object) -> callers.Figures:
        order.append(side)
        return real(side, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(callers, "elsewhere", noted)
    setting = {"callers": 3, "threads": 1, "seconds": 0.1}
    found = callers.compare(["native", "reference"], files, setting)
    assert order == ["native", "reference", "reference", "native"]
    assert found["native"].calls > found["reference"].calls > 0
    for figures in found.values():
        assert 0 < figures.p50 <= figures.p99


def test_rows_tell_calls_and_times(
    files: models.Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "build", lambda _: files)
    arguments = ["tiny", "--callers", "1,2", "--seconds", "0.05", "--against", "", "--threads", "1"]
    assert callers.main(arguments) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == ["tiny", "1", "CPUExecutionProvider"]
    assert second.split()[1] == "2"
    assert first.split()[6::2] == ["ms", "ms"]


def test_a_turn_answers_in_json(files: models.Files, capsys: pytest.CaptureFixture[str]) -> None:
    setting = {"callers": 2, "threads": 1, "seconds": 0.05}
    order = json.dumps(["native", str(files.model), str(files.pool), setting])
    assert callers.main(["--turn", order]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"calls", "p50", "p99"}

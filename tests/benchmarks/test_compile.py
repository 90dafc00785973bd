"""Starts in fresh processes, and the graph of all operators that is compiled in them."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sardonyx.core.dtype import DType
from sardonyx.formats import save
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from singles import Maker

starting: Any = importlib.import_module("compile")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = Graph("net", opsets={"": 20})
    maker = Maker(graph)
    graph.outputs.append(maker.node("Softmax", maker.input((3, 17)), axis=-1))
    save(graph, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_figures_of_every_start_are_kept(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compile.json"
    arguments = [str(model), "--times", "1", "--against", f"sardonyx@{ROOT}", "--json", str(path)]
    assert starting.main(arguments) == 0
    told = capsys.readouterr().out
    assert "cold, first answer" in told
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for side in ("CPUExecutionProvider", f"sardonyx@{ROOT}"):
        found = {
            (row["start"], row["figure"]): row["values"] for row in rows if row["side"] == side
        }
        assert set(found) == set(starting.FIGURES)
        assert all(len(values) == 1 and values[0] > 0 for values in found.values())
        assert found["watched", "kernels"] == [1]
        assert found["watched", "emit"] < found["watched", "ours"]


def test_a_contender_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    bad = starting.Subject("bad", tmp_path / "nothing.onnx", tmp_path / "nothing.npz")
    with pytest.raises(SystemExit, match="ended with status 1"):
        starting.Side("CPUExecutionProvider").start(bad, "cold", tmp_path, 1)


def test_all_operators_make_one_graph_that_runs() -> None:
    graph, feeds = starting.every_operator()
    assert len(graph) > 300
    symbols = {d for v in graph.inputs for d in v.type.dims if d.free}
    assert len(symbols) > 100
    outputs = run(graph, feeds)
    assert len(outputs) == len(graph.outputs)
    assert all(np.isfinite(a).all() for a in outputs.values() if DType.from_numpy(a.dtype).is_float)

"""`sardonyx check` in every form it speaks."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from cli.call import sardonyx as call
from sardonyx.formats.runtimes import ONNX_RUNTIME


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A model with an error (E0309) and a warning (E0304)."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="n"),
        helper.make_node("Elu", ["a"], ["y"], name="n", beta=2.0),
    ]
    return saved(tmp_path / "odd, 100%.onnx", nodes)


def saved(path: Path, nodes: list[onnx.NodeProto], ir: int = 8, **opsets: int) -> Path:
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    named = {"": 17, **{d.replace("_", "."): n for d, n in opsets.items()}}
    imports = [helper.make_opsetid(d, n) for d, n in named.items()]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=ir), path)
    return path


def test_sarif_is_a_log_of_the_findings(odd: Path) -> None:
    said = call("check", odd, "--format", "sarif")
    assert said.code == 1
    log = json.loads(said.out)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert log["version"] == "2.1.0"
    assert {r["ruleId"]: r["level"] for r in run["results"]} == {
        "E0309": "error",
        "E0304": "warning",
    }
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["locations"][0]["logicalLocations"][0] == {"name": "n", "kind": "node"}


def test_annotations_of_a_workflow_are_escaped(odd: Path) -> None:
    said = call("check", odd, "--format", "github")
    lines = said.out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("::error file=")
    assert "odd%2C 100%25.onnx,title=E0309::" in lines[0]
    assert lines[1].startswith("::warning ")


@pytest.mark.parametrize(
    ("given", "codes", "exit_code"),
    [
        ([], {"E0309", "E0304"}, 1),
        (["--ignore", "E0309"], {"E0304"}, 0),
        (["--ignore", "E0309", "--strict"], {"E0304"}, 1),
        (["--select", "E0304"], {"E0304"}, 0),
        (["--select", "E03", "--ignore", "E0304"], {"E0309"}, 1),
        (["--ignore", "E03"], set(), 0),
    ],
)
def test_codes_are_chosen_by_their_beginnings(
    odd: Path, given: list[str], codes: set[str], exit_code: int
) -> None:
    said = call("check", odd, "--format", "json", *given)
    assert {f["code"] for f in json.loads(said.out)["findings"]} == codes
    assert said.code == exit_code


def test_a_beginning_of_no_code_is_refused(odd: Path) -> None:
    said = call("check", odd, "--select", "X03")
    assert said.code == 2
    assert "E0904" in said.err


def test_a_runtime_is_asked_what_it_takes(tmp_path: Path) -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    oldest, newest = (".".join(map(str, f(ONNX_RUNTIME))) for f in (min, max))
    fits = saved(tmp_path / "a.onnx", relu)
    for release in (oldest, newest):
        assert call("check", fits, "--for", f"onnxruntime=={release}").code == 0
    late = saved(tmp_path / "b.onnx", relu, ir=ONNX_RUNTIME[min(ONNX_RUNTIME)].ir + 1)
    said = call("check", late, "--for", f"onnxruntime=={oldest}")
    assert said.code == 1
    assert "E0348" in said.out
    assert call("check", late, "--for", "onnxruntime").code == 0
    own = saved(tmp_path / "c.onnx", [helper.make_node("Mine", ["x"], ["y"], domain="me")], me=1)
    assert "no operators of `me`" in call("check", own, "--for", "onnxruntime").out
    assert call("check", fits, "--for", "onnxruntime==0.1").code == 2


def test_the_newest_release_is_the_one_installed_for_tests() -> None:
    ort = pytest.importorskip("onnxruntime")
    installed = tuple(map(int, ort.__version__.split(".")[:2]))
    assert max(ONNX_RUNTIME) == installed

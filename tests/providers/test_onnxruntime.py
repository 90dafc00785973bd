"""Where ONNX Runtime's integer products saturate, and that the user is told."""

from __future__ import annotations

import numpy as np
import pytest

from cli.call import sardonyx
from engine.objects import MACHINES
from sardonyx.bench import Plan, bench
from sardonyx.compare import compare
from sardonyx.graph.ir import Graph
from sardonyx.providers import onnxruntime
from sardonyx.providers.registry import caveats, find
from texts import load

SAYS = "uint8 and int8 saturate"
FEATURES = {name: frozenset(features.split()) for name, (_, features) in MACHINES.items()}
FEATURES["alderlake"] = FEATURES["haswell"] | {"avxvnni"}


@pytest.fixture(params=["haswell", "zen3", "skylake"])
def saturating(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine for one with AVX2 and no VNNI."""
    monkeypatch.setattr(onnxruntime, "machine_features", lambda: FEATURES[request.param])


@pytest.fixture(params=["x86-64", "alderlake", "zen4", "sapphirerapids"])
def exact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine for one whose integer sums are wide."""
    monkeypatch.setattr(onnxruntime, "machine_features", lambda: FEATURES[request.param])


def integers(left: str, right: str) -> Graph:
    return load(f"""graph g {{
        opset "" 21
        input a: {left}[N, 4]
        const w: {right}[4, 3] = #1
        const zero: {right}[3] = #2
        const none: {left}[] = {{0}}
        y = MatMulInteger(a, w, none, zero)
        output y
    }}""")


def dequantized(activation: str, weight: str = "int8") -> Graph:
    return load(f"""graph g {{
        opset "" 21
        input x: float32[N, 4]
        const s: float32[] = {{0.05}}
        const z: {activation}[] = {{3}}
        const w: {weight}[4, 3] = #1
        q = QuantizeLinear(x, s, z)
        d = DequantizeLinear(q, s, z)
        v = DequantizeLinear(w, s)
        y = MatMul(d, v)
        output y
    }}""")


WEIGHT_ONLY = """graph g {
    opset "" 21
    input x: float32[N, 4]
    const s: float32[] = {0.05}
    const w: int8[4, 3] = #1
    v = DequantizeLinear(w, s)
    y = MatMul(x, v)
    output y
}"""

INSIDE = """graph g {
    opset "" 21
    input c: bool[]
    input a: uint8[N, 4]
    const w: int8[4, 3] = #1
    y = If<
        then_branch = graph t { p = MatMulInteger(a, w) output p },
        else_branch = graph e { q = MatMulInteger(a, w) output q }
    >(c)
    output y
}"""


@pytest.mark.parametrize("graph", [integers("uint8", "int8"), dequantized("uint8"), load(INSIDE)])
@pytest.mark.usefixtures("saturating")
def test_products_of_uint8_and_int8_are_told(graph: Graph) -> None:
    assert [SAYS in text for text in caveats("onnxruntime", graph)] == [True]


@pytest.mark.usefixtures("saturating")
def test_it_makes_dequantized_int8_activations_unsigned() -> None:
    assert caveats("ort", dequantized("int8"))


@pytest.mark.parametrize(
    "graph",
    [
        integers("int8", "int8"),
        integers("uint8", "uint8"),
        dequantized("uint8", "uint8"),
        dequantized("uint16"),
        load(WEIGHT_ONLY),
    ],
)
@pytest.mark.usefixtures("saturating")
def test_other_products_are_exact(graph: Graph) -> None:
    assert caveats("onnxruntime", graph) == []


@pytest.mark.usefixtures("exact")
def test_nothing_is_told_where_sums_are_wide() -> None:
    assert caveats("onnxruntime", dequantized("uint8")) == []
    assert find("onnxruntime").caveats() == []
    assert "saturate" not in sardonyx("doctor").out


@pytest.mark.usefixtures("saturating")
def test_others_have_no_caveats() -> None:
    for name in ("native", "openvino", "reference", "NoSuchProvider"):
        assert caveats(name, dequantized("uint8")) == []


@pytest.mark.usefixtures("saturating")
def test_doctor_tells() -> None:
    assert SAYS in sardonyx("doctor", "--json").data["providers"]["OnnxRuntimeExecutionProvider"]
    assert SAYS in " ".join(sardonyx("doctor").out.split())


@pytest.mark.usefixtures("saturating")
def test_compare_tells_which_side() -> None:
    found = compare(dequantized("uint8"), against_provider="onnxruntime")
    (note,) = found.notes
    assert note.startswith(f"{found.b}: ")
    assert SAYS in note
    others = compare(load(WEIGHT_ONLY), against_provider="onnxruntime").notes
    assert SAYS not in " ".join(others)


def test_bench_tells_which_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "machine_features", lambda: FEATURES["zen3"])
    feeds = {"x": np.ones((1, 4), np.float32)}
    plan = Plan(pairs=4, restarts=1, block=0.004, timeout=60.0)
    report = bench(dequantized("uint8"), ("onnxruntime-iobinding",), feeds=feeds, plan=plan)
    assert [note.partition(": ")[0] for note in report.notes] == ["onnxruntime-iobinding"]
    assert report.to_dict()["notes"] == list(report.notes)
    assert SAYS in next(report.lines())

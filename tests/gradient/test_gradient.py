"""`sx.gradient` and the operator Gradient: names, opsets, sizes that only a run tells, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import sardonyx as sx
from gradient.cases import BINARY, LAYERS, LOOPS, MOVES, PRODUCTS, REDUCTIONS, WINDOWS
from gradient.models import Case, gradients
from graph.sources import parse
from sardonyx.core.errors import InvalidArgument, UnsupportedOperator
from sardonyx.gradient import with_gradients
from sardonyx.gradient.step import RULES
from sardonyx.graph.evaluate import run

DOCS = Path(__file__).parents[2] / "docs"
SYMBOLIC = [c for c in (*BINARY, *PRODUCTS, *REDUCTIONS, *MOVES, *WINDOWS, *LOOPS, *LAYERS)
            if "auto_pad" not in c.body and "reverse" not in c.body]  # fmt: skip


@pytest.mark.parametrize("case", SYMBOLIC[::5], ids=str)
def test_batches_that_only_a_run_tells(case: Case) -> None:
    feeds = case.feeds("float32")
    wanted = gradients(case, feeds, "float32")
    first = {name: 0 for name in case.shapes if name == "x" and case.shapes[name]}
    made = with_gradients(case.graph("float32", feeds, first), case.names(), "q")
    found = sx.InferenceSession(made).run([f"{n}.grad" for n in case.names()], feeds)
    for grad, other in zip(found, wanted.values(), strict=True):
        np.testing.assert_allclose(grad, other, 1e-4, 1e-5)


def test_what_is_asked_for_is_named() -> None:
    graph = parse("input x: float32[3]\n const w: float32[3] = {1, 2, 3}\n a = Mul(x, w)\n"
                  " y = ReduceSum(a)\n z = Exp(x)\n output y\n output z", 20)  # fmt: skip
    assert [v.name for v in sx.gradient(graph).outputs] == ["y", "z", "x.grad", "w.grad"]
    made = sx.gradient(graph, ["x"], ["y", "z"])
    found = run(made, {"x": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(found["x.grad"], [2, 3, 4])
    inner = run(sx.gradient(graph, ["a"], "y"), {"x": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(inner["a.grad"], [1, 1, 1])
    apart = run(sx.gradient(graph, ["w"], "z"), {"x": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(apart["w.grad"], [0, 0, 0])
    assert [v.name for v in graph.outputs] == ["y", "z"]


def test_it_is_valid_onnx_and_runs_elsewhere() -> None:
    ort = pytest.importorskip("onnxruntime")
    graph = parse("input x: float32[N, 4]\n const w: float32[4, 2] = {1, 2, 3, 4, 5, 6, 7, 8}\n"
                  " a = MatMul(x, w)\n y = Softmax<axis=1>(a)\n output y", 13)  # fmt: skip
    made = sx.to_bytes(sx.gradient(graph, ["x"]))
    onnx.checker.check_model(made, full_check=True)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    (_, found) = ort.InferenceSession(made).run(None, feeds)
    np.testing.assert_allclose(found, sx.InferenceSession(made).run(None, feeds)[1], 0, 1e-6)


def test_what_has_no_derivative_is_listed() -> None:
    graph = parse("input x: float32[4]\n a = Det(b)\n b = Reshape(x, s)\n"
                  " const s: int64[2] = {2, 2}\n y = Exp(a)\n output y", 20)  # fmt: skip
    with pytest.raises(UnsupportedOperator, match="Det: there is no rule") as caught:
        sx.gradient(graph)
    assert caught.value.code == "E0406"
    with pytest.raises(InvalidArgument, match="no value `gone`"):
        sx.gradient(graph, ["gone"])
    with pytest.raises(InvalidArgument, match="no tensor of floats"):
        sx.gradient(graph, ["s"])


def _gradient(name: str, y: str, *xs: str, zs: tuple[str, ...] = (), fed: Any = None) -> Any:
    given = {"zs": list(zs)} if zs else {}
    return helper.make_node(
        "Gradient", fed or [*xs, *zs], [name] if len(xs) == 1 else [f"{name}{n}" for n in range(2)],
        domain="ai.onnx.preview.training", xs=list(xs), y=y, **given,
    )  # fmt: skip


def _session(nodes: list[Any], inputs: list[str], outputs: list[str]) -> sx.InferenceSession:
    ends = [
        [helper.make_tensor_value_info(n, 1, [2]) for n in names] for names in (inputs, outputs)
    ]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.preview.training", 1)]
    graph = helper.make_graph(nodes, "g", *ends)
    return sx.InferenceSession(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def test_a_gradient_of_a_gradient() -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["s"]), helper.make_node("Mul", ["s", "x"], ["y"]),
             _gradient("d", "y", "x"), _gradient("e", "d", "x")]  # fmt: skip
    x = np.array([1, -2], np.float32)
    found = _session(nodes, ["x"], ["d", "e"]).run(None, {"x": x})
    np.testing.assert_allclose(found, [3 * x * x, 6 * x])


def test_a_gradient_at_other_values() -> None:
    nodes = [helper.make_node("Mul", ["x", "z"], ["s"]), helper.make_node("Mul", ["s", "x"], ["y"]),
             _gradient("d", "y", "x", zs=("z",), fed=["u", "v"])]  # fmt: skip
    feeds = {name: np.array([n, n + 1], np.float32) for n, name in enumerate("xzuv")}
    (found,) = _session(nodes, [*"xzuv"], ["d"]).run(None, feeds)
    np.testing.assert_allclose(found, 2 * feeds["u"] * feeds["v"])


def test_the_page_lists_the_operators() -> None:
    text = (DOCS / "concepts" / "gradients.md").read_text(encoding="utf-8")
    assert not [name for name in RULES if f"`{name}`" not in text]

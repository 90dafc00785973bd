"""Dynamic int8: products of integers whose scales each run finds, equal in either runtime."""

import numpy as np
import onnx
import pytest

import peers
from quantize import models
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.formats import to_bytes, to_proto
from sardonyx.graph.ir import Graph
from sardonyx.quantize import agreement, quantize_dynamic
from sardonyx.session import InferenceSession

RNG = np.random.default_rng(3)
MODELS = {
    "transformer": (models.transformer(RNG), models.sequences(RNG, 4), 6),
    "residual": (models.residual(RNG), models.images(RNG, 4), 1),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_products_become_integers_and_agree(name: str, per_channel: bool) -> None:
    graph, data, count = MODELS[name]
    made = quantize_dynamic(graph, per_channel=per_channel, weight_bits=7)
    onnx.checker.check_model(to_proto(made.graph), full_check=True)
    kinds = [n.op.op_type for n in made.graph.nodes]
    assert kinds.count("MatMulInteger") == len(made.quantized) == count
    assert [v.name for v in made.graph.outputs] == [v.name for v in graph.outputs]
    for d in agreement(graph, made, data):
        assert d.cosine > 0.9998
    session = InferenceSession(made.graph)
    assert session.gaps() == []
    theirs = peers.session(to_bytes(made.graph)).run(None, data)
    for mine, other in zip(session.run(None, data), theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-6 * np.abs(other).max())


def test_an_input_that_several_products_read_is_quantized_once() -> None:
    graph, _, _ = MODELS["transformer"]
    made = quantize_dynamic(graph)
    kinds = [n.op.op_type for n in made.graph.nodes]
    assert kinds.count("DynamicQuantizeLinear") == 4
    left = quantize_dynamic(graph, exclude=["n0_MatMul"])
    assert "n0_MatMul" not in left.quantized


def test_the_source_stays_as_it_was() -> None:
    graph, data, _ = MODELS["transformer"]
    before = InferenceSession(graph).run(None, data)
    quantize_dynamic(graph)
    for a, b in zip(before, InferenceSession(graph).run(None, data), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"ops": ["Conv"]}, "E0713"),
        ({"weight_bits": 4}, "E0713"),
        ({"exclude": ["nowhere"]}, "E0713"),
        ({"ops": []}, "E0714"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], code: str) -> None:
    graph, _, _ = MODELS["transformer"]
    with pytest.raises(InvalidArgument) as caught:
        quantize_dynamic(graph, **settings)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_old_opsets_are_refused() -> None:
    text = "old (float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }"
    graph: Graph = models.graph(text, {"w": models.normal(RNG, 4, 4)}, opset=10)
    with pytest.raises(Unsupported) as caught:
        quantize_dynamic(graph)
    assert caught.value.code == "E0712"

"""Whole models to int8: what is quantized, how close it stays, who can run it, what is refused."""

from typing import Any

import numpy as np
import onnx
import pytest

import peers
from quantize import models
from quantize.exact import exact
from sardonyx.core.dtype import Array
from sardonyx.core.errors import CalibrationError, InvalidArgument, SardonyxError
from sardonyx.core.errors import NotImplemented as Unsupported
from sardonyx.formats import to_bytes, to_proto
from sardonyx.graph.ir import Graph
from sardonyx.quantize import Quantization, agreement, quantize
from sardonyx.session import InferenceSession

Data = dict[str, Array]


def _made_by(made: Quantization, op: str) -> list[str]:
    return [n.output.name for n in made.graph.nodes if n.op.op_type == op]


def _constant(made: Quantization, name: str) -> Array:
    held = made.graph.initializers[name].const
    assert held is not None
    return np.asarray(held.numpy())


def _native(graph: Graph, data: Data) -> list[Array]:
    session = InferenceSession(graph)
    assert session.gaps() == []
    found: list[Array] = session.run(None, data)
    return found


def _peer(graph: Graph, data: Data) -> list[Array]:
    """What ONNX Runtime says: right on every machine where weights have seven bits, since sums of
    two products then fit the 16 bits that it gives them without VNNI.
    """
    found: list[Array] = peers.session(to_bytes(graph)).run(None, data)
    return found


def _agrees(graph: Graph, made: Quantization, data: Data, cosine: float) -> None:
    """The int8 model is valid, close to its source, and runs as exact sums of products say."""
    onnx.checker.check_model(to_proto(made.graph), full_check=True)
    for d in agreement(graph, made, data):
        assert d.cosine >= cosine
    _same(_native(made.graph, data), exact(made.graph, data))


def _same(found: list[Array], wanted: list[Array]) -> None:
    for mine, other in zip(found, wanted, strict=True):
        assert np.abs(mine - other).max() <= 2e-6 * np.abs(other).max()


@pytest.mark.parametrize("method", ["minmax", "percentile"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_convolutions(rng: np.random.Generator, method: str, per_channel: bool) -> None:
    graph, data = models.residual(rng), models.images(rng, 40)
    made = quantize(graph, data, method=method, per_channel=per_channel)
    assert len(made.quantized) == 5
    _agrees(graph, made, data, 0.999)


def test_transformer_block(rng: np.random.Generator) -> None:
    graph, data = models.transformer(rng), models.sequences(rng, 40)
    made = quantize(graph, data)
    assert {n.split("_")[1] for n in made.quantized} == {"MatMul"}
    assert len(made.quantized) == 6
    _agrees(graph, made, data, 0.999)
    other = models.sequences(rng, 3, 19)
    assert [x.shape for x in _native(made.graph, other)] == [(3, 19, 16), (3, 19, 19)]


def test_onnx_runtime_runs_it(rng: np.random.Generator) -> None:
    images, sequences = models.images(rng, 40), models.sequences(rng, 40)
    for graph, data in ((models.residual(rng), images), (models.transformer(rng), sequences)):
        made = quantize(graph, data, weight_bits=7)
        _same(_peer(made.graph, data), exact(made.graph, data))


@pytest.mark.parametrize(("run", "bits"), [(_native, 8), (_native, 7), (_peer, 7)])
def test_labels_hold(rng: np.random.Generator, run: Any, bits: int) -> None:
    graph, data = models.residual(rng), models.images(rng, 200)
    made = quantize(graph, data, weight_bits=bits)
    (wanted,), (found,) = _native(graph, data), run(made.graph, data)
    assert (found.argmax(-1) == wanted.argmax(-1)).mean() > 0.97


def test_the_source_stays_as_it_is(rng: np.random.Generator) -> None:
    graph = models.residual(rng)
    before = to_bytes(graph)
    quantize(graph, models.images(rng, 8))
    assert to_bytes(graph) == before


def test_inputs_and_outputs_keep_names_and_types(rng: np.random.Generator) -> None:
    graph = models.transformer(rng)
    made = quantize(graph, models.sequences(rng, 8))
    for before, after in ((graph.inputs, made.graph.inputs), (graph.outputs, made.graph.outputs)):
        assert [(v.name, v.type.dtype) for v in after] == [(v.name, v.type.dtype) for v in before]


def test_the_last_result_keeps_its_precision(rng: np.random.Generator) -> None:
    made = quantize(models.residual(rng), models.images(rng, 8))
    assert "logits" not in made.ranges
    assert {"x", "r1", "r2", "c3", "r3", "f"} == set(made.ranges)


def test_pooling_keeps_the_scale_of_what_it_moves(rng: np.random.Generator) -> None:
    made = quantize(models.residual(rng), models.images(rng, 8))
    assert _constant(made, "p1_scale") == _constant(made, "r1_scale")
    assert "p1" not in made.ranges


def test_other_operators_read_what_they_read_before(rng: np.random.Generator) -> None:
    made = quantize(models.transformer(rng), models.sequences(rng, 8))
    sums = [n for n in made.graph.nodes if n.op.op_type == "Add"]
    read = {v.name for n in sums for v in n.inputs if v is not None}
    assert {"x", "n"} <= read
    assert not any(name.endswith("_dequantized") for name in read)


def test_one_scale_for_each_output_channel(rng: np.random.Generator) -> None:
    weight = models.normal(rng, 6, 4) * np.logspace(-3, 3, 4).astype(np.float32)
    graph = models.graph("g (float[N, 6] x) => (float[N, 4] y) { y = MatMul(x, w) }", {"w": weight})
    made = quantize(graph, {"x": rng.standard_normal((20, 6)).astype(np.float32)})
    scale, codes = (_constant(made, "w_scale"), _constant(made, "w_quantized"))
    assert np.abs(codes).max(0).tolist() == [127] * 4
    assert np.abs(codes * scale - weight).max(0) == pytest.approx(scale / 2, rel=1)
    assert np.all(np.abs(codes * scale - weight) <= scale / 2 * 1.001)


def test_seven_bits_stay_below_64(rng: np.random.Generator) -> None:
    made = quantize(models.residual(rng), models.images(rng, 8), weight_bits=7)
    assert np.abs(_constant(made, "w1_quantized")).max() == 63


def test_biases_are_multiples_of_both_scales(rng: np.random.Generator) -> None:
    graph = models.residual(rng)
    made = quantize(graph, models.images(rng, 8))
    both = _constant(made, "x_scale") * _constant(made, "w1_scale")
    assert _constant(made, "b1_quantized").dtype == np.int32
    assert np.allclose(_constant(made, "b1_scale"), both, rtol=1e-6)
    wanted = graph.initializers["b1"].const
    assert wanted is not None
    kept = _constant(made, "b1_quantized") * _constant(made, "b1_scale")
    assert np.allclose(kept, wanted.numpy(), atol=both.max())


GEMM = "g (float[N, 4] x) => (float[N, 3] y) { y = Gemm<transB = 1>(x, w, b) }"


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_dead_channel_keeps_its_bias(rng: np.random.Generator, per_channel: bool) -> None:
    weight = models.normal(rng, 3, 4)
    weight[1] = 0
    bias = np.array([0.5, 1234.5, 0], np.float32)
    graph = models.graph(GEMM, {"w": weight, "b": bias})
    data = {"x": rng.standard_normal((20, 4)).astype(np.float32)}
    made = quantize(graph, data, per_channel=per_channel)
    _agrees(graph, made, data, 0.999)
    (found,) = _native(made.graph, data)
    assert found[:, 1] == pytest.approx(1234.5, rel=1e-5)


@pytest.mark.parametrize("bias", [[1e9, -1e9, 0], [np.inf, 0, 0]])
def test_a_bias_beyond_32_bits_is_never_wrong(rng: np.random.Generator, bias: list[float]) -> None:
    held = {"w": models.normal(rng, 3, 4) * np.float32(1e-6), "b": np.array(bias, np.float32)}
    graph = models.graph(GEMM, held)
    data = {"x": rng.standard_normal((20, 4)).astype(np.float32)}
    made = quantize(graph, data)
    (found,), (wanted,) = _native(made.graph, data), _native(graph, data)
    assert np.allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_weight_that_two_nodes_share_is_stored_once(rng: np.random.Generator) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y) {
        a = MatMul(x, w)  r = Relu(a)  b = MatMul(r, w)  y = Gemm<transB = 1>(b, w)
    }"""
    graph = models.graph(text, {"w": models.normal(rng, 4, 4)})
    data = {"x": rng.standard_normal((20, 4)).astype(np.float32)}
    made = quantize(graph, data)
    codes = [n for n in made.graph.initializers if n.startswith("w_quantized")]
    assert len(codes) == 2, "one by columns, one by rows"
    _agrees(graph, made, data, 0.99)


def test_names_that_are_taken(rng: np.random.Generator) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] x_scale, float[N, 4] w_dequantized) {
        x_scale = MatMul(x, w)  w_dequantized = MatMul(x_scale, w)
    }"""
    graph = models.graph(text, {"w": models.normal(rng, 4, 4)})
    data = {"x": rng.standard_normal((20, 4)).astype(np.float32)}
    made = quantize(graph, data)
    assert [v.name for v in made.graph.outputs] == ["x_scale", "w_dequantized"]
    _agrees(graph, made, data, 0.99)


def test_a_vector_is_multiplied_too(rng: np.random.Generator) -> None:
    graph = models.graph(
        "g (float[6] x) => (float[3] y) { y = MatMul(x, w) }", {"w": models.normal(rng, 6, 3)}
    )
    rows = rng.standard_normal((30, 6)).astype(np.float32)
    made = quantize(graph, {"x": rows})
    _agrees(graph, made, {"x": rows[0]}, 0.99)


def test_a_fixed_batch(rng: np.random.Generator) -> None:
    text = "g (float[4, 6] x) => (float[4, 3] y) { y = MatMul(x, w) }"
    graph = models.graph(text, {"w": models.normal(rng, 6, 3)})
    rows = rng.standard_normal((10, 6)).astype(np.float32)
    made = quantize(graph, rows)
    assert made.ranges["x"].high == rows.max()
    assert made.ranges["x"].low == rows.min()
    _agrees(graph, made, {"x": rows[:4]}, 0.99)


def test_streamed_batches_give_the_same_as_rows(rng: np.random.Generator) -> None:
    graph, data = models.residual(rng), models.images(rng, 64)
    streamed = ({"x": part} for part in np.split(data["x"], 4))
    assert quantize(graph, streamed).ranges == quantize(graph, data).ranges


def test_a_subgraph_keeps_reading_what_it_read(rng: np.random.Generator) -> None:
    text = """g (float[N, 4] x, bool c) => (float[N, 4] y) {
        a = MatMul(x, w)
        b = MatMul(a, w)
        s = If(c) <
            then_branch = t () => (float[N, 4] p) { p = Add(a, b) },
            else_branch = e () => (float[N, 4] q) { q = Sub(a, b) }
        >
        y = Relu(s)
    }"""
    graph = models.graph(text, {"w": models.normal(rng, 4, 4)})
    x = rng.standard_normal((20, 4)).astype(np.float32)
    made = quantize(graph, [{"x": x, "c": np.array(c)} for c in (True, False)], weight_bits=7)
    assert len(made.quantized) == 2
    for c in (True, False):
        feeds = {"x": x, "c": np.array(c)}
        (found,), (wanted,) = _peer(made.graph, feeds), _peer(graph, feeds)
        assert np.abs(found - wanted).max() < 0.1


def test_progress_reaches_the_end(rng: np.random.Generator) -> None:
    seen: list[float] = []
    quantize(models.residual(rng), models.images(rng, 70), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_excluded_node_stays(rng: np.random.Generator) -> None:
    made = quantize(models.residual(rng), models.images(rng, 8), exclude=["n0_Conv"])
    assert "n0_Conv" not in made.quantized
    assert made.skipped["n0_Conv"] == "it is excluded"


def test_only_the_wanted_operators(rng: np.random.Generator) -> None:
    made = quantize(models.residual(rng), models.images(rng, 8), ops=["Gemm"])
    assert made.quantized == ("n10_Gemm",)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_without_a_finite_value_are_refused(rng: np.random.Generator, bad: float) -> None:
    data = {"x": np.full((8, 3, 12, 12), bad, np.float32)}
    with pytest.raises(CalibrationError, match="no finite value of `x`") as caught:
        quantize(models.residual(rng), data)
    assert caught.value.code == "E0711"
    assert caught.value.tensor == "x"


def test_single_bad_elements_are_left_out(rng: np.random.Generator) -> None:
    graph, data = models.residual(rng), models.images(rng, 40)
    data["x"][3, 0, 0, 0] = np.inf
    data["x"][9, 0, 0, 0] = np.nan
    made = quantize(graph, data)
    good = data["x"][np.isfinite(data["x"])]
    assert made.ranges["x"].high == good.max()


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"method": "entropy"}, "no method `entropy`"),
        ({"percentile": 20.0}, "a percentile of 20.0"),
        ({"weight_bits": 4}, "weights of 4 bits"),
        ({"ops": ["Conf"]}, "did you mean `Conv`"),
        ({"exclude": ["n0_Conf"]}, "did you mean `n0_Conv`"),
    ],
)
def test_impossible_choices(rng: np.random.Generator, choice: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        quantize(models.residual(rng), models.images(rng, 8), **choice)
    assert caught.value.code == "E0713"


COMPUTED = "g (float[N, 4] x, float[4, 4] w) => (float[N, 4] y) { y = MatMul(x, w) }"
NOT_FINITE = "g (float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, nan) }"
VECTOR = "g (float[N, 4] x) => (float[N] y) { y = MatMul(x, v) }"
SCALED = "g (float[N, 4] x) => (float[N, 4] y) { y = Gemm<alpha = 2.0>(x, one) }"
DOUBLE = "g (double[N, 4] x) => (double[N, 4] y) { y = MatMul(x, wide) }"
NONE = "g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }"
ONE = np.ones((4, 4), np.float32)
HELD = {
    "nan": np.full((4, 4), np.nan, np.float32),
    "v": ONE[0],
    "one": ONE,
    "wide": ONE.astype(np.float64),
}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (COMPUTED, "its weight is computed"),
        (NOT_FINITE, "empty or not finite"),
        (VECTOR, "its weight is a vector"),
        (SCALED, "alpha, beta or transA is set"),
        (DOUBLE, "it is not float32"),
        (NONE, "nothing in the model"),
    ],
)
def test_models_with_nothing_to_quantize(text: str, says: str) -> None:
    held = {name: a for name, a in HELD.items() if f"{name})" in text}
    with pytest.raises(InvalidArgument, match=says) as caught:
        quantize(models.graph(text, held), {"x": np.ones((4, 4), np.float32)})
    assert caught.value.code == "E0714"


def test_an_old_opset_is_refused() -> None:
    text = "g (float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }"
    with pytest.raises(Unsupported, match="need opset 13, the model has 11") as caught:
        quantize(models.graph(text, {"w": ONE}, 11), {"x": ONE})
    assert caught.value.code == "E0712"


def test_data_of_another_type_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(SardonyxError, match="wants float32"):
        quantize(models.residual(rng), {"x": np.zeros((4, 3, 12, 12))})


def test_movers_in_a_row_keep_one_scale(rng: np.random.Generator) -> None:
    text = """g (float[N, 2, 4, 4] x) => (float[N, 3] y) {
        c = Conv(x, k)
        p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
        t = Transpose<perm = [0, 2, 3, 1]>(p)
        f = Flatten(t)
        y = MatMul(f, w)
    }"""
    held = {"k": models.normal(rng, 2, 2, 1, 1), "w": models.normal(rng, 8, 3)}
    graph = models.graph(text, held)
    data = {"x": rng.standard_normal((40, 2, 4, 4)).astype(np.float32)}
    made = quantize(graph, data)
    assert set(made.ranges) == {"x", "c"}
    scales = {float(_constant(made, f"{v}_scale")) for v in "cptf"}
    assert len(scales) == 1
    _agrees(graph, made, data, 0.99)

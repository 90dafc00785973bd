"""Random operators: native code draws what the reference draws, and what it draws is random."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import sardonyx as sx
from sardonyx.core.dtype import Array, DType

FLOATS = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16]
REFERENCE = "ReferenceExecutionProvider"
X = np.zeros((301, 97), np.float32)
CHANCES = np.linspace(0, 1, 300 * 97, dtype=np.float32).reshape(300, 97)
SCORES = np.log(np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.5, 1e-9]], np.float32))


def drawn(op: str, x: Array | None, provider: str | None = None, **settings: Any) -> list[Array]:
    """Two runs of a model of one operator."""
    node = helper.make_node(op, [] if x is None else ["x"], ["y"], **settings)
    inputs = [] if x is None else [helper.make_tensor_value_info("x", 1, ["N", "M"])]
    kind = settings.get("dtype", TensorProto.INT32 if op == "Multinomial" else TensorProto.FLOAT)
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph([node], "g", inputs, outputs)
    opset = helper.make_opsetid("", 22)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()
    session = sx.InferenceSession(made, providers=None if provider is None else [provider])
    feeds = {} if x is None else {"x": x}
    return [np.asarray(session.run(None, feeds)[0]) for _ in range(2)]


CASES: list[tuple[str, Array | None, dict[str, Any]]] = [
    *(("RandomNormalLike", X, {"dtype": d, "mean": 2.0, "scale": 0.5}) for d in FLOATS),
    *(("RandomUniformLike", X, {"dtype": d, "low": -3.0, "high": 1.0}) for d in FLOATS),
    ("RandomNormal", None, {"shape": [70, 3, 5]}),
    ("RandomUniform", None, {"shape": [70, 3, 5], "dtype": TensorProto.DOUBLE}),
    ("Bernoulli", CHANCES, {}),
    ("Bernoulli", CHANCES, {"dtype": TensorProto.INT32}),
    ("Multinomial", SCORES, {"sample_size": 1000}),
    ("Multinomial", SCORES, {"sample_size": 10, "dtype": TensorProto.INT64}),
]


@pytest.mark.parametrize(("op", "x", "settings"), CASES)
def test_a_seed_tells_the_numbers(op: str, x: Array | None, settings: dict[str, Any]) -> None:
    ours, again = drawn(op, x, seed=7.0, **settings)
    wanted, _ = drawn(op, x, REFERENCE, seed=7.0, **settings)
    assert ours.dtype == wanted.dtype
    np.testing.assert_array_equal(ours, again)
    unit = 2.0**-7 if ours.dtype.itemsize == 2 else 2.0**-23
    unit *= DType.from_numpy(ours.dtype).is_float
    np.testing.assert_allclose(ours.astype(float), wanted.astype(float), 4 * unit, 8 * unit)
    other, _ = drawn(op, x, seed=8.0, **settings)
    assert not np.array_equal(ours, other)


@pytest.mark.parametrize(("op", "x", "settings"), CASES)
def test_runs_without_a_seed_differ(op: str, x: Array | None, settings: dict[str, Any]) -> None:
    first, second = drawn(op, x, **settings)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_moments_tails_and_neighbours(kind: int) -> None:
    x = np.zeros((1000, 1000), np.float32)
    normal = drawn("RandomNormalLike", x, seed=1.0, dtype=kind)[0].astype(np.float64).ravel()
    even = drawn("RandomUniformLike", x, seed=2.0, dtype=kind)[0].astype(np.float64).ravel()
    n = x.size
    for power, wanted, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((normal**power).mean() - wanted) < 5 * (spread / n) ** 0.5
    for tail, share in ((2, 0.0455), (3, 0.0027), (4, 6.3e-5)):
        assert abs((abs(normal) > tail).mean() - share) < 5 * (share / n) ** 0.5
    counts = np.bincount((even * 100).astype(int), minlength=100)
    assert len(counts) == 100
    assert ((counts - n / 100) ** 2 / (n / 100)).sum() < 180
    for values in (normal, even):
        for step in (1, 2, 1000):
            pair = np.corrcoef(values[:-step], values[step:])[0, 1]
            assert abs(pair) < 5 / n**0.5


def test_classes_are_drawn_as_often_as_they_are_likely() -> None:
    found = drawn("Multinomial", SCORES, sample_size=40_000, seed=3.0)[0]
    shares = np.stack([np.bincount(row, minlength=4) for row in found]) / 40_000
    np.testing.assert_allclose(shares, np.exp(SCORES), atol=0.015)


def test_a_chance_of_none_and_of_all() -> None:
    x = np.array([[0.0, 1.0]], np.float32).repeat(1000, 0)
    for found in drawn("Bernoulli", x):
        np.testing.assert_array_equal(found, x)

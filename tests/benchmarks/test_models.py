"""The reference models' builder: what it writes is complete, repeatable and agrees with PyTorch."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import models

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    models.build("mlp", folder)
    return folder


def test_files_appear_together_and_nothing_else(cache: Path) -> None:
    found = models.files("mlp", cache)
    assert found.built
    assert [path.name for path in cache.iterdir()] == ["mlp"]


def test_batch_is_symbolic(cache: Path) -> None:
    found = models.files("mlp", cache)
    (given,) = onnx.load(found.model).graph.input
    shape = given.type.tensor_type.shape
    assert shape.dim[0].dim_param == "N"


def test_onnx_runtime_agrees_with_the_float64_outputs(cache: Path) -> None:
    lines = list(models.verify("mlp", cache))
    assert len(lines) == 2
    assert "[3x10]" in lines[1]


def test_pool_holds_inputs_and_float64_outputs(cache: Path) -> None:
    found = models.files("mlp", cache)
    feeds, wanted = models.load_pool(found.pool)
    assert len(feeds) == models.POOL
    assert len(wanted) == models.POOL
    first = feeds[0]["x"]
    second = feeds[1]["x"]
    exact = wanted[0]["probabilities"]
    assert first.dtype == np.float32
    assert exact.dtype == np.float64
    assert not np.array_equal(first, second)


def test_same_seed_builds_the_same_weights(cache: Path, tmp_path: Path) -> None:
    first = models.files("mlp", cache)
    again = models.build("mlp", tmp_path)
    assert _weights(again.model) == _weights(first.model)


def _weights(path: Path) -> list[bytes]:
    graph = onnx.load(path).graph
    return [tensor.raw_data for tensor in graph.initializer]


def test_ops_are_described_with_their_attributes(cache: Path) -> None:
    found = models.files("mlp", cache)
    text = "\n".join(models.describe_ops(found.model))
    assert "LayerNormalization(axis=-1" in text

"""What a converted model promised, and whether it is kept."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sardonyx as sx
from cli.call import sardonyx
from sardonyx.convert import contract_of, convert, replay
from sardonyx.convert.contract import KEY, MOST_BYTES, Sampled
from sardonyx.convert.recipe import Recipe, positions, recipe_of
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.tensor import Tensor

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from convert import nets  # noqa: E402 - only where torch is

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "net.onnx"
    made = convert(nets.build(), ["x=Nx2xHxW"], path, capture="trace")
    assert made.contract is not None
    assert "contract: 8 runs" in "\n".join(made.lines())
    return path


def test_a_contract_is_kept_by_every_provider(model: Path) -> None:
    graph = sx.load(model)
    contract = contract_of(graph)
    assert contract.framework == "PyTorch"
    assert contract.versions["torch"] == torch.__version__
    assert "nets.Small (nets.py:" in contract.versions["class"]
    assert contract.tolerance.max_rel is not None
    assert contract.tolerance.max_rel < 1e-4
    assert 0 < contract.figures["output"] < contract.tolerance.max_rel
    assert len(graph.meta[KEY]) < MOST_BYTES
    for provider in ("CPUExecutionProvider", "ReferenceExecutionProvider", "onnxruntime"):
        found = replay(graph, provider)
        assert found.agree, provider
        assert found.notes == ()
    assert {"N=1, H=1, W=1", "small: N=3, H=5, W=7", "large: N=3, H=5, W=7"} <= {
        row.at for row in found.rows
    }


def test_a_model_that_was_changed_does_not_keep_it(model: Path) -> None:
    assert replay(sx.optimize(model)).agree
    graph = sx.load(model)
    weight = graph.initializers["last.weight"]
    assert isinstance(weight.const, Tensor)
    weight.const = Tensor.of(weight.const.numpy() * np.float32(1.001), name="last.weight")
    found = replay(graph)
    assert not found.agree
    assert found.notes == ("the model was changed since",)
    graph = sx.load(model)
    graph.outputs[0].name = "other"
    assert "no such output" in replay(graph).rows[0].refusal


def test_the_command(model: Path, tmp_path: Path) -> None:
    kept = sardonyx("check", str(model), "--contract", "--provider", "onnxruntime", "--json")
    assert kept.code == 0
    assert json.loads(kept.out)["kept"] is True
    graph = sx.load(model)
    told = json.loads(graph.meta[KEY])
    told["tolerance"]["max_rel"] = 0.0
    told["runs"][0]["outputs"]["output"]["data"] = (
        "AAAA" + told["runs"][0]["outputs"]["output"]["data"][4:]
    )
    graph.meta[KEY] = json.dumps(told)
    sx.save(graph, tmp_path / "net.onnx")
    assert sardonyx("check", str(tmp_path / "net.onnx"), "--contract").code == 1


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 2}', "null", '{"schema": 1, "runs": [{"inputs": 3}]}']
)
def test_what_is_no_contract(model: Path, text: str) -> None:
    graph = sx.load(model)
    graph.meta[KEY] = text
    with pytest.raises(InvalidArgument) as caught:
        replay(graph)
    assert caught.value.code == "E0613"
    del graph.meta[KEY]
    with pytest.raises(InvalidArgument, match="no contract"):
        replay(graph)


def test_a_contract_asks_for_no_more_than_the_limits_allow(model: Path) -> None:
    graph = sx.load(model)
    told = json.loads(graph.meta[KEY])
    told["runs"][0]["inputs"]["x"]["shape"] = [1 << 20] * 4
    graph.meta[KEY] = json.dumps(told)
    with pytest.raises(sx.SardonyxError) as caught:
        replay(graph)
    assert caught.value.exit_code in (3, 4)


def test_without_a_contract() -> None:
    made = convert(nets.build(), ["x=Nx2x4x4"], contract=False, capture="trace")
    assert KEY not in made.graph.meta
    assert made.to_dict()["contract"] is None


def test_arrays_are_made_again_bit_for_bit() -> None:
    found = hashlib.sha256()
    for dtype in (DType.FLOAT32, DType.FLOAT16, DType.INT64, DType.BOOL):
        found.update(recipe_of(dtype, (3, 5), 7).array().tobytes())
    found.update(recipe_of(DType.INT64, (9,), 1, values=(2, 5, 11)).array().tobytes())
    assert found.hexdigest() == GOLDEN
    words = recipe_of(DType.STRING, (4,), 3, values=("a", "b")).array()
    assert set(words.tolist()) <= {"a", "b"}
    big = recipe_of(DType.FLOAT64, (200, 200), 5).array()
    assert abs(big.mean()) < 0.02
    assert abs(big.std() - 1) < 0.02
    one = Recipe("large", DType.FLOAT32, (2, 2), 3)
    assert Recipe.from_dict(one.to_dict()) == one
    assert not np.array_equal(replace(one, seed=4).array(), one.array())


GOLDEN = "5154740d810863f2081d4f759d26e6c56b63e45335e07746b2150483f5e79460"


def test_samples_of_large_outputs_hold_the_largest_element() -> None:
    x = np.arange(1000, dtype=np.float32).reshape(10, 100)
    kept = Sampled.of(x, 20)
    assert kept.elements.shape == (20,)
    assert kept.elements.max() == 999
    np.testing.assert_array_equal(kept.pick(x), kept.elements)
    assert positions(1000, 20).tolist() == positions(1000, 20).tolist()

"""Models of other frameworks, made and converted in environments of their own."""

import subprocess
from pathlib import Path

import pytest

import sardonyx as sx
from sardonyx.convert import convert, replay
from sardonyx.convert.isolated import interpreter
from sardonyx.convert.recognise import frameworks
from sardonyx.core.errors import ConvertError

pytestmark = pytest.mark.conversions
MAKERS = Path(__file__).parent / "makers"
KERAS = ("mlp", "convolutions", "recurrent", "attention")
JAX = ("mlp", "convolution", "attention")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that TensorFlow and Keras wrote."""
    folder = tmp_path_factory.mktemp("models")
    python = interpreter(next(f for f in frameworks() if f.name == "TensorFlow"))
    subprocess.run([python, MAKERS / "tensorflow_models.py", folder], check=True)
    return folder


def _kept(model: Path | str, path: Path, inputs: list[str] | None = None) -> None:
    made = convert(model, inputs, path)
    assert made.agree
    graph = sx.load(path)
    for provider in ("CPUExecutionProvider", "onnxruntime"):
        found = replay(graph, provider)
        assert found.agree, "\n".join(found.lines())


@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str, models: Path, tmp_path: Path) -> None:
    _kept(models / f"{name}.keras", tmp_path / "net.onnx")


@pytest.mark.parametrize("name", KERAS)
def test_saved_models(name: str, models: Path, tmp_path: Path) -> None:
    _kept(models / name, tmp_path / "net.onnx")


def test_tflite(models: Path, tmp_path: Path) -> None:
    _kept(models / "convolutions.tflite", tmp_path / "net.onnx")


def test_an_operator_that_the_exporter_has_no_words_for(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="TFL_GELU") as caught:
        convert(models / "mlp.tflite", None, tmp_path / "net.onnx")
    assert caught.value.code == "E0606"
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("name", JAX)
def test_jax(name: str, tmp_path: Path) -> None:
    shapes = {"mlp": "x=Nx8", "convolution": "x=Nx16x16x3", "attention": "x=NxTx8"}
    place = f"{MAKERS / 'jax_functions.py'}:{name}"
    _kept(place, tmp_path / "net.onnx", [shapes[name]])

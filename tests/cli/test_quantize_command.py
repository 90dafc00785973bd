"""`sardonyx quantize` from the command line's end: files, streams, JSON, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from quantize import models
from sardonyx.cli.main import run
from sardonyx.formats import load, save


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and its data, in the present folder."""
    save(models.residual(rng), tmp_path / "net.onnx")
    data = models.images(rng, 24)
    np.savez(tmp_path / "calib.npz", allow_pickle=False, labels=np.arange(24), **data)
    np.save(tmp_path / "calib.npy", data["x"], allow_pickle=False)
    np.save(tmp_path / "nan.npy", np.full_like(data["x"], np.nan), allow_pickle=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = ["quantize", "net.onnx", "--data", "calib.npz", "-o", "out.onnx"]


def test_writes_a_model_and_says_how_close_it_is(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(GIVEN) == 0
    said = capfd.readouterr()
    assert "5 nodes quantized, 0 left in float32" in said.out
    assert "logits" in said.out
    assert "wrote out.onnx" in said.err
    ops = {n.op.op_type for n in load(folder / "out.onnx").nodes}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= ops


def test_a_lone_array_will_do(folder: Path) -> None:
    assert run(["quantize", "net.onnx", "--data", "calib.npy", "-o", "lone.onnx", "-q"]) == 0
    assert run([*GIVEN, "-q"]) == 0
    assert (folder / "lone.onnx").read_bytes() == (folder / "out.onnx").read_bytes()


def test_verbose_tells_ranges_and_reasons(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*GIVEN, "-v", "--exclude", "n5_Conv"]) == 0
    said = capfd.readouterr().out
    assert "n5_Conv" in said
    assert "it is excluded" in said
    assert "scale" in said


def test_json(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*GIVEN, "--json", "--method", "percentile", "--percentile", "99.9"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["command"] == "quantize"
    assert len(found["quantized"]) == 5
    assert found["agreement"][0]["cosine"] > 0.99
    assert set(found["ranges"]["x"]) == {"low", "high"}


def test_choices_reach_the_model(folder: Path) -> None:
    choices = ["--per-tensor", "--weight-bits", "7", "--ops", "Conv"]
    assert run([*GIVEN, *choices]) == 0
    held = load(folder / "out.onnx").initializers
    assert held["w1_scale"].type.static_shape == ()
    codes = held["w1_quantized"].const
    assert codes is not None
    assert np.abs(codes.numpy()).max() == 63
    assert "w4_quantized" not in held


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--data", "nan.npy"], 3, "E0711"),
        (["--ops", "Conf"], 2, "did you mean `Conv`"),
        (["--exclude", "n0_Conf"], 2, "did you mean `n0_Conv`"),
        (["--method", "percentile", "--percentile", "7"], 2, "E0713"),
        (["--data", "none.npz"], 2, "there is no file"),
    ],
)
def test_refusals(
    folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], status: int, says: str
) -> None:
    assert run([*GIVEN, *words]) == status
    assert says in capfd.readouterr().err
    assert not (folder / "out.onnx").exists()


def test_a_missing_folder_is_told_before_work_begins(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["quantize", "net.onnx", "--data", "calib.npz", "-o", "no/out.onnx"]) == 2
    assert "there is no folder `no`" in capfd.readouterr().err

"""Whose model a file, a folder or an object is, and what its source says of its inputs."""

from pathlib import Path

import pytest

from sardonyx.convert.recognise import frameworks, owner_of_file, source_of
from sardonyx.convert.source import Request
from sardonyx.core.errors import ConvertError, NoSuchFile, UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")


def test_files_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    (tmp_path / "lite.bin").write_bytes(b"\x1c\0\0\0TFL3")
    (tmp_path / "net.keras").touch()
    (tmp_path / "net.pt2").touch()
    found = {p.name: owner_of_file(p).name for p in sorted(tmp_path.iterdir())}
    assert found == {
        "lite.bin": "TensorFlow",
        "net.keras": "Keras",
        "net.pt2": "PyTorch",
        "saved": "TensorFlow",
    }
    (tmp_path / "net.txt").write_text("nothing")
    with pytest.raises(UsageError, match="does not name a model"):
        owner_of_file(tmp_path / "net.txt")
    with pytest.raises(NoSuchFile):
        owner_of_file(tmp_path / "none.keras")


def test_every_framework_says_what_it_is() -> None:
    names = [f.name for f in frameworks()]
    assert len(set(names)) == len(names)
    for one in frameworks():
        assert not one.match(3)
        assert one.packages
        assert all("==" in r for r in one.environment)


def test_a_folder_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from convert.architectures import ARCHITECTURES

    model = ARCHITECTURES["layoutlm"]()
    model.save_pretrained(tmp_path / "net")
    source = source_of(tmp_path / "net", Request())
    assert [str(i.spec) for i in source.inputs] == [
        "input_ids=NxS:int64",
        "bbox=NxSx4:int64",
        "attention_mask=NxS:int64",
    ]
    boxes = source.sample({"N": 2, "S": 3}, 0)["bbox"]
    assert (boxes[..., 2:] >= boxes[..., :2]).all()  # type: ignore[index]
    (tmp_path / "net" / "model.safetensors").unlink()
    with pytest.raises(ConvertError) as caught:
        source_of(tmp_path / "net", Request())
    assert caught.value.code == "E0610"

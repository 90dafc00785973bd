"""The commands of the README run as they are written, one after the other."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from cli.call import sardonyx

ROOT = Path(__file__).parent.parent.parent
BEGUN = "$ sardonyx "
NET = """
import torch


def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 7, stride=8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )
"""


def _lines() -> list[list[str]]:
    """The commands on the user's own model."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Your own model")[2].partition("\n## ")[0]
    words = [
        shlex.split(line[len(BEGUN) :], comments=True)
        for line in section.splitlines()
        if line.startswith(BEGUN)
    ]
    assert len(words) >= 8
    return words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_readme_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET, encoding="utf-8")
    for name, rows in (("calib.npz", 16), ("test.npz", 24)):
        x = rng.standard_normal((rows, 3, 224, 224))
        np.savez(name, x=x.astype(np.float32))
    np.save("x.npy", rng.standard_normal((2, 3, 224, 224)).astype(np.float32))
    for words in _lines():
        quick = ["--quick"] if words[0] == "bench" else []
        said = sardonyx(*words, *quick)
        assert said.code == 0, (words, said)
        assert said.out.strip()
    assert {"net.onnx", "net.opt.onnx", "net.int8.onnx"} <= {p.name for p in tmp_path.iterdir()}

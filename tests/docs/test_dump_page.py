"""The page of `dump` edits a stage: its lines run as they are written, one after the other."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cli.call import sardonyx
from graph.sources import parse
from sardonyx.formats import save

PAGE = Path(__file__).parent.parent.parent / "docs" / "commands" / "dump.md"
SOFTMAX = "input x: float32[N, 4]\ny = Softmax<axis=-1>(x)\noutput y"


def test_the_example_halves_a_softmax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Editing a stage")[2]
    lines = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    save(parse(SOFTMAX), "net.onnx")
    runs = []
    for line in lines:
        words = shlex.split(line)
        if words[0] != "sardonyx":
            subprocess.run(words, check=True)
            continue
        said = sardonyx(*words[1:], "--json")
        assert said.code == 0, said
        if words[1] == "run":
            runs.append(np.array(said.data["outputs"]["y"]["data"]))
    interpreted, compiled = runs
    np.testing.assert_allclose(compiled.sum(-1), 0.5, rtol=1e-6)
    np.testing.assert_allclose(interpreted, compiled, rtol=1e-6)

"""Every example runs as it stands and says what it should; the list of examples is complete."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SAYS = {
    "convert_and_compare": "the ONNX model agrees with PyTorch",
    "custom_op": "host steps: []",
    "measure": "against onnxruntime",
    "run_a_model": "0.98201376",
    "symbolic_dims": "error[E0206]",
    "to_int8": "net.int8.onnx agrees with net.onnx",
    "why_they_differ": "cause: resize rule",
}


def test_every_example_is_tried() -> None:
    assert [path.stem for path in SCRIPTS] == sorted(SAYS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(script)]
    ended = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert SAYS[script.stem] in re.sub(r"\s+", " ", ended.stdout)


def test_the_list_says_what_each_example_says_of_itself() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
        assert f"- [{script.name}]({script.name}): {told}\n" in text

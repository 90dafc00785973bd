"""Programs run unchanged: arguments, exit codes, tracebacks and modules are Python's own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sardonyx as sx
from session.models import AFFINE, UNKNOWN, graph

WAYS = {
    "python": [sys.executable],
    "exec": [sys.executable, "-m", "sardonyx", "exec", "-q"],
    "dropin": [sys.executable, "-m", "sardonyx.dropin", "-q"],
}
OURS = pytest.mark.parametrize("way", ["exec", "dropin"])

PROGRAM = """
import atexit, os, pickle, sys
from helper import VALUE
atexit.register(print, "at exit")

class Own:
    pass

print(sys.argv[1:], __name__, os.path.basename(__file__), VALUE, __spec__, sys.path[0])
print(type(pickle.loads(pickle.dumps(Own()))) is Own, sys.modules["__main__"].Own is Own)
"""


def _call(way: str, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*WAYS[way], *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def _same(way: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    ours, plain = _call(way, *words, cwd=cwd), _call("python", *words, cwd=cwd)
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        plain.returncode,
        plain.stdout,
        plain.stderr,
    )
    return ours


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("VALUE = 5\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("import sys; print(__package__, sys.argv[1:])")
    return tmp_path


@OURS
@pytest.mark.parametrize(
    "words",
    [
        ["program.py", "--json", "x", "-m", "-q"],
        ["-m", "helper", "--help"],
        ["-m", "package", "-c", "1"],
        ["package", "a"],
        ["-c", "import sys, helper; print(sys.argv, helper.VALUE)", "-h"],
        ["-c", "import sys; sys.exit(7)"],
        ["-c", "import sys; sys.exit('said')"],
        ["-c", "import sys; sys.excepthook = lambda *e: print(e[0]); 1 / 0"],
    ],
)
def test_as_python_runs_it(way: str, words: list[str], folder: Path) -> None:
    _same(way, *words, cwd=folder)


@OURS
def test_tracebacks_begin_in_the_program(way: str, folder: Path) -> None:
    text = "def f():\n    raise KeyError('lost')\n\ntry:\n    f()\nfinally:\n    print('left')\n"
    (folder / "fails.py").write_text(text)
    said = _same(way, folder / "fails.py", cwd=folder)
    assert said.returncode == 1
    assert "KeyError: 'lost'" in said.stderr


@OURS
def test_interrupts_are_the_programs(way: str, folder: Path) -> None:
    (folder / "waits.py").write_text(
        "import time\nprint('ready', flush=True)\ntry:\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('caught')\n    raise\n"
    )
    made = subprocess.Popen(
        [*WAYS[way], "waits.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert made.stdout is not None
    assert made.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    os.kill(made.pid, signal.SIGINT)
    out, err = made.communicate(timeout=30)
    assert out == b"caught\n"
    assert b"KeyboardInterrupt" in err
    assert made.returncode == 130


USES = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
for _ in range(3):
    print(session.run(None, {"x": np.ones((2, 3), np.float32)})[0].tolist())
for call in (lambda: ort.nothing, lambda: ort.InferenceSession(sys.argv[2]),
             lambda: session.run(None, {"z": 1})):
    try:
        call()
    except Exception:
        pass
"""


@pytest.fixture
def report(folder: Path) -> dict[str, Any]:
    sx.save(graph(AFFINE), folder / "net.onnx")
    sx.save(graph(UNKNOWN), folder / "odd.onnx")
    (folder / "uses.py").write_text(USES)
    said = _call("exec", "--json", "r.json", "uses.py", "net.onnx", "none.onnx", cwd=folder)
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads((folder / "r.json").read_text())
    return found


def test_the_report_says_what_ran_and_what_is_missing(report: dict[str, Any]) -> None:
    made, refused = report["sessions"]
    assert made["model"] == "net.onnx"
    assert made["provider"] == "CPUExecutionProvider"
    assert made["runs"] == 4
    assert made["host_steps"] == []
    assert made["errors"] == ["InvalidArgument: E0202: the model has no input `z`"]
    assert refused["provider"] == ""
    assert "E0101" in refused["errors"][0]
    assert report["missing"] == {"onnxruntime.nothing": 1}


def test_the_report_in_words(folder: Path) -> None:
    sx.save(graph(AFFINE), folder / "net.onnx")
    (folder / "uses.py").write_text(USES)
    command = [sys.executable, "-m", "sardonyx", "exec", "uses.py", "net.onnx", "none.onnx"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    lines = said.stderr.splitlines()
    assert lines[0].startswith("sardonyx: net.onnx: CPUExecutionProvider, made in ")
    assert lines[0].endswith("0 host steps")
    assert "sardonyx: none.onnx: not made" in lines
    assert lines[-1] == "sardonyx: missing: onnxruntime.nothing (asked for 1×)"


@OURS
def test_what_is_no_program(way: str, tmp_path: Path) -> None:
    assert "E0901" in _call(way).stderr
    missing = _call(way, tmp_path / "none.py")
    assert "E0101" in missing.stderr
    assert missing.returncode == 2

"""The demo, whole and reduced: its figures, its files, its commands, and how it ends early."""

import importlib.util
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sardonyx.bench import Plan
from sardonyx.cli.commands import demo as command
from sardonyx.cli.main import run
from sardonyx.cli.output import Output
from sardonyx.core.errors import UsageError
from sardonyx.demo import stages
from sardonyx.demo.folder import fresh
from sardonyx.demo.stages import INT8, ORT, ORT_INT8, OURS, PEER, PYTORCH, Demo
from sardonyx.providers.registry import providers

REDUCED = Plan(pairs=2, restarts=1, block=0.004, timeout=120.0)
FILES = [
    "calib.npz",
    "digits.int8.onnx",
    "digits.onnx",
    "digits.opt.onnx",
    "labels.npy",
    "report.html",
    "test.npz",
]


@dataclass
class Done:
    """A finished demo: where, what it printed, and what it left in memory."""

    home: Path
    told: dict[str, Any]
    demo: Demo

    @property
    def folder(self) -> Path:
        return self.home / self.demo.folder


def _refuse(*_: object) -> None:
    raise AssertionError("the demo reached for the network")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(socket, "getaddrinfo", _refuse)
        patch.setattr(socket.socket, "connect", _refuse)
        text = io.StringIO()
        with redirect_stdout(text):
            out = Output(json=True)
            demo = command.run(Path("my demo"), out, REDUCED, batches=(1,))
        yield Done(home, json.loads(text.getvalue()), demo)


def test_labels_are_right(done: Done) -> None:
    rows = {row["label"]: row for row in done.told["accuracy"]}
    assert set(rows) == {OURS, INT8, PYTORCH, ORT, ORT_INT8}
    assert rows[PYTORCH]["accuracy"] >= 0.97
    assert rows[OURS]["as_pytorch"] == rows[ORT]["as_pytorch"] == 450
    assert rows[INT8]["as_pytorch"] >= 440


def test_model_agrees_with_pytorch_at_every_batch(done: Done) -> None:
    found = done.told["compare"]
    assert found["agree"]
    rows = {row["at"]: row for row in found["rows"]}
    assert {at: row["runs"] for at, row in rows.items()} == {
        "batch 1": 450,
        "batch 7": 65,
        "batch 450": 1,
    }
    assert all(row["argmax"] == 1.0 and row["max_rel"] < 1e-5 for row in rows.values())


def test_batch_is_symbolic(done: Done) -> None:
    (port,) = done.told["convert"]["inputs"]
    assert port == {"name": "image", "type": "float32[N,1,8,8]"}


def test_optimizing_leaves_less(done: Done) -> None:
    before, after = done.told["optimize"]["nodes"]
    assert after < before
    assert done.told["optimize"]["rules"]


def test_all_of_it_is_compiled(done: Done) -> None:
    found = done.told["run"]
    assert found["host_steps"] == 0
    assert found["kernels"] > 0
    assert "N" in found["peak_bytes"]


def test_int8_is_close(done: Done) -> None:
    found = done.told["quantize"]
    assert found["comparison"]["agree"]
    assert len(found["quantized"]) == 5


def test_everybody_is_measured_in_turns(done: Done) -> None:
    (row,) = done.told["bench"]["1"]["rows"]
    assert row["reference"] == "float64 outputs"
    assert set(row["ratios"]) == {INT8, PYTORCH, ORT, ORT_INT8}
    errors = {f["label"]: f["error"] for f in (row["subject"], *row["others"])}
    assert all(errors[label] < 1e-6 for label in (OURS, PYTORCH, ORT))
    assert 1e-4 < errors[INT8] < 0.1
    assert errors[ORT_INT8] > 1e-4, "how far it is off depends on whether its sums saturate here"


def test_folder_holds_what_was_told_and_nothing_lies_beside_it(done: Done) -> None:
    assert done.told["files"] == FILES
    assert sorted(path.name for path in done.folder.iterdir()) == FILES
    assert [path.name for path in done.home.iterdir()] == ["my demo"]


def test_models_are_valid_onnx(done: Done) -> None:
    for name in ("digits.onnx", "digits.opt.onnx", "digits.int8.onnx"):
        model = onnx.load(done.folder / name)
        onnx.checker.check_model(model, full_check=True)


def test_calibration_and_test_rows_are_different_images(done: Done) -> None:
    rows = {name: np.load(done.folder / f"{name}.npz")["image"] for name in ("calib", "test")}
    seen = {x.tobytes() for x in rows["calib"]}
    assert not any(x.tobytes() in seen for x in rows["test"])
    assert len(np.load(done.folder / "labels.npy")) == len(rows["test"]) == 450


def test_report_is_whole(done: Done) -> None:
    text = (done.folder / "report.html").read_text(encoding="utf-8")
    for words in ("Trained", "Compared with PyTorch", "Measured", INT8, "A quick measurement"):
        assert words in text
    assert text.count("<svg") == 3
    assert text.endswith("</html>\n")
    assert str(done.home) not in text


@pytest.mark.parametrize("n", range(3))
def test_suggested_commands_work_as_they_stand(done: Done, n: int) -> None:
    line = done.told["try"][n]
    ended = subprocess.run(
        line, shell=True, cwd=done.home, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


def test_summary_names_everybody_and_everything(
    done: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    command._print(done.demo, Path("my demo"), done.told["try"])
    said = capsys.readouterr().out
    for words in (OURS, INT8, PYTORCH, ORT, ORT_INT8, "my demo/report.html", "A quick measurement"):
        assert words in said
    assert all(line in said for line in done.told["try"])


def test_a_missing_peer_is_left_out_and_said_so(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = providers()[PEER]
    monkeypatch.setattr(type(provider), "missing", lambda _: "pip install onnxruntime")
    monkeypatch.setattr(done.demo, "notes", [])
    found = stages.contenders(done.demo, done.home / "weights.npz")
    assert [c.label for c in found] == [INT8, PYTORCH]
    assert "not installed: pip install onnxruntime" in done.demo.notes[0]


@pytest.mark.parametrize("module", ["torch", "sklearn", "onnxscript"])
def test_missing_packages_are_named_with_the_way_to_get_them(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else found(n))
    assert run(["demo", "-o", str(tmp_path / "d")]) == 2
    said = capsys.readouterr().err
    assert f"the demo needs {stages.NEEDED[module]}" in said
    assert "pip install 'sardonyx[demo]'" in said
    assert not list(tmp_path.iterdir())


def _writing(name: str) -> Callable[[Demo, stages.Progress], str]:
    def stage(demo: Demo, progress: stages.Progress) -> str:
        demo.file(f"{name}.onnx").write_bytes(b"half")
        progress(0.5)
        return "done"

    return stage


def _interrupted(demo: Demo, progress: stages.Progress) -> str:
    demo.file("half.onnx").write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", range(len(stages.STAGES)))
@pytest.mark.parametrize("before", [False, True])
def test_an_interrupt_at_any_stage_leaves_things_as_they_were(
    at: int, before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, _ in stages.STAGES]
    faked = [(name, _interrupted if n == at else _writing(name)) for n, name in enumerate(names)]
    monkeypatch.setattr(stages, "STAGES", tuple(faked))
    target = tmp_path / "d"
    if before:
        target.mkdir()
        (target / "report.html").write_text("earlier")
    assert run(["demo", "-q", "-o", str(target)]) == 130
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == ({"d", "d/report.html"} if before else set())


def test_a_signal_ends_the_real_thing_without_a_trace(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sardonyx", "demo", "-o", str(tmp_path / "d")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("1/8 train"):
                break
        assert list(tmp_path.iterdir())
        os.kill(process.pid, signal.SIGINT)
        assert "interrupted" in process.stderr.read()
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "d"
    for text in ("one", "two"):
        with fresh(target) as folder:
            (folder / "report.html").write_text(text)
            (folder / text).write_text(text)
    assert sorted(path.name for path in target.iterdir()) == ["report.html", "two"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    with fresh(tmp_path / "a" / "d") as folder:
        (folder / "x").write_text("x")
    assert (tmp_path / "a" / "d" / "x").is_file()
    (tmp_path / "empty").mkdir()
    with fresh(tmp_path / "empty") as folder:
        (folder / "x").write_text("x")
    assert (tmp_path / "empty" / "x").is_file()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_other_peoples_things_are_not_touched(tmp_path: Path, kind: str) -> None:
    target, other = tmp_path / "d", tmp_path / "other"
    other.mkdir()
    if kind == "folder":
        target.mkdir()
        (target / "thesis.tex").write_text("x")
    elif kind == "file":
        target.write_text("x")
    else:
        target.symlink_to(other)
    with pytest.raises(UsageError, match="is there already") as caught, fresh(target):
        pytest.fail("the folder was made")
    assert caught.value.code == "E0931"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "other"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot make"), fresh(tmp_path / "file" / "d"):
        pytest.fail("the folder was made")


def test_the_program_is_called_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sardonyx"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert shlex.split(command.suggestions(Path("d"))[0])[0] == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.suggestions(Path("d"))[0].startswith("sardonyx show d")

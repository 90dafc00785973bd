"""The command line as a whole: forms, streams, exit codes, suggestions."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.call import SOURCE, sardonyx
from sardonyx import __version__
from sardonyx.cli import main, output
from sardonyx.cli.commands import __path__ as places
from sardonyx.cli.main import SUMMARIES
from sardonyx.core.errors import SardonyxError
from sardonyx.core.escape import dumps
from sardonyx.formats import load, save
from sardonyx.graph.text import from_text
from session.models import AFFINE, QUANTIZED, UNKNOWN, graph

ENV = {**os.environ, "PYTHONPATH": str(SOURCE)}
COMMAND = [sys.executable, "-m", "sardonyx"]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    save(graph(AFFINE), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def _calls(net: Path) -> dict[str, list[object]]:
    """A call of every command that needs no training and no other process."""
    return {
        "check": ["check", net],
        "compare": ["compare", net, "--against-provider", "reference"],
        "doctor": ["doctor"],
        "dump": ["dump", net],
        "explain": ["explain", "E0203"],
        "explain model": ["explain", net],
        "ops": ["ops", "Softmax"],
        "optimize": ["optimize", net, "-o", net.parent / "out.onnx"],
        "run": ["run", net, "--dim", "N=2"],
        "show": ["show", net],
        "upgrade": ["upgrade", net, "--dry-run"],
    }


@pytest.mark.parametrize("name", _calls(Path("net.onnx")))
def test_every_command_speaks_json(name: str, net: Path) -> None:
    call = _calls(net)[name]
    said = sardonyx(*call, "--json")
    assert said.code == 0, said
    assert said.data["schema"] == output.SCHEMA
    assert said.data["command"] == call[0]
    plain = sardonyx(*call)
    assert plain.code == 0
    assert plain.out.strip()
    assert not plain.out.startswith("{")
    quiet = sardonyx(*call, "--quiet")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out.strip()
    loud = sardonyx(*call, "--verbose")
    assert loud.code == 0


def test_every_command_has_a_summary_and_help_with_examples_first() -> None:
    names = {p.stem for place in places for p in Path(place).glob("[a-z]*.py")}
    assert names == set(SUMMARIES)
    whole = sardonyx("--help")
    assert whole.code == 0
    for name in names:
        assert f"\n  {name} " in whole.out
        said = sardonyx(name, "--help")
        assert said.code == 0
        example = said.out.index(f"  sardonyx {name}")
        assert example < said.out.index("Options:")
        for flag in ("--json", "--quiet", "--verbose"):
            assert flag in said.out


def test_version_is_quick_and_needs_no_numpy() -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "from sardonyx.cli.main import run\n"
        "assert run(['--version']) == 0\n"
        "spent = time.process_time() - start\n"
        "heavy = {'numpy', 'rich', 'llvmlite', 'ml_dtypes'} & set(sys.modules)\n"
        "print(spent, sorted(heavy))"
    )
    spent = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENV
        )
        version, _, line = done.stdout.partition("\n")
        assert version.endswith(__version__)
        seconds, _, heavy = line.partition(" ")
        assert heavy.strip() == "[]"
        spent.append(float(seconds))
    assert min(spent) < 0.1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["shwo"], "did you mean `sardonyx show`?"),
        (["run", "--inptu", "x"], "did you mean `--input`?"),
        (["run"], "Missing argument 'MODEL'"),
        (["run", "m.onnx", "--threads", "0"], "Invalid value for '--threads'"),
        (["explain", "E0200"], "did you mean E02"),
        (["explain", "nonsense"], "neither an error code nor a model file"),
        (["ops", "Sofmax"], "did you mean `Softmax`?"),
        (["optimize", "m.onnx"], "Missing option '-o'"),
    ],
)
def test_wrong_words_are_usage_errors(args: list[str], said: str) -> None:
    found = sardonyx(*args)
    assert found.code == 2
    assert found.err.startswith("error[E09")
    assert said in found.err
    assert found.out == ""
    asked = sardonyx(*args, "--json")
    assert asked.code == 2
    error = asked.data["error"]
    assert error["exit_code"] == 2
    assert error["code"].startswith("E09")
    assert asked.data["schema"] == output.SCHEMA


def test_carets_stand_under_the_wrong_character(net: Path) -> None:
    for args, word, at in (
        (["run", net, "--dim", "N"], "N", 0),
        (["run", net, "--input", "x=3x4"], "x=3x4", 2),
        (["convert", "a.py:b", "--input", "x=Nx3x?", "-o", net.parent / "b.onnx"], "x=Nx3x?", 6),
    ):
        said = sardonyx(*args)
        assert said.code == 2
        lines = said.err.splitlines()
        row = next(n for n, line in enumerate(lines) if line.strip() == word)
        assert lines[row + 1].rstrip() == lines[row].replace(word, " " * at + "^")


def test_errors_as_json_and_as_text(net: Path) -> None:
    said = sardonyx("run", net, "--input", "z=x.npy", "--json")
    assert said.code == 2
    assert said.data["command"] == "run"
    assert said.data["error"]["code"] == "E0202"
    assert said.data["error"]["wanted"] == "x"
    assert said.err.startswith("error[E0202]")


def test_exit_codes_of_answers(net: Path, tmp_path: Path) -> None:
    save(graph(AFFINE.replace("6.0", "7.0")), tmp_path / "other.onnx")
    save(graph(UNKNOWN), tmp_path / "unknown.onnx")
    assert sardonyx("compare", net, tmp_path / "other.onnx").code == 1
    assert sardonyx("compare", net, net).code == 0
    assert sardonyx("check", tmp_path / "unknown.onnx").code == 0
    assert sardonyx("check", tmp_path / "unknown.onnx", "--strict").code == 1
    said = sardonyx("check", tmp_path / "unknown.onnx", "--json")
    assert said.data["valid"] is True
    assert said.data["findings"][0]["code"] == "E0401"


def test_our_own_faults_exit_with_70(monkeypatch: pytest.MonkeyPatch, net: Path) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("sardonyx.cli.commands.show.examine", fail)
    said = sardonyx("show", net)
    assert said.code == 70
    assert "error[E0999]: our own fault: ZeroDivisionError: a fault" in said.err
    assert "Please report this" in said.err
    assert "test_main.py" in said.err


def test_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, net: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sardonyx.cli.commands.show.examine", interrupt)
    said = sardonyx("show", net)
    assert (said.code, said.out, said.err.strip()) == (130, "", "interrupted")


LONG = """
graph counting {
  opset "" 20
  input x: float32[65536]
  const trips: int64[] = {9000000}
  const go: bool[] = {1}
  y = Loop<body=graph body {
      opset "" 20
      input i: int64[]
      input c: bool[]
      input a: float32[65536]
      b = Sin(a)
      d = Identity(c)
      output d
      output b
    }>(trips, go, x)
  output y
}
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_run(tmp_path: Path) -> None:
    save(graph(LONG), tmp_path / "long.onnx")
    target = tmp_path / "out.npz"
    # Where this process ignores SIGINT, as jobs in the background do, the child would as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(
        [*COMMAND, "run", str(tmp_path / "long.onnx"), "-o", str(target)],
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    )
    assert child.stderr is not None
    assert "random" in child.stderr.readline()
    time.sleep(2.5)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.onnx"]


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(net: Path) -> None:
    done = subprocess.run(
        f"{' '.join(COMMAND)} ops | head -2",
        shell=True,
        capture_output=True,
        text=True,
        env=ENV,
        check=True,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2


def test_off_terminals_there_are_no_colours_and_no_broken_lines(net: Path) -> None:
    said = sardonyx("show", net)
    assert "\x1b" not in said.out + said.err
    assert not any(line.endswith(" ") for line in said.out.splitlines())


def test_no_color_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.console().no_color is True
    monkeypatch.delenv("NO_COLOR")
    assert output.console().no_color is False


def test_standard_streams_as_files(net: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        [*COMMAND, "optimize", "-", "-o", "-"],
        input=net.read_bytes(),
        capture_output=True,
        env=ENV,
        check=True,
    )
    assert load(made.stdout).inputs[0].name == "x"
    assert b"operator" in made.stderr
    said = sardonyx("run", net, "--dim", "N=2", "-o", tmp_path / "out.npz")
    assert said.code == 0
    with np.load(tmp_path / "out.npz") as found:
        assert found["y"].shape == (2, 2)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_inputs_of_every_kind_of_file(suffix: str, net: Path, tmp_path: Path) -> None:
    x = np.array([[1, 2, 3], [0, 1, 0]], np.float32)
    path = tmp_path / f"given{suffix}"
    if suffix == ".npz":
        np.savez(path, x=x)
    elif suffix == ".npy":
        np.save(path, x)
    else:
        path.write_text(json.dumps({"x": x.tolist()}))
    for item in (f"x={path}", str(path)):
        said = sardonyx("run", net, "--input", item, "--json")
        assert said.code == 0, said
        wanted = x @ [[1, 2], [3, 4], [5, 6]] + [0.5, -0.5]
        np.testing.assert_allclose(said.data["outputs"]["y"]["data"], wanted)


def test_made_up_inputs_follow_the_seed(net: Path) -> None:
    one, same, other = (
        sardonyx("run", net, "--seed", seed, "--json").data["outputs"] for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_numbers_that_json_lacks() -> None:
    made = dumps(
        {
            "a": float("nan"),
            "b": [float("inf"), -float("inf")],
            "c": np.array([1.5, np.nan], np.float32),
            "d": np.array([1 + 2j]),
            "e": np.int64(3),
        }
    )
    assert json.loads(made) == {
        "a": "NaN",
        "b": ["Infinity", "-Infinity"],
        "c": [1.5, "NaN"],
        "d": [[1.0], [2.0]],
        "e": 3,
    }


def test_names_from_models_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    text = AFFINE.replace("x", "evil")
    made = graph(text)
    made.inputs[0].name = "\x1b]0;title\x07\u202eevil"
    made.nodes[0].name = "\x1b[2J"
    save(made, tmp_path / "net.onnx")
    for verb in ("show", "check", "run", "dump"):
        said = sardonyx(verb, tmp_path / "net.onnx")
        for bad in ("\x1b", "\x07", "\u202e"):
            assert bad not in said.out, verb
            assert bad not in said.err, verb


def test_stages_and_nodes_by_name(net: Path) -> None:
    for stage in ("graph", "pass:fold", "loops", "schedule", "llvm", "asm"):
        said = sardonyx("dump", net, "--stage", stage)
        assert said.code == 0, said
        assert said.out.strip()
    for node in ("0", "product"):
        said = sardonyx("dump", net, "--node", node)
        assert "MatMul" in said.out
        assert "Add" not in said.out
    assert "did you mean `loops`?" in sardonyx("dump", net, "--stage", "loop").err
    wrong = sardonyx("dump", net, "--node", "prodct")
    assert "did you mean `product`?" in wrong.err


def test_show_says_what_running_takes(tmp_path: Path) -> None:
    save(graph(QUANTIZED), tmp_path / "net.onnx")
    said = sardonyx("show", tmp_path / "net.onnx", "--dim", "N=8", "--json").data
    assert said["inputs"] == [{"name": "x", "type": "float32[N,3]", "default": False}]
    assert said["parameters"] == 10
    assert said["operations_at"] > 0
    assert said["peak_bytes_at"] >= 8 * (3 + 2) * 4
    wrong = sardonyx("show", tmp_path / "net.onnx", "--dim", "M=8")
    assert wrong.code == 2
    assert "E0230" in wrong.err


def test_every_unforeseen_error_has_a_form() -> None:
    rows: list[tuple[Exception, int, str]] = [
        (PermissionError(13, "Permission denied", "x.onnx"), 2, "E0101"),
        (MemoryError(), 4, "E0506"),
        (OSError(12, "Cannot allocate memory"), 4, "E0506"),
        (ValueError("x"), 70, "E0999"),
    ]
    for error, code, name in rows:
        found: SardonyxError = output._known(error)
        assert (found.exit_code, found.code) == (code, name)


def test_main_leaves_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for args, code in ((["--version"], 0), (["nothing"], 2)):
        with pytest.raises(SystemExit) as left:
            main.main(args)
        assert left.value.code == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_verbs_and_options(shell: str) -> None:
    env = {**ENV, "COMP_WORDS": "sardonyx sho", "COMP_CWORD": "1"}
    script = subprocess.run(
        COMMAND,
        env={**ENV, "_SARDONYX_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_SARDONYX_COMPLETE" in script.stdout
    if shell != "bash":
        return
    done = subprocess.run(
        COMMAND,
        env={**env, "_SARDONYX_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,show"]


def test_bench_with_a_provider_of_ours(net: Path) -> None:
    said: Any = sardonyx(
        "bench", net, "--against", "reference", "--dim", "N=2", "--quick", "--json"
    )
    assert said.code == 0, said
    assert said.data["command"] == "bench"
    assert said.data["rows"][0]["ratios"]["reference"]["median"] > 0


def _plain_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("module", ["click", "numpy", "sardonyx.formats", "sardonyx.session"])
def test_an_interrupt_during_imports_ends_with_130(module: str) -> None:
    told = [sys.executable, "-X", "importtime", *COMMAND[1:], "run", "-"]
    with subprocess.Popen(
        told,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENV,
        preexec_fn=_plain_interrupts,  # noqa: PLW1509
    ) as process:
        assert process.stderr is not None
        while process.stderr.readline().split(b"|")[-1].strip() != module.encode():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert b"Traceback" not in err


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_closed_standard_streams_are_nowhere(closed: str) -> None:
    shut = " ".join(f"{n}>&-" for n in closed.split())
    line = f"{' '.join(COMMAND)} ops {shut}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=ENV, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_full_disk_under_standard_output_is_told(form: str) -> None:
    line = f"{' '.join(COMMAND)} ops {form} > /dev/full"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=ENV, check=False)
    assert done.returncode == 2
    assert "E01" in done.stderr
    assert "Traceback" not in done.stderr


def test_hostile_names_are_explained_in_printable_characters(tmp_path: Path) -> None:
    path, held = tmp_path / "net.onnx", graph(AFFINE)
    for node in held.nodes:
        node.name = node.outputs[0].name = "\x1b]0;x\x07\x9b31m\u202e"  # type: ignore[union-attr]
    save(held, path)
    said = sardonyx("explain", path)
    assert said.code == 0
    assert "\\x1b]0;x" in said.out
    assert all(c.isprintable() or c == "\n" for c in said.out)


def test_json_of_hostile_names_is_harmless_and_exact(tmp_path: Path) -> None:
    name = '\x1b]0;x\x07\x9b31m\u202e\u2028"\\\x00\x7f'
    path = tmp_path / "net.onnx"
    held = graph(AFFINE)
    held.inputs[0].name = name
    save(held, path)
    said = sardonyx("show", path, "--json")
    assert said.code == 0
    assert said.data["inputs"][0]["name"] == name
    assert all(c.isprintable() or c == "\n" for c in said.out)


def test_optimize_raises_the_opset(net: Path, tmp_path: Path) -> None:
    made = tmp_path / "new.onnx"
    assert sardonyx("optimize", net, "--level", "off", "--opset", "23", "-o", made).code == 0
    assert load(made).opsets[""] == 23
    assert sardonyx("compare", net, made).code == 0
    said = sardonyx("optimize", made, "--opset", "9", "-o", tmp_path / "old.onnx")
    assert said.code == 2
    assert "E0347" in said.err


def test_upgrade_goes_both_ways_and_lists_what_cannot(net: Path, tmp_path: Path) -> None:
    made, old = tmp_path / "new.onnx", tmp_path / "old.onnx"
    assert sardonyx("upgrade", net, "-o", made).code == 0
    assert sardonyx("upgrade", made, "--opset", "13", "-o", old).code == 0
    assert load(old).opsets[""] == 13
    assert sardonyx("compare", net, old).code == 0
    said = sardonyx("upgrade", made, "--opset", "13")
    assert said.code == 2
    save(from_text(CASTS), made)
    said = sardonyx("upgrade", made, "--opset", "11", "-o", tmp_path / "none.onnx", "--json")
    assert said.code == 1
    assert "bfloat16" in said.data["refused"][0]["reason"]
    assert not (tmp_path / "none.onnx").exists()


CASTS = """graph casts {
  opset "" 13
  input x: float32[2]
  y = Cast<to=16>(x)
  output y
}
"""

"""Whatever is wrong with a model or a call: the right code, the right exit, in bounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.call import sardonyx, watched
from sardonyx.core.errors import SardonyxError
from sardonyx.formats import save
from sardonyx.session import InferenceSession
from session.hostile import MIB, MODELS
from session.models import AFFINE, SHARED, graph

BOMBS = {"inlining bomb", "doubling", "doubled constant", "endless loop", "large", "larger"}
EXITS = {"InvalidProtobuf": 3, "InvalidGraph": 3, "LimitExceeded": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name in MODELS:
        (made / f"{name}.onnx").write_bytes(MODELS[name]().data)
    return made


def _told(err: str) -> str:
    start = err.find("error[") + len("error[")
    return err[start : start + 5]


@pytest.mark.parametrize("name", [n for n in MODELS if n not in BOMBS])
def test_commands_on_a_bad_model(name: str, folder: Path) -> None:
    bad = MODELS[name]()
    path = folder / f"{name}.onnx"
    for verb in ("show", "check", "run"):
        said = sardonyx(verb, path)
        wanted = getattr(bad, verb)
        assert said.code == wanted, said
        assert "Traceback" not in said.err
        if wanted > 1:
            assert _told(said.err) in bad.codes
            assert name in said.err
            assert said.out == ""
        if wanted == 1:
            assert any(code in said.out for code in bad.codes)


def _make_and_run(path: Path) -> None:
    session = InferenceSession(path)
    feeds = {}
    for given in session.get_inputs():
        shape = [d if isinstance(d, int) else 2 for d in given.shape]
        feeds[given.name] = np.ones(shape, np.float32)
    session.run(None, feeds)


@pytest.mark.parametrize("name", MODELS)
def test_sessions_on_a_bad_model(name: str, folder: Path) -> None:
    bad = MODELS[name]()
    if name == "doubled constant":
        pytest.skip("takes its quarter of a GiB; the command's test has it")
    with pytest.raises(SardonyxError) as caught:
        _make_and_run(folder / f"{name}.onnx")
    assert caught.value.code in bad.codes
    assert caught.value.exit_code == bad.run
    assert caught.value.file == str(folder / f"{name}.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_end_within_bounds(name: str, folder: Path) -> None:
    bad = MODELS[name]()
    path = folder / f"{name}.onnx"
    said = watched("run", path)
    assert said.code == bad.run, said
    assert _told(said.err) in bad.codes
    assert said.peak < 1024 * MIB
    assert said.seconds < 30
    for verb in ("show", "check"):
        assert sardonyx(verb, path).code == getattr(bad, verb)


def test_bad_calls(tmp_path: Path) -> None:
    net, shared = tmp_path / "net.onnx", tmp_path / "shared.onnx"
    save(graph(AFFINE), net)
    save(graph(SHARED), shared)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "good": np.ones((2, 3), np.float32),
        "double": np.ones((2, 3)),
        "rank": np.ones(3, np.float32),
        "wide": np.ones((2, 4), np.float32),
        "two": np.ones((2, 2), np.float32),
        "three": np.ones((3, 2), np.float32),
    }
    for name, x in arrays.items():
        np.save(tmp_path / f"{name}.npy", x)
    rows = [
        (net, ["x=good.npy"], 0, ""),
        (net, ["z=good.npy"], 2, "E0202"),
        (net, ["x=double.npy"], 2, "E0203"),
        (net, ["x=rank.npy"], 2, "E0205"),
        (net, ["x=wide.npy"], 2, "E0205"),
        (net, ["x=nothing.npy"], 2, "E0101"),
        (shared, ["a=two.npy"], 2, "E0201"),
        (shared, ["a=two.npy", "b=three.npy"], 2, "E0206"),
    ]
    for model, inputs, code, error in rows:
        items = [f"{i.split('=')[0]}={tmp_path / i.split('=')[1]}" for i in inputs]
        flags = [word for item in items for word in ("--input", item)]
        said = sardonyx("run", model, *flags)
        assert said.code == code, said
        assert error in said.err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no numbers",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        + b" " * 60
        + b"\n",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, "
        b"'shape': (1000000000000,), }" + b" " * 43 + b"\n",
        b"PK\x03\x04 and so on",
    ],
    ids=["empty", "text", "cut", "pickle", "huge", "zip"],
)
def test_damaged_arrays(content: bytes, tmp_path: Path) -> None:
    save(graph(AFFINE), tmp_path / "net.onnx")
    for suffix in (".npy", ".npz", ".json"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content)
        said = sardonyx("run", tmp_path / "net.onnx", "--input", f"x={path}")
        assert said.code == 2
        assert "error[E0209]" in said.err


@pytest.mark.parametrize(
    "text", ["{}", "[1, [2]]", '{"x": {}}', "[" * 100000, "1e999", '{"x": [[1, 2, null]]}']
)
def test_json_that_holds_no_arrays(text: str, tmp_path: Path) -> None:
    save(graph(AFFINE), tmp_path / "net.onnx")
    path = tmp_path / "x.json"
    path.write_text(text)
    said = sardonyx("run", tmp_path / "net.onnx", "--input", f"x={path}")
    assert said.code == 2, said
    assert "Traceback" not in said.err


def test_paths_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    save(graph(AFFINE), tmp_path / "net.onnx")
    (tmp_path / "dir.onnx").mkdir()
    for path in (tmp_path / "dir.onnx", tmp_path / "none.onnx", "/dev/null/x.onnx"):
        said = sardonyx("show", path)
        assert (said.code, _told(said.err)) == (2, "E0101")
    near = sardonyx("show", tmp_path / "met.onnx")
    assert f"did you mean `{tmp_path / 'net.onnx'}`?" in near.err
    for target in (tmp_path / "no" / "x.onnx", tmp_path / "dir.onnx", "/proc/x.onnx"):
        said = sardonyx("optimize", tmp_path / "net.onnx", "-o", target)
        assert (said.code, _told(said.err)) == (2, "E0103"), said
    before = sorted(tmp_path.iterdir())
    for target in ("x.npz", "x.txt"):
        said = sardonyx("run", tmp_path / "net.onnx", "-o", tmp_path / "no" / target)
        assert said.code == 2
    said = sardonyx("run", tmp_path / "net.onnx", "-o", tmp_path / "x.txt")
    assert (said.code, _told(said.err)) == (2, "E0914")
    assert sorted(tmp_path.iterdir()) == before

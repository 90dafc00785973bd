"""A model file that changes while a session lives: an error, never the end, never other answers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli.call import SOURCE
from sardonyx.core import knobs
from sardonyx.core.errors import ExternalDataError
from sardonyx.formats import load, save
from sardonyx.formats.stored import Stored
from sardonyx.session import InferenceSession, SessionOptions

ROWS, WIDTH = 4096, 256
IDS = {"ids": np.arange(0, ROWS, 3)}


def _model(path: Path, external: bool) -> Path:
    """Rows of a table of 4 MiB that a run reads as it is; the file that holds the table."""
    table = np.random.default_rng(3).standard_normal((ROWS, WIDTH), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        "rows",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        [numpy_helper.from_array(table, "table")],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, path, save_as_external_data=external, location="table.data")
    return path.with_name("table.data") if external else path


def _cut(path: Path) -> None:
    os.truncate(path, 4096)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\1" * path.stat().st_size)


def _overwrite_in_old_time(path: Path) -> None:
    was = path.stat()
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"\1" * (1 << 20))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _replace(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_bytes(b"another")


HARMFUL = [_cut, _overwrite, _overwrite_in_old_time]
HARMLESS = [_replace, Path.unlink, lambda path: path.chmod(0o640)]
Change = Callable[[Path], Any]


@pytest.fixture(params=[False, True], ids=["inside", "external"])
def external(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def _session(path: Path) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = 2
    return InferenceSession(path, options)


@pytest.mark.parametrize("change", HARMFUL)
def test_a_change_under_a_session_is_an_error(
    change: Change, external: bool, tmp_path: Path
) -> None:
    held = _model(tmp_path / "m.onnx", external)
    session = _session(tmp_path / "m.onnx")
    session.run(None, IDS)
    change(held)
    for _ in range(2):
        with pytest.raises(ExternalDataError) as caught:
            session.run(None, IDS)
        assert caught.value.code == "E0126"


@pytest.mark.parametrize("change", HARMLESS)
def test_a_file_that_is_put_aside_stays_whole(
    change: Change, external: bool, tmp_path: Path
) -> None:
    held = _model(tmp_path / "m.onnx", external)
    session = _session(tmp_path / "m.onnx")
    (before,) = session.run(None, IDS)
    change(held)
    (after,) = session.run(None, IDS)
    assert np.array_equal(before, after)


@pytest.mark.parametrize("change", HARMFUL)
def test_a_copy_does_not_notice(change: Change, external: bool, tmp_path: Path) -> None:
    held = _model(tmp_path / "m.onnx", external)
    with knobs.override(mmap="off"):
        session = _session(tmp_path / "m.onnx")
        (before,) = session.run(None, IDS)
        change(held)
        (after,) = session.run(None, IDS)
    assert np.array_equal(before, after)


@pytest.mark.parametrize("change", HARMFUL)
def test_a_change_between_load_and_session_is_an_error(
    change: Change, external: bool, tmp_path: Path
) -> None:
    held = _model(tmp_path / "m.onnx", external)
    graph = load(tmp_path / "m.onnx")
    change(held)
    with pytest.raises(ExternalDataError):
        InferenceSession(graph).run(None, IDS)
    with pytest.raises(ExternalDataError):
        save(graph, tmp_path / "copy.onnx", external_data=False)
    assert not (tmp_path / "copy.onnx").exists()


def test_a_file_is_saved_over_itself(external: bool, tmp_path: Path) -> None:
    _model(tmp_path / "m.onnx", external)
    graph = load(tmp_path / "m.onnx")
    for _ in range(2):
        save(graph, tmp_path / "m.onnx", external_data=external)
    want = InferenceSession(graph).run(None, IDS)[0]
    assert np.array_equal(want, InferenceSession(tmp_path / "m.onnx").run(None, IDS)[0])


def test_a_reader_and_a_writer_never_mix(tmp_path: Path) -> None:
    held = _model(tmp_path / "m.onnx", True)
    whole = held.read_bytes()
    (want,) = InferenceSession(tmp_path / "m.onnx").run(None, IDS)
    writer = (
        "import sys, time\n"
        "with open(sys.argv[1], 'r+b') as file:\n"
        "    time.sleep(0.5)\n"
        "    for n in range(64):\n"
        "        file.seek(n << 16); file.write(b'\\1' * (1 << 16)); file.flush()\n"
    )
    session = _session(tmp_path / "m.onnx")
    with subprocess.Popen([sys.executable, "-c", writer, str(held)]) as process:
        end = time.monotonic() + 20
        refused = False
        while not refused and time.monotonic() < end:
            try:
                assert np.array_equal(session.run(None, IDS)[0], want)
            except ExternalDataError:
                refused = True
        assert process.wait() == 0
    assert refused
    held.write_bytes(whole)
    assert np.array_equal(_session(tmp_path / "m.onnx").run(None, IDS)[0], want)


def test_what_is_being_written_is_copied(tmp_path: Path) -> None:
    held = _model(tmp_path / "m.onnx", True)
    with held.open("r+b"):
        assert Stored(os.open(held, os.O_RDONLY), "x").map() is None
    assert Stored(os.open(held, os.O_RDONLY), "x").map() is not None
    with knobs.override(mmap="off"):
        assert Stored(os.open(held, os.O_RDONLY), "x").map() is None


ELSEWHERE = """
import ctypes, mmap, sys
import numpy as np
from session.test_changed_files import IDS
from sardonyx.session import InferenceSession
InferenceSession(sys.argv[1]).run(None, IDS)
with open(sys.argv[2], "r+b") as file:
    held = mmap.mmap(file.fileno(), 0)
    file.truncate(4096)
print("alive", flush=True)
held[1 << 20]
"""


def test_other_faults_still_end_the_process(tmp_path: Path) -> None:
    _model(tmp_path / "m.onnx", True)
    (tmp_path / "other").write_bytes(bytes(4 << 20))
    env = {**os.environ, "PYTHONPATH": f"{SOURCE}:{SOURCE.parent / 'tests'}"}
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "m.onnx"), str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.stdout == "alive\n", done.stderr
    assert done.returncode == -7


def test_packed_weights_take_the_place_of_their_originals(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2048])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2048])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    session = InferenceSession(tmp_path / "m.onnx")
    (tensor,) = (v.const for v in session.graph.initializers.values())
    assert tensor is not None
    assert not tensor.is_loaded  # type: ignore[union-attr]
    x = np.ones((2, 2048), np.float32)
    assert np.allclose(session.run(None, {"x": x})[0], x @ weight, atol=1e-2)

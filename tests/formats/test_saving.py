"""Writing: whole or not at all, nothing followed, external data laid out beside the model."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from formats.hostile import external, model_with, positions
from sardonyx import formats
from sardonyx.core.errors import LimitExceeded, NoSuchFile
from sardonyx.formats.files import replacing
from sardonyx.formats.message import find_all
from sardonyx.formats.wire import decode

BIG = np.arange(50_000, dtype=np.float32)
ODD = np.arange(2_000, dtype=np.int64)
TINY = np.ones(3, np.float32)


def model() -> onnx.ModelProto:
    """Three weights: 200 kB, 16 kB and 12 bytes; one more in a Constant."""
    arrays = {"big": BIG, "odd": ODD, "tiny": TINY}
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(BIG, "v"))
    graph = helper.make_graph(
        [constant],
        "g",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [50_000])],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph)


def contents(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(p.name for p in folder.iterdir())


def test_the_file_takes_its_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    formats.save(formats.load(model()), path)
    assert path.read_bytes() == model().SerializeToString()
    assert contents(tmp_path) == ["m.onnx"]


def half_write(path: Path, problem: BaseException) -> None:
    """Writes some bytes, then fails."""
    with replacing(path) as file:
        file.write(b"half")
        raise problem


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (ValueError(), ValueError),
        (OSError(errno.ENOSPC, "full"), NoSuchFile),
    ],
)
def test_a_write_that_fails_leaves_what_stood_there(
    tmp_path: Path, problem: BaseException, kind: type[BaseException]
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(kind):
        half_write(path, problem)
    assert path.read_bytes() == b"old"
    assert contents(tmp_path) == ["m.onnx"]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSuchFile, match="No space left") as caught:
        formats.save(formats.load(model()), tmp_path / "m.onnx")
    assert (caught.value.code, caught.value.file) == ("E0103", str(tmp_path / "m.onnx"))
    assert contents(tmp_path) == []


def test_unwritable_targets(tmp_path: Path) -> None:
    graph = formats.load(model())
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for target in ("absent/m.onnx", "fifo", "folder", "a\0b", "n" * 300):
        with pytest.raises(NoSuchFile) as caught:
            formats.save(graph, tmp_path / target)
        assert caught.value.code == "E0103"
    with pytest.raises(NoSuchFile):
        formats.save(graph, "/dev/null")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.parametrize("name", ["m.onnx", "m.onnx.data"])
def test_ext_write_links_are_replaced_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for kind in ("symbolic", "hard"):
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "hard":
            (folder / name).hardlink_to(victim)
        else:
            (folder / name).symlink_to(victim)
        formats.save(formats.load(model()), folder / "m.onnx", external_data=True)
        assert victim.read_bytes() == b"precious"
        assert not (folder / name).is_symlink()
        onnx.load(folder / "m.onnx")


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_ext_write_a_trap_at_the_data_file_is_refused(tmp_path: Path, kind: str) -> None:
    trap = tmp_path / "m.onnx.data"
    os.mkfifo(trap) if kind == "fifo" else trap.mkdir()
    with pytest.raises(NoSuchFile):
        formats.save(formats.load(model()), tmp_path / "m.onnx", external_data=True)
    assert contents(tmp_path) == ["m.onnx.data"]


def test_large_tensors_go_out_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    formats.save(formats.load(model()), path, external_data=True)
    assert contents(tmp_path) == ["m.onnx", "m.onnx.data"]
    onnx.checker.check_model(str(path))
    theirs = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    np.testing.assert_array_equal(theirs["big"], BIG)
    outside = {
        t.text("name"): {e.text("key"): e.text("value") for e in t.children("external_data")}
        for t in find_all(decode("ModelProto", path.read_bytes()), "TensorProto")
        if t.has("external_data")
    }
    assert set(outside) == {"big", "odd", "v"}
    assert all(int(entry["offset"]) % 4096 == 0 for n, entry in outside.items() if n != "odd")
    again = formats.load(path)
    assert formats.to_proto(again) == model()


def test_a_threshold_says_what_goes_out(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    formats.save(formats.load(model()), path, external_data=100_000)
    assert (tmp_path / "m.onnx.data").stat().st_size < 2 * BIG.nbytes + 4096 + 1
    formats.save(formats.load(path), tmp_path / "in.onnx", external_data=False)
    assert (tmp_path / "in.onnx").read_bytes() == model().SerializeToString()


def test_without_a_word_each_tensor_stays_inside_or_outside(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = tmp_path / "a/m.onnx"
    formats.save(formats.load(model()), first, external_data=100_000)
    second = tmp_path / "other.onnx"
    formats.save(formats.load(first), second)
    assert contents(tmp_path) == ["a", "other.onnx", "other.onnx.data"]
    assert formats.to_proto(formats.load(second)) == model()


def test_a_model_is_saved_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    formats.save(formats.load(model()), path, external_data=True)
    graph = formats.load(path)
    formats.save(graph, path, external_data=100_000)
    held = graph.initializers["odd"].const
    assert held is not None
    assert held.numpy().tolist() == ODD.tolist()
    assert formats.to_proto(formats.load(path)) == model()


def test_ext_pos_every_position_is_written_outside_and_inside(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "w.bin").write_bytes(bytes(range(32)))
    for position in positions():
        (home / "m.onnx").write_bytes(model_with(external("w.bin"), position))
        graph = formats.load(home / "m.onnx")
        formats.save(graph, tmp_path / "moved.onnx")
        assert (tmp_path / "moved.onnx.data").read_bytes() == bytes(range(32)), position
        moved = formats.load(tmp_path / "moved.onnx")
        assert formats.to_bytes(moved) == formats.to_bytes(graph), position


def test_over_2_gib_is_refused_unless_outside(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 31)
    tensor = external("huge")
    tensor.put("dims", [1 << 31])
    (tmp_path / "m.onnx").write_bytes(model_with(tensor))
    graph = formats.load(tmp_path / "m.onnx")
    with pytest.raises(LimitExceeded) as caught:
        formats.save(graph, tmp_path / "n.onnx", external_data=False)
    assert caught.value.code == "E0105"
    assert contents(tmp_path) == ["huge", "m.onnx"]

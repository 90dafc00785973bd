"""External data: nothing outside the model's folder is ever read, whatever the model says."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from formats.hostile import (
    INSIDE,
    MARKER,
    TRAPS,
    Place,
    build_place,
    external,
    model_with,
    positions,
)
from sardonyx import formats
from sardonyx.core.errors import ExternalDataError, InvalidProtobuf, LimitExceeded, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import Tensor
from sardonyx.formats import files
from sardonyx.formats.encode import encode
from sardonyx.formats.files import Folder, safe_parts
from sardonyx.formats.message import Message, find_all
from sardonyx.formats.wire import decode
from sardonyx.graph.ir import Graph

Entry = Callable[[bytes, Place], Graph]


def by_path(data: bytes, place: Place) -> Graph:
    place.model.write_bytes(data)
    return formats.load(place.model)


ENTRIES: dict[str, Entry] = {
    "path": by_path,
    "bytes": lambda data, place: formats.load(data, base_dir=place.home),
    "file": lambda data, place: formats.load(io.BytesIO(data), base_dir=place.home),
    "proto": lambda data, place: formats.load(
        onnx.ModelProto.FromString(data), base_dir=place.home
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return build_place(tmp_path_factory.mktemp("traps"))


@pytest.fixture(params=["openat2", "walk"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to open beneath a folder: the system call, and a component at a time."""
    if request.param == "walk":
        monkeypatch.setattr(files, "_syscall", None)
    return str(request.param)


def test_ext_pos_positions_come_from_the_schema() -> None:
    found = positions()
    assert ("graph", "initializer") in found
    assert ("graph", "sparse_initializer", "indices") in found
    assert ("training_info", "algorithm", "node", "attribute", "tensors") in found
    assert ("functions", "node", "attribute", "g", "sparse_initializer", "values") in found
    assert ("functions", "attribute_proto", "t") in found
    assert len(found) > 50


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("trap", TRAPS)
def test_ext_read_every_position_refuses_every_trap(place: Place, trap: str, entry: str) -> None:
    location = TRAPS[trap].format(secret=place.secret)
    for position in positions():
        with pytest.raises(ExternalDataError) as caught:
            ENTRIES[entry](model_with(external(location), position), place)
        assert caught.value.code in ("E0120", "E0121")
        assert MARKER.decode() not in str(caught.value)


def test_ext_read_traps_are_refused_by_both_openers(place: Place, opener: str) -> None:
    for location in TRAPS.values():
        with pytest.raises(ExternalDataError):
            by_path(model_with(external(location.format(secret=place.secret))), place)


def test_ext_read_hard_link_to_another_owners_file(
    place: Place, opener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "_owner", lambda self: os.geteuid() + 1)
    for position in positions():
        with pytest.raises(ExternalDataError, match="hard link") as caught:
            by_path(model_with(external("hard.bin"), position), place)
        assert caught.value.code == "E0121"


def test_a_hard_link_to_the_owners_own_file_is_read(place: Place) -> None:
    graph = by_path(model_with(external("hard.bin")), place)
    assert weight(graph).tobytes() == MARKER


def weight(graph: Graph) -> np.ndarray[Any, Any]:
    """The data of the initializer `w`."""
    held = graph.initializers["w"].const
    assert held is not None
    return held.numpy()


@pytest.mark.parametrize("location", ["ok.bin", "./ok.bin", "sub/ok.bin", "within.bin"])
def test_data_in_the_folder_are_read(place: Place, opener: str, location: str) -> None:
    assert weight(by_path(model_with(external(location)), place)).tobytes() == INSIDE


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_position_reads_benign_data(place: Place, entry: str) -> None:
    for position in positions():
        graph = ENTRIES[entry](model_with(external("ok.bin"), position), place)
        inlined = decode("ModelProto", formats.to_bytes(graph))
        held = [t.fields["raw_data"].tobytes() for t in find_all(inlined, "TensorProto")
                if t.has("raw_data")]  # fmt: skip
        assert held == [INSIDE], position


def test_a_download_caches_links_are_followed(tmp_path: Path, opener: str) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/abc/onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "m").write_bytes(model_with(external("model.onnx_data")))
    (blobs / "d").write_bytes(INSIDE)
    (snapshot / "model.onnx").symlink_to("../../../blobs/m")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/d")
    assert weight(formats.load(snapshot / "model.onnx")).tobytes() == INSIDE
    (tmp_path / "secret").write_bytes(MARKER)
    (snapshot / "model.onnx_data").unlink()
    (snapshot / "model.onnx_data").symlink_to("../../../secret")
    with pytest.raises(ExternalDataError):
        formats.load(snapshot / "model.onnx")


def test_ext_toctou_a_link_swapped_in_never_leads_out(tmp_path: Path, opener: str) -> None:
    place = build_place(tmp_path)
    data, target = model_with(external("swap.bin")), place.home / "swap.bin"
    stop = threading.Event()

    def flip() -> None:
        kinds = [lambda p: p.symlink_to("../secret.bin"), lambda p: p.write_bytes(INSIDE)]
        turn = 0
        while not stop.is_set():
            fresh = place.home / f"swap.{turn}"
            kinds[turn % 2](fresh)
            fresh.rename(target)
            turn += 1

    thread = threading.Thread(target=flip)
    thread.start()
    read = refused = 0
    try:
        while (read < 20 or refused < 20) and read + refused < 5000:
            try:
                assert weight(by_path(data, place)).tobytes() == INSIDE
                read += 1
            except ExternalDataError:
                refused += 1
    finally:
        stop.set()
        thread.join()
    assert read
    assert refused


def test_a_file_replaced_after_loading_is_refused(tmp_path: Path) -> None:
    place = build_place(tmp_path)
    graph = by_path(model_with(external("ok.bin")), place)
    place.secret.rename(place.home / "ok.bin")
    with pytest.raises(ExternalDataError) as caught:
        weight(graph)
    assert caught.value.code == "E0121"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"offset": str(2**64 - 1), "length": "2"}, "E0123"),
        ({"offset": str(2**64 - 32)}, "E0123"),
        ({"offset": "1"}, "E0123"),
        ({"offset": "0", "length": "33"}, "E0123"),
        ({"offset": "0", "length": "31"}, "E0123"),
        ({"length": str(2**63)}, "E0123"),
        ({"offset": "-1"}, "E0122"),
        ({"length": "-1"}, "E0122"),
        ({"offset": "0x10"}, "E0122"),
        ({"offset": "1e3"}, "E0122"),
        ({"offset": " 1"}, "E0122"),
        ({"offset": "٣"}, "E0122"),
        ({"offset": "9" * 10_000}, "E0122"),
        ({"length": "many"}, "E0122"),
    ],
)
def test_ext_bound_offsets_and_lengths(place: Place, keys: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidProtobuf) as caught:
        by_path(model_with(external("ok.bin", **keys)), place)
    assert caught.value.code == code
    assert caught.value.tensor == "w"


def test_a_segment_is_read_where_it_lies(tmp_path: Path) -> None:
    place = build_place(tmp_path)
    (place.home / "big.bin").write_bytes(b"\0" * 4096 + INSIDE + b"tail")
    graph = by_path(model_with(external("big.bin", offset="4096", length="32")), place)
    assert weight(graph).tobytes() == INSIDE


@pytest.mark.parametrize("key", ["__class__", "__dict__", "basepath", "name", "data_type", "x" * 9])
def test_ext_attr_unknown_keys_change_nothing(place: Place, key: str) -> None:
    graph = by_path(model_with(external("ok.bin", **{key: "/etc/passwd"})), place)
    assert weight(graph).tobytes() == INSIDE
    held = graph.initializers["w"].const
    assert held is not None
    assert type(held).__name__ == "Tensor"


@pytest.mark.parametrize("key", ["location", "offset", "length"])
def test_ext_attr_a_key_given_twice_is_refused(place: Place, key: str) -> None:
    tensor = external("ok.bin", offset="0", length="32")
    entries = tensor.children("external_data")
    again = next(e for e in entries if e.text("key") == key)
    tensor.put("external_data", [*entries, again])
    with pytest.raises(InvalidProtobuf) as caught:
        by_path(model_with(tensor), place)
    assert caught.value.code == "E0122"


def test_ext_attr_no_location(place: Place) -> None:
    with pytest.raises(ExternalDataError):
        by_path(model_with(external(None, offset="0")), place)


@pytest.mark.parametrize("marker", ["*/_ORT_MEM_ADDR_/*", "_ORT_MEM_ADDR_", "sardonyx:memory"])
def test_ext_marker_no_location_means_memory(place: Place, marker: str) -> None:
    graph = by_path(model_with(external(marker, offset="0", length="32")), place)
    with pytest.raises(ExternalDataError) as caught:
        weight(graph)
    assert caught.value.code == "E0125"


def test_data_here_and_outside_are_refused(place: Place) -> None:
    tensor = external("ok.bin")
    tensor.put("raw_data", memoryview(bytes(32)))
    with pytest.raises(InvalidProtobuf) as caught:
        by_path(model_with(tensor), place)
    assert caught.value.code == "E0113"


def test_strings_outside_are_refused(place: Place) -> None:
    tensor = external("ok.bin")
    tensor.put("data_type", 8)
    with pytest.raises(InvalidProtobuf) as caught:
        by_path(model_with(tensor), place)
    assert caught.value.code == "E0122"


def test_a_model_without_its_data_can_be_looked_at(place: Place) -> None:
    graph = by_path(model_with(external("absent.bin")), place)
    held = graph.initializers["w"].const
    assert held is not None
    with pytest.raises(ExternalDataError) as caught:
        held.numpy()
    assert caught.value.code == "E0125"


def test_a_model_without_a_folder_says_so_when_data_are_used() -> None:
    graph = formats.load(model_with(external("ok.bin")))
    with pytest.raises(ExternalDataError) as caught:
        weight(graph)
    assert caught.value.code == "E0124"
    with pytest.raises(ExternalDataError):
        formats.load(model_with(external("../secret.bin")))


def test_external_bytes_are_limited(place: Place) -> None:
    place.model.write_bytes(model_with(external("ok.bin")))
    with pytest.raises(LimitExceeded) as caught:
        formats.load(place.model, Limits(external_bytes=16))
    assert caught.value.code == "E0501"


def test_data_over_2_gib_are_mapped_not_read(tmp_path: Path) -> None:
    size = 3 << 30
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"tail!")
    tensor = external("huge.bin")
    tensor.put("dims", [3, 1 << 30])
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(tensor))
    graph = formats.load(path)
    held = graph.initializers["w"].const
    assert isinstance(held, Tensor)
    mapped = held.mapped()
    assert mapped is not None
    assert mapped[0][2, -5:].tobytes() == b"tail!"
    with pytest.raises(LimitExceeded) as caught:
        formats.to_bytes(graph)
    assert caught.value.code == "E0105"


def test_many_data_files_do_not_hold_many_descriptors(tmp_path: Path) -> None:
    count = 400
    tensors = []
    for i in range(count):
        (tmp_path / f"w{i}").write_bytes(bytes([i % 256]) * 32)
        tensor = external(f"w{i}")
        tensor.put("name", f"w{i}")
        tensors.append(tensor)
    body = Message("GraphProto", {"name": "g", "initializer": tensors})
    path = tmp_path / "model.onnx"
    path.write_bytes(encode(Message("ModelProto", {"ir_version": 8, "graph": body})))
    before = len(list(Path("/proc/self/fd").iterdir()))
    graph = formats.load(path)
    for i, value in enumerate(graph.initializers.values()):
        assert value.const is not None
        assert value.const.numpy().flat[0] == i % 256
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 300


def test_safe_parts_keeps_plain_paths() -> None:
    assert safe_parts("a//b/./c.bin") == ("a", "b", "c.bin")
    assert safe_parts("poids été.bin") == ("poids été.bin",)
    with pytest.raises(SardonyxError):
        safe_parts("a/..")

"""A large model file is read without its weights, and means the same; damaged ones too."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from formats.models import everything, small
from formats.test_wire import mutate
from sardonyx import formats
from sardonyx.core.errors import SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.formats import files, skeleton, stored
from sardonyx.formats.skeleton import Skeleton
from sardonyx.formats.stored import Piece, Stored

SMALL = 8


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, skeleton, stored):
        monkeypatch.setattr(module, "LARGE", SMALL)
    monkeypatch.setattr(skeleton, "_BLOCK", 8)
    monkeypatch.setattr(stored, "_STEP", 0.0)


def _outcome(source: Any) -> bytes | str:
    try:
        return formats.to_bytes(formats.load(source))
    except SardonyxError as problem:
        return problem.code


@pytest.mark.parametrize("make", [everything, small])
def test_a_file_means_what_its_bytes_mean(
    make: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    whole = make().SerializeToString()
    rng, path = random.Random(5), tmp_path / "m.onnx"
    agreed = set()
    for turn in range(300):
        data = whole
        for _ in range(rng.randrange(1, 4) if turn else 0):
            data = mutate(data, rng) or b"\0"
        path.write_bytes(data)
        wanted = _outcome(data)
        assert _outcome(path) == wanted
        agreed.add(type(wanted))
    assert agreed == {bytes, str}


def test_large_payloads_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = everything()
    for n in range(3):
        held_array = np.full(SMALL, n, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(held_array, f"large{n}"))
    path.write_bytes(model.SerializeToString())
    held = Skeleton(Stored(os.open(path, os.O_RDONLY), "m.onnx"))
    assert len(held.holes) >= 3
    graph = formats.load(path)
    kept = [v.const for v in graph.initializers.values()]
    pieces = [t for t in kept if isinstance(getattr(t, "_source", None), Piece)]
    assert len(pieces) == len(held.holes)


def test_a_hole_that_no_tensor_claims_is_read(tmp_path: Path) -> None:
    raw = b"\x4a\x20" + bytes(range(32)) + b"\x4a\x04last"
    tensor = b"\x08\x04\x10\x03" + raw
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08\x3a" + bytes([len(graph)]) + graph)
    held = Skeleton(Stored(os.open(path, os.O_RDONLY), "m.onnx"))
    assert list(held.holes.values()) == [32]
    assert _outcome(path) == _outcome(path.read_bytes())


def test_limits_hold_for_files_too(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small().SerializeToString())
    with pytest.raises(SardonyxError) as caught:
        formats.load(path, Limits(initializers=0))
    assert caught.value.code == "E0503"

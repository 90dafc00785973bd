"""Models are read out of archives safely, fed what they take, and judged by the noise of a peer."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import collect_models
import model_feeds
import sweep_models
from collect_models import Model
from model_feeds import Wanted

FILES = {"p/a.onnx": b"a", "p/b.txt": b"b", "../c.onnx": b"c", "/d.onnx": b"d"}
MODEL = Model("p", "1", "p/a.onnx", "0" * 64, 1, "a thing")


def _wheel(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as z:
        for name, data in FILES.items():
            z.writestr(name, data)


def _tarball(path: Path) -> None:
    with tarfile.open(path, "w:gz") as t:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            t.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("p/e.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        t.addfile(link)


@pytest.mark.parametrize(("name", "write"), [("x.whl", _wheel), ("x.tgz", _tarball)])
def test_only_models_inside_are_read(name: str, write: Any, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert list(collect_models.members(tmp_path / name)) == [("p/a.onnx", b"a")]


def test_sizes_and_ranges_are_what_is_accepted() -> None:
    ids = Wanted("ids", "int64", ("batch", "length"))
    mask = Wanted("attention_mask", "int64", ("batch", "length"))
    seen: list[Any] = []

    def accepts(feeds: model_feeds.Feeds) -> bool:
        seen.append(feeds)
        return feeds["ids"].shape[1] <= 300 and bool(np.all(feeds["ids"] < 30))

    found = list(model_feeds.cases([ids, mask], accepts))
    assert [sizes for sizes, _ in found] == [
        {"batch": 1, "length": 200},
        {"batch": 2, "length": 64},
    ]
    for sizes, feeds in found:
        assert feeds["ids"].shape == (sizes["batch"], sizes["length"])
        assert feeds["ids"].max() in range(10, 20)
        assert feeds["attention_mask"].min() == 1


def test_nothing_accepted_is_no_case() -> None:
    assert list(model_feeds.cases([Wanted("x", "float", ("N",))], lambda feeds: False)) == []


def _found(**case: float) -> dict[str, Any]:
    return {"nodes": 3, "cases": [{"apart": 0.0, "noise": 0.0, **case}], "gaps": [],
            "create": 1.0, "again": 0.5, "speed": [1.0, 2.0]}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (_found(), ""),
        (_found(apart=1e-6), ""),
        (_found(apart=1e-4, noise=1e-5), ""),
        (_found(apart=1e-4, noise=1e-6), "apart by 1.0e-04"),
        (_found(apart=1e-4, error=1e-5, their_error=1e-4), ""),
        (_found(apart=1e-4, error=1e-4, their_error=1e-5), "apart by 1.0e-04"),
        ({"cases": [], "failed": "Fail: so it is\nand more"}, "Fail: so it is"),
        ({"cases": []}, "takes none"),
    ],
)
def test_the_verdict(found: Mapping[str, Any], said: str) -> None:
    verdict = sweep_models.verdict(found)
    assert verdict == said if not said else said in verdict
    assert verdict in sweep_models.page([(MODEL, found)])


def test_last_bits_are_moved_and_whole_numbers_stay() -> None:
    onnx = pytest.importorskip("onnx")
    exact = pytest.importorskip("exact_model")
    weights = np.full(32, 2, np.float32)
    weights[:16] = 3.5
    kept = [onnx.numpy_helper.from_array(weights, "w")]
    made = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], kept))
    (moved,) = map(onnx.numpy_helper.to_array, exact.nudged(made).graph.initializer)
    steps = (moved.view(np.int32) - weights.view(np.int32)).tolist()
    assert set(steps[:16]) == {-1, 0, 1}
    assert set(steps[16:]) == {0}

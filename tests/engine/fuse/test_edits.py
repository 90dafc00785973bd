"""Stages edited by hand come back and run, and are refused by file and line where they cannot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph.sources import parse
from sardonyx.core import knobs
from sardonyx.core.dtype import Array
from sardonyx.core.errors import EngineError, InvalidArgument, NoSuchFile, SardonyxError
from sardonyx.engine.fuse.edits import EDITABLE
from sardonyx.engine.stages import stage, write
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.session import InferenceSession

SOFTMAX = "input x: float32[N, 4]\ny = Softmax<axis=-1>(x)\noutput y"
DENSE = """
const w: float32[4, 2] = {1, 2, 3, 4, 5, 6, 7, 8}
input x: float32[N, 4]
m = MatMul(x, w)
c = Celu(x)
y = Relu(m)
output y
output c
"""


class Edited:
    """A net whose stage was dumped to a folder that is in force."""

    def __init__(self, body: str, folder: Path, name: str) -> None:
        self.graph = parse(body)
        self.folder = folder
        shown = list(stage(prepare(optimize(self.graph).graph), name))
        self.files = [path for path, _ in write(folder, name, shown)]

    def change(self, old: str, new: str, file: int = 0) -> None:
        path = self.files[file]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, x: Array, provider: str = "native") -> list[Any]:
        with knobs.override(override=self.folder, cache_dir=self.folder / "cache"):
            return InferenceSession(self.graph, providers=[provider]).run(None, {"x": x})

    def refusal(self, kind: type[SardonyxError] = InvalidArgument) -> Any:
        with pytest.raises(kind) as caught:
            self.run(X)
        return caught.value


X = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 0.0, 2.0]], np.float32)


def softmax(tmp_path: Path, name: str = "loops") -> Edited:
    return Edited(SOFTMAX, tmp_path / "edited", name)


@pytest.mark.parametrize("name", EDITABLE)
@pytest.mark.parametrize("provider", ["native", "interpreter"])
def test_what_was_not_edited_reads_back_as_it_was(name: str, provider: str, tmp_path: Path) -> None:
    net = Edited(DENSE, tmp_path / "edited", name)
    assert len(net.files) >= 2
    plain = InferenceSession(net.graph).run(None, {"x": X})
    for found, wanted in zip(net.run(X, provider), plain, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", EDITABLE)
@pytest.mark.parametrize("provider", ["native", "interpreter"])
def test_an_edit_runs(name: str, provider: str, tmp_path: Path) -> None:
    net = softmax(tmp_path, name)
    plain = InferenceSession(net.graph).run(None, {"x": X})[0]
    divisor = net.files[0].read_text().rpartition(" / ")[2].partition(")")[0]
    net.change(f" / {divisor})", f" / ({divisor} + {divisor}))")
    np.testing.assert_allclose(net.run(X, provider)[0], plain / 2, rtol=1e-6)


def test_the_cache_keeps_no_edited_program(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.change(" / a1)", " / (a1 + a1))")
    edited = net.run(X)[0]
    with knobs.override(cache_dir=net.folder / "cache"):
        plain = InferenceSession(net.graph).run(None, {"x": X})[0]
    np.testing.assert_allclose(edited, plain / 2, rtol=1e-6)
    np.testing.assert_array_equal(net.run(X)[0], edited)


def test_an_unreadable_line_is_named(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.change(" / a1)", " / total)")
    error = net.refusal()
    lines = net.files[0].read_text().splitlines()
    at = next(n for n, line in enumerate(lines, 1) if "total" in line)
    assert (error.code, error.file) == ("E0916", str(net.files[0]))
    assert error.message.startswith(f"line {at}: ")
    assert "not `total`" in error.wanted


def test_a_line_that_breaks_a_rule_is_named(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.change("b0[", "b1[")
    error = net.refusal()
    lines = net.files[0].read_text().splitlines()
    at = next(n for n, line in enumerate(lines, 1) if line.strip().startswith("b1["))
    assert (error.code, error.file, error.where) == ("E0916", str(net.files[0]), f"line {at}")
    assert "b1[" in error.source


def test_a_kernel_of_another_step_does_not_fit(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.change("in b1: float32[(4 * s0)]", "in b1: float32[(3 * s0)]")
    error = net.refusal()
    assert (error.code, error.file) == ("E0916", str(net.files[0]))
    assert error.given == "in b1: float32[(3 * s0)]"
    assert error.wanted == "in b1: float32[(4 * s0)]"


def test_a_step_that_is_not_there(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.files[0].rename(net.folder / "loops-7.txt")
    assert "no kernel 7 at the stage `loops`" in net.refusal().message


def test_a_folder_without_stages(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    net.files[0].rename(net.folder / "notes.txt")
    assert net.refusal(NoSuchFile).code == "E0101"


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    with pytest.raises(NoSuchFile, match="E0103"):
        Edited(SOFTMAX, net.folder, "loops")


def test_the_interpreter_finds_an_access_outside_its_buffer(tmp_path: Path) -> None:
    net = softmax(tmp_path, "schedule")
    net.change("of b0[(i2", "of b0[(99 + i2")
    with pytest.raises(EngineError, match="E0806"):
        net.run(X, "interpreter")


def test_an_empty_batch_says_that_the_stage_is_for_other_sizes(tmp_path: Path) -> None:
    net = softmax(tmp_path)
    with pytest.raises(InvalidArgument, match="buffers and symbols"):
        net.run(X[:0])


@pytest.mark.parametrize("provider", ["native", "interpreter"])
def test_a_subscript_out_of_range_is_told_by_both_ways(provider: str) -> None:
    net = parse("input x: float32[N, 4]\ninput i: int64[2]\ny = Gather<axis=0>(x, i)\noutput y")
    session = InferenceSession(net, providers=[provider])
    for i, fits in (([0, -2], True), ([0, 5], False)):
        feeds = {"x": X, "i": np.array(i)}
        if fits:
            np.testing.assert_array_equal(session.run(None, feeds)[0], X[i])
        else:
            with pytest.raises(InvalidArgument, match="E0210"):
                session.run(None, feeds)

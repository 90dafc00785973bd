"""Verdicts on models whose difference is known, and where they part."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sardonyx.compare import CLASSES, Comparison, Side, compare, tolerance
from sardonyx.core.errors import InvalidArgument, InvalidGraph, SardonyxError
from sardonyx.formats import save
from sardonyx.graph.ir import Graph
from session.models import AFFINE, QUANTIZED, UNKNOWN, graph

ROWS = np.random.default_rng(1).standard_normal((30, 3)).astype(np.float32)


def _changed(before: str, after: str, text: str = AFFINE) -> Graph:
    assert before in text
    return graph(text.replace(before, after))


def _groups(found: Comparison) -> list[tuple[str, int]]:
    return [(row.at, row.runs) for row in found.rows]


def test_equal_models_agree_at_every_size() -> None:
    found = compare(graph(AFFINE), graph(AFFINE))
    assert found.agree
    assert _groups(found) == [("N=1", 1), ("N=2", 1), ("N=7", 1)]
    assert all(row.difference.max_abs == 0 for row in found.rows)
    assert found.tolerance.name == "float32"


def test_rows_are_cut_into_batches() -> None:
    found = compare(graph(AFFINE), graph(AFFINE), data={"x": ROWS})
    assert _groups(found) == [("batch 1", 30), ("batch 7", 5), ("batch 30", 1)]
    assert {row.difference.elements for row in found.rows} == {60}
    chosen = compare(graph(AFFINE), graph(AFFINE), data=ROWS, batches=[4])
    assert _groups(chosen) == [("batch 4", 8)]


def test_rows_of_a_model_with_a_fixed_batch() -> None:
    fixed = _changed("[N, ", "[5, ")
    assert _groups(compare(fixed, fixed, data=ROWS, against_provider="reference")) == [
        ("batch 5", 6)
    ]
    with pytest.raises(InvalidArgument) as caught:
        compare(fixed, graph(AFFINE), data=ROWS[:7])
    assert caught.value.code == "E0205"


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json"])
def test_data_from_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".npz":
        np.savez(path, x=ROWS, other=ROWS)
    elif suffix == ".npy":
        np.save(path, ROWS)
    else:
        path.write_text(str({"x": ROWS.tolist()}).replace("'", '"'))
    assert compare(graph(AFFINE), graph(AFFINE), data=path).agree


def test_difference_is_found_and_its_first_place_named() -> None:
    found = compare(graph(AFFINE), _changed("5.0, 6.0", "5.0, 6.5"))
    assert not found.agree
    assert found.divergence is not None
    assert (found.divergence.value, found.divergence.node) == ("p", "product")
    assert (found.divergence.op, found.divergence.after) == ("MatMul", 0)
    assert found.divergence.constants == ("w",)
    later = compare(graph(AFFINE), _changed("0.5, -0.5", "0.5, -0.4"))
    assert later.divergence is not None
    assert (later.divergence.value, later.divergence.after) == ("y", 1)


def test_source_line_of_the_first_difference() -> None:
    other = _changed("5.0, 6.0", "5.0, 6.5")
    stack = 'File "/home/me/net.py", line 7, in forward\n    y = x @ self.w'
    other.nodes[0].meta["pkg.torch.onnx.stack_trace"] = stack
    found = compare(graph(AFFINE), other)
    assert found.divergence is not None
    wanted = "/home/me/net.py:7 in forward: y = x @ self.w"
    assert found.divergence.source == wanted
    assert wanted in "\n".join(found.lines())


def test_a_difference_at_one_size_only() -> None:
    def run(feeds: Mapping[str, Any]) -> list[Any]:
        y = feeds["x"] @ np.array([[1, 2], [3, 4], [5, 6]], np.float32) + [0.5, -0.5]
        return [(y + (len(y) == 7)).astype(np.float32)]

    found = compare(graph(AFFINE), Side("mine", run), data=ROWS)
    assert not found.agree
    assert [row.at for row in found.rows if row.refusal] == ["batch 7"]
    assert found.divergence is None


def test_scale_decides_in_float32() -> None:
    def side(error: float) -> Side:
        def run(feeds: Mapping[str, Any]) -> list[Any]:
            x = feeds["x"]
            y = x @ np.array([[1, 2], [3, 4], [5, 6]], np.float32) + [0.5, -0.5]
            return [(y + error * np.abs(y).max()).astype(np.float32)]

        return Side("mine", run)

    assert compare(graph(AFFINE), side(5e-5), data=ROWS, batches=[30]).agree
    assert not compare(graph(AFFINE), side(5e-4), data=ROWS, batches=[30]).agree
    assert compare(graph(AFFINE), side(5e-4), data=ROWS, tolerance=1e-2).agree
    assert not compare(graph(AFFINE), side(5e-5), data=ROWS, tolerance="exact").agree


def test_quantized_models_are_judged_by_angle_and_argmax() -> None:
    found = compare(graph(AFFINE), graph(QUANTIZED), data=ROWS)
    assert found.agree
    assert found.tolerance.name == "quantized"
    assert "QuantizeLinear" in found.tolerance.why
    assert found.rows[0].difference.max_rel > 1e-3
    broken = _changed("{0.05}", "{5.0}", QUANTIZED)
    assert not compare(graph(AFFINE), broken, data=ROWS).agree


def test_narrow_models_have_their_own_class() -> None:
    text = """
    graph half {
      opset "" 20
      input x: float16[N, 3]
      y = Softmax(x)
      output y: float16[N, 3]
    }
    """
    found = compare(graph(text), graph(text), against_provider="reference")
    assert found.tolerance.name == "float16"


def test_integer_outputs_must_be_equal() -> None:
    text = """
    graph labels {
      opset "" 20
      input x: float32[N, 3]
      y = ArgMax<axis=1, keepdims=0>(x)
      output y: int64[N]
    }
    """
    other = text.replace("ArgMax", "ArgMin")
    assert compare(graph(text), graph(text)).agree
    found = compare(graph(text), graph(other), data=ROWS)
    assert not found.agree
    assert "elements differ" in found.rows[0].refusal


@pytest.mark.parametrize("other", ["reference", "onnxruntime", "openvino"])
def test_providers_as_sides(other: str) -> None:
    found = compare(graph(AFFINE), against_provider=other)
    assert found.agree
    assert found.b == f"affine ({other})"


def test_other_names_are_paired_by_position() -> None:
    renamed = graph(
        AFFINE.replace("y", "out").replace("input x", "input img").replace("(x,", "(img,")
    )
    assert compare(graph(AFFINE), renamed).agree


def test_a_size_that_one_side_refuses_is_a_no() -> None:
    found = compare(graph(AFFINE), _changed("[N, 3]", "[1, 3]"))
    assert not found.agree
    refused = {row.at: row.refusal for row in found.rows if row.refusal}
    assert set(refused) == {"N=2", "N=7"}
    assert "refuses this size" in refused["N=2"]


def test_sizes_that_the_first_side_refuses_are_left_out() -> None:
    text = """
    graph pool {
      opset "" 20
      input x: float32[1, 1, H]
      y = AveragePool<kernel_shape=[4]>(x)
      output y
    }
    """
    found = compare(graph(text), graph(text), against_provider="reference")
    assert found.agree
    assert [row.at for row in found.rows] == ["H=7"]
    assert len(found.notes) == 2
    assert found.notes[0].startswith("H=1 left out")


def test_refusals_of_the_call() -> None:
    two = AFFINE.replace("output y:", "output p\n  output y:")
    for arguments, code in (
        ((graph(AFFINE),), "E0765"),
        ((graph(AFFINE), graph(two)), "E0762"),
        ((Side("a", lambda f: [1]), Side("b", lambda f: [1])), "E0766"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            compare(*arguments)
        assert caught.value.code == code
    with pytest.raises(InvalidArgument) as caught:
        compare(graph(AFFINE), graph(AFFINE), data={"z": ROWS, "w": ROWS})
    assert caught.value.code == "E0763"
    with pytest.raises(InvalidArgument) as caught:
        compare(graph(AFFINE), graph(AFFINE), tolerance="float31")
    assert caught.value.code == "E0760"
    with pytest.raises(InvalidArgument) as caught:
        compare(graph(AFFINE), graph(AFFINE), dims={"M": 2})
    assert caught.value.code == "E0230"


def test_what_running_raises_is_raised() -> None:
    with pytest.raises(SardonyxError) as caught:
        compare(graph(UNKNOWN), graph(UNKNOWN), against_provider="reference")
    assert caught.value.code == "E0401"
    assert not isinstance(caught.value, InvalidGraph)


def test_report_as_data(tmp_path: Path) -> None:
    save(graph(AFFINE), tmp_path / "a.onnx")
    found = compare(tmp_path / "a.onnx", _changed("6.0", "7.0")).to_dict()
    assert found["agree"] is False
    assert found["a"] == str(tmp_path / "a.onnx")
    assert found["tolerance"]["name"] == "float32"
    assert found["divergence"]["node"] == "product"
    assert set(found["rows"][0]) >= {"at", "runs", "name", "max_abs", "same", "refusal"}


def test_classes_by_name_and_number() -> None:
    for name, held in CLASSES.items():
        assert tolerance(name) == held
    assert tolerance("1e-3").max_rel == 1e-3
    assert tolerance(0).max_rel == 0
    for wrong in ("", "nan", "-1", "inf"):
        with pytest.raises(InvalidArgument):
            tolerance(wrong)

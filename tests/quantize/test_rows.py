"""Calibration data in every form: which feeds come out, and which forms are refused."""

from typing import Any

import numpy as np
import pytest

from quantize.models import graph
from sardonyx.core.dtype import Array
from sardonyx.core.errors import CalibrationError, InvalidArgument
from sardonyx.graph.ir import Graph
from sardonyx.quantize.rows import batches


def _model(**inputs: str) -> Graph:
    ports = ", ".join(f"float[{dims}] {name}" for name, dims in inputs.items())
    body = "\n".join(f"{name}_y = Relu({name})" for name in inputs)
    outputs = ", ".join(f"float[{dims}] {name}_y" for name, dims in inputs.items())
    return graph(f"g ({ports}) => ({outputs}) {{\n{body}\n}}", {})


def _rows(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_every_row_is_fed_once() -> None:
    data = _rows(70, 3)
    found = list(batches(_model(x="N, 3"), {"x": data}))
    assert [len(f["x"]) for f in found] == [32, 32, 6]
    assert np.array_equal(np.concatenate([f["x"] for f in found]), data)


def test_a_fixed_batch_is_kept() -> None:
    data = _rows(10, 3)
    found = list(batches(_model(x="4, 3"), {"x": data}))
    assert [f["x"].shape for f in found] == [(4, 3)] * 3
    assert {x for f in found for x in f["x"].ravel()} == set(data.ravel())


def test_one_row_without_its_batch_axis_is_a_row() -> None:
    found = list(batches(_model(x="N, 3"), {"x": _rows(3)}))
    assert [f["x"].shape for f in found] == [(1, 3)]


def test_a_vector_is_fed_whole() -> None:
    found = list(batches(_model(x="5"), {"x": _rows(5)}))
    assert [f["x"].shape for f in found] == [(5,)]


def test_an_axis_in_front_counts_feeds() -> None:
    found = list(batches(_model(x="5"), {"x": _rows(3, 5)}))
    assert [f["x"].tolist() for f in found] == _rows(3, 5).tolist()


def test_a_lone_array_is_that_of_the_only_input() -> None:
    (found,) = batches(_model(x="N, 3"), _rows(4, 3))
    assert found["x"].shape == (4, 3)


def test_an_iterable_gives_feeds_as_they_are() -> None:
    given = ({"x": _rows(n, 3), "label": _rows(n)} for n in (2, 5))
    found = list(batches(_model(x="N, 3"), given))
    assert [f["x"].shape for f in found] == [(2, 3), (5, 3)]
    assert all(set(f) == {"x"} for f in found)


def test_batches_shrink_with_what_is_kept() -> None:
    model = _model(x="N, C, 1000, 1000")
    found = batches(model, {"x": np.zeros((4, 40, 1000, 1000), np.uint8)}, list(model.values()))
    assert len(next(found)["x"]) == 1


def test_rows_of_several_inputs_go_together() -> None:
    data = {"a": _rows(40, 2), "b": _rows(40, 3)}
    found = list(batches(_model(a="N, 2", b="N, 3"), data))
    assert [(len(f["a"]), len(f["b"])) for f in found] == [(32, 32), (8, 8)]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"a": _rows(4, 2)}, "no `b`"),
        ({"a": _rows(4, 2), "b": _rows(5, 3)}, "different numbers of rows"),
        (_rows(4, 2), "one array for several inputs"),
        ([{"a": _rows(4, 2)}], "no `b`"),
    ],
)
def test_data_that_do_not_fit_are_refused(data: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        list(batches(_model(a="N, 2", b="N, 3"), data))
    assert caught.value.code == "E0710"


def test_fewer_rows_than_the_model_takes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"takes 8 rows at once.* have 3"):
        list(batches(_model(x="8, 3"), {"x": _rows(3, 3)}))


@pytest.mark.parametrize("data", [{"x": np.zeros((0, 3), np.float32)}, []])
def test_no_rows_say_nothing(data: Any) -> None:
    with pytest.raises(CalibrationError, match="no rows") as caught:
        batches(_model(x="N, 3"), data)
    assert caught.value.code == "E0711"

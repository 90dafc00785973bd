"""The table of a comparison in the width there is."""

import io

import numpy as np
import pytest
from rich.console import Console

from sardonyx.compare import Comparison, Judgement, difference, tolerance
from sardonyx.compare.comparison import COLUMNS, SPARED
from sardonyx.compare.sides import flat

X = np.arange(6.0).reshape(2, 3)
ROW = Judgement("batch 450", 450, difference("logits", X, X), "")
FOUND = Comparison("a.onnx", "b.onnx", tolerance("float64"), (ROW,))


@pytest.mark.parametrize(
    ("width", "names"), [(80, set(COLUMNS) - set(SPARED)), (120, set(COLUMNS))]
)
def test_columns_fit_the_width(width: int, names: set[str]) -> None:
    text = io.StringIO()
    Console(file=text, width=width).print(FOUND)
    lines = text.getvalue().splitlines()
    head = next(line for line in lines if " at" in line)
    assert {name for name in COLUMNS if name in head} == names
    rows = [line for line in lines if "batch 450" in line]
    assert len(rows) == 1
    assert "100.0% of 2" in rows[0]


def test_maps_are_compared_key_by_key() -> None:
    rows = [{3: 0.25, 5: 0.75}, {3: 0.5, 5: 0.5}]
    found = flat({"p": rows, "m": {"a": np.float64(2)}, "s": [np.zeros(2)], "none": []})
    assert {n: x.tolist() for n, x in found.items()} == {
        "p[3]": [0.25, 0.5], "p[5]": [0.75, 0.5], "m['a']": [2.0], "s[0]": [0.0, 0.0],
    }  # fmt: skip
    assert found["p[3]"].dtype == np.float32
    assert found["m['a']"].dtype == np.float64

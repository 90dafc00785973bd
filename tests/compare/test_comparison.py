"""The table of a comparison in the width there is."""

import io

import numpy as np
import pytest
from rich.console import Console

from sardonyx.compare import Comparison, Judgement, difference, tolerance
from sardonyx.compare.comparison import COLUMNS, SPARED

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

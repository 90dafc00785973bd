"""The table of ways to schedule a contraction, on a shape that takes no time."""

import argparse

import pytest

import contractions
from sardonyx.loops.target import host


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        (contractions.product(8, 16, 24), "gemm"),
        (contractions.convolution(16, 16, 6, 3), "gemm"),
        (contractions.convolution(8, 8, 5, 3, group=8), "depthwise"),
    ],
    ids=["product", "convolution", "depthwise"],
)
def test_ways_are_timed_beside_the_roof(
    shape: contractions.Shape, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.Namespace(all=False, seconds=0.0005)
    contractions.report(shape, host(), 100.0, options)
    title, *rows = capsys.readouterr().out.strip().splitlines()
    assert title == shape.name
    assert rows[0].split()[:2] == ["*", way]
    assert all("GFLOP/s" in row for row in rows)
    assert rows[-1].split()[:2] == ["ONNX", "Runtime"]

"""Kernels of an operator's own loops read and write rows, beside values with channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx as sx

HEAD = """graph g {
  opset "" 20
  input x: float32[N, 4, 6, 5]
  input w: float32[4, 4, 3, 3]
  input at: int64[2, 4, 6, 5]
  input rows: int64[3, 2]
  input updates: float32[3, 6, 5]
  const axis: int64[] = {1}
"""
OPERATIONS = {
    "CumSum": "CumSum(a, axis)",
    "ScatterElements": "ScatterElements<axis=1>(a, at, b)",
    "ScatterND": "ScatterND(a, rows, updates)",
    "ScatterND add": 'ScatterND<reduction="add">(a, rows, updates)',
}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_kernel_of_rows_between_convolutions(name: str, before: bool, after: bool) -> None:
    convolution = "Conv<pads=[1, 1, 1, 1]>"
    lines = [
        f"  a = {convolution}(x, w)" if before else "  a = Neg(x)",
        f"  b = {convolution}(a, w)" if before else "  b = Abs(x)",
        f"  c = {OPERATIONS[name]}",
        f"  y = {convolution}(c, w)" if after else "  y = Neg(c)",
        "  output y\n}",
    ]
    graph = sx.from_text(HEAD + "\n".join(lines))
    rng = np.random.default_rng(0)
    feeds: dict[str, Any] = {
        "x": rng.normal(size=(2, 4, 6, 5)).astype(np.float32),
        "w": rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
        "at": rng.permuted(np.tile(np.arange(4)[:, None, None], (2, 1, 6, 5)), axis=1),
        "rows": np.array([[0, 1], [1, 3], [0, 2]]),
        "updates": rng.normal(size=(3, 6, 5)).astype(np.float32),
    }
    native, reference = (sx.InferenceSession(graph, providers=[p]) for p in ("native", "reference"))
    found, wanted = native.run(None, feeds)[0], reference.run(None, feeds)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_state_of_a_layer_that_a_convolution_reads() -> None:
    graph = sx.from_text("""graph g {
      opset "" 20
      input x: float32[1, 2, 4]
      input w: float32[1, 12, 4]
      input r: float32[1, 12, 3]
      input k: float32[8, 2, 2]
      _, h = LSTM<hidden_size=3>(x, w, r)
      y = Conv<pads=[1, 1]>(h, k)
      output y
    }""")
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 2, 4), "w": (1, 12, 4), "r": (1, 12, 3), "k": (8, 2, 2)}
    feeds = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    native, reference = (sx.InferenceSession(graph, providers=[p]) for p in ("native", "reference"))
    found, wanted = native.run(None, feeds)[0], reference.run(None, feeds)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)

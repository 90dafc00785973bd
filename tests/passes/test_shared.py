"""A symbol that no size suits is one symbol for each of its dims; any other binds all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from graph.sources import parse

Shapes = dict[str, tuple[int, ...]]

LOOSE = [
    (("input x: float32[N, N]\n y = Add(x, w)\n const w: float32[4, 1] = {1, 2, 3, 4}\n"
     " z = Add(y, v)\n const v: float32[3] = {1, 2, 3}\n output z"), {"x": (4, 3)}),
    (("input x: float32[B, S]\n input z: float32[B, S]\n a = MatMul(x, w)\n b = MatMul(z, v)\n"
     " const w: float32[3, 1] = {1, 2, 3}\n const v: float32[2, 1] = {1, 2}\n output a\n output b"),
     {"x": (5, 3), "z": (5, 2)}),
    ("input x: float32[N, N]\n y = Reshape(x, s)\n const s: int64[1] = {6}\n output y",
     {"x": (2, 3)}),
]  # fmt: skip


def ones(shapes: Shapes) -> dict[str, Any]:
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("body", "shapes"), LOOSE)
@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "ReferenceExecutionProvider"])
def test_what_the_graph_contradicts_is_run(body: str, shapes: Shapes, provider: str) -> None:
    graph = parse(body, 20)
    assert [f.code for f in sx.check(graph) if not f.is_error] == ["E0334"]
    found = sx.InferenceSession(graph, providers=[provider]).run(None, ones(shapes))
    assert all(np.isfinite(a).all() for a in found)


BOUND = [
    ("input x: float32[N, N]\n y = Relu(x)\n output y", {"x": (2, 3)}),
    (("input x: float32[N, N]\n y = Add(x, w)\n const w: float32[4, 4]"
     " = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}\n output y"), {"x": (4, 1)}),
    ("input x: float32[N]\n input z: float32[N]\n y = Concat<axis=0>(x, z)\n output y",
     {"x": (2,), "z": (3,)}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "shapes"), BOUND)
def test_what_some_size_suits_is_still_one(body: str, shapes: Shapes) -> None:
    graph = parse(body, 20)
    assert "E0334" not in [f.code for f in sx.check(graph)]
    with pytest.raises(sx.ShapeMismatch, match=r"E020[67]"):
        sx.InferenceSession(graph).run(None, ones(shapes))

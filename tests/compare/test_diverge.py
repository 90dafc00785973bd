"""Values of two graphs that are the same: by their order, their names, or the line they are of."""

import numpy as np

from sardonyx.compare import compare
from sardonyx.compare.diverge import matches
from sardonyx.graph.ir import Graph
from session.models import AFFINE, graph

STACK = "pkg.torch.onnx.stack_trace"
PARTED = AFFINE.replace("y = Add(p, b)", "h = Add(p, b)\n  y = Identity(h)")


def _lined(text: str) -> Graph:
    made = graph(text)
    for node in made.nodes:
        line = {"MatMul": 3, "Add": 4}.get(node.op.op_type, 5)
        node.meta[STACK] = f'File "/home/me/net.py", line {line}, in forward\n    step()'
    return made


def _renamed(text: str) -> str:
    return text.replace("p = MatMul", "q = MatMul").replace("Add(p,", "Add(q,")


def test_by_order_where_the_operators_are_the_same() -> None:
    found, how = matches(graph(AFFINE), graph(_renamed(AFFINE)))
    assert (found, how) == ({"q": "p", "y": "y"}, "order")


def test_by_name_where_they_are_not() -> None:
    found, how = matches(graph(AFFINE), graph(PARTED))
    assert (found, how) == ({"p": "p", "y": "y"}, "name")


def test_by_line_where_no_inner_name_is_shared() -> None:
    found, how = matches(_lined(AFFINE), _lined(_renamed(PARTED)))
    assert (found, how) == ({"q": "p", "h": "y"}, "line")
    unlike = compare(_lined(AFFINE), _lined(_renamed(PARTED).replace("6.0", "9.0")))
    assert unlike.divergence is not None
    assert (unlike.divergence.value, unlike.divergence.matched) == ("q", "line")


def test_statistics_of_both_sides() -> None:
    found = compare(graph(AFFINE), graph(AFFINE.replace("0.5, -0.5", "9.5, -0.5"))).divergence
    assert found is not None
    assert found.a is not None
    assert found.b is not None
    assert found.b.mean > found.a.mean + 4
    assert np.isfinite(found.a.spread)
    assert "first side: " in str(found)

"""Every ONNX backend node case through all passes: the same outputs as before them.

Each case runs twice: as it is, and with its inputs as constants, so that folding has something to
fold. The text form of every graph must read back on the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from conformance import node_cases
from sardonyx import formats
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import check
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text, tensors, to_text
from sardonyx.passes.pipeline import optimize, prepare

GAPS = node_cases.gaps(Path(__file__).with_name("gaps.txt"))
NAMES = [name for name in node_cases.cases() if node_cases.gap_of(name, GAPS) is None]


def load(name: str) -> tuple[Graph, dict[str, Any], list[Any]]:
    """The graph, and the feeds and outputs of its first data set."""
    case = node_cases.cases()[name]
    graph = formats.load(bytes(case.model.SerializeToString()))
    inputs, outputs = case.data_sets[0]
    pairs = zip(graph.inputs, inputs, strict=False)
    feeds = {v.name: node_cases.plain(given) for v, given in pairs}
    return graph, feeds, [node_cases.plain(x) for x in outputs]


def fixed(graph: Graph, feeds: dict[str, Any]) -> dict[str, Any]:
    """Makes the inputs that are tensors constants; returns the feeds that are left."""
    left = {}
    for v in list(graph.inputs):
        given = feeds[v.name]
        if isinstance(given, np.ndarray):
            v.const = Tensor.of(given, v.type.dtype)
            graph.initializers[v.name] = v
            graph.inputs.remove(v)
        else:
            left[v.name] = given
    return left


def level_of(name: str, graph: Graph) -> str:
    ops = node_cases.ops_of(graph)
    level = max((op.tolerance for op in ops), key=node_cases.LEVELS.index)
    return "printed" if node_cases.printed(name) else level


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("constant", [False, True], ids=["fed", "constant"])
def test_outputs_survive_all_passes(name: str, constant: bool) -> None:
    graph, feeds, wanted = load(name)
    assert not [f for f in check(graph) if f.is_error]
    printed = to_text(graph)
    assert to_text(from_text(printed, tensors(graph))) == printed
    if constant:
        feeds = fixed(graph, feeds)
    level = level_of(name, graph)
    better = optimize(graph).graph
    for made in (better, prepare(better)):
        found = run(made, feeds)
        for v, array in zip(graph.outputs, wanted, strict=True):
            if any(op.random for op in node_cases.ops_of(graph)):
                assert found[v.name].shape == array.shape
            else:
                node_cases.check(found[v.name], array, level)

"""Every ONNX backend node case: the types inferred and the numpy reference, against its outputs.

`gaps.txt` lists the cases that are known to fail, with reasons; one that passes fails the test.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from conformance import node_cases
from sardonyx import formats
from sardonyx.core.dtype import DType
from sardonyx.core.expr import number
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.type import array_type
from sardonyx.passes.infer import infer

GAPS = node_cases.gaps(Path(__file__).with_name("gaps.txt"))
NAMES = list(node_cases.cases())


@functools.cache
def model_bytes(name: str) -> bytes:
    return bytes(node_cases.cases()[name].model.SerializeToString())


def load(name: str) -> tuple[Graph, list[tuple[dict[str, Any], list[Any]]]]:
    case = node_cases.cases()[name]
    graph = formats.load(model_bytes(name))
    rows = []
    for inputs, outputs in case.data_sets:
        feeds = {v.name: node_cases.plain(x) for v, x in zip(graph.inputs, inputs, strict=False)}
        rows.append((feeds, [node_cases.plain(x) for x in outputs]))
    return graph, rows


def learn(graph: Graph, feeds: dict[str, Any]) -> None:
    """Makes the small inputs known, as constants in a model are."""
    for v in graph.inputs:
        array = feeds.get(v.name)
        if isinstance(array, np.ndarray) and v.type.kind == "tensor":
            v.type = array_type(array)


def assert_type(inferred: Type, array: Any, what: str) -> None:
    if inferred.kind != "tensor" or not isinstance(array, np.ndarray):
        return
    assert inferred.dtype is DType.from_numpy(array.dtype), what
    if inferred.shape is None:
        return
    assert len(inferred.shape) == array.ndim, what
    for d, extent in zip(inferred.shape, array.shape, strict=True):
        assert number(d) in (None, extent), what


def compare(name: str) -> None:
    graph, rows = load(name)
    infer(graph)
    declared = [v.type for v in graph.outputs]
    for feeds, wanted in rows:
        learned, _ = load(name)
        learn(learned, feeds)
        infer(learned)
        for v, t, array in zip(learned.outputs, declared, wanted, strict=True):
            assert_type(t, array, f"declared {v.name}")
            assert_type(v.type, array, f"known {v.name}")
        found = run(graph, feeds)
        ops = list(node_cases.ops_of(graph))
        level = max((op.tolerance for op in ops), key=node_cases.LEVELS.index)
        level = "printed" if node_cases.printed(name) else level
        for v, array in zip(graph.outputs, wanted, strict=True):
            if any(op.random for op in ops):
                assert found[v.name].shape == array.shape
                assert found[v.name].dtype == array.dtype
            else:
                node_cases.check(found[v.name], array, level)


@pytest.mark.parametrize("name", NAMES)
def test_node(name: str) -> None:
    reason = node_cases.gap_of(name, GAPS)
    if reason is None:
        compare(name)
        return
    try:
        compare(name)
    except (Exception, AssertionError):  # noqa: BLE001 - a gap may fail in any way
        return
    pytest.fail(f"the gap `{reason}` is closed: take {name} out of gaps.txt")


def test_every_gap_names_a_case() -> None:
    unused = [
        pattern for pattern in GAPS
        if not any(node_cases.gap_of(name, {pattern: ""}) is not None for name in NAMES)
    ]  # fmt: skip
    assert not unused

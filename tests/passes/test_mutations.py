"""Damaged graphs: whatever is wrong with one is said by an error of ours, never by Python's."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from passes.random_graphs import Grower
from sardonyx.core.dtype import DType
from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import number
from sardonyx.graph.check import check, verify
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Node, tensor_type
from sardonyx.graph.text import to_text
from sardonyx.passes.pipeline import optimize, prepare
from texts import dims_of

T = TypeVar("T")

NUMBERS = (-5, -1, 0, 1, 2, 3, 7, 1 << 40)


def one_of(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


def damaged(graph: Graph, rng: np.random.Generator) -> None:
    """Changes a few things at random."""
    for _ in range(rng.integers(1, 4)):
        node = one_of(graph.nodes, rng)
        kind = rng.integers(4)
        if kind == 0:
            other_inputs(graph, node, rng)
        elif kind == 1:
            other_attribute(graph, node, rng)
        elif kind == 2:
            value = one_of(list(graph.values()), rng)
            dims = dims_of(["A"] * int(rng.integers(6)))
            value.type = tensor_type(DType.INT64, dims)
        else:
            value = one_of(graph.inputs, rng)
            graph.set_inputs(node, [value] * len(node.inputs))


def other_inputs(graph: Graph, node: Node, rng: np.random.Generator) -> None:
    inputs = list(node.inputs)
    at = int(rng.integers(len(inputs)))
    choice = rng.integers(3)
    if choice == 0:
        inputs[at] = None
    elif choice == 1:
        del inputs[at]
    else:
        inputs.append(inputs[at])
    graph.set_inputs(node, inputs)


def other_attribute(graph: Graph, node: Node, rng: np.random.Generator) -> None:
    op: Any = node.op
    for name, value in op.attributes().items():
        changed: Any = one_of(NUMBERS, rng)
        if isinstance(value, tuple):
            changed = (changed, *value[1:])
        if isinstance(value, int | tuple):
            made = dataclasses.replace(op, **{name: changed})
            graph.set_op(node, made)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_graph_is_refused_or_runs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = Grower(rng).grow(20)
    damaged(graph, rng)
    assert to_text(graph)
    check(graph)
    feeds = {}
    for v in graph.inputs:
        shape = [number(d) or 3 for d in v.type.dims]
        feeds[v.name] = np.ones(shape, np.float32)
    with contextlib.suppress(SardonyxError):
        verify(graph)
        run(prepare(optimize(graph).graph), feeds)

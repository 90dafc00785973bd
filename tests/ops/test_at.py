"""Every op that says its elements as expressions, against its numpy reference.

The rows are the ONNX node cases of one node. Each is tried with dims as numbers and with dims as
symbols; the elements are evaluated one at a time, and a read out of bounds fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

import sardonyx.ops  # noqa: F401 - makes the operators known
from conformance import node_cases
from ops.evaluate import check
from sardonyx import formats
from sardonyx.core.dtype import DType
from sardonyx.core.expr import const, symbol
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.op import Index

NARROW = ("FLOAT8", "INT4", "FLOAT4", "INT2", "e4m3fn", "e5m2", "float4e2m1")
# Cases whose op has `at`, but not for their inputs.
DECLINED = (
    "test_training_dropout*",
    "test_resize_*_antialias",
    "test_resize_*_not_*er",
    "test_det_*",
    "test_constant",  # more elements than are worth writing out
)


def single_nodes() -> list[str]:
    """The cases of one node of the standard domain whose op has `at`."""
    found = []
    for name, case in node_cases.cases().items():
        if len(case.model.graph.node) == 1 and not case.model.graph.initializer:
            op = graph_of(name).nodes[0].op
            if (op.has("at") or op.has("at_output")) and not op.random:
                found.append(name)
    return found


def graph_of(name: str) -> Graph:
    return formats.load(bytes(node_cases.cases()[name].model.SerializeToString()))


def is_plain(arrays: Sequence[Any]) -> bool:
    """Whether there are tensors only, of types that have expressions."""
    known = [a for a in arrays if a is not None]
    if not all(isinstance(a, np.ndarray) for a in known):
        return False
    dtypes = [DType.from_numpy(a.dtype) for a in known]
    return not any(d.is_string or d.is_complex for d in dtypes)


def declines(name: str) -> bool:
    """Whether the op may say that it has no expression for this case."""
    narrow = any(word in name for word in NARROW)
    return narrow or any(fnmatchcase(name, pattern) for pattern in DECLINED)


@pytest.mark.parametrize("symbols", [False, True], ids=["numbers", "symbols"])
@pytest.mark.parametrize("name", single_nodes())
def test_elements_of_node_cases(name: str, symbols: bool) -> None:
    node = graph_of(name).nodes[0]
    for inputs, outputs in node_cases.cases()[name].data_sets:
        given = iter(inputs)
        arrays = [None if v is None else node_cases.plain(next(given)) for v in node.inputs]
        if is_plain(arrays):
            compared = check(node.op, arrays, symbols)
            empty = any(0 in np.shape(out) for out in outputs)
            assert compared or empty or declines(name)


def test_constant_subscripts_give_constant_elements() -> None:
    from sardonyx.ops.move.gather import Gather
    from sardonyx.passes.values import Known

    n = symbol("N")
    shape = Type(DType.INT64, (const(3),), (n, const(8), n * 2))
    index = Type(DType.INT64, (), (const(-1),))
    e = Gather().at(Index([], ()), Known(shape), Known(index))
    assert e is n * 2

"""Every ONNX backend node case through a native session, run twice, against its outputs.

What has no native code runs as a host step, so that a case fails only where something is wrong.
`gaps_native.txt` lists the cases known to fail, with reasons; one that passes fails the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conformance import node_cases
from sardonyx.session import InferenceSession, SessionOptions

GAPS = node_cases.gaps(Path(__file__).with_name("gaps_native.txt"))
NAMES = list(node_cases.cases())


def compare(name: str) -> None:
    case = node_cases.cases()[name]
    model = bytes(case.model.SerializeToString())
    session = InferenceSession(model, SessionOptions(intra_op_num_threads=1))
    ops = list(node_cases.ops_of(session.graph))
    level = max((op.tolerance for op in ops), key=node_cases.LEVELS.index)
    level = "printed" if node_cases.printed(name) else level
    for inputs, outputs in case.data_sets:
        names = (v.name for v in session.graph.inputs)
        given = zip(names, map(node_cases.plain, inputs), strict=False)
        feeds = {k: x for k, x in given if x is not None}
        session.run(None, feeds)
        found: list[Any] = session.run(None, feeds)
        if any(op.random for op in ops):
            continue
        for mine, wanted in zip(found, map(node_cases.plain, outputs), strict=True):
            node_cases.check(mine, wanted, level)


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
    pytest.fail(f"the gap `{reason}` is closed: take {name} out of gaps_native.txt")

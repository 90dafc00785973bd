"""The node cases moved to other opsets, and whether they still give the same."""

from __future__ import annotations

import functools

import numpy as np

from conformance import node_cases
from conformance.test_onnx_passes import level_of, load
from sardonyx import formats
from sardonyx.graph.check import check
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.passes.infer import infer
from sardonyx.passes.version import Upgraded, upgrade


@functools.cache
def opset_of(name: str) -> int | None:
    """The opset of ai.onnx of a case, None where it has none."""
    opsets = {o.domain: o.version for o in node_cases.cases()[name].model.opset_import}
    found = opsets.get("")
    return None if found is None else int(found)


def level(name: str, graph: Graph, made: Upgraded) -> str:
    """How exactly a moved case must agree: what is written in other operators rounds elsewhere."""
    own = level_of(name, graph)
    same = all(r.rule in ("form", "axes") for r in made.log.changes)
    return own if same or own == "printed" else "reduction"


def moved(name: str, opset: int) -> Graph | str:
    """The case at that opset, checked by reading it back and running it; why not, otherwise."""
    graph, feeds, wanted = load(name)
    made = upgrade(graph, opset)
    if made.refused:
        return f"{made.refused[0].op}: {made.refused[0].reason}"
    again = formats.load(formats.to_bytes(made.graph))
    assert not [f for f in check(again) if f.is_error]
    assert again.opsets[""] == opset
    infer(again, allowed=True)
    found = run(again, feeds)
    assert [v.name for v in again.outputs] == [v.name for v in graph.outputs]
    for v, array in zip(again.outputs, wanted, strict=True):
        if any(op.random for op in node_cases.ops_of(graph)):
            assert found[v.name].shape == array.shape
            assert found[v.name].dtype == array.dtype
        else:
            node_cases.check(found[v.name], array, level(name, graph, made))
    return again


def outside(name: str, graph: Graph) -> bool | None:
    """Whether ONNX Runtime gives a case's outputs for a graph; None where it does not run it."""
    import onnxruntime as ort

    _, feeds, wanted = load(name)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(formats.to_bytes(graph), options)
        found = session.run(None, feeds)
    except Exception:  # noqa: BLE001 - it has no kernel for many types and opsets
        return None
    try:
        for a, b in zip(found, wanted, strict=True):
            node_cases.check(a if a is None or isinstance(a, list) else np.asarray(a), b, "printed")
    except AssertionError:
        return False
    return True

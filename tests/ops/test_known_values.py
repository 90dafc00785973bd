"""What an operator says of its outputs' elements is so, whichever operand is known."""

from dataclasses import replace

import numpy as np

from conformance import node_cases
from sardonyx.core.dtype import Array
from sardonyx.core.errors import SardonyxError
from sardonyx.formats import load
from sardonyx.graph.ir import Node, Type
from sardonyx.graph.type import array_type


def said(node: Node, types: list[Type | None]) -> list[Type | None]:
    try:
        made = node.op.infer(*types)
    except (SardonyxError, NotImplementedError):
        return []
    return list(made) if isinstance(made, tuple) else [made]


def differs(t: Type | None, wanted: Array) -> bool:
    if t is None or t.value is None or not all(e.is_const for e in t.value):
        return False
    found = np.array([e.arg for e in t.value]).astype(wanted.dtype).reshape(t.static_shape or ())
    return not np.array_equal(found, wanted)


def test_elements_that_infer_tells_are_those_of_the_case() -> None:
    wrong = []
    for name, case in node_cases.cases().items():
        node = load(bytes(case.model.SerializeToString())).nodes[0]
        ins, outs = ([node_cases.plain(x) for x in part] for part in case.data_sets[0])
        plain = all(isinstance(a, np.ndarray) for a in (*ins, *outs))
        if len(case.model.graph.node) > 1 or not plain or node.op.has("control"):
            continue
        given = iter(ins)
        types = [None if v is None else array_type(next(given)) for v in node.inputs]
        bare = [t and replace(t, value=None) for t in types]
        for n, t in enumerate(types):
            made = said(node, [*bare[:n], t, *bare[n + 1 :]])
            kept = (m for m, v in zip(made, node.outputs, strict=False) if v is not None)
            if any(map(differs, kept, outs)):
                wrong.append((name, n))
    assert wrong == []

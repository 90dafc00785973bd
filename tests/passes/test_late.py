import numpy as np

from conformance import node_cases
from fuzz import requests
from sardonyx import InferenceSession
from sardonyx.core.expr import maximum, symbol
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import find
from sardonyx.graph.rewrite import Log
from sardonyx.passes.late import LATE

NAME = "test_linear_attention_linear_expanded"


def test_a_size_mixed_with_one_that_only_a_run_tells_is_learnt() -> None:
    session = InferenceSession(requests.loosened(NAME))
    inputs, outputs = node_cases.cases()[NAME].data_sets[0]
    names = [v.name for v in session.graph.inputs]
    feeds = dict(zip(names, map(node_cases.plain, inputs), strict=True))
    for mine, wanted in zip(session.run(None, feeds), outputs, strict=True):
        np.testing.assert_allclose(mine, node_cases.plain(wanted), rtol=1e-4, atol=1e-5)


def test_one_expression_becomes_one_symbol_everywhere() -> None:
    n, late = symbol("N"), symbol("_late", 0)
    graph = Graph("g")
    x = Value("x", Type(None, (n,)))
    graph.inputs.append(x)
    relu = find("", "Relu")
    assert relu is not None
    a, b, c = (Value(name, Type(None, dims)) for name, dims in (
        ("a", (n, maximum(n, late))), ("b", (2 * maximum(n, late),)), ("c", (n,)),
    ))  # fmt: skip
    for source, made in ((x, a), (a, b), (b, c)):
        graph.append(relu(), [source], [made])
    LATE.run(graph, Log())
    size = a.type.dims[1]
    assert size.op == "var"
    assert size not in (n, late)
    assert a.type.dims == (n, size)
    assert b.type.dims == (2 * size,)
    assert c.type.dims == (n,)

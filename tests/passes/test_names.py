from sardonyx.graph.rewrite import Log
from sardonyx.passes.names import NAMES
from texts import load

TEXT = """
graph g {
  opset "" 20
  input x: float32[2]
  input go: bool[]
  const c: float32[] = {1}
  y = If<then_branch=graph yes {
    const c: float32[] = {2}
    const c_1: float32[] = {3}
    a = Add(x, c)
    b = Add(a, c_1)
    output b
  }, else_branch=graph no {
    d = Add(x, x)
    output d
  }>(go)
  z = Add(y, c)
  output z
}
"""


def test_a_new_name_is_not_one_of_the_body() -> None:
    graph = load(TEXT)
    body = next(n.op for n in graph.nodes if n.op.standard("If")).attributes()["then_branch"]
    NAMES.run(graph, Log())
    read = {v for node in body.nodes for v in node.inputs if v is not None and v.const is not None}
    assert {v.name for v in read} == set(body.initializers)
    assert read == set(body.initializers.values())
    assert "c" not in body.initializers

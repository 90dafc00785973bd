"""Graphs that several tests use, as text."""

import sardonyx.ops  # noqa: F401
from sardonyx.graph.ir import Graph, Node
from sardonyx.graph.text import from_text

SHAPES = """
graph shapes {
  opset "" 20
  input x: float32[N, S, 6]
  const one: int64[] = {1}
  const two: int64[1] = {2}
  const rest: int64[1] = {-1}
  shape = Shape(x)
  s = Gather(shape, one)
  axis: int64[1] = Unsqueeze(s, zero)
  const zero: int64[1] = {0}
  n = Slice(shape, zero, first)
  const first: int64[1] = {1}
  target = Concat<axis=0>(n, axis, two, rest)
  y = Reshape(x, target)
  z = Transpose<perm=[0, 2, 1, 3]>(y)
  output z
}
"""

BRANCHES = """
graph branches {
  opset "" 20
  input x: float32[N]
  input flag: bool[]
  r = Relu(x)
  [choice] y = If<then_branch=graph then {
      opset "" 20
      a = Neg(r)
      output a
    }, else_branch=graph other {
      opset "" 20
      const c: float32[] = {2.0}
      b = Mul(r, c)
      output b
    }>(flag)
  output y
}
"""

FUNCTIONS = """
graph calls {
  opset "" 20
  opset my 1
  function my::Twice<axis=-1>(a) {
    opset "" 20
    opset my 1
    s = Softmax<axis=&axis:INT>(a)
    t = my::Inner(s)
    output t
  }
  function my::Inner(a) {
    opset "" 20
    t = Add(a, a)
    output t
  }
  input x: float32[N, 3]
  [first] y = my::Twice<axis=0>(x)
  [second] z = my::Twice(y)
  output z
}
"""


def node(graph: Graph, op: str) -> Node:
    """The one node of that operator."""
    found = [n for n in graph if n.op.op_type == op]
    assert len(found) == 1, found
    return found[0]


def parse(body: str, opset: int = 20) -> Graph:
    """A graph with the standard opset around some items."""
    return from_text(f'graph g {{\n opset "" {opset}\n{body}\n}}')

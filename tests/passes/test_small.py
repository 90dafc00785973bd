"""Dead code, common subexpressions, inlining, lowering, and the memory order of activations."""

import numpy as np
import pytest

from graph.sources import BRANCHES, FUNCTIONS, node, parse
from passes.equal import apply, ops, ready
from sardonyx.core.errors import InvalidGraph, LimitExceeded
from sardonyx.graph.check import verify
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text
from sardonyx.passes.cse import CSE
from sardonyx.passes.dead import DEAD
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import INLINE
from sardonyx.passes.layout import LAYOUT, channels_last
from sardonyx.passes.lower import LOWER
from sardonyx.passes.pipeline import INFER


def test_dead_nodes_constants_and_functions_go() -> None:
    graph = parse("""
      opset my 1
      function my::Used(a) { opset my 1 b = my::Inner(a) output b }
      function my::Inner(a) { b = Neg(a) output b }
      function my::Unused(a) { b = Neg(a) output b }
      input x: float32[N]
      input spare: float32[N]
      const k: float32[] = {1.0}
      a = Add(x, k)
      b = Neg(a)
      y = my::Used(x)
      output y
    """)
    log = DEAD(graph)
    assert ops(graph) == ["Used"]
    assert [key[1] for key in graph.functions] == ["Used", "Inner"]
    assert not graph.initializers
    assert [v.name for v in graph.inputs] == ["x", "spare"]
    assert log.counts() == {"dead": 2}


def test_dead_nodes_of_subgraphs_go_with_what_they_read() -> None:
    graph = parse("""
      input x: float32[N]
      input flag: bool[]
      r = Exp(x)
      y = If<then_branch=graph a { opset "" 20 u = Neg(r) b = Abs(x) output b },
             else_branch=graph c { opset "" 20 d = Neg(x) output d }>(flag)
      output y
    """)
    DEAD(graph)
    assert ops(graph) == ["If"]


def test_equal_nodes_are_one() -> None:
    graph = parse("""
      input x: float32[N]
      const a: float32[] = {1.0}
      const b: float32[] = {1.0}
      p = Add(x, a)
      q = Add(x, b)
      r = Softmax<axis=0>(p)
      s = Softmax<axis=0>(q)
      t = Softmax<axis=-1>(q)
      u = Mul(r, s)
      y = Mul(u, t)
      output y
    """)
    made, log = apply(ready(graph), CSE)
    assert sorted(ops(made)) == ["Add", "Mul", "Mul", "Softmax", "Softmax"]
    assert log.counts() == {"cse": 2}
    assert len(made.initializers) == 1


def test_random_nodes_and_outputs_stay_apart() -> None:
    graph = ready(parse("""
      input x: float32[N]
      a = RandomNormalLike(x)
      b = RandomNormalLike(x)
      y = Neg(x)
      z = Neg(x)
      w = Add(a, b)
      output y
      output z
      output w
    """))  # fmt: skip
    CSE(graph)
    assert len(graph) == 5


def test_signs_of_zero_stay_apart() -> None:
    graph = ready(
        parse("""
      input x: float32[N]
      a = LeakyRelu<alpha=0.0>(x)
      b = LeakyRelu<alpha=-0.0>(x)
      y = Add(a, b)
      output y
    """)
    )
    CSE(graph)
    assert len(graph) == 3


def test_functions_are_inlined_with_their_attributes() -> None:
    graph = from_text(FUNCTIONS)
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    INLINE(graph)
    verify(graph)
    assert ops(graph) == ["Softmax", "Add", "Softmax", "Add"]
    assert [n.op.attributes()["axis"] for n in graph if n.op.op_type == "Softmax"] == [0, -1]
    assert not graph.functions
    assert [v.name for v in graph.outputs] == ["z"]
    assert graph.nodes[0].name.startswith("first/") or graph.nodes[0].name == ""

    def softmax(a: np.ndarray, axis: int) -> np.ndarray:
        e = np.exp(a - a.max(axis, keepdims=True))
        return np.asarray(2 * e / e.sum(axis, keepdims=True))

    np.testing.assert_allclose(run(graph, {"x": x})["z"], softmax(softmax(x, 0), -1), rtol=1e-6)


def test_a_function_that_gives_back_its_input() -> None:
    graph = parse("""
      opset my 1
      function my::Same(a, b) { opset "" 20 c = Relu(a) output c output b }
      input x: float32[N]
      [call, "k"="v"] y, z = my::Same(x, x)
      output y
      output z
    """)
    INLINE(graph)
    verify(graph)
    infer(graph)
    found = run(graph, {"x": np.array([-1.0], np.float32)})
    assert (found["y"].tolist(), found["z"].tolist()) == ([0], [-1])
    assert node(graph, "Relu").meta == {"k": "v"}


def test_functions_in_subgraphs_are_inlined() -> None:
    graph = parse("""
      opset my 1
      function my::F(a) { opset "" 20 c = Relu(a) output c }
      input x: float32[N]
      input flag: bool[]
      y = If<then_branch=graph t { opset "" 20 opset my 1 p = my::F(x) output p },
             else_branch=graph e { opset "" 20 q = Neg(x) output q }>(flag)
      output y
    """)
    INLINE(graph)
    verify(graph)
    assert [ops(b) for b in graph.nodes[0].op.attributes().values()] == [["Relu"], ["Neg"]]


def test_a_missing_attribute_is_named() -> None:
    graph = parse("""
      opset my 1
      function my::F<axis>(a) { opset "" 20 c = Softmax<axis=&axis:INT>(a) output c }
      input x: float32[N]
      y = my::F(x)
      output y
    """)
    with pytest.raises(InvalidGraph, match="axis") as caught:
        INLINE(graph)
    assert caught.value.code == "E0306"


def test_bombs_and_circles_are_refused_before_anything_is_copied() -> None:
    levels = "\n".join(
        f"function my::F{n}(x) {{ opset my 1 a = my::F{n + 1}(x) y = my::F{n + 1}(a) output y }}"
        for n in range(60)
    )
    leaf = 'function my::F60(x) { opset "" 20 y = Neg(x) output y }'
    bomb = parse(f"opset my 1\n{leaf}\n{levels}\n input x: float32[N]\n y = my::F0(x)\n output y")
    with pytest.raises(LimitExceeded) as caught:
        INLINE(bomb)
    assert caught.value.code == "E0503"
    circle = parse("""
      opset my 1
      function my::A(x) { opset my 1 y = my::A(x) output y }
      input x: float32[N]
      y = my::A(x)
      output y
    """)
    with pytest.raises(InvalidGraph) as refused:
        INLINE(circle)
    assert refused.value.code == "E0305"


@pytest.mark.parametrize(("flag", "left"), [("1", ["Relu", "Neg"]), ("0", ["Relu", "Mul"])])
def test_a_branch_that_is_known_is_taken(flag: str, left: list[str]) -> None:
    text = BRANCHES.replace("input flag: bool[]", f"const flag: bool[] = {{{flag}}}")
    graph = ready(from_text(text))
    made, _ = apply(graph, INFER, {"x": np.array([-1, 3], np.float32)})
    assert ops(made) == left
    assert [v.name for v in made.outputs] == ["y"]


def test_a_branch_that_gives_an_outer_value() -> None:
    graph = ready(
        parse("""
      input x: float32[N]
      const flag: bool[] = {1}
      y = If<then_branch=graph a { output x }, else_branch=graph b { output x }>(flag)
      output y
    """)
    )
    made, _ = apply(graph, INFER)
    assert ops(made) == ["Identity"]
    assert [v.name for v in made.outputs] == ["y"]


def test_operators_without_code_are_written_out() -> None:
    graph = ready(parse(f"""
      input x: float32[5, N, 3]
      const w: float32[1, 8, 3] = {{{", ".join(["0.5"] * 24)}}}
      const r: float32[1, 8, 2] = {{{", ".join(["0.25"] * 16)}}}
      y = LSTM<hidden_size=2>(x, w, r)
      output y
    """))  # fmt: skip
    made, log = apply(graph, LOWER, close=lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5))
    assert "LSTM" not in ops(made)
    assert "MatMul" in ops(made)
    assert log.counts() == {"expand": 1}


CONVOLUTIONS = f"""
  input x: float32[N, 3, 8, 8]
  const w: float32[4, 3, 3, 3] = {{{", ".join(["0.1"] * 108)}}}
  const s: float32[4, 1, 1] = {{1, 2, 3, 4}}
  const shape: int64[2] = {{0, -1}}
  p = Sigmoid(x)
  a = Conv<pads=[1, 1, 1, 1]>(p, w)
  b = Relu(a)
  c = Mul(b, s)
  d = Concat<axis=1>(c, b)
  e = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(d)
  f = Softmax<axis=2>(e)
  g = Reshape(f, shape)
  h = Relu(d)
  output g
  output h
"""


def layouts(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {v.name: v.layout for v in graph.values() if v.layout is not None}


def test_activations_around_convolutions_are_channels_last() -> None:
    made, _ = apply(ready(parse(CONVOLUTIONS)), LAYOUT)
    last = channels_last(4)
    assert last == (0, 2, 3, 1)
    assert layouts(made) == dict.fromkeys("pabcde", last)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_any_number_of_spatial_axes(rank: int) -> None:
    dims, kernel = ", ".join("9" * (rank - 2)), ", ".join("3" * (rank - 2))
    count = 4 * 3 ** (rank - 2)
    graph = ready(parse(f"""
      input x: float32[N, 2, {dims}]
      const w: float32[2, 2, {kernel}] = {{{", ".join(["0.5"] * count)}}}
      a = Conv(x, w)
      y = Relu(a)
      output y
    """))  # fmt: skip
    LAYOUT(graph)
    assert layouts(graph) == {"a": channels_last(rank)}


def test_a_network_without_convolutions_keeps_its_order() -> None:
    graph = ready(parse("input x: float32[N, S, 4]\n a = Softmax(x)\n y = Relu(a)\n output y"))
    LAYOUT(graph)
    assert layouts(graph) == {}


def test_what_a_subgraph_reads_keeps_its_order() -> None:
    graph = ready(
        parse("""
      input x: float32[N, 2, 8]
      input flag: bool[]
      const w: float32[2, 2, 1] = {1, 0, 0, 1}
      a = Conv(x, w)
      y = If<then_branch=graph t { opset "" 20 p = Neg(a) output p },
             else_branch=graph e { opset "" 20 q = Abs(a) output q }>(flag)
      output y
    """)
    )
    LAYOUT(graph)
    assert layouts(graph) == {}

"""Constants are folded within a budget, and what is left says why."""

import time

import numpy as np
import pytest

from graph.sources import SHAPES, parse
from passes.equal import apply, ops, ready
from sardonyx.core import knobs
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Graph, Value
from sardonyx.graph.make import make_op
from sardonyx.graph.rewrite import Log
from sardonyx.graph.text import from_text
from sardonyx.passes.dead import DEAD
from sardonyx.passes.fold import FOLD


def reasons(log: Log) -> list[str]:
    return [r.reason for r in log.records if r.reason]


def test_constants_are_folded() -> None:
    graph = ready(parse("""
      input x: float32[N, 2]
      const a: float32[2] = {1.0, 2.0}
      b = Exp(a)
      c = Mul(b, a)
      y = Add(x, c)
      output y
    """))  # fmt: skip
    made, log = apply(graph, FOLD)
    assert ops(made) == ["Add"]
    assert log.counts() == {"fold": 2}


def test_known_shape_arithmetic_becomes_constants() -> None:
    graph = from_text(SHAPES.replace("float32[N, S, 6]", "float32[2, 4, 6]"))
    graph.sort()
    made, _ = apply(ready(graph), FOLD)
    assert ops(made) == ["Reshape", "Transpose"]
    assert made.nodes[0].inputs[1] is not None
    assert made.nodes[0].inputs[1].const is not None


def test_constants_become_initializers_as_they_are() -> None:
    graph = parse("y = Constant<value=tensor float32[2] {1.0, 2.0}>()\n z = Neg(y)\n output z")
    made, _ = apply(ready(graph), FOLD)
    assert ops(made) == ["Neg"]


def test_a_graph_output_stays_a_nodes() -> None:
    made, _ = apply(ready(parse("const a: float32[1] = {2.0}\n y = Neg(a)\n output y")), FOLD)
    assert ops(made) == ["Neg"]


def test_a_default_that_may_be_fed_is_no_constant() -> None:
    graph = parse(
        "input a: float32[1]\n const a: float32[1] = {2.0}\n b = Neg(a)\n y = Exp(b)\n output y"
    )
    made, _ = apply(ready(graph), FOLD, {})
    assert ops(made) == ["Neg", "Exp"]


def test_random_operators_are_left() -> None:
    graph = ready(parse("r = RandomNormal<shape=[2, 2]>()\n y = Neg(r)\n output y"))
    log = FOLD(graph)
    assert ops(graph) == ["RandomNormal", "Neg"]
    assert len(reasons(log)) == 1


def test_dequantized_weights_are_left() -> None:
    graph = parse("""
      input x: float32[N, 2]
      const w: int8[2, 2] = {1, 2, 3, 4}
      const s: float32[] = {0.5}
      d = DequantizeLinear(w, s)
      y = MatMul(x, d)
      output y
    """)
    made, log = apply(ready(graph), FOLD)
    assert ops(made) == ["DequantizeLinear", "MatMul"]
    assert reasons(log) == ["kept for the integer kernels"]


def doubling(count: int) -> Graph:
    rows = "\n".join(f"x{n + 1} = Concat<axis=0>(x{n}, x{n})" for n in range(count))
    return ready(
        parse(f"const x0: float32[4] = {{1,2,3,4}}\n{rows}\n y = Abs(x{count})\n output y")
    )


def test_a_chain_that_doubles_stops_at_the_budget() -> None:
    graph = doubling(40)
    start = time.thread_time()
    log = FOLD(graph)
    DEAD(graph)
    assert time.thread_time() - start < 5
    kept = sum(v.const.nbytes for v in graph.initializers.values() if isinstance(v.const, Tensor))
    assert kept <= 256 << 20
    assert any("fold_bytes" in r for r in reasons(log))
    assert ops(doubling(8)) == ["Concat"] * 8 + ["Abs"]
    made, _ = apply(doubling(8), FOLD)
    assert ops(made) == ["Abs"]


def test_the_budget_can_be_changed() -> None:
    with knobs.override(limits="fold_bytes=100"):
        log = FOLD(doubling(8))
    assert any("the limit `fold_bytes` is 100" in r for r in reasons(log))


def test_broadcasts_are_not_stored() -> None:
    graph = ready(parse("""
      input x: float32[1024, 1024]
      const one: float32[1] = {1.0}
      const shape: int64[2] = {1024, 1024}
      big = Expand(one, shape)
      y = Add(x, big)
      output y
    """))  # fmt: skip
    assert "made from" in reasons(FOLD(graph))[0]


def test_work_out_of_proportion_is_left() -> None:
    graph = parse("input x: float32[1, 1, 1, 1]\n y = Mul(x, x)\n output y")
    big = graph.constant(Tensor.of(np.zeros((1, 1, 1200, 1200), np.float32)))
    pool = make_op("", "MaxPool", 20, {"kernel_shape": (600, 600)})
    graph.append(pool, [big], [Value("pooled")])
    graph.set_inputs(graph.nodes[0], [graph.inputs[0], graph.nodes[1].output])
    ready(graph)
    start = time.thread_time()
    log = FOLD(graph)
    assert "the work is out of proportion" in reasons(log)
    assert time.thread_time() - start < 1


def test_what_fails_is_left_for_the_run() -> None:
    graph = parse("""
      const a: int64[2] = {1, 5}
      const i: int64[1] = {7}
      b = Gather(a, i)
      y = Neg(b)
      output y
    """)
    graph = ready(graph)
    log = FOLD(graph)
    assert "Gather" in ops(graph)
    assert reasons(log)


@pytest.mark.parametrize("name", ["then", "other"])
def test_subgraphs_are_folded(name: str) -> None:
    graph = ready(parse("""
      input flag: bool[]
      const a: float32[1] = {2.0}
      y = If<then_branch=graph then { opset "" 20 b = Exp(a) c = Neg(b) output c },
             else_branch=graph other { opset "" 20 b2 = Exp(a) c2 = Abs(b2) output c2 }>(flag)
      output y
    """))  # fmt: skip
    made, log = apply(graph, FOLD, {"flag": np.array(name == "then")})
    assert log.counts() == {"fold": 2}
    assert "a" in made.initializers
    DEAD(made)
    assert "a" not in made.initializers

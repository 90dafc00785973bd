"""The pipelines leave the given graph alone, keep its interface, and show every stage."""

import numpy as np
import pytest

from graph.sources import FUNCTIONS, SHAPES, parse
from passes.equal import ops
from sardonyx.core.errors import UsageError
from sardonyx.graph.check import check, verify
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text, to_text
from sardonyx.passes.pipeline import LEVELS, optimize, prepare


def test_the_given_graph_stays_as_it_is() -> None:
    graph = from_text(SHAPES)
    before = to_text(graph)
    optimize(graph)
    prepare(graph)
    assert to_text(graph) == before


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", [SHAPES, FUNCTIONS])
def test_every_level_keeps_meaning_and_interface(level: str, text: str) -> None:
    graph = from_text(text)
    made = optimize(graph, level, verify=lambda _, g: verify(g)).graph
    assert [v.name for v in made.inputs] == [v.name for v in graph.inputs]
    assert [v.name for v in made.outputs] == [v.name for v in graph.outputs]
    shape = (2, 5, 6) if text is SHAPES else (2, 3)
    feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    wanted = run(optimize(graph, "off").graph, feeds)
    for found in (run(made, feeds), run(prepare(made), feeds)):
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


def test_stages_are_dumped_by_name() -> None:
    seen: list[str] = []

    def dump(name: str, graph: Graph) -> None:
        assert to_text(graph)
        seen.append(name)

    optimize(from_text(SHAPES), "basic", dump=dump)
    assert {"pass:infer", "pass:fold", "pass:cse", "pass:simplify", "pass:dead"} <= set(seen)
    seen.clear()
    prepare(from_text(SHAPES), dump=dump)
    assert {"pass:quant", "pass:lower", "pass:layout"} <= set(seen)


def test_the_log_tells_what_was_done_to_a_node() -> None:
    graph = parse("""
      input x: float32[N]
      [copy] a = Identity(x)
      const zero: float32[] = {0.0}
      [sum] b = Add(a, zero)
      [again] y = Identity(b)
      output y
    """)
    log = optimize(graph).log
    assert [r.rule for r in log.of("copy")] == ["identity"]
    assert [r.reason for r in log.of("sum") if r.rule == "neutral operand"] == [
        "adding 0 turns -0 into 0"
    ]
    assert log.counts()["identity"] == 2


def test_an_unsorted_model_is_sorted() -> None:
    graph = parse("input x: float32[N]\n y = Neg(a)\n a = Relu(x)\n output y")
    assert ops(optimize(graph).graph) == ["Relu", "Neg"]
    assert ops(prepare(graph)) == ["Relu", "Neg"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(UsageError):
        optimize(from_text(SHAPES), "most")


def test_a_graph_that_gives_an_input_or_a_constant() -> None:
    graph = parse("""
      input x: float32[N]
      const k: float32[1] = {1.0}
      a = Identity(x)
      b = Identity(k)
      output a
      output b
      output x
    """)
    made = optimize(graph).graph
    found = run(prepare(made), {"x": np.array([2.0], np.float32)})
    assert {n: v.tolist() for n, v in found.items()} == {"a": [2.0], "b": [1.0], "x": [2.0]}


def test_names_in_subgraphs_differ_from_those_around() -> None:
    graph = parse("""
      input x: float32[N]
      input flag: bool[]
      const c: float32[] = {1.0}
      a = Add(x, c)
      y = If<then_branch=graph t {
               opset "" 20 const c: float32[] = {2.0} a = Mul(x, c) output a },
             else_branch=graph e { opset "" 20 b = Neg(x) output b }>(flag)
      z = Add(y, a)
      output z
    """)  # fmt: skip
    assert [(f.severity, f.code) for f in check(graph)] == [("warning", "E0302")] * 2
    made = optimize(graph).graph
    assert check(made) == []
    feeds = {"x": np.array([3.0], np.float32), "flag": np.array(True)}
    assert run(made, feeds)["z"].tolist() == [10.0]

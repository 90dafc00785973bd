"""The driver applies rules to a fixpoint, keeps names and metadata, and says what refused."""

import time

import pytest

from graph.sources import node, parse
from sardonyx.core.errors import InternalError
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.rewrite import Log, Pass, Pipeline, Rule, apply, rule


@rule("drop", "Neg")
def drop(one: Node, graph: Graph) -> Value | str | None:
    """Neg(x) becomes x, except where x is an input."""
    del graph
    x = one.inputs[0]
    assert x is not None
    return x if x.producer is not None else "it reads an input"


@rule("swap", "Abs")
def swap(one: Node, graph: Graph) -> Value | None:
    """Abs(x) becomes Abs(Abs(x)), for ever."""
    out = Value(graph.fresh_name("s"))
    graph.append(one.op, one.inputs, [out])
    return out


def applied(graph: Graph, *rules: Rule) -> Log:
    log = Log()
    apply(rules, graph, log)
    return log


def test_to_a_fixpoint_in_linear_time() -> None:
    def seconds(count: int) -> float:
        rows = "\n".join(f"x{n + 1} = Neg(x{n})" for n in range(count))
        graph = parse(f"input x: float32[N]\n x0 = Exp(x)\n{rows}\n y = Exp(x{count})\n output y")
        start = time.thread_time()
        log = applied(graph, drop)
        taken = time.thread_time() - start
        assert [n.op.op_type for n in graph] == ["Exp", "Exp"]
        assert log.counts() == {"drop": count}
        return taken

    small = min(seconds(500) for _ in range(3))
    assert min(seconds(4000) for _ in range(3)) < 40 * small


def test_refusals_are_kept_with_their_reason() -> None:
    graph = parse("input x: float32[N]\n [first] a = Neg(x)\n [second] y = Neg(a)\n output y")
    log = applied(graph, drop)
    refused = [r for r in log.records if r.reason]
    assert [r.node for r in refused] == ["first"]
    assert refused[0].reason == "it reads an input"
    assert [r.node for r in log.changes] == ["second"]
    assert log.of("second") == log.changes


def test_a_graph_output_keeps_its_name() -> None:
    graph = parse("input x: float32[N]\n a = Exp(x)\n y = Neg(a)\n output y")
    applied(graph, drop)
    assert [v.name for v in graph.outputs] == ["y"]
    assert node(graph, "Exp").output is graph.outputs[0]


def test_two_outputs_of_one_value_stay_two() -> None:
    graph = parse("input x: float32[N]\n a = Exp(x)\n y = Neg(a)\n output a\n output y")
    applied(graph, drop)
    assert [v.name for v in graph.outputs] == ["a", "y"]
    assert [n.op.op_type for n in graph] == ["Exp", "Identity"]


@pytest.mark.parametrize(("name", "names"), [("r", ["r.0", "r"]), ("", ["", ""])])
def test_new_nodes_take_the_name_and_metadata(name: str, names: list[str]) -> None:
    @rule("twice", "Relu")
    def twice(one: Node, graph: Graph) -> Value:
        outs = [Value(graph.fresh_name("t")) for _ in range(2)]
        tanh = node(parse("input x: float32[N]\n y = Tanh(x)\n output y"), "Tanh").op
        graph.append(tanh, one.inputs, [outs[0]])
        graph.append(tanh, [outs[0]], [outs[1]])
        return outs[1]

    graph = parse('input x: float32[N]\n [r, "trace"="a.py:3"] y = Relu(x)\n output y')
    node(graph, "Relu").name = name
    applied(graph, twice)
    assert [(n.name, n.meta) for n in graph] == [(n, {"trace": "a.py:3"}) for n in names]
    assert [v.name for v in graph.outputs] == ["y"]


def test_rules_without_end_are_stopped() -> None:
    graph = parse("input x: float32[N]\n y = Abs(x)\n output y")
    with pytest.raises(InternalError, match="swap"):
        applied(graph, swap)


def test_what_a_rule_leaves_unread_goes() -> None:
    graph = parse("input x: float32[N]\n a = Exp(x)\n b = Add(a, c)\n c = Log(x)\n d = Neg(b)\n"
                  "y = Mul(d, x)\n output y")  # fmt: skip

    @rule("constant", "Mul")
    def constant(one: Node, graph: Graph) -> Value:
        del one
        return graph.inputs[0]

    applied(graph, constant)
    assert [n.op.op_type for n in graph] == ["Identity"]


def test_a_pipeline_shows_and_verifies_every_pass() -> None:
    seen: list[str] = []
    checked: list[Graph] = []
    graph = parse("input x: float32[N]\n a = Exp(x)\n y = Neg(a)\n output y")
    passes = (Pass("one", lambda g, log: apply([drop], g, log)), Pass("two", lambda g, log: None))
    log = Pipeline(passes).run(graph, dump=lambda name, _: seen.append(name), verify=checked.append)
    assert seen == ["pass:one", "pass:two"]
    assert checked == [graph, graph]
    assert log.counts() == {"drop": 1}

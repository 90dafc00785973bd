"""Uses, names and order stay right whatever is done to a graph."""

import time
from collections import defaultdict

import pytest

from graph.sources import BRANCHES, node, parse
from sardonyx.core.errors import InvalidGraph
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value, captured, subgraphs
from sardonyx.graph.op import find
from sardonyx.graph.text import from_text, to_text


def recorded(graph: Graph) -> dict[str, dict[int, int]]:
    """The uses as recorded, by value name and node identity."""
    found: dict[str, dict[int, int]] = {}
    for body in bodies(graph):
        for v in body.values():
            found[v.name] = {id(n): count for n, count in v.uses.items()}
    return found


def counted(graph: Graph) -> dict[str, dict[int, int]]:
    """The uses as they are."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for body in bodies(graph):
        for v in body.values():
            found[v.name] = {}
    for body in bodies(graph):
        for n in body:
            reads = list(captured(n).items())
            reads += [(v, 1) for v in n.inputs if v is not None]
            for v, count in reads:
                users = found[v.name]
                users[id(n)] = users.get(id(n), 0) + count
    return found


def test_uses_count_reads_of_subgraphs() -> None:
    graph = from_text(BRANCHES)
    assert recorded(graph) == counted(graph)
    r = node(graph, "Relu").output
    assert node(graph, "If") in r.uses


def test_replacing_a_captured_value_reaches_subgraphs() -> None:
    graph = from_text(BRANCHES)
    r, x = node(graph, "Relu").output, graph.inputs[0]
    graph.replace(r, x)
    assert not r.uses
    assert recorded(graph) == counted(graph)
    assert all(x in n.inputs for body in subgraphs(node(graph, "If").op) for n in body)


def test_replacing_a_value_that_a_subgraph_gives_as_it_is() -> None:
    graph = parse("""
      input x: float32[N]
      input flag: bool[]
      r = Relu(x)
      y = If<then_branch=graph a { output r }, else_branch=graph b { output x }>(flag)
      output y
    """)
    r = node(graph, "Relu").output
    assert node(graph, "If") in r.uses
    graph.replace(r, graph.inputs[0])
    assert [b.outputs for b in subgraphs(node(graph, "If").op)] == [[graph.inputs[0]]] * 2
    assert recorded(graph) == counted(graph)


def test_removing_a_node_releases_what_its_subgraphs_read() -> None:
    graph = from_text(BRANCHES)
    choice, r = node(graph, "If"), node(graph, "Relu").output
    graph.replace(choice.output, r)
    graph.remove(choice)
    assert not r.uses
    assert graph.outputs == [r]


def test_changing_a_subgraph_in_place_is_recounted() -> None:
    graph = from_text(BRANCHES)
    choice = node(graph, "If")
    for body in subgraphs(choice.op):
        inner = body.nodes[0]
        body.set_inputs(inner, [graph.inputs[0], *inner.inputs[1:]])
    graph.recount(choice)
    assert not node(graph, "Relu").output.uses
    assert recorded(graph) == counted(graph)


def test_fresh_names_are_new_and_cheap() -> None:
    graph = parse("input x: float32[N]\n x_1 = Relu(x)\n output x_1")
    names = [graph.fresh_name("x") for _ in range(3)]
    assert len({*names, "x", "x_1"}) == 5
    relu = find("", "Relu", 20)
    assert relu is not None
    start, value = time.thread_time(), graph.outputs[0]
    for _ in range(20_000):
        out = Value(graph.fresh_name("v"))
        graph.append(relu(), [value], [out])
    assert time.thread_time() - start < 5
    assert len({v.name for v in graph.values()}) == 20_002


def test_sort_keeps_the_order_where_it_may_and_finds_cycles() -> None:
    text = "input x: float32[N]\n b = Neg(a)\n a = Relu(x)\n c = Abs(x)\n d = Add(b, c)\n output d"
    graph = parse(text)
    graph.sort()
    assert [n.op.op_type for n in graph] == ["Relu", "Neg", "Abs", "Add"]
    looped = parse("input x: float32[N]\n a = Add(x, b)\n b = Relu(a)\n output b")
    with pytest.raises(InvalidGraph) as caught:
        looped.sort()
    assert caught.value.code == "E0303"


def test_a_clone_is_equal_and_apart() -> None:
    graph = from_text(BRANCHES)
    before = to_text(graph)
    copy = clone(graph)
    assert to_text(copy) == before
    assert not set(copy.values()) & set(graph.values())
    copy.replace(node(copy, "Relu").output, copy.inputs[0])
    assert to_text(graph) == before
    assert recorded(graph) == counted(graph)
    assert recorded(copy) == counted(copy)


def test_a_clone_of_an_unsorted_graph_reads_its_own_values() -> None:
    graph = parse("input x: float32[N]\n b = Neg(a)\n a = Relu(x)\n output b")
    copy = clone(graph)
    assert not {v for n in copy for v in n.inputs} & set(graph.values())

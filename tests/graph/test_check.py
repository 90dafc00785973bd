"""The checker names what is wrong, where, and shows the nodes around it."""

import time

import pytest

from graph.sources import BRANCHES, FUNCTIONS, SHAPES, parse
from sardonyx.core.errors import InvalidGraph, LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.graph.check import arity, check, verify
from sardonyx.graph.functions import inlined_size
from sardonyx.graph.ir import Graph
from sardonyx.graph.op import find
from sardonyx.graph.text import from_text


def codes(graph: Graph) -> list[tuple[str, str]]:
    return [(f.severity, f.code) for f in check(graph)]


@pytest.mark.parametrize("text", [SHAPES, BRANCHES, FUNCTIONS])
def test_good_graphs_have_no_findings(text: str) -> None:
    assert check(from_text(text)) == []
    verify(from_text(text))


FAULTS = [
    ("input x: float32[N]\n y = Add(x, gone)\n output y", "E0301"),
    ("input x: float32[N]\n output gone", "E0301"),
    ("input x: float32[N]\n x = Relu(x)\n output x", "E0302"),
    ("input x: float32[N]\n const x1: int64[] = {1}\n x1 = Neg(x)\n output x1", "E0302"),
    ("input x: float32[N]\n a = Add(x, b)\n b = Relu(a)\n output b", "E0303"),
    ("input x: float32[N]\n a = Add(x, a)\n output a", "E0303"),
    ("input x: float32[N]\n y = ai.onnx.ml::Binarizer(x)\n output y", "E0307"),
    ("input x: float32[N]\n y = Softmax<axes=1>(x)\n output y", "E0309"),
    ("input x: float32[N]\n y = Concat(x, x)\n output y", "E0309"),
    ("input x: float32[N]\n y = Softmax<axis=1.5>(x)\n output y", "E0309"),
    ("input x: float32[N]\n y = Transpose<perm=[0.5]>(x)\n output y", "E0309"),
    ("input x: float32[N]\n y = Relu(x, x)\n output y", "E0310"),
    ("input x: float32[N]\n y = Add(x)\n output y", "E0310"),
    ("input x: float32[N]\n y = Add(_, x)\n output y", "E0310"),
    ("input w: float32[2, 2]\n const w: float32[2, 2] = float32[4] {1,2,3,4}\n output w", "E0313"),
]


@pytest.mark.parametrize(("body", "code"), FAULTS)
def test_faults(body: str, code: str) -> None:
    graph = parse(body)
    assert ("error", code) in codes(graph)
    with pytest.raises(InvalidGraph) as caught:
        verify(graph)
    assert caught.value.code in {f.code for f in check(graph) if f.is_error}


def test_the_neighbourhood_is_shown() -> None:
    graph = parse(
        "input x: float32[N]\n a = Relu(x)\n [sum] b = Add(a, gone)\n c = Neg(b)\n output c"
    )
    with pytest.raises(InvalidGraph) as caught:
        verify(graph)
    assert (caught.value.node, caught.value.tensor) == ("sum", "gone")
    shown = caught.value.message.split("\n")[1:]
    assert shown == ["  a = Relu(x)", "> b = Add(a, gone)", "  c = Neg(b)"]


def test_odd_but_usable() -> None:
    unsorted = parse("input x: float32[N]\n b = Neg(a)\n a = Relu(x)\n output b")
    assert codes(unsorted) == [("warning", "E0314")]
    unknown = parse("opset far 1\n input x: float32[N]\n y = far::Away(x)\n output y")
    assert codes(unknown) == [("warning", "E0401")]
    twins = parse("input x: float32[N]\n [n] a = Relu(x)\n [n] b = Neg(a)\n output b")
    assert codes(twins) == [("warning", "E0304")]


def test_an_opset_from_the_future() -> None:
    assert ("error", "E0308") in codes(parse("input x: float32[N]\n y = Relu(x)\n output y", 99))
    assert codes(parse("input x: float32[N]\n y = Relu(x)\n output y", 28)) == []


def test_an_operator_newer_than_the_opset() -> None:
    graph = parse("input x: float32[N]\n y = Gelu(x)\n output y", 13)
    found = [f for f in check(graph) if f.is_error]
    assert [(f.code, f.message) for f in found] == [
        ("E0309", "Gelu came with opset 20, the model imports 13")
    ]


@pytest.mark.parametrize(
    "choice",
    [
        "y = If<then_branch=graph a { input z output z }, else_branch=graph b { output x }>(flag)",
        "y = If<then_branch=graph a { output x output x }, else_branch=graph b { output x }>(flag)",
    ],
)
def test_signatures_of_branches(choice: str) -> None:
    graph = parse(f"input x: float32[N]\n input flag: bool[]\n {choice}\n output y")
    assert ("error", "E0312") in codes(graph)


def test_functions_that_call_each_other_in_a_circle() -> None:
    graph = parse("""
      opset my 1
      function my::A(x) { opset my 1 y = my::B(x) output y }
      function my::B(x) { opset my 1 y = my::A(x) output y }
      input x: float32[N]
      y = my::A(x)
      output y
    """)
    assert ("error", "E0305") in codes(graph)


def test_an_inlining_bomb_is_counted_not_expanded() -> None:
    levels = "\n".join(
        f"function my::F{n}(x) {{ opset my 1 a = my::F{n + 1}(x) y = my::F{n + 1}(a) output y }}"
        for n in range(60)
    )
    leaf = 'function my::F60(x) { opset "" 20 y = Neg(x) output y }'
    graph = parse(f"opset my 1\n{leaf}\n{levels}\n input x: float32[N]\n y = my::F0(x)\n output y")
    start = time.thread_time()
    with pytest.raises(LimitExceeded) as caught:
        check(graph)
    assert caught.value.code == "E0503"
    assert time.thread_time() - start < 1
    assert inlined_size(from_text(FUNCTIONS), Limits.current()) == 8


def test_rank_and_depth_have_limits() -> None:
    with pytest.raises(LimitExceeded) as caught:
        check(parse(f"input x: float32[{', '.join('1' * 65)}]\n y = Relu(x)\n output y"))
    assert caught.value.code == "E0504"
    assert check(parse(f"input x: float32[{', '.join('1' * 64)}]\n y = Relu(x)\n output y")) == []


def test_time_is_linear() -> None:
    def seconds(count: int) -> float:
        rows = "\n".join(f"x{n + 1} = Neg(x{n})" for n in range(count))
        graph = parse(f"input x0: float32[N]\n{rows}\n output x{count}")
        start = time.thread_time()
        assert check(graph) == []
        return time.thread_time() - start

    small = min(seconds(1000) for _ in range(5))
    assert min(seconds(8000) for _ in range(3)) < 40 * small


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Add", (2, 2, (0, 1))),
        ("Gemm", (2, 3, (0, 1))),
        ("Concat", (0, None, ())),
        ("Loop", (2, None, ())),
    ],
)
def test_arity_is_read_off_the_class(name: str, wanted: tuple[object, ...]) -> None:
    kind = find("", name, 20)
    assert kind is not None
    assert arity(kind) == wanted

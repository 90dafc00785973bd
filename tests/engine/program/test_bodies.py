"""Bodies of If, Loop and Scan are programs of their own: what they read, when, and how fast."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sardonyx.core import knobs
from sardonyx.core.errors import InvalidArgument, LimitExceeded, ShapeMismatch, Terminated
from sardonyx.core.limits import Limits
from sardonyx.engine.program.analysis import analyse
from sardonyx.engine.program.program import Program
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.passes.pipeline import optimize, prepare
from sardonyx.providers.base import Options
from sardonyx.providers.native import NativeProvider
from texts import load

BRANCH = """
graph g {
  opset "" 20
  input c: bool[]
  input x: float32[N, 4]
  input k: int64[1]
  const w: float32[4, 4] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}
  e = Exp(x)
  y = If<then_branch=graph yes {
    p = MatMul(e, w)
    q = Relu(p)
    output q
  }, else_branch=graph no {
    r = Gather(x, k)
    output r
  }>(c)
  output y
}
"""
LOOP = """
graph g {
  opset "" 20
  input m: int64[]
  input x: float32[S, 3]
  input h: float32[3]
  y, rows = Loop<body=graph body {
    input i: int64[]
    input go: bool[]
    input s: float32[3]
    row = Gather(x, i)
    a = Add(row, s)
    t = Tanh(a)
    output go
    output t
    output a
  }>(m, _, h)
  output y
  output rows
}
"""
GROWS = """
graph g {
  opset "" 20
  input m: int64[]
  input x: float32[1, 3]
  input h: float32[N, 3]
  y = Loop<body=graph body {
    input i: int64[]
    input go: bool[]
    input s
    t = Concat<axis=0>(s, x)
    u = If<then_branch=graph yes {
      a = Exp(t)
      output a
    }, else_branch=graph no {
      b = Neg(t)
      output b
    }>(go)
    output go
    output u
  }>(m, _, h)
  output y
}
"""
DECIDED = """
graph g {
  opset "" 20
  input x: float32[N, S, 4]
  const one: int64[] = {1}
  const axis: int64[1] = {1}
  const at: int64[] = {1}
  shape = Shape(x)
  s = Gather(shape, at)
  c = Equal(s, one)
  y = If<then_branch=graph yes {
    q = Squeeze(x, axis)
    output q
  }, else_branch=graph no {
    r = Exp(x)
    output r
  }>(c)
  rank = Size(sh)
  sh = Shape(y)
  two = Add(one, one)
  d = Equal(rank, two)
  z = If<then_branch=graph flat {
    u = Relu(y)
    output u
  }, else_branch=graph deep {
    w = ReduceSum<keepdims=0>(y, axis)
    output w
  }>(d)
  v = Softmax(z)
  output v
}
"""
X = np.random.default_rng(0).standard_normal((5, 4), np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[None]:
    with knobs.override(cache_dir=tmp_path):
        yield


def _same(text: str, feeds: dict[str, Any], **settings: Any) -> Program:
    graph = load(text)
    program = Program(prepare(optimize(graph).graph), **settings)
    wanted = run(prepare(graph), feeds)
    for _ in range(3):
        found = program.run([feeds[v.name] for v in graph.inputs])
        for a, b in zip(found, wanted.values(), strict=False):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    return program


def _branch(c: bool, k: int = 1, x: Any = X) -> dict[str, Any]:
    return {"c": np.array(c), "x": x, "k": np.array([k])}


def _loop(trips: int, rows: int = 9) -> dict[str, Any]:
    x = np.random.default_rng(1).standard_normal((rows, 3), np.float32)
    return {"m": np.array(trips), "x": x, "h": np.zeros(3, np.float32)}


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_has_no_host_step(taken: bool) -> None:
    feeds = _branch(taken, x=X if taken else X[:2])
    program = _same(BRANCH, feeds)
    assert program.gaps == {}
    assert len(program.bodies) == 2


def test_only_the_branch_that_is_taken_is_looked_at() -> None:
    graph = prepare(load(BRANCH))
    program = Program(graph)
    program.run(list(_branch(True, k=99).values()))
    with pytest.raises(InvalidArgument, match="out of range"):
        program.run(list(_branch(False, k=99).values()))


@pytest.mark.parametrize("trips", [0, 1, 4, 5, 65, 66, 200])
def test_a_loop_goes_trip_by_trip(trips: int) -> None:
    assert _same(LOOP, _loop(trips, max(trips, 9))).gaps == {}


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_states_may_grow_and_begin_empty(rows: int) -> None:
    x = np.ones((1, 3), np.float32)
    feeds = {"m": np.array(3), "x": x, "h": np.ones((rows, 3), np.float32)}
    assert _same(GROWS, feeds).gaps == {}


def test_a_subscript_out_of_range_ends_the_trip() -> None:
    program = Program(prepare(load(LOOP)))
    with pytest.raises(InvalidArgument, match="index 9 of `i`"):
        program.run(list(_loop(10).values()))


def test_the_budget_of_trips_holds() -> None:
    program = Program(prepare(load(LOOP)), limits=Limits(trips=5))
    program.run(list(_loop(5).values()))
    with pytest.raises(LimitExceeded):
        program.run(list(_loop(6).values()))


def test_asked_to_stop_between_trips() -> None:
    program = Program(prepare(load(LOOP)))
    asked = iter([False] * 3 + [True] * 100)
    with pytest.raises(Exception, match="asked to stop"):
        program.run(list(_loop(200, 200).values()), lambda: next(asked))


def test_results_are_nobody_elses() -> None:
    """A state that no trip changes, and a branch that hands its operand on, are copies."""
    text = LOOP.replace("output t\n", "output s\n")
    program = Program(prepare(load(text)))
    feeds = _loop(3)
    first = program.run(list(feeds.values()))
    first[0][:] = 7
    assert feeds["h"].tolist() == [0, 0, 0]


def test_threads_run_bodies_side_by_side() -> None:
    program = Program(prepare(load(LOOP)), threads=2)
    wanted = [program.run(list(_loop(n).values())) for n in range(8)]
    wrong: list[int] = []

    def work(n: int) -> None:
        for _ in range(20):
            found = program.run(list(_loop(n).values()))
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, wanted[n], strict=True)):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_a_second_start_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (BRANCH, LOOP, GROWS)
    graphs = [prepare(load(text)) for text in texts]
    for graph in graphs:
        Program(graph)

    def refuse(self: Program) -> Any:
        raise AssertionError(self.graph)

    monkeypatch.setattr(Program, "_make", refuse)
    again: list[Graph] = [prepare(load(text)) for text in texts]
    found = Program(again[0]).run(list(_branch(True).values()))
    np.testing.assert_array_equal(found[0], Program(graphs[0]).run(list(_branch(True).values()))[0])
    assert Program(again[1]).gaps == Program(again[2]).gaps == {}


def test_shapes_that_a_body_refuses_are_refused() -> None:
    text = LOOP.replace("float32[S, 3]", "float32[S, K]")
    feeds = _loop(3)
    program = Program(prepare(load(text)))
    program.run(list(feeds.values()))
    feeds["x"] = np.ones((9, 2), np.float32)
    with pytest.raises(ShapeMismatch):
        program.run(list(feeds.values()))


def test_the_figures_count_what_is_in_bodies() -> None:
    found = analyse(prepare(load(BRANCH)))
    assert found.host_steps == 0
    assert found.gaps == ()
    assert found.kernels >= 3


@pytest.mark.parametrize("order", [(1, 3), (3, 1), (3, 0)])
def test_what_shapes_decide_is_decided_by_shapes(order: tuple[int, int]) -> None:
    """Behind the If the rank is not known; each way through it is a program without a host step."""
    graph = load(DECIDED)
    made = NativeProvider().prepare(graph, Options())
    for _ in range(2):
        for steps in order:
            feeds = {"x": np.random.default_rng(2).standard_normal((2, steps, 4), np.float32)}
            wanted = run(prepare(graph), feeds)["v"]
            for _ in range(2):
                (found,) = made.quick(feeds) or made.run(feeds)
                np.testing.assert_allclose(found, wanted, rtol=1e-5)
            assert list(made.gaps) == []


SQUEEZE = """
graph g {
  opset "" OPSET
  input x: float32[N, 3, M]
  s = Squeeze(x)
  r = Relu(s)
  y: float32[N] = Sigmoid(r)
  output y
}
"""


@pytest.mark.parametrize("opset", [11, 17])
def test_shapes_decide_which_dims_a_squeeze_takes_out(opset: int) -> None:
    """The output is declared with another rank than most feeds give, as some exporters do."""
    graph = load(SQUEEZE.replace("OPSET", str(opset)))
    made = NativeProvider().prepare(graph, Options())
    for shape in ((2, 3, 4), (1, 3, 4), (2, 3, 1), (1, 3, 1), (0, 3, 1), (2, 3, 5)):
        x = np.random.default_rng(3).standard_normal(shape, np.float32)
        (found,) = made.run({"x": x})
        wanted = 1 / (1 + np.exp(-np.maximum(np.squeeze(x), 0)))
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert list(made.gaps) == []


SCAN = """
graph g {
  opset "" 20
  input h: float32[B, 3]
  input x: float32[S, B, 3]
  input w: float32[B, S]
  y, rows, last = Scan<num_scan_inputs=2, scan_input_axes=[0, 1], scan_input_directions=[1, 0],
    scan_output_axes=[1, 0], scan_output_directions=[0, 1], body=graph body {
    input s: float32[B, 3]
    input a: float32[B, 3]
    input b: float32[B]
    const axis: int64[1] = {1}
    c = Unsqueeze(b, axis)
    d = Mul(a, c)
    t = Add(s, d)
    u = Tanh(t)
    output u
    output d
    output u
  }>(h, x, w)
  output y
  output rows
  output last
}
"""


@pytest.mark.parametrize("steps", [1, 3, 4, 63, 64, 65, 66, 129, 300])
def test_a_scan_of_any_length(steps: int) -> None:
    rng = np.random.default_rng(steps)
    shapes = {"h": (2, 3), "x": (steps, 2, 3), "w": (2, steps)}
    feeds = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    program = _same(SCAN, feeds)
    assert program.gaps == {}
    first, again = program.run(list(feeds.values())), program.run(list(feeds.values()))
    assert [a.tobytes() for a in first] == [a.tobytes() for a in again]
    with pytest.raises(Terminated):
        program.run(list(feeds.values()), lambda: True)


def test_trips_at_once_keep_the_budgets() -> None:
    feeds = list(_loop(200, 200).values())
    program = Program(prepare(load(LOOP)), limits=Limits(trips=199))
    program.run([np.array(199), *feeds[1:]])
    with pytest.raises(LimitExceeded):
        program.run(feeds)
    program = Program(prepare(load(LOOP)))
    with pytest.raises(InvalidArgument, match="out of range"):
        program.run([np.array(201), *feeds[1:]])

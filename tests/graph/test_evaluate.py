"""A graph runs as its operators say, within its budgets, and stops when told."""

import time

import numpy as np
import pytest

from graph.sources import BRANCHES, SHAPES, parse
from sardonyx.core.errors import (
    InvalidArgument,
    LimitExceeded,
    RuntimeException,
    Terminated,
    UnsupportedOperator,
)
from sardonyx.core.limits import Limits
from sardonyx.graph.check import check
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Node
from sardonyx.graph.text import from_text


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


TINY = Limits.current().changed({"memory_bytes": 1 << 20})


def test_shape_arithmetic() -> None:
    x = np.arange(48, dtype=np.float32).reshape(2, 4, 6)
    found = run(from_text(SHAPES), {"x": x})["z"]
    wanted = x.reshape(2, 4, 2, 3).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("flag", [True, False])
def test_branches_read_outer_values(flag: bool) -> None:
    x = np.array([-1, 2], np.float32)
    feeds = {"x": x, "flag": np.array(flag)}
    found = run(from_text(BRANCHES), feeds)["y"]
    wanted = [-0.0, -2] if flag else [0, 4]
    np.testing.assert_array_equal(found, wanted)


def test_a_default_may_be_overridden() -> None:
    graph = parse("input x: float32[2]\n const x: float32[2] = {1.0, 2.0}\n y = Neg(x)\n output y")
    default = run(graph, {})["y"]
    assert default.tolist() == [-1, -2]
    fed = run(graph, {"x": zeros(2)})["y"]
    assert fed.tolist() == [0, 0]


def test_a_missing_feed_is_named() -> None:
    with pytest.raises(InvalidArgument, match="x") as caught:
        run(from_text(SHAPES), {})
    assert caught.value.tensor == "x"


def test_an_unknown_operator_is_refused_when_it_runs() -> None:
    graph = parse("input x: float32[N]\n [odd] y = far::Away(x)\n output y")
    with pytest.raises(UnsupportedOperator) as caught:
        run(graph, {"x": zeros(1)})
    assert caught.value.code == "E0401"
    assert caught.value.node == "odd"
    assert caught.value.op == "Away"


def test_a_failing_operator_is_located() -> None:
    graph = parse(
        "input x: float32[N, 2]\n input y: float32[M, 3]\n [sum] z = Add(x, y)\n output z"
    )
    feeds = {"x": zeros(2, 2), "y": zeros(2, 3)}
    with pytest.raises(Exception, match=r"broadcast") as caught:
        run(graph, feeds)
    assert getattr(caught.value, "node", None) == "sum"


def test_a_value_read_before_it_is_made_is_named() -> None:
    graph = parse("input x: float32[N]\n y = Add(x, nowhere)\n output y")
    with pytest.raises(RuntimeException) as caught:
        run(graph, {"x": zeros(1)})
    assert caught.value.tensor == "nowhere"


def test_doubling_concats_are_refused_before_they_allocate() -> None:
    rows = "\n".join(f"x{n + 1} = Concat<axis=0>(x{n}, x{n})" for n in range(40))
    graph = parse(f"input x0: float32[N]\n{rows}\n output x40")
    with pytest.raises(LimitExceeded) as caught:
        run(graph, {"x0": zeros(4)}, limits=TINY)
    assert caught.value.code == "E0506"


def test_a_chain_frees_what_nobody_reads_any_more() -> None:
    rows = "\n".join(f"x{n + 1} = Neg(x{n})" for n in range(40))
    graph = parse(f"input x0: float32[N]\n{rows}\n output x40")
    x = np.ones(1 << 16, np.float32)
    found = run(graph, {"x0": x}, limits=TINY)
    np.testing.assert_array_equal(found["x40"], x)


def test_abort_ends_a_run_at_the_next_node() -> None:
    seen: list[str] = []

    def watch(node: Node, results: tuple[object, ...]) -> None:
        assert len(results) == len(node.outputs)
        seen.append(node.op.op_type)

    graph = parse("input x: float32[N]\n y = Neg(x)\n z = Abs(y)\n output z")
    feeds = {"x": zeros(1)}
    with pytest.raises(Terminated):
        run(graph, feeds, abort=lambda: bool(seen), watch=watch)
    assert seen == ["Neg"]


def test_a_run_has_a_time_limit() -> None:
    graph = parse("input x: float32[N]\n y = Neg(x)\n output y")
    limits = Limits.current().changed({"run_seconds": 0})
    with pytest.raises(LimitExceeded) as caught:
        run(graph, {"x": zeros(1)}, limits=limits)
    assert caught.value.code == "E0507"


LOOP = """
  input x: float32[N]
  const trips: int64[] = {{{trips}}}
  y, z = Loop<body=graph body {{
      opset "" 20
      input i: int64[]
      input go: bool[]
      input s: float32[N]
      same = Identity(go)
      t = {step}
      output same
      output t
      output t
    }}>(trips, _, x)
  output y
  output z
"""


def test_loops_run_and_stack_what_they_scan() -> None:
    graph = parse(LOOP.format(trips=3, step="Add(s, x)"))
    found = run(graph, {"x": np.array([1, 2], np.float32)})
    assert found["y"].tolist() == [4, 8]
    assert found["z"].tolist() == [[2, 4], [3, 6], [4, 8]]


def test_an_endless_loop_is_refused_at_once() -> None:
    graph = parse(LOOP.format(trips=1 << 62, step="Neg(s)"))
    start = time.thread_time()
    with pytest.raises(LimitExceeded) as caught:
        run(graph, {"x": zeros(1)})
    assert caught.value.code == "E0508"
    assert time.thread_time() - start < 1


def test_trips_are_counted() -> None:
    graph = parse(LOOP.format(trips=50, step="Neg(s)"))
    limits = Limits.current().changed({"trips": 49})
    with pytest.raises(LimitExceeded) as caught:
        run(graph, {"x": zeros(1)}, limits=limits)
    assert caught.value.code == "E0508"
    run(graph, {"x": zeros(1)}, limits=limits.changed({"trips": 50}))


def test_what_a_loop_stacks_counts_as_memory() -> None:
    graph = parse(LOOP.format(trips=200, step="Neg(s)"))
    with pytest.raises(LimitExceeded) as caught:
        run(graph, {"x": zeros(1 << 12)}, limits=TINY)
    assert caught.value.code == "E0506"
    run(graph, {"x": zeros(1 << 9)}, limits=TINY)


def test_graphs_in_graphs_to_the_limit_of_depth() -> None:
    depth = 95
    inner = "q0 = Neg(x) output q0"
    for n in range(depth):
        other = f'graph b{n} {{ opset "" 20 r{n} = Abs(x) output r{n} }}'
        then = f'graph a{n} {{ opset "" 20 {inner} }}'
        made = f"q{n + 1} = If<then_branch={then}, else_branch={other}>(flag)"
        inner = f"{made} output q{n + 1}"
    graph = parse(f"input x: float32[N] input flag: bool[] {inner}")
    assert check(graph) == []
    found = run(clone(graph), {"x": zeros(1) + 1, "flag": np.array(True)})
    assert found[f"q{depth}"].tolist() == [-1]

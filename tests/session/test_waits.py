"""Models that would run for hours are refused or end in time; their neighbours run."""

import signal
import threading
import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import sardonyx as sx
from sardonyx.core.errors import InvalidGraph, LimitExceeded
from sardonyx.core.limits import Limits

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name: str, kind: int = FLOAT, shape: Any = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def session(
    nodes: list[Any], inputs: list[Any], constants: dict[str, Any] | None = None, **limits: Any
) -> sx.InferenceSession:
    kept = [onnx.numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, [value("y")], kept)
    opset = helper.make_opsetid("", 18)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    options = sx.SessionOptions(intra_op_num_threads=2)
    return sx.InferenceSession(model.SerializeToString(), options, limits=Limits(**limits))


@pytest.fixture(autouse=True)
def soon() -> Any:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("kind", ["MaxPool", "LpPool"])
def test_windows_of_any_size_are_refused_by_their_trips(kind: str) -> None:
    node = helper.make_node(kind, ["x"], ["y"], kernel_shape=[2**33], pads=[2**33 - 1, 0])
    made = session([node], [value("x", shape=["N", 1, 5])])
    with pytest.raises(LimitExceeded, match="trips") as caught:
        made.run(None, {"x": np.ones((1, 1, 5), np.float32)})
    assert caught.value.code == "E0508"


def test_a_window_over_all_channels_is_as_wide_as_they_are() -> None:
    wide, whole = (
        session([helper.make_node("LRN", ["x"], ["y"], size=size, alpha=float(size))],
                [value("x", shape=["N", 5, 2])])
        for size in (2**33, 11)
    )  # fmt: skip
    x = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    np.testing.assert_array_equal(wide.run(None, {"x": x})[0], whole.run(None, {"x": x})[0])


def nest(depth: int, body: list[Any]) -> Any:
    """Loops of `n` trips in each other around the innermost body, from a to y."""
    for level in range(depth):
        names = [value(f"i{level}", INT, []), value(f"c{level}", BOOL, []), value("a", FLOAT, [1])]
        passed = helper.make_node("Identity", [f"c{level}"], [f"d{level}"])
        outs = [value(f"d{level}", BOOL, []), value("b", FLOAT, [1])]
        graph = helper.make_graph([passed, *body], f"g{level}", names, outs)
        last = level == depth - 1
        feed, made = ("x", "y") if last else ("a", "b")
        body = [helper.make_node("Loop", ["n", "", feed], [made], body=graph)]
    return body


ADD = [helper.make_node("Add", ["a", "one"], ["b"])]
INPUTS = [value("x", FLOAT, [1]), value("n", INT, [])]
ONE = {"one": np.ones(1, np.float32)}
X = np.zeros(1, np.float32)


def test_trips_of_loops_in_loops_are_counted_before_they_are_run() -> None:
    made = session(nest(2, ADD), INPUTS, ONE)
    with pytest.raises(LimitExceeded, match="25000001 trips") as caught:
        made.run(None, {"x": X, "n": np.array(5000)})
    assert caught.value.code == "E0508"
    assert made.run(None, {"x": X, "n": np.array(30)})[0] == 900
    made = session(nest(3, ADD), INPUTS, ONE, trips=1000)
    assert made.run(None, {"x": X, "n": np.array(9)})[0] == 729
    with pytest.raises(LimitExceeded, match="trips"):
        made.run(None, {"x": X, "n": np.array(10)})


def test_a_loop_that_a_branch_may_skip_counts_when_it_runs() -> None:
    """200 trips, of which one enters an inner loop of 200: nothing near 40,000."""
    names = [value("i", INT, []), value("c", BOOL, []), value("a", FLOAT, [1])]
    branch = helper.make_graph(nest(1, ADD), "t", [], [value("y", FLOAT, [1])])
    branch.node[0].input[2] = "a"
    other = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["z"])], "e", [], [value("z", FLOAT, [1])]
    )
    body = [
        helper.make_node("Identity", ["c"], ["d"]),
        helper.make_node("Equal", ["i", "n0"], ["now"]),
        helper.make_node("If", ["now"], ["b"], then_branch=branch, else_branch=other),
    ]
    outs = [value("d", BOOL, []), value("b", FLOAT, [1])]
    graph = helper.make_graph(body, "g", names, outs)
    loop = helper.make_node("Loop", ["n", "", "x"], ["y"], body=graph)
    constants = {**ONE, "n0": np.array(7)}
    made = session([loop], INPUTS, constants, trips=1000)
    assert made.run(None, {"x": X, "n": np.array(200)})[0] == 200


def test_many_operands_are_joined_without_code_of_their_own() -> None:
    names = [f"x{n}" for n in range(3000)]
    node = helper.make_node("Concat", names, ["y"], axis=0)
    made = session([node], [value(n, shape=["N", 2]) for n in names])
    feeds = {n: np.full((2, 2), k, np.float32) for k, n in enumerate(names)}
    (y,) = made.run(None, feeds)
    np.testing.assert_array_equal(y[:, 0], np.repeat(np.arange(3000), 2))
    assert "operands" in made.gaps()[0].reason


def test_batch_dims_below_zero() -> None:
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=-(2**31))
    with pytest.raises(InvalidGraph, match="batch_dims"):
        session([node], [value("x", shape=[2, 2]), value("i", INT, [2, 1])])


def test_run_seconds_end_a_native_run() -> None:
    nodes = [helper.make_node("MatMul", ["x", "x"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{n}", "x"], [f"m{n + 1}"]) for n in range(200)]
    nodes += [helper.make_node("Identity", ["m200"], ["y"])]
    made = session(nodes, [value("x", shape=["N", "N"])], run_seconds=0.5)
    x = np.zeros((3, 3), np.float32)
    made.run(None, {"x": x})
    large = np.zeros((1500, 1500), np.float32)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match="run_seconds") as caught:
        made.run(None, {"x": large})
    assert caught.value.code == "E0507"
    assert time.monotonic() - start < 5
    assert made.run(None, {"x": x})[0].shape == (3, 3)


def test_run_seconds_end_host_steps() -> None:
    made = session(nest(2, ADD), INPUTS, ONE, run_seconds=0.3)
    with pytest.raises(LimitExceeded, match="run_seconds"):
        made.run(None, {"x": X, "n": np.array(3000)})
    assert made.run(None, {"x": X, "n": np.array(3)})[0] == 9


PRODUCT = [helper.make_node("MatMul", ["x", "x"], ["y"])]
LONG = np.full((6000, 6000), 0.5, np.float32)


def test_a_long_kernel_gives_what_a_short_one_gives() -> None:
    made = session(PRODUCT, [value("x", shape=["N", "N"])])
    x = np.random.default_rng(5).integers(-4, 5, (1100, 1100)).astype(np.float32)
    np.testing.assert_array_equal(made.run(None, {"x": x})[0], x @ x)
    np.testing.assert_array_equal(made.run(None, {"x": x})[0], x @ x)


def test_one_kernel_is_ended_by_its_time() -> None:
    made = session(PRODUCT, [value("x", shape=["N", "N"])], run_seconds=0.2)
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match="run_seconds"):
        made.run(None, {"x": LONG})
    assert time.monotonic() - start < 1.5


def test_one_kernel_is_ended_by_another_thread() -> None:
    made = session(PRODUCT, [value("x", shape=["N", "N"])])
    options = sx.RunOptions()
    threading.Timer(0.2, lambda: setattr(options, "terminate", True)).start()
    start = time.monotonic()
    with pytest.raises(sx.Terminated):
        made.run(None, {"x": LONG}, options)
    assert time.monotonic() - start < 1.5


def test_one_kernel_is_ended_by_a_signal() -> None:
    """And a handler that only looks lets it go on."""
    made = session(PRODUCT, [value("x", shape=["N", "N"])])
    seen: list[float] = []

    def handler(*_: object) -> None:
        seen.append(float(made.run(None, {"x": small})[0][0, 0]))
        if len(seen) == 3:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 0.06)

    # A timer that went on by itself would outrun a handler on a busy machine.
    small = np.ones((2, 2), np.float32)
    made.run(None, {"x": small})
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.06)
    try:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            made.run(None, {"x": LONG})
        assert time.monotonic() - start < 2
        assert set(seen) == {2.0}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

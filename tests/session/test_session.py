"""Sessions by ONNX Runtime's interface: making, running, binding, sharing."""

import copy
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from sardonyx.core.errors import (
    InvalidArgument,
    ModelLoadCanceled,
    NoModel,
    NoSuchFile,
    NotFound,
    SardonyxError,
    ShapeMismatch,
    Terminated,
    UnsupportedOperator,
)
from sardonyx.formats import load, save, to_bytes
from session.models import AFFINE, QUANTIZED, UNKNOWN, encoded, graph

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = X @ np.array([[1, 2], [3, 4], [5, 6]], np.float32) + np.array([0.5, -0.5], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> str:
    save(graph(AFFINE), tmp_path / "net.onnx")
    return str(tmp_path / "net.onnx")


def _run(session: sx.InferenceSession, x: Any = X) -> Any:
    return session.run(None, {"x": x})[0]


def test_every_form_of_a_model(path: str) -> None:
    onnx = pytest.importorskip("onnx")
    data = Path(path).read_bytes()
    with Path(path).open("rb") as stream:
        forms = [path, Path(path), data, stream, graph(AFFINE), onnx.load(path)]
        for form in forms:
            np.testing.assert_allclose(_run(sx.InferenceSession(form)), Y, rtol=1e-6)


def test_making_a_session_leaves_a_given_graph_as_it_is() -> None:
    given = graph(AFFINE)
    before = to_bytes(given)
    _run(sx.InferenceSession(given))
    assert to_bytes(given) == before


def test_no_model() -> None:
    with pytest.raises(NoModel):
        sx.InferenceSession(None)
    with pytest.raises(NoSuchFile) as caught:
        sx.InferenceSession("/nowhere/net.onnx")
    assert caught.value.code == "E0101"


def test_descriptions() -> None:
    session = sx.InferenceSession(encoded(AFFINE))
    (i,), (o,) = session.get_inputs(), session.get_outputs()
    assert (i.name, i.type, i.shape) == ("x", "tensor(float)", ["N", 3])
    assert (o.name, o.type, o.shape) == ("y", "tensor(float)", ["N", 2])
    assert session.get_overridable_initializers() == []
    assert session.get_modelmeta().graph_name == "affine"
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_descriptions_equal_those_of_onnxruntime() -> None:
    ort = pytest.importorskip("onnxruntime")
    theirs = ort.InferenceSession(encoded(QUANTIZED), providers=["CPUExecutionProvider"])
    ours = sx.InferenceSession(encoded(QUANTIZED))
    for way in ("get_inputs", "get_outputs"):
        found = [(a.name, a.type, a.shape) for a in getattr(ours, way)()]
        assert found == [(a.name, a.type, a.shape) for a in getattr(theirs, way)()]


def test_chosen_outputs() -> None:
    text = AFFINE.replace("output y: float32[N, 2]", "output y: float32[N, 2]\n  output p")
    session = sx.InferenceSession(graph(text))
    for _ in range(2):
        p, y = session.run(["p", "y"], {"x": X})
        np.testing.assert_allclose(y, Y, rtol=1e-6)
        np.testing.assert_allclose(y - p, [[0.5, -0.5]] * 2, rtol=1e-4)
        assert len(session.run([], {"x": X})) == 2
    with pytest.raises(InvalidArgument) as caught:
        session.run(["z"], {"x": X})
    assert (caught.value.code, caught.value.wanted) == ("E0204", "y, p")


def test_default_of_an_input_can_be_replaced() -> None:
    given = graph(AFFINE)
    given.inputs.append(given.initializers["b"])
    session = sx.InferenceSession(given)
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert [i.name for i in session.get_overridable_initializers()] == ["b"]
    np.testing.assert_allclose(_run(session), Y, rtol=1e-6)
    other = session.run(None, {"x": X, "b": np.zeros(2, np.float32)})[0]
    np.testing.assert_allclose(other, Y - [0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(_run(session), Y, rtol=1e-6)


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "reference", "interpreter"])
def test_unknown_operators_are_refused_by_name_before_anything_is_made(provider: str) -> None:
    text = UNKNOWN.replace("y = Relu(h)", "z = acme::Blur(h)\n  y = acme::Frobnicate(z)")
    with pytest.raises(UnsupportedOperator) as caught:
        sx.InferenceSession(graph(text), providers=[provider])
    assert (caught.value.code, caught.value.node) == ("E0401", "mystery")
    assert "`acme::Frobnicate`, `acme::Blur`" in caught.value.message
    assert caught.value.given == "3 nodes"


def test_unknown_operators_that_need_not_run_are_let_be() -> None:
    unread = UNKNOWN.replace("[relu] y = Relu(h)", "[relu] y = Relu(x)")
    (y,) = sx.InferenceSession(graph(unread)).run(None, {"x": np.ones(2, np.float32)})
    assert y.tolist() == [1, 1]


BRANCHES = """
graph branches {
  opset "" 20
  opset acme 1
  input x: float32[N]
  input go: bool[]
  y: float32[N] = If<
    then_branch=graph yes { t: float32[N] = Relu(x) output t },
    else_branch=graph no { [mystery] e: float32[N] = acme::Frobnicate(x) output e }
  >(go)
  output y: float32[N]
}
"""


def test_an_unknown_operator_in_a_branch_is_refused_when_it_runs() -> None:
    session = sx.InferenceSession(graph(BRANCHES))
    x = np.ones(2, np.float32)
    assert session.run(None, {"x": x, "go": np.array(True)})[0].tolist() == [1, 1]
    with pytest.raises(UnsupportedOperator) as caught:
        session.run(None, {"x": x, "go": np.array(False)})
    assert caught.value.code == "E0401"


@pytest.mark.parametrize(
    "provider", ["CPUExecutionProvider", "reference", "onnxruntime", "openvino"]
)
def test_providers_agree(provider: str, path: str) -> None:
    for model in (path, encoded(AFFINE), graph(AFFINE)):
        session = sx.InferenceSession(model, providers=[provider])
        np.testing.assert_allclose(_run(session), Y, rtol=1e-5)
        with pytest.raises(ShapeMismatch):
            _run(session, X[:, :2])


def test_providers_that_are_passed_over_are_named() -> None:
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        session = sx.InferenceSession(
            encoded(AFFINE), providers=["CUDAExecutionProvider", "CPUExecutionProvider"]
        )
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize(
    "asked",
    [
        ["CUDAExecutionProvider"],
        [("TensorrtExecutionProvider", {"device_id": 0}), ("DmlExecutionProvider", {})],
        "CoreMLExecutionProvider",
    ],
)
def test_providers_of_other_devices_give_way_to_the_cpu(asked: Any) -> None:
    with pytest.warns(UserWarning, match="Specified provider"):
        session = sx.InferenceSession(encoded(AFFINE), providers=asked)
    assert session.get_providers() == ["CPUExecutionProvider"]
    np.testing.assert_allclose(_run(session), Y, rtol=1e-6)


@pytest.mark.parametrize(
    ("asked", "code"), [(["GPU"], "E0251"), ([3], "E0257"), ([("CPUExecutionProvider",)], "E0257")]
)
def test_what_names_no_provider_is_refused(asked: Any, code: str) -> None:
    with pytest.raises(SardonyxError) as caught:
        sx.InferenceSession(encoded(AFFINE), providers=asked)
    assert caught.value.code == code


def test_changing_the_provider() -> None:
    session = sx.InferenceSession(encoded(AFFINE))
    session.set_providers(["ReferenceExecutionProvider"])
    assert session.get_providers() == ["ReferenceExecutionProvider"]
    np.testing.assert_allclose(_run(session), Y, rtol=1e-6)


@pytest.mark.parametrize("level", list(sx.GraphOptimizationLevel))
def test_every_level_gives_the_same(level: sx.GraphOptimizationLevel) -> None:
    options = sx.SessionOptions()
    options.graph_optimization_level = level
    session = sx.InferenceSession(encoded(QUANTIZED), options)
    plain = sx.InferenceSession(encoded(QUANTIZED), providers=["reference"])
    np.testing.assert_allclose(_run(session), _run(plain), rtol=1e-5)


def test_optimized_model_is_written(tmp_path: Path) -> None:
    options = sx.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "net.opt.onnx")
    sx.InferenceSession(encoded(AFFINE), options)
    assert load(tmp_path / "net.opt.onnx").inputs[0].name == "x"


def test_fixed_dimension() -> None:
    options = sx.SessionOptions()
    options.add_free_dimension_override_by_name("N", 2)
    session = sx.InferenceSession(encoded(AFFINE), options)
    assert session.get_inputs()[0].shape == [2, 3]
    assert session.get_outputs()[0].shape == [2, 2]
    np.testing.assert_allclose(_run(session), Y, rtol=1e-6)
    with pytest.raises(ShapeMismatch):
        _run(session, X[:1])


def test_replaced_initializer() -> None:
    options = sx.SessionOptions()
    value = sx.OrtValue.ortvalue_from_numpy(np.zeros(2, np.float32))
    options.add_initializer("b", value)
    session = sx.InferenceSession(encoded(AFFINE), options)
    np.testing.assert_allclose(_run(session), Y - [0.5, -0.5], rtol=1e-6)
    options.add_initializer("b", np.zeros(3, np.float32))
    with pytest.raises(InvalidArgument):
        sx.InferenceSession(encoded(AFFINE), options)


def test_cancelled_load() -> None:
    options = sx.SessionOptions()
    options.set_load_cancellation_flag(True)
    with pytest.raises(ModelLoadCanceled):
        sx.InferenceSession(encoded(AFFINE), options)


def test_binding(path: str) -> None:
    session = sx.InferenceSession(path)
    binding = session.io_binding()
    target = sx.OrtValue.ortvalue_from_shape_and_type((2, 2), np.float32)
    binding.bind_cpu_input("x", X)
    binding.bind_ortvalue_output("y", target)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(target.numpy(), Y, rtol=1e-6)
    binding.clear_binding_outputs()
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], Y, rtol=1e-6)
    np.testing.assert_allclose(binding.get_outputs()[0].numpy(), Y, rtol=1e-6)
    with pytest.raises(InvalidArgument):
        binding.bind_output("z")
    with pytest.raises(InvalidArgument):
        binding.bind_output("y", "cuda")


def test_binding_of_addresses(path: str) -> None:
    session = sx.InferenceSession(path)
    x, y = X.copy(), np.zeros((2, 2), np.float32)
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(y, Y, rtol=1e-6)
    small = sx.OrtValue.ortvalue_from_shape_and_type((1, 2), np.float32)
    binding.bind_ortvalue_output("y", small)
    with pytest.raises(ShapeMismatch):
        session.run_with_iobinding(binding)


def test_values_in_and_out(path: str) -> None:
    session = sx.InferenceSession(path)
    (found,) = session.run_with_ort_values(None, {"x": sx.OrtValue(X)})
    assert (found.data_type(), found.shape(), found.device_name()) == (
        "tensor(float)",
        [2, 2],
        "cpu",
    )
    fetches: list[sx.OrtValue] = []
    session.run_with_ortvaluevector(None, ["x"], [sx.OrtValue(X)], ["y"], fetches)
    np.testing.assert_array_equal(fetches[0].numpy(), found.numpy())


def test_run_on_another_thread(path: str) -> None:
    session = sx.InferenceSession(path)
    seen: list[tuple[Any, Any, str]] = []
    done = threading.Event()

    def callback(outputs: list[Any], data: Any, error: str) -> None:
        seen.append((outputs, data, error))
        done.set()

    for feeds in ({"x": X}, {"x": X.astype(np.float64)}):
        done.clear()
        session.run_async(None, feeds, callback, "mine")
        assert done.wait(10)
    (outputs, data, error), (_, _, refused) = seen
    np.testing.assert_allclose(outputs[0], Y, rtol=1e-6)
    assert (data, error) == ("mine", "")
    assert "E0203" in refused
    with pytest.raises(InvalidArgument):
        session.run_async(None, {}, callback, "mine")


def test_many_threads_share_a_session(path: str) -> None:
    session = sx.InferenceSession(path)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for n in range(50):
            x = rng.standard_normal((1 + (seed + n) % 5, 3)).astype(np.float32)
            wanted = x @ np.array([[1, 2], [3, 4], [5, 6]], np.float32) + [0.5, -0.5]
            if not np.allclose(_run(session, x), wanted, rtol=1e-5, atol=1e-5):
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert not wrong


@pytest.mark.parametrize("way", [pickle.loads, copy.deepcopy], ids=["pickle", "copy"])
@pytest.mark.parametrize("made_from", ["path", "bytes", "graph"])
def test_sessions_travel(way: Callable[..., Any], made_from: str, path: str) -> None:
    model = {"path": path, "bytes": encoded(AFFINE), "graph": graph(AFFINE)}[made_from]
    options = sx.SessionOptions(intra_op_num_threads=1)
    session = sx.InferenceSession(model, options)
    again = way(pickle.dumps(session) if way is pickle.loads else session)
    np.testing.assert_array_equal(_run(again), _run(session))
    assert again.get_session_options().intra_op_num_threads == 1


def _child(session: sx.InferenceSession, queue: Any) -> None:
    queue.put(_run(session))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_session_works_after_a_fork(path: str) -> None:
    session = sx.InferenceSession(path, sx.SessionOptions(intra_op_num_threads=2))
    wanted = _run(session)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(session, queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=30), wanted)
    child.join(10)
    assert child.exitcode == 0


LOOP = """
graph counting {
  opset "" 20
  input trips: int64[]
  input x: float32[N]
  const go: bool[] = {1}
  [loop] y = Loop<body=graph body {
      opset "" 20
      input i: int64[]
      input c: bool[]
      input a: float32[N]
      const one: float32[] = {1.0}
      b = Add(a, one)
      d = Identity(c)
      output d
      output b
    }>(trips, go, x)
  output y
}
"""


def test_a_run_can_be_ended() -> None:
    session = sx.InferenceSession(graph(LOOP))
    options = sx.RunOptions()
    threading.Timer(0.2, lambda: setattr(options, "terminate", True)).start()
    start = time.monotonic()
    feeds = {"trips": np.int64(5_000_000), "x": np.zeros(4, np.float32)}
    with pytest.raises(Terminated) as caught:
        session.run(None, feeds, options)
    assert caught.value.exit_code == 130
    assert time.monotonic() - start < 5
    feeds["trips"] = np.int64(3)
    assert session.run(None, feeds, sx.RunOptions())[0].tolist() == [3.0] * 4


def test_errors_of_a_run_name_the_file(tmp_path: Path) -> None:
    save(graph(BRANCHES), tmp_path / "net.onnx")
    session = sx.InferenceSession(tmp_path / "net.onnx")
    with pytest.raises(SardonyxError) as caught:
        session.run(None, {"x": np.ones(2, np.float32), "go": np.array(False)})
    assert caught.value.file == str(tmp_path / "net.onnx")


def test_errors_name_the_users_own_line() -> None:
    given = graph(UNKNOWN)
    stack = 'File "/home/me/net.py", line 7, in forward\n    y = odd(x)'
    given.nodes[0].meta["pkg.torch.onnx.stack_trace"] = stack
    with pytest.raises(UnsupportedOperator) as caught:
        sx.InferenceSession(given)
    assert caught.value.source == "/home/me/net.py:7 in forward: y = odd(x)"


def test_settings_are_kept() -> None:
    options = sx.SessionOptions()
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    with pytest.raises(NotFound):
        options.get_session_config_entry("nothing")
    with pytest.raises(AttributeError):
        options.intra_op_threads = 2  # type: ignore[attr-defined]
    with pytest.raises(sx.NotImplemented):
        options.register_custom_ops_library("ops.so")

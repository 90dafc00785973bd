"""What ONNX Runtime's tests ask of sessions and runs, under their names, of both libraries."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from dropin.api_names import CPU, MATMUL, MUL, WORDS, X, capi, model, session

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.parametrize("lib", [ort, sx], ids=["onnxruntime", "sardonyx"]),
    pytest.mark.filterwarnings("ignore"),
]
SQUARES = [[1, 4], [9, 16], [25, 36]]
AND = model(
    *('input "input1:0": bool[2, 2]', 'input "input:0": bool[2, 2]'),
    *('"output:0": bool[2, 2] = And("input1:0", "input:0")', 'output "output:0"'),
)
TRUE, FALSE = [[True, True], [False, False]], [[True, False], [True, False]]


@pytest.fixture(autouse=True)
def _severity() -> Iterator[None]:
    yield
    for lib in (ort, sx):
        lib.set_default_logger_severity(2)


def _described(values: Any) -> list[tuple[str, str, list[Any]]]:
    return [(v.name, v.type, v.shape) for v in values]


def test_get_version_string(lib: Any) -> None:
    assert lib.get_version_string()[0].isdigit()


def test_get_build_info(lib: Any) -> None:
    assert "Build Info" in lib.get_build_info()


def _saved(lib: Any, source: Any, target: Path, entries: dict[str, str]) -> Any:
    """The session of a model that is written, optimised, to a file."""
    options = lib.SessionOptions()
    options.log_severity_level, options.logid = 3, "saving"
    options.optimized_model_filepath = str(target)
    for key, value in entries.items():
        prefix = "session.optimized_model_external_initializers_"
        options.add_session_config_entry(prefix + key, value)
    return session(lib, source, options)


def _weights(folder: Path) -> Path:
    """A model whose weights of 4 kB lie in another file."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(n, kind, ["N", 32]) for n in ("x", "y")]
    weights = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    made = helper.make_graph(
        *([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:]),
        initializer=[onnx.numpy_helper.from_array(weights, "w")],
    )
    path = folder / "net.onnx"
    net = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(net, path, save_as_external_data=True, location="net.bin", size_threshold=64)
    return path


def test_model_serialization(lib: Any, tmp_path: Path) -> None:
    _saved(lib, MUL, tmp_path / "better.onnx", {})
    (found,) = session(lib, tmp_path / "better.onnx").run(None, {"X": X})
    assert found.tolist() == SQUARES


@pytest.mark.parametrize("name", ["weights.bin"])
def test_model_serialization_with_external_initializers(
    lib: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = _weights(tmp_path)
    entries = {"file_name": name, "min_size_in_bytes": "100"}
    first = _saved(lib, str(inside), Path("better.onnx"), entries)
    assert (tmp_path / name).stat().st_size >= 4096
    x = {"x": np.ones((1, 32), np.float32)}
    again = session(lib, "better.onnx").run(None, x)[0]
    np.testing.assert_allclose(again, first.run(None, x)[0], rtol=1e-5)


def test_model_serialization_with_external_initializers_to_directory(
    lib: Any, tmp_path: Path
) -> None:
    made = onnx.load(_weights(tmp_path)).SerializeToString()
    target = tmp_path / "sub" / "better.onnx"
    target.parent.mkdir()
    _saved(lib, made, target, {"file_name": "weights.bin", "min_size_in_bytes": "100"})
    assert target.is_file()
    assert (target.parent / "weights.bin").is_file()


def test_model_serialization_with_original_external_initializers_to_directory(
    lib: Any, tmp_path: Path
) -> None:
    target = tmp_path / "sub" / "better.onnx"
    target.parent.mkdir()
    entries = {"file_name": "weights.bin", "min_size_in_bytes": "20"}
    _saved(lib, str(_weights(tmp_path)), target, entries)
    (tmp_path / "net.bin").unlink()
    session(lib, str(target))


def test_model_serialization_with_original_external_initializers_to_current_directory(
    lib: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _saved(lib, str(_weights(tmp_path)), Path("1.onnx"), {"file_name": "1.bin"})
    entries = {"file_name": "2.bin", "min_size_in_bytes": "10"}
    _saved(lib, "1.onnx", Path("2.onnx"), entries)
    for name in ("1.onnx", "1.bin", "net.bin"):
        Path(name).unlink(missing_ok=True)
    session(lib, "2.onnx")


def test_get_providers(lib: Any) -> None:
    assert "CPUExecutionProvider" in lib.get_available_providers()
    assert "CPUExecutionProvider" in lib.get_all_providers()
    assert session(lib, MUL).get_providers() == CPU


def test_enabling_and_disabling_telemetry(lib: Any) -> None:
    lib.disable_telemetry_events()
    lib.enable_telemetry_events()
    lib.disable_telemetry_events()


def test_set_default_logger_callback(lib: Any) -> None:
    def fails(*told: Any) -> None:
        raise ValueError(told)

    for callback in (fails, lambda *told: None, None):
        lib.set_default_logger_callback(callback, severity=0)
        assert session(lib, MUL).run(["Y"], {"X": X})[0].tolist() == SQUARES
    for severity in (5, -1):
        with pytest.raises(RuntimeError):
            lib.set_default_logger_callback(print, severity=severity)
    with pytest.raises(RuntimeError):
        lib.set_default_logger_callback("no function")


def test_deserialization_from_path_object(lib: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(MUL)
    assert len(session(lib, path).get_inputs()) == 1


def test_invalid_set_providers(lib: Any) -> None:
    made = session(lib, MUL)
    with pytest.raises(RuntimeError, match="InvalidProvider"):
        made.set_providers(["InvalidProvider"])


def test_run_model_with_optional_sequence_input(lib: Any) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inner = helper.make_sequence_type_proto(helper.make_tensor_type_proto(kind, [5]))
    ends = [helper.make_value_info(n, helper.make_optional_type_proto(inner)) for n in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    made = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 16)],
        ir_version=8,
    )
    x = [np.arange(5, dtype=np.float32)]
    (found,) = session(lib, made.SerializeToString()).run(["y"], {"x": x})
    np.testing.assert_array_equal(found, x)


def test_run_model(lib: Any) -> None:
    made = session(lib, MUL)
    assert _described(made.get_inputs()) == [("X", "tensor(float)", [3, 2])]
    assert _described(made.get_outputs()) == [("Y", "tensor(float)", [3, 2])]
    for asked in (made.get_input_memory_infos, made.get_output_memory_infos):
        (info,) = asked()
        assert info is not None
    assert len(made.get_input_epdevices()) == 1
    assert made.run(["Y"], {"X": X})[0].tolist() == SQUARES


def test_run_async(lib: Any) -> None:
    options, done, heard = lib.SessionOptions(), threading.Event(), []
    options.intra_op_num_threads = 2

    def told(found: Any, data: Any, error: str) -> None:
        heard.append((np.asarray(found[0]).tolist(), data, error))
        done.set()

    session(lib, MUL, options).run_async(["Y"], {"X": X}, told, 123456)
    assert done.wait(10)
    assert heard == [(SQUARES, 123456, "")]


def test_run_model_from_bytes(lib: Any) -> None:
    made = session(lib, MUL)
    assert made.run([made.get_outputs()[0].name], {"X": X})[0].tolist() == SQUARES


def test_run_model2(lib: Any) -> None:
    made = session(lib, MATMUL)
    assert _described(made.get_outputs()) == [("Y", "tensor(float)", [3, 1])]
    assert made.run(["Y"], {"X": X})[0].tolist() == [[5], [11], [17]]


def test_run_model2_contiguous(lib: Any) -> None:
    made, aside = session(lib, MATMUL), X[:, [1, 0]][:, ::-1]
    for x in (aside, np.ascontiguousarray(aside), np.asfortranarray(X)):
        assert made.run(["Y"], {"X": x})[0].tolist() == [[5], [11], [17]]


def test_run_model_multiple_threads(lib: Any) -> None:
    made, found = session(lib, MUL), list[Any]()

    def work(name: str) -> None:
        options = lib.RunOptions()
        options.logid = name
        found.append(made.run([], {"X": X}, run_options=options)[0].tolist())

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [SQUARES] * 3


def test_list_as_input(lib: Any) -> None:
    assert session(lib, MUL).run([], {"X": X.tolist()})[0].tolist() == SQUARES


def test_string_list_as_input(lib: Any) -> None:
    x = [["this", "is"], ["identity", "test"]]
    assert session(lib, WORDS).run([], {"x": x})[0].tolist() == x


def test_run_device(lib: Any) -> None:
    assert "CPU" in lib.get_device() or "GPU" in lib.get_device()


def test_run_model_symbolic_input(lib: Any) -> None:
    made = onnx.load_model_from_string(MATMUL)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "None"
    found = session(lib, made.SerializeToString())
    assert [v.shape for v in (*found.get_inputs(), *found.get_outputs())] == [
        *(["None", 2], ["None", 1])
    ]
    assert found.run(["Y"], {"X": X})[0].tolist() == [[5], [11], [17]]


def test_boolean_inputs(lib: Any) -> None:
    made = session(lib, AND)
    assert _described((*made.get_inputs(), *made.get_outputs())) == [
        (name, "tensor(bool)", [2, 2]) for name in ("input1:0", "input:0", "output:0")
    ]
    feeds = {"input1:0": np.array(TRUE), "input:0": np.array(FALSE)}
    assert made.run(["output:0"], feeds)[0].tolist() == [[True, False], [False, False]]


def _words(lib: Any, x: Any) -> Any:
    made = session(lib, WORDS)
    assert _described(made.get_inputs()) == [("x", "tensor(string)", [2, 2])]
    assert _described(made.get_outputs()) == [("y", "tensor(string)", [2, 2])]
    return made.run(["y"], {"x": x})[0].tolist()


def test_string_input1(lib: Any) -> None:
    x = np.array([["this", "is"], ["identity", "test"]])
    assert _words(lib, x) == x.tolist()


def test_string_input2(lib: Any) -> None:
    x = np.array([["Olá", "你好"], ["여보세요", "hello"]])
    assert _words(lib, x) == x.tolist()


def test_input_bytes(lib: Any) -> None:
    x = np.array([[b"this", b"is"], [b"identity", b"test"]])
    assert np.array(_words(lib, x)).astype("S8").tolist() == x.tolist()


def test_input_object(lib: Any) -> None:
    x = np.array([["this", "is"], ["identity", "test"]], object)
    assert _words(lib, x) == x.tolist()


def test_input_void(lib: Any) -> None:
    x = np.array([b"must", b"have", b"same", b"size"], np.void).reshape(2, 2)
    assert _words(lib, x) == [["must", "have"], ["same", "size"]]


def test_raise_wrong_num_inputs(lib: Any) -> None:
    with pytest.raises(ValueError, match=r"input1:0.* missing"):
        session(lib, AND).run([], {"input:0": np.array(TRUE)})


def test_model_meta(lib: Any) -> None:
    made = onnx.load_model_from_string(MUL)
    made.producer_name, made.graph.name, made.domain = "maker", "net", "there"
    meta = session(lib, made.SerializeToString()).get_modelmeta()
    assert (meta.producer_name, meta.graph_name, meta.domain) == ("maker", "net", "there")
    assert (meta.description, meta.graph_description) == ("", "")


def _profiled(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "p")
    return session(lib, MUL, options)


def test_profiler_with_session_options(lib: Any, tmp_path: Path) -> None:
    made = _profiled(lib, tmp_path)
    made.run([], {"X": X})
    lines = Path(made.end_profiling()).read_text(encoding="utf-8").splitlines()
    assert "[" in lines[0]
    assert "]" in lines[-1]
    for line in lines[1:-1]:
        event = json.loads(line.rstrip(","))
        assert event.keys() >= {"pid", "dur", "ts", "ph", "name", "args"}
        assert event["ph"] == "X"


def test_profiler_get_start_time_ns(lib: Any, tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        made = _profiled(lib, tmp_path)
        times.append(made.get_profiling_start_time_ns())
        made.end_profiling()
    assert times == sorted(times)


def test_graph_optimization_level(lib: Any) -> None:
    options, level = lib.SessionOptions(), lib.GraphOptimizationLevel
    assert options.graph_optimization_level == level.ORT_ENABLE_ALL
    options.graph_optimization_level = level.ORT_ENABLE_EXTENDED
    assert options.graph_optimization_level == level.ORT_ENABLE_EXTENDED
    feeds = {"input1:0": np.array(TRUE), "input:0": np.array(FALSE)}
    assert session(lib, AND, options).run([], feeds)


LENGTH = model(*("input X: sequence(float32[?])", "Y: int64[] = SequenceLength(X)", "output Y"))
CONSTRUCT = model(
    *("input tensor1: int64[2, 3]", "input tensor2: int64[2, 3]"),
    "output_sequence: sequence(int64[2, 3]) = SequenceConstruct(tensor1, tensor2)",
    "output output_sequence",
)
INSERT = model(
    *("input tensor: int64[2, 3]", "input input_seq: sequence(int64[2, 3])"),
    "output_sequence: sequence(int64[2, 3]) = SequenceInsert(input_seq, tensor)",
    "output output_sequence",
)
NUMBERS = np.array([[1, 0, 3], [44, 23, 11]])


def test_sequence_length(lib: Any) -> None:
    made = session(lib, LENGTH)
    assert made.get_inputs()[0].type == "seq(tensor(float))"
    assert made.get_outputs()[0].type == "tensor(int64)"
    assert made.run(["Y"], {"X": [X, X]})[0] == 2


def test_sequence_construct(lib: Any) -> None:
    made = session(lib, CONSTRUCT)
    assert [v.type for v in made.get_inputs()] == ["tensor(int64)"] * 2
    assert made.get_outputs()[0].type == "seq(tensor(int64))"
    (found,) = made.run(None, {"tensor1": NUMBERS, "tensor2": NUMBERS + 1})
    np.testing.assert_array_equal(found, [NUMBERS, NUMBERS + 1])


def test_sequence_insert(lib: Any) -> None:
    options = lib.SessionOptions()
    options.execution_mode = lib.ExecutionMode.ORT_SEQUENTIAL
    made = session(lib, INSERT, options)
    (found,) = made.run(["output_sequence"], {"tensor": NUMBERS, "input_seq": []})
    np.testing.assert_array_equal(found, [NUMBERS])


def test_ort_execution_mode(lib: Any) -> None:
    options, mode = lib.SessionOptions(), lib.ExecutionMode
    assert options.execution_mode == mode.ORT_SEQUENTIAL
    options.execution_mode = mode.ORT_PARALLEL
    assert options.execution_mode == mode.ORT_PARALLEL


def _open(lib: Any, how: str, sizes: dict[str, int]) -> Any:
    made = onnx.load_model_from_string(
        model("input x: float32[Dim1, Dim2, 5]", "y: float32[Dim1, Dim2, 5] = Abs(x)", "output y")
    )
    dims = made.graph.input[0].type.tensor_type.shape.dim
    dims[0].denotation, dims[1].denotation = "DATA_BATCH", "DATA_CHANNEL"
    options = lib.SessionOptions()
    for name, size in sizes.items():
        getattr(options, f"add_free_dimension_override_by_{how}")(name, size)
    return session(lib, made.SerializeToString(), options).get_inputs()[0].shape


def test_session_options_add_free_dimension_override_by_denotation(lib: Any) -> None:
    assert _open(lib, "denotation", {"DATA_BATCH": 3, "DATA_CHANNEL": 5}) == [3, 5, 5]


def test_session_options_add_free_dimension_override_by_name(lib: Any) -> None:
    assert _open(lib, "name", {"Dim1": 4, "Dim2": 6}) == [4, 6, 5]


def test_session_options_add_config_entry(lib: Any) -> None:
    options = lib.SessionOptions()
    options.add_session_config_entry("KEY", "VALUE")
    assert options.get_session_config_entry("KEY") == "VALUE"


def test_invalid_session_options_config_entry(lib: Any) -> None:
    with pytest.raises(RuntimeError, match=r"configuration .*NOTHING"):
        lib.SessionOptions().get_session_config_entry("NOTHING")


def test_session_options_add_initializer(lib: Any) -> None:
    options = lib.SessionOptions()
    other = lib.OrtValue.ortvalue_from_numpy(X[:, ::-1].copy())
    options.add_initializer("W", other)
    (found,) = session(lib, MUL, options).run(["Y"], {"X": X})
    assert found.tolist() == [[2, 2], [12, 12], [30, 30]]


def _absent() -> bytes:
    """A model whose constant lies in a file that is not there."""
    made = onnx.load_model_from_string(
        model(
            *("input x: float32[4]", "const c = float32[4] {1, 2, 3, 4}"),
            *("y: float32[4] = Add(x, c)", "output y"),
        )
    )
    (held,) = made.graph.initializer
    held.ClearField("raw_data")
    held.ClearField("float_data")
    held.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "c.bin", "offset": "0", "length": "16"}.items():
        entry = held.external_data.add()
        entry.key, entry.value = key, value
    found: bytes = made.SerializeToString()
    return found


def test_session_options_add_external_initializers(lib: Any, tmp_path: Path) -> None:
    options, path = lib.SessionOptions(), tmp_path / "net.onnx"
    path.write_bytes(_absent())
    held = lib.OrtValue.ortvalue_from_numpy(np.full(4, 7, np.float32))
    options.add_external_initializers(["c"], [held])
    (found,) = session(lib, str(path), options).run(None, {"x": np.zeros(4, np.float32)})
    assert found.tolist() == [7] * 4


def test_run_output_does_not_alias_input_passthrough(lib: Any) -> None:
    made = onnx.load_model_from_string(
        model("input x: float32[2]", "const ten = float32[] {10}", "y = Add(x, ten)", "output y")
    )
    made.graph.output.append(made.graph.input[0])
    options = lib.SessionOptions()
    options.graph_optimization_level = lib.GraphOptimizationLevel.ORT_DISABLE_ALL
    found, kept = session(lib, made.SerializeToString(), options), []
    for n in range(7):
        x = np.full(2, n, np.float32)
        kept.append(found.run(None, {"x": x}))
        assert not np.shares_memory(kept[-1][1], x)
        x[:] = -1
    assert [k[0].tolist() for k in kept] == [[n + 10] * 2 for n in range(7)]
    assert [k[1].tolist() for k in kept] == [[n] * 2 for n in range(7)]


def test_memory_arena_shrinkage(lib: Any) -> None:
    options, key = lib.RunOptions(), "memory.enable_memory_arena_shrinkage"
    options.add_run_config_entry(key, "cpu:0")
    assert options.get_run_config_entry(key) == "cpu:0"
    assert session(lib, MUL).run([], {"X": X}, options)[0].tolist() == SQUARES


THREE = model(
    *("input a: float32[2]", "input b: float32[2]"),
    *("[add_0] s: float32[2] = Add(a, b)", "[mul_0] m: float32[2] = Mul(s, b)"),
    *("[add_1] y: float32[2] = Add(m, a)", "output y"),
)


def test_get_graph_provider_assignment_info(lib: Any) -> None:
    options = lib.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    parts = session(lib, THREE, options).get_provider_graph_assignment_info()
    assert {p.ep_name for p in parts} == {"CPUExecutionProvider"}
    told = [f"{n.domain}:{n.op_type}/{n.name}" for p in parts for n in p.get_nodes()]
    assert sorted(told) == [":Add/add_0", ":Add/add_1", ":Mul/mul_0"]


def test_get_graph_provider_assignment_info_not_enabled(lib: Any) -> None:
    said = r"record_ep_graph_assignment_info.* must be set to .1"
    with pytest.raises(capi(lib).Fail, match=said):
        session(lib, THREE).get_provider_graph_assignment_info()


@pytest.mark.parametrize("weights", [[0.3, -0.3], [0.0], [-0.5]])
def test_tree_ensemble_logistic(lib: Any, weights: list[float]) -> None:
    helper, split = onnx.helper, len(weights) == 2
    count = 3 if split else 1
    node = helper.make_node(
        *("TreeEnsembleClassifier", ["X"], ["label", "probs"]),
        domain="ai.onnx.ml",
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[0] * count,
        nodes_values=[0.5, 0.0, 0.0][:count],
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"] if split else ["LEAF"],
        nodes_truenodeids=[1, 0, 0][:count],
        nodes_falsenodeids=[2, 0, 0][:count],
        nodes_missing_value_tracks_true=[0] * count,
        nodes_hitrates=[1.0] * count,
        class_treeids=[0] * len(weights),
        class_nodeids=[1, 2] if split else [0],
        class_ids=[0] * len(weights),
        class_weights=weights,
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
        base_values=[-0.405],
    )
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)
    x = helper.make_tensor_value_info("X", kinds[0], [None, 3])
    ends = [
        helper.make_tensor_value_info("label", kinds[1], [None]),
        helper.make_tensor_value_info("probs", kinds[0], [None, 2]),
    ]
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(helper.make_graph([node], "g", [x], ends), opset_imports=opsets)
    made.ir_version = 8
    feeds = {"X": np.array([[0.1, 0, 0]], np.float32)}
    _, found = session(lib, made.SerializeToString()).run(None, feeds)
    wanted = 1 / (1 + np.exp(0.405 - weights[0]))
    np.testing.assert_allclose(found[0][1], wanted, atol=1e-5)

"""What ONNX Runtime's tests ask of bindings, maps, sparse outputs, files and the compiler."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from dropin.api_names import MUL, X, capi, model, session

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.parametrize("lib", [ort, sx], ids=["onnxruntime", "sardonyx"]),
    pytest.mark.filterwarnings("ignore"),
]
SQUARES = [[1, 4], [9, 16], [25, 36]]


def _bound(lib: Any) -> tuple[Any, Any]:
    made = session(lib, MUL)
    return made, made.io_binding()


def _done(made: Any, binding: Any) -> Any:
    binding.synchronize_inputs()
    made.run_with_iobinding(binding)
    binding.synchronize_outputs()
    return binding.copy_outputs_to_cpu()[0].tolist()


def _value(lib: Any, x: Any) -> Any:
    return lib.OrtValue.ortvalue_from_numpy(x)


def test_bind_input_to_cpu_arr(lib: Any) -> None:
    made, binding = _bound(lib)
    binding.bind_cpu_input("X", X)
    binding.bind_output("Y")
    assert _done(made, binding) == SQUARES


KINDS = ["float32", "float64", "float16", "bool", *(f"{s}int{n}" for s in ("", "u") for n in
         (8, 16, 32, 64))]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bind_input_types(lib: Any, kind: str) -> None:
    core, x = capi(lib), np.arange(8).reshape(-1, 2).astype(kind)
    same = model(f"input X: {kind}[N, 2]", f"Y: {kind}[N, 2] = Identity(X)", "output Y")
    made = session(lib, same)
    device = core.OrtDevice(core.OrtDevice.cpu(), core.OrtDevice.default_memory(), 0)
    held = core.OrtValue.ortvalue_from_numpy(x, device)
    for at_address in (False, True):
        binding = core.SessionIOBinding(made._sess)
        if at_address:
            binding.bind_input("X", device, x.dtype.type, x.shape, held.data_ptr())
        else:
            binding.bind_ortvalue_input("X", held)
        binding.bind_output("Y", device)
        made._sess.run_with_iobinding(binding, None)
        found = binding.get_outputs()
        assert isinstance(found, core.OrtValueVector)
        assert found[0].numpy().tolist() == x.tolist()


def test_bind_input_only(lib: Any) -> None:
    made, binding = _bound(lib)
    held = _value(lib, X)
    binding.bind_input("X", "cpu", 0, np.float32, [3, 2], held.data_ptr())
    binding.bind_output("Y")
    assert _done(made, binding) == SQUARES


def test_bind_input_and_preallocated_output(lib: Any) -> None:
    made, binding = _bound(lib)
    held, out = _value(lib, X), lib.OrtValue.ortvalue_from_shape_and_type([3, 2], np.float32)
    binding.bind_input("X", "cpu", 0, np.float32, [3, 2], held.data_ptr())
    binding.bind_output("Y", "cpu", 0, np.float32, [3, 2], out.data_ptr())
    assert _done(made, binding) == SQUARES
    assert out.numpy().tolist() == SQUARES


def test_bind_input_and_non_preallocated_output(lib: Any) -> None:
    made, binding = _bound(lib)
    for x in (X, X[:, ::-1].copy()):
        held = _value(lib, x)
        binding.bind_input("X", "cpu", 0, np.float32, [3, 2], held.data_ptr())
        binding.bind_output("Y", "cpu")
        _done(made, binding)
        for _ in range(2):
            (found,) = binding.get_outputs()
            assert found.device_name().lower() == "cpu"
            assert found.numpy().tolist() == (x * X).tolist()


def test_bind_input_and_bind_output_with_ortvalues(lib: Any) -> None:
    made, binding = _bound(lib)
    for x in (X, X[:, ::-1].copy()):
        out = lib.OrtValue.ortvalue_from_shape_and_type([3, 2], np.float32)
        binding.bind_ortvalue_input("X", _value(lib, x))
        binding.bind_ortvalue_output("Y", out)
        _done(made, binding)
        assert out.numpy().tolist() == (x * X).tolist()


def _ml(nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> bytes:
    helper = onnx.helper
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    found: bytes = made.SerializeToString()
    return found


def _tensor(name: str, kind: int, shape: list[Any]) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _map(name: str, key: int, *, listed: bool) -> Any:
    helper, proto = onnx.helper, onnx.TypeProto()
    inner = proto.sequence_type.elem_type if listed else proto
    inner.map_type.key_type = key
    inner.map_type.value_type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    inner.map_type.value_type.tensor_type.shape.SetInParent()
    return helper.make_value_info(name, proto)


def _zipped(lib: Any, key: int, **classes: Any) -> tuple[str, Any]:
    node = onnx.helper.make_node("ZipMap", ["X"], ["Z"], domain="ai.onnx.ml", **classes)
    ends = [_tensor("X", onnx.TensorProto.FLOAT, [2, 3])], [_map("Z", key, listed=True)]
    made = session(lib, _ml([node], *ends))
    x = np.array([[1, 0, 3], [44, 23, 11]], np.float32)
    return made.get_outputs()[0].type, made.run(["Z"], {"X": x})[0]


def test_zip_map_string_float(lib: Any) -> None:
    names = ["a", "b", "c"]
    kind, found = _zipped(lib, onnx.TensorProto.STRING, classlabels_strings=names)
    assert kind == "seq(map(string,tensor(float)))"
    assert found == [{"a": 1, "b": 0, "c": 3}, {"a": 44, "b": 23, "c": 11}]


def test_zip_map_int64_float(lib: Any) -> None:
    kind, found = _zipped(lib, onnx.TensorProto.INT64, classlabels_int64s=[10, 20, 30])
    assert kind == "seq(map(int64,tensor(float)))"
    assert found == [{10: 1, 20: 0, 30: 3}, {10: 44, 20: 23, 30: 11}]


def test_dict_vectorizer(lib: Any) -> None:
    node = onnx.helper.make_node(
        *("DictVectorizer", ["x"], ["y"]), domain="ai.onnx.ml", int64_vocabulary=[0, 1, 2, 3]
    )
    made = session(
        lib,
        _ml([node], [_map("x", onnx.TensorProto.INT64, listed=False)],
            [_tensor("y", onnx.TensorProto.FLOAT, [1, 4])]),
    )  # fmt: skip
    (given,) = made.get_inputs()
    assert (given.type, given.shape) == ("map(int64,tensor(float))", [])
    x = {0: 25.0, 1: 5.13, 3: 0.453}
    wanted = np.array([[25, 5.13, 0, 0.453]], np.float32)
    for key, value in ((int, float), (np.int64, np.float32), (np.int64, np.float64)):
        (found,) = made.run(None, {"x": {key(k): value(v) for k, v in x.items()}})
        np.testing.assert_allclose(found, wanted)
    with pytest.raises((RuntimeError, ValueError)):
        made.run(None, {"x": dict[Any, float](x) | {"a": 5.6}})


def _encoder(default: int, keys: list[str]) -> bytes:
    node = onnx.helper.make_node(
        *("LabelEncoder", ["x"], ["y"]),
        domain="ai.onnx.ml",
        keys_strings=keys,
        values_int64s=list(range(len(keys))),
        default_int64=default,
    )
    ends = (
        [_tensor("x", onnx.TensorProto.STRING, [1, None])],
        [_tensor("y", onnx.TensorProto.INT64, [1, None])],
    )
    return _ml([node], *ends)


def test_label_encoder(lib: Any) -> None:
    made = session(lib, _encoder(-1, ["1", "2", "3", "4"]))
    for x in (np.array([["4"]]), np.array([["4"]], object)):
        assert made.run(["y"], {"x": x})[0].tolist() == [[3]]


def test_run_model_mlnet(lib: Any) -> None:
    made = session(lib, _encoder(-1, ["A\0A\0", "B\0B\0"]))
    x = np.array([b"A\0A\0", b"B\0B\0", b"C\0C\0"], np.void).reshape(1, 3)
    assert made.run(None, {"x": x})[0].tolist() == [[0, 1, -1]]
    longer = np.array([b"A\0A\0\0", b"B\0B\0\0"], np.void).reshape(1, 2)
    assert made.run(None, {"x": longer})[0].tolist() == [[-1, -1]]


def test_run_model_tree_ensemble_aionnxml_3(lib: Any) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.DOUBLE

    def doubles(name: str, values: list[float]) -> dict[str, Any]:
        return {name: helper.make_tensor(name, kind, [len(values)], values)}

    node = helper.make_node(
        *("TreeEnsembleRegressor", ["X"], ["Y"]),
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[2, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        **doubles("nodes_values_as_tensor", [1.7999999523, 0, 0]),
        **doubles("target_weights_as_tensor", [0.25, 0.75]),
    )
    out = _tensor("Y", onnx.TensorProto.FLOAT, [None, 1])
    ends = [_tensor("X", kind, [None, 4])], [out]
    made = session(lib, _ml([node], *ends))
    x = np.array([[0, 1, v, 3] for v in (1.7999999523162842, 1.7999999523, 1.79)])
    (found,) = made.run(None, {"X": x})
    assert found.tolist() == [[0.75], [0.25], [0.25]]
    (found,) = made.run(None, {"X": x.astype(np.float32).astype(np.float64)})
    assert found.tolist()[:2] == [[0.75], [0.75]]


def test_backend_run_model(lib: Any) -> None:
    backend = importlib.import_module(f"{lib.__name__}.backend")
    rep = backend.prepare(onnx.load_model_from_string(MUL))
    assert rep.run(X)[0].tolist() == SQUARES


def test_allocation_plan_works_with_only_execute_path_to_fetches_option(lib: Any) -> None:
    made = session(
        lib,
        model(
            *("input a: float32[10]", "input b: float32[10]"),
            *("s: float32[10] = Add(a, b)", "d: float32[10] = Sub(a, b)"),
            *("p: float32[10] = Neg(s)", "q: float32[10] = Neg(d)", "output p", "output q"),
        ),
    )
    options, x = lib.RunOptions(), np.arange(10, dtype=np.float32)
    options.only_execute_path_to_fetches = True
    for name, wanted in (("p", -2 * x), ("q", 0 * x)):
        (found,) = made.run([name], {"a": x, "b": x}, options)
        np.testing.assert_array_equal(found, wanted)


def _linked(folder: Path, model_in: str, data_in: str) -> Path:
    """A model and its data in folders of their own, and links to both in another."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array(np.arange(10, dtype=np.float32))
    ends = [_tensor(n, onnx.TensorProto.FLOAT, [10]) for n in ("x", "y")]
    tensor.name = "c"
    data = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "data.bin", "offset": "0", "length": str(len(data))}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])], "g", ends[:1], ends[1:], [tensor]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    here = folder / "snapshots" / "one"
    for place in (folder / model_in, folder / data_in, here):
        place.mkdir(parents=True, exist_ok=True)
    (folder / model_in / "1").write_bytes(made.SerializeToString())
    (folder / data_in / "2").write_bytes(data)
    (here / "model.onnx").symlink_to(folder / model_in / "1")
    (here / "data.bin").symlink_to(folder / data_in / "2")
    return here / "model.onnx"


def _added(lib: Any, path: Path) -> None:
    (found,) = session(lib, str(path)).run(None, {"x": np.zeros(10, np.float32)})
    assert found.tolist() == list(range(10))


def test_symlink_model_and_data_under_same_directory(lib: Any, tmp_path: Path) -> None:
    _added(lib, _linked(tmp_path, "blobs", "blobs"))


def test_symlink_with_data_in_model_sub_dir(lib: Any, tmp_path: Path) -> None:
    _added(lib, _linked(tmp_path, "blobs", "blobs/data"))


def test_symlink_with_data_not_in_model_sub_dir(lib: Any, tmp_path: Path) -> None:
    path = _linked(tmp_path, "model", "data")
    with pytest.raises(Exception, match="xternal data"):
        session(lib, str(path))


def test_global_threadpool(lib: Any) -> None:
    options = lib.SessionOptions()
    options.execution_mode = lib.ExecutionMode.ORT_PARALLEL
    options.graph_optimization_level = lib.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert session(lib, MUL, options).run(None, {"X": X})[0].tolist() == SQUARES


def _compiler(lib: Any, source: Any, *args: Any, **named: Any) -> Any:
    return lib.ModelCompiler(lib.SessionOptions(), source, *args, **named)


def _file(folder: Path) -> Path:
    (folder / "net.onnx").write_bytes(MUL)
    return folder / "net.onnx"


def _runs(lib: Any, made: Any) -> None:
    assert session(lib, made).run(None, {"X": X})[0].tolist() == SQUARES


def test_compile_with_input_and_output_files(lib: Any, tmp_path: Path) -> None:
    target = str(tmp_path / "out.onnx")
    _compiler(lib, str(_file(tmp_path)), embed_compiled_data_into_model=True).compile_to_file(
        target
    )
    _runs(lib, target)


def test_compile_flags_error_if_no_compiled_nodes(lib: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    flags = lib.OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED
    made = _compiler(lib, str(_file(tmp_path)), flags=flags)
    with pytest.raises(capi(lib).Fail):
        made.compile_to_file(str(target))
    assert not target.exists()


def test_compile_flags_error_if_output_file_exists(lib: Any, tmp_path: Path) -> None:
    flags = lib.OrtCompileApiFlags.ERROR_IF_OUTPUT_FILE_EXISTS
    made = _compiler(lib, str(_file(tmp_path)), flags=flags)
    made.compile_to_file(str(tmp_path / "out.onnx"))
    with pytest.raises(Exception, match="exists already"):
        made.compile_to_file(str(tmp_path / "out.onnx"))


def test_compile_to_file_with_input_model_in_buffer(lib: Any, tmp_path: Path) -> None:
    _compiler(lib, MUL).compile_to_file(str(tmp_path / "out.onnx"))
    _runs(lib, str(tmp_path / "out.onnx"))


def test_compile_from_buffer_to_buffer(lib: Any) -> None:
    _runs(lib, _compiler(lib, MUL).compile_to_bytes())


def test_compile_model_with_outer_scope_initializer_used_only_in_subgraph(lib: Any) -> None:
    made = model(
        *("const axes = int64[1] {0}", "const data = float32[2] {10, 20}"),
        "const cond = bool[] {1}",
        "Y: float32[1, 2] = If<then_branch = graph a {",
        *("  t: float32[1, 2] = Unsqueeze(data, axes)", "  output t", "}, else_branch = graph b {"),
        *("  e: float32[1, 2] = Unsqueeze(data, axes)", "  output e", "}>(cond)", "output Y"),
    )
    (found,) = session(lib, _compiler(lib, made).compile_to_bytes()).run(None, {})
    assert found.tolist() == [[10, 20]]


def test_compile_graph_optimization_level(lib: Any) -> None:
    made = model(
        *("input x: float32[2]", "a: float32[2] = Identity(x)", "b: float32[2] = Identity(a)"),
        *("y: float32[2] = Neg(b)", "output y"),
    )
    level = lib.GraphOptimizationLevel.ORT_ENABLE_BASIC
    plain = _compiler(lib, made).compile_to_bytes()
    better = _compiler(lib, made, graph_optimization_level=level).compile_to_bytes()
    counts = [len(onnx.load_model_from_string(m).graph.node) for m in (plain, better)]
    assert counts == [3, 1]


def test_compile_from_file_to_stream(lib: Any, tmp_path: Path) -> None:
    pieces: list[bytes] = []
    _compiler(lib, str(_file(tmp_path))).compile_to_stream(pieces.append)
    _runs(lib, b"".join(pieces))


def test_compile_to_stream_that_raises_exception(lib: Any) -> None:
    def fails(data: bytes) -> None:
        raise ValueError(f"no room for {len(data)} bytes")

    with pytest.raises(capi(lib).Fail, match="no room for"):
        _compiler(lib, MUL).compile_to_stream(fails)

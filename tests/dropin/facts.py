"""What ONNX Runtime's Python API does, as functions of the library: either must say the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sardonyx.formats import to_bytes
from sardonyx.graph.text import from_text

Fact = Callable[[Any, Path], Any]
FACTS: dict[str, Fact] = {}

X = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
A, B = X[:, 0].copy(), X[:, 1].copy()
CPU = ["CPUExecutionProvider"]


def _model(*lines: str) -> bytes:
    return to_bytes(from_text("\n".join(["graph g {", 'opset "" 17', *lines, "}"])))


MUL = _model(
    "input X: float32[3, 2]",
    "const W = float32[3, 2] {1, 2, 3, 4, 5, 6}",
    "Y: float32[3, 2] = Mul(X, W)",
    "output Y",
)
SQUARE = _model("input X: float32[N, 2]", "Y: float32[N, 2] = Mul(X, X)", "output Y")
TWO = _model(
    *("input a: float32[N]", "input b: float32[N]", "c: float32[N] = Add(a, b)"),
    *("d: float32[N] = Sub(a, b)", "output c", "output d"),
)
LISTED = _model(
    *("input a: float32[N]", "input b: float32[N]"),
    *("s: sequence(float32[N]) = SequenceConstruct(a, b)", "output s"),
)
PICK = _model(
    *("input s: sequence(float32[?])", "input i: int64[]", "y: float32[?] = SequenceAt(s, i)"),
    "output y",
)
NOT = _model("input x: bool[N]", "y: bool[N] = Not(x)", "output y")
WORDS = _model("input x: string[N, M]", "y: string[N, M] = Identity(x)", "output y")
BRAIN = _model("input x: bfloat16[N]", "y: bfloat16[N] = Identity(x)", "output y")


def fact(make: Fact) -> Fact:
    """Notes a fact by its name."""
    FACTS[make.__name__] = make
    return make


def told(make: Fact, lib: Any, folder: Path) -> Any:
    """What a fact is, or that it is an error."""
    try:
        return make(lib, folder)
    except Exception:  # noqa: BLE001 - which one it is differs, as the documents say
        return "an error"


def _session(lib: Any, model: Any, *args: Any, **named: Any) -> Any:
    return lib.InferenceSession(model, *args, **{"providers": CPU, **named})


def _value(lib: Any, array: Any) -> Any:
    return lib.OrtValue.ortvalue_from_numpy(array)


def _lists(found: Any) -> list[Any]:
    return [np.asarray(x).tolist() for x in found]


@fact
def lists_are_fed(lib: Any, folder: Path) -> Any:
    floats = _session(lib, SQUARE).run(None, {"X": [[1.0, 2.0]]})
    whole = _session(lib, SQUARE).run(None, {"X": [[1, 2]]})
    truths = _session(lib, NOT).run(None, {"x": [True, False]})
    words = _session(lib, WORDS).run(None, {"x": [["a", "b"]]})
    return _lists(floats), _lists(whole), _lists(truths), _lists(words)


@fact
def values_are_fed(lib: Any, folder: Path) -> Any:
    return _lists(_session(lib, SQUARE).run(None, {"X": _value(lib, X)}))


@fact
def memory_of_any_order_is_fed(lib: Any, folder: Path) -> Any:
    given = (np.asfortranarray(X), X[::-1], X[:0], X[:, ::-1])
    return [_lists(_session(lib, SQUARE).run(None, {"X": x})) for x in given]


@fact
def words_are_fed(lib: Any, folder: Path) -> Any:
    words = np.array([["a", "bcd"]])
    session = _session(lib, WORDS)
    given = (words, words.astype("S"), words.astype(object))
    found = [session.run(None, {"x": x})[0] for x in given]
    return _lists(found), [x.dtype.kind for x in found]


@fact
def sequences_come_and_go(lib: Any, folder: Path) -> Any:
    (made,) = _session(lib, LISTED).run(None, {"a": A, "b": B})
    (held,) = _session(lib, LISTED).run_with_ort_values(
        None, {"a": _value(lib, A), "b": _value(lib, B)}
    )
    picked = _session(lib, PICK).run(None, {"s": [X, X * 2], "i": np.array(1)})
    asked = held.is_tensor_sequence(), held.is_tensor(), held.data_type(), held.has_value()
    return type(made), _lists(made), asked, _lists(picked)


@fact
def outputs_are_chosen(lib: Any, folder: Path) -> Any:
    session, feeds = _session(lib, TWO), {"a": A, "b": B}
    return [
        _lists(session.run(names, feeds)) for names in (None, [], ["d"], ["c", "c"], ["d", "c"])
    ]


@fact
def values_are_chosen(lib: Any, folder: Path) -> Any:
    session, feeds = _session(lib, TWO), {"a": _value(lib, A), "b": _value(lib, B)}
    found = [session.run_with_ort_values(names, feeds) for names in (None, [], ["d"])]
    return [[v.numpy().tolist() for v in values] for values in found]


def _refused(name: str, model: bytes, feeds: dict[str, Any], names: Any = None) -> None:
    def run(lib: Any, folder: Path) -> Any:
        return _lists(_session(lib, model).run(names, feeds))

    run.__name__ = f"refused_{name}"
    fact(run)


_refused("type", SQUARE, {"X": X.astype(np.float64)})
_refused("rank", SQUARE, {"X": X[0]})
_refused("size", MUL, {"X": X[:2]})
_refused("missing", TWO, {"a": A})
_refused("input", SQUARE, {"X": X, "z": X})
_refused("output", SQUARE, {"X": X}, ["z"])
_refused("sizes_that_differ", TWO, {"a": A, "b": B[:2]})
_refused("an_array_for_a_sequence", PICK, {"s": np.stack([X, X]), "i": np.array(0)})


@fact
def options_of_runs(lib: Any, folder: Path) -> Any:
    options = lib.RunOptions()
    options.log_severity_level, options.logid = 3, "mine"
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    found = _session(lib, SQUARE).run(None, {"X": X}, options)
    return _lists(found), options.get_run_config_entry("memory.enable_memory_arena_shrinkage")


@fact
def a_run_that_is_to_end(lib: Any, folder: Path) -> Any:
    options = lib.RunOptions()
    options.terminate = True
    return _lists(_session(lib, SQUARE).run(None, {"X": X}, options))


@fact
def options_of_sessions(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads, options.inter_op_num_threads = 2, 1
    options.graph_optimization_level = lib.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "better.onnx")
    options.logid = "mine"
    session = _session(lib, SQUARE, options)
    level = options.graph_optimization_level
    named = level.name, int(level), level == lib.GraphOptimizationLevel.ORT_ENABLE_BASIC
    kept = options.get_session_config_entry("session.intra_op.allow_spinning")
    exists = (folder / "better.onnx").exists()
    return _lists(session.run(None, {"X": X})), named, kept, exists, options.has_providers()


@fact
def entries_that_were_not_added(lib: Any, folder: Path) -> Any:
    return lib.SessionOptions().get_session_config_entry("nothing")


@fact
def settings_that_do_not_exist(lib: Any, folder: Path) -> Any:
    lib.SessionOptions().intra_op_threads = 3


@fact
def sizes_are_fixed(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.add_free_dimension_override_by_name("N", 3)
    session = _session(lib, SQUARE, options)
    return [(a.name, a.type, a.shape) for a in (*session.get_inputs(), *session.get_outputs())]


@fact
def providers_are_named(lib: Any, folder: Path) -> Any:
    session = _session(lib, SQUARE)
    before = session.get_providers(), session.get_provider_options()
    session.set_providers(CPU, [{}])
    return before, session.get_providers(), _lists(session.run(None, {"X": X}))


def _providers(name: str, *asked: Any) -> None:
    def choose(lib: Any, folder: Path) -> Any:
        session = _session(lib, SQUARE)
        session.set_providers(*asked)
        return session.get_providers()

    choose.__name__ = f"providers_{name}"
    fact(choose)


_providers("of_none", None)
_providers("unknown", ["unknown"])
_providers("with_too_many_options", CPU, [{}, {}])
_providers("with_a_number_for_options", CPU, 3)
_providers("that_are_a_number", 3)


@fact
def models_are_paths_or_bytes(lib: Any, folder: Path) -> Any:
    path = folder / "net.onnx"
    path.write_bytes(SQUARE)
    given = (path, str(path), SQUARE)
    return [_lists(_session(lib, m).run(None, {"X": X})) for m in given]


def _no_model(name: str, model: Any) -> None:
    def load(lib: Any, folder: Path) -> Any:
        return type(_session(lib, model)).__name__

    load.__name__ = f"no_model_{name}"
    fact(load)


_no_model("None", None)
_no_model("nowhere", "/nowhere/net.onnx")
_no_model("junk", b"junkjunkjunk")
_no_model("empty", b"")


@fact
def settings_of_construction(lib: Any, folder: Path) -> Any:
    session = lib.InferenceSession(
        path_or_bytes=SQUARE, sess_options=lib.SessionOptions(), providers=CPU,
        disabled_optimizers=["ConstantFolding"], enable_fallback=0,
    )  # fmt: skip
    return _lists(session.run(output_names=None, input_feed={"X": X}, run_options=None))


@fact
def bindings_of_arrays(lib: Any, folder: Path) -> Any:
    session = _session(lib, MUL)
    binding = session.io_binding()
    binding.bind_cpu_input("X", X)
    binding.bind_output("Y")
    binding.synchronize_inputs()
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    held = binding.get_outputs()
    kind = type(binding.get_outputs_as_ortvaluevector()).__name__
    return len(held), held[0].device_name(), _lists(binding.copy_outputs_to_cpu()), kind


@fact
def bindings_of_memory(lib: Any, folder: Path) -> Any:
    found = []
    for kind in (np.float32, 1):
        session, target = _session(lib, MUL), np.zeros_like(X)
        binding = session.io_binding()
        binding.bind_input("X", "cpu", 0, kind, X.shape, X.ctypes.data)
        binding.bind_output("Y", "cpu", 0, kind, X.shape, target.ctypes.data)
        session.run_with_iobinding(binding)
        found.append(target.tolist())
    return found


@fact
def bindings_of_values(lib: Any, folder: Path) -> Any:
    session, target = _session(lib, MUL), _value(lib, np.zeros_like(X))
    binding = session.io_binding()
    binding.bind_ortvalue_input("X", _value(lib, X))
    binding.bind_ortvalue_output("Y", target)
    session.run_with_iobinding(binding)
    return target.numpy().tolist()


@fact
def a_binding_of_another_session(lib: Any, folder: Path) -> Any:
    binding = _session(lib, MUL).io_binding()
    binding.bind_cpu_input("X", X)
    binding.bind_output("Y")
    _session(lib, MUL).run_with_iobinding(binding)


@fact
def a_binding_of_an_input_that_is_not_there(lib: Any, folder: Path) -> Any:
    _session(lib, MUL).io_binding().bind_cpu_input("Z", X)


@fact
def a_binding_of_another_type(lib: Any, folder: Path) -> Any:
    session = _session(lib, MUL)
    binding = session.io_binding()
    binding.bind_cpu_input("X", X.astype(np.float64))
    binding.bind_output("Y")
    session.run_with_iobinding(binding)


@fact
def a_binding_that_was_cleared(lib: Any, folder: Path) -> Any:
    session = _session(lib, MUL)
    binding = session.io_binding()
    binding.bind_cpu_input("X", X)
    binding.clear_binding_inputs()
    binding.bind_output("Y")
    session.run_with_iobinding(binding)


@fact
def memory_without_a_shape(lib: Any, folder: Path) -> Any:
    _session(lib, MUL).io_binding().bind_output("Y", "cpu", 0, buffer_ptr=1)


@fact
def values_describe_themselves(lib: Any, folder: Path) -> Any:
    v = _value(lib, X)
    first = v.shape(), v.data_type(), v.element_type(), v.tensor_size_in_bytes()
    kinds = v.is_tensor(), v.is_tensor_sequence(), v.is_sparse_tensor(), v.has_value()
    return first, kinds, v.device_name(), v._ortvalue.__dlpack_device__(), v.data_ptr() > 0


@fact
def values_share_memory(lib: Any, folder: Path) -> Any:
    x = X.copy()
    v = _value(lib, x)
    x[0, 0] = 9
    same = v.data_ptr() == x.ctypes.data, np.shares_memory(np.asarray(v), x)
    return v.numpy().tolist(), same, np.asarray(v, dtype=np.float64).dtype


@fact
def values_are_made_of_nothing(lib: Any, folder: Path) -> Any:
    make = lib.OrtValue.ortvalue_from_shape_and_type
    made = (make([2, 3], np.float32), make([2, 3], 16, "cpu"), make([0, 4], np.int64, "cpu", 0))
    return [(v.shape(), v.data_type(), v.element_type()) for v in made]


@fact
def values_of_types_that_numpy_has_not(lib: Any, folder: Path) -> Any:
    codes = np.array([16256, 16384], np.uint16)
    v = lib.OrtValue.ortvalue_from_numpy_with_onnx_type(codes, 16)
    (out,) = _session(lib, BRAIN).run_with_ort_values(["y"], {"x": v})
    return [(w.data_type(), w.element_type(), w.shape()) for w in (v, out)]


@fact
def values_are_written_to(lib: Any, folder: Path) -> Any:
    v = _value(lib, X.copy())
    v.update_inplace(X * 2)
    v.update_inplace(_value(lib, X * 3))
    return v.numpy().tolist()


@fact
def a_value_is_written_to_in_another_shape(lib: Any, folder: Path) -> Any:
    _value(lib, X.copy()).update_inplace(X[:2])


@fact
def values_pass_through_dlpack(lib: Any, folder: Path) -> Any:
    v = _value(lib, X.copy())
    again = lib.OrtValue.from_dlpack(v)
    below = lib.OrtValue.from_dlpack(v._ortvalue.to_dlpack())
    return _lists((again.numpy(), below.numpy(), np.from_dlpack(v)))


@fact
def vectors_of_values(lib: Any, folder: Path) -> Any:
    vector = lib.capi.onnxruntime_pybind11_state.OrtValueVector()
    for x in (X, X * 2):
        vector.push_back(_value(lib, x)._ortvalue)
    shapes = [v.shape() for v in vector]
    return len(vector), shapes, vector.element_type_at(1), len(vector.to_dlpacks(None))


@fact
def runs_beside(lib: Any, folder: Path) -> Any:
    done, got = threading.Event(), []

    def tell(outputs: Any, user_data: Any, error: str) -> None:
        got.append((_lists(outputs), user_data, error))
        done.set()

    session = _session(lib, SQUARE)
    session.run_async(["Y"], {"X": X}, tell, "mine")
    assert done.wait(60)
    return got


@fact
def a_run_beside_that_cannot_be(lib: Any, folder: Path) -> Any:
    _session(lib, SQUARE).run_async(["Y"], {"Z": X}, print, None)


@fact
def profiles(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "p")
    session = _session(lib, SQUARE, options)
    session.run(None, {"X": X})
    path = session.end_profiling()
    events = json.loads(Path(path).read_text(encoding="utf-8"))
    keys = {"pid", "dur", "ts", "ph", "name", "args", "cat"}
    names = {e["name"] for e in events} & {"model_run", "session_initialization"}
    whole = all(keys <= set(e) for e in events)
    nodes = [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]
    ops = {e["args"]["op_name"] for e in nodes}, {e["args"]["provider"] for e in nodes}
    prefix = path.startswith(str(folder / "p_")), path.endswith(".json")
    return names, whole, ops, prefix, session.get_profiling_start_time_ns() > 0


@fact
def no_profile(lib: Any, folder: Path) -> Any:
    return _session(lib, SQUARE).end_profiling()


@fact
def the_process(lib: Any, folder: Path) -> Any:
    lib.set_seed(1)
    lib.set_default_logger_severity(3)
    lib.set_default_logger_verbosity(0)
    lib.set_default_logger_callback(lambda *_: None)
    lib.set_default_logger_callback(None)
    every = lib.get_all_providers()
    return lib.get_device(), lib.has_collective_ops(), set(CPU) <= set(every)


@fact
def severities_that_do_not_exist(lib: Any, folder: Path) -> Any:
    lib.set_default_logger_severity(7)


@fact
def a_logger_that_is_a_number(lib: Any, folder: Path) -> Any:
    lib.set_default_logger_callback(3)


@fact
def sessions_make_values(lib: Any, folder: Path) -> Any:
    v = _session(lib, SQUARE).create_ortvalue_from_shape_and_type([2], np.float32, "cpu")
    return v.shape(), v.data_type()


@fact
def loading_is_cancelled(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.set_load_cancellation_flag(True)
    try:
        _session(lib, SQUARE, options)
    except Exception as error:  # noqa: BLE001 - its name is what is asked for
        return type(error).__name__


@fact
def sessions_of_devices(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    devices = [d for d in lib.get_ep_devices() if d.ep_name == CPU[0]]
    options.add_provider_for_devices(devices, {})
    session = lib.InferenceSession(SQUARE, options)
    return _lists(session.run(None, {"X": X})), options.has_providers(), len(devices)


@fact
def the_model_itself(lib: Any, folder: Path) -> Any:
    session = _session(lib, TWO)
    meta = session.get_modelmeta()
    ends = [(a.name, a.type, a.shape) for a in (*session.get_inputs(), *session.get_outputs())]
    return (
        ends,
        meta.graph_name,
        meta.domain,
        meta.custom_metadata_map,
        str(session.get_inputs()[0]),
    )


@fact
def tuning(lib: Any, folder: Path) -> Any:
    return _session(lib, SQUARE).get_tuning_results()


@fact
def the_nodes_of_a_provider(lib: Any, folder: Path) -> Any:
    options = lib.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    parts = _session(lib, SQUARE, options).get_provider_graph_assignment_info()
    return [(p.ep_name, [(n.op_type, n.domain) for n in p.get_nodes()]) for p in parts]

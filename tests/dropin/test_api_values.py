"""What ONNX Runtime's tests ask of values, devices and adapters, under their names."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from dropin.api_names import MUL, X, capi, model, session

ort = pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.parametrize("lib", [ort, sx], ids=["onnxruntime", "sardonyx"]),
    pytest.mark.filterwarnings("ignore"),
]


def _value(lib: Any, array: Any) -> Any:
    return lib.OrtValue.ortvalue_from_numpy(array)


def test_ort_value(lib: Any) -> None:
    held = _value(lib, X)
    assert (held.device_name(), held.shape(), held.data_type()) == ("cpu", [3, 2], "tensor(float)")
    assert (held.is_tensor(), held.tensor_size_in_bytes()) == (True, X.nbytes)
    made = session(lib, MUL)
    assert made.run(["Y"], {"X": held})[0].tolist() == (X * X).tolist()
    (found,) = made.run_with_ort_values(["Y"], {"X": held})
    assert found.numpy().tolist() == (X * X).tolist()
    assert held.numpy().tolist() == X.tolist()
    typed = lib.OrtValue.ortvalue_from_numpy_with_onnx_type(X, 1)
    assert (typed.is_tensor(), typed.element_type(), typed.shape()) == (True, 1, [3, 2])


def test_ort_value_dlpack(lib: Any) -> None:
    held, core = _value(lib, X)._ortvalue, capi(lib)
    for capsule in (held.to_dlpack(), held.__dlpack__()):
        again = core.OrtValue.from_dlpack(capsule)
        assert again.data_ptr() == held.data_ptr()
        assert again.numpy().tolist() == X.tolist()
    assert tuple(held.__dlpack_device__()) == (1, 0)


@pytest.mark.parametrize("shape", [(1, 8, 0, 128), (0,), (0, 4), (4, 0)])
def test_ort_value_dlpack_zero_size(lib: Any, shape: tuple[int, ...]) -> None:
    core, array = capi(lib), np.zeros(shape, np.float32)
    capsules = (array.__dlpack__(), _value(lib, array)._ortvalue.to_dlpack())
    for capsule in capsules:
        assert [*core.OrtValue.from_dlpack(capsule).shape()] == [*shape]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_ort_value_array_protocol(lib: Any, dtype: Any) -> None:
    array = np.array([[1, 0], [3, 4]]).astype(dtype)
    held = _value(lib, array)
    for found in (np.asarray(held), np.asarray(held, dtype=dtype)):
        assert found.ctypes.data == held.data_ptr()
        assert found.dtype == dtype
        assert found.tolist() == array.tolist()
    assert np.array(held).tolist() == array.tolist()
    wide = np.asarray(held, dtype=np.float64)
    assert wide.dtype == np.float64
    assert wide.tolist() == array.astype(np.float64).tolist()


def test_ort_value_dlpack_protocol(lib: Any) -> None:
    held = _value(lib, X)
    assert tuple(held.__dlpack_device__()) == (1, 0)
    assert lib.OrtValue.from_dlpack(held.__dlpack__()).numpy().tolist() == X.tolist()


def test_ort_value_from_dlpack_protocol_object(lib: Any) -> None:
    taken = lib.OrtValue.from_dlpack(X)
    assert (taken.numpy().tolist(), [*taken.shape()]) == (X.tolist(), [3, 2])
    held = _value(lib, X)
    again = lib.OrtValue.from_dlpack(held)
    assert again.data_ptr() == held.data_ptr()
    assert again.numpy().tolist() == X.tolist()


@pytest.mark.parametrize("array", [np.array([True, False]), np.array([1, 2, 255], np.uint8)])
def test_ort_value_from_dlpack_bool(lib: Any, array: Any) -> None:
    found = lib.OrtValue.from_dlpack(_value(lib, array)).numpy()
    assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


VALUES = [np.array([1, 2, 3], np.float32), np.array(["xyz", "yxz", "zyx"])]


@pytest.mark.parametrize("values", VALUES, ids=["numbers", "words"])
def test_sparse_tensor_coo_format(lib: Any, values: Any) -> None:
    cpu, indices = lib.OrtDevice.make("cpu", 0), np.array([3, 5, 15])
    made = lib.SparseTensor.sparse_coo_from_numpy([9, 9], values, indices, cpu)
    assert made.format() == lib.OrtSparseFormat.ORT_SPARSE_COO
    assert ([*made.dense_shape()], made.device_name()) == ([9, 9], "cpu")
    kind = "string" if values.dtype.kind == "U" else "float"
    assert made.data_type() == f"sparse_tensor({kind})"
    held = made if kind == "string" else _held(lib, made)
    assert held.values().tolist() == values.tolist()
    assert held.as_coo_view().indices().tolist() == indices.tolist()
    assert not held.as_coo_view().indices().flags.writeable
    assert kind == "string" or not held.values().flags.writeable
    with pytest.raises(RuntimeError):
        made.to_cuda(lib.OrtDevice.make("cuda", 0))


def _held(lib: Any, sparse: Any) -> Any:
    return lib.OrtValue.ort_value_from_sparse_tensor(sparse).as_sparse_tensor()


@pytest.mark.parametrize("values", VALUES, ids=["numbers", "words"])
def test_sparse_tensor_csr_format(lib: Any, values: Any) -> None:
    cpu, inner = lib.OrtDevice.make("cpu", 0), np.array([1, 1, 1])
    outer = np.array([0, 1, 2, 3, 3, 3, 3, 3, 3, 3])
    made = lib.SparseTensor.sparse_csr_from_numpy([9, 9], values, inner, outer, cpu)
    assert made.format() == lib.OrtSparseFormat.ORT_SPARSE_CSRC
    assert ([*made.dense_shape()], made.device_name()) == ([9, 9], "cpu")
    view = made.as_csrc_view()
    assert (view.inner().tolist(), view.outer().tolist()) == (inner.tolist(), outer.tolist())
    assert not view.inner().flags.writeable
    assert not view.outer().flags.writeable


def test_ort_device(lib: Any) -> None:
    cpu = lib.OrtDevice.make("cpu", 0)
    assert (cpu.device_id(), cpu.device_type(), cpu.device_mem_type()) == (0, 0, 0)
    assert cpu.device_vendor_id() == lib.OrtDeviceVendorId.NONE
    cuda = lib.OrtDevice.make("cuda", 0)
    assert cuda.device_vendor_id() == lib.OrtDeviceVendorId.NVIDIA == 0x10DE


def _described(lib: Any, info: Any, name: str) -> None:
    assert (info.name, info.device_id, info.device_vendor_id) == (name, 0, 0)
    assert info.mem_type == lib.OrtMemType.DEFAULT
    assert info.allocator_type == lib.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    assert info.device_mem_type == lib.OrtDeviceMemoryType.DEFAULT


def _memory(lib: Any) -> Any:
    kinds = (lib.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, lib.OrtMemType.DEFAULT)
    return lib.OrtMemoryInfo("Cpu", *kinds)


def test_ort_memory_info(lib: Any) -> None:
    _described(lib, _memory(lib), "Cpu")


def test_ort_memory_info_create_v2(lib: Any) -> None:
    made = lib.OrtMemoryInfo.create_v2(
        *("Test", lib.OrtMemoryInfoDeviceType.CPU, 0, 0, lib.OrtDeviceMemoryType.DEFAULT, 128),
        lib.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
    )
    _described(lib, made, "Test")


def test_shared_allocator_using_create_and_register_allocator(lib: Any) -> None:
    lib.create_and_register_allocator(_memory(lib), None)
    for entry in ("1", "0"):
        options = lib.SessionOptions()
        options.add_session_config_entry("session.use_env_allocators", entry)
        assert session(lib, MUL, options).run(None, {"X": X})[0].tolist() == (X * X).tolist()


def test_check_and_normalize_provider_args(lib: Any) -> None:
    name = f"{lib.__name__}.capi.onnxruntime_inference_collection"
    check = importlib.import_module(name).check_and_normalize_provider_args
    taken: list[tuple[Any, ...]] = [
        (None, None, ([], [])),
        (["a"], None, (["a"], [{}])),
        (["a", "b"], None, (["a", "b"], [{}, {}])),
        ([("a", {1: 2}), "b"], None, (["a", "b"], [{"1": "2"}, {}])),
        (["a", "b"], [{1: 2}, {}], (["a", "b"], [{"1": "2"}, {}])),
    ]
    for providers, options, wanted in taken:
        assert check(providers, options, ["a", "b", "c"]) == wanted
    with pytest.warns(UserWarning, match="a"):
        found = check(["a", "b", "a"], [{"x": 1}, {}, {"y": 2}], ["a", "b", "c"])
    assert found == (["a", "b"], [{"x": "1"}, {}])
    refused: list[tuple[Any, Any]] = [
        *((3, None), ([3], None), (["a"], 3), (["a"], ["no dict"]), (["a", "b"], [{1: 2}])),
        ([("a", {1: 2})], [{3: 4}]),
    ]
    for providers, options in refused:
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
            check(providers, options, ["a", "b", "c"])


def test_create_allocator(lib: Any) -> None:
    names = [
        *("max_mem", "arena_extend_strategy", "initial_chunk_size_bytes"),
        *("max_dead_bytes_per_chunk", "initial_growth_chunk_size_bytes"),
        "max_power_of_two_extend_bytes",
    ]
    made = lib.OrtArenaCfg(8, 0, 4, 2)
    assert [getattr(made, n) for n in names[:4]] == [8, 0, 4, 2]
    for count in (5, 6):
        wanted = dict(zip(names[:count], range(11, 20), strict=False))
        found = lib.OrtArenaCfg(wanted)
        assert {n: getattr(found, n) for n in wanted} == wanted


LORA = model(
    *("input x: float32[4, 4]", "input a: float32[4, R]", "input b: float32[R, 4]"),
    *("p: float32[4, R] = MatMul(x, a)", "q: float32[4, 4] = MatMul(p, b)"),
    *("y: float32[4, 4] = Add(x, q)", "output y"),
)
EYE = np.eye(4, dtype=np.float32)


def _adapter(lib: Any, folder: Path) -> Path:
    """A file of two tensors of rank 2."""
    made = lib.AdapterFormat()
    made.set_adapter_version(1)
    made.set_model_version(2)
    arrays = {"a": np.ones((4, 2), np.float32), "b": np.full((2, 4), 3, np.float32)}
    made.set_parameters({name: _value(lib, x) for name, x in arrays.items()})
    made.export_adapter(str(folder / "two.onnx_adapter"))
    return folder / "two.onnx_adapter"


def test_adater_export_read(lib: Any, tmp_path: Path) -> None:
    found = lib.AdapterFormat.read_adapter(str(_adapter(lib, tmp_path)))
    assert (found.get_adapter_version(), found.get_model_version()) == (1, 2)
    told = {n: (v.element_type(), [*v.shape()]) for n, v in found.get_parameters().items()}
    assert told == {"a": (1, [4, 2]), "b": (1, [2, 4])}
    assert found.get_parameters()["b"].numpy().tolist() == [[3] * 4] * 2


def _lora() -> bytes:
    """The model with defaults of rank 0 for what an adapter replaces."""
    import onnx

    made = onnx.load_model_from_string(LORA)
    for name, shape in (("a", (4, 0)), ("b", (0, 4))):
        made.graph.initializer.append(
            onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        )
    found: bytes = made.SerializeToString()
    return found


def test_run_with_adapter(lib: Any, tmp_path: Path) -> None:
    adapter, options = lib.LoraAdapter(), lib.RunOptions()
    adapter.Load(str(_adapter(lib, tmp_path)))
    options.add_active_adapter(adapter)
    (found,) = session(lib, _lora()).run(None, {"x": EYE}, options)
    np.testing.assert_allclose(found, EYE + 6)


def test_run_base_model(lib: Any) -> None:
    (found,) = session(lib, _lora()).run(None, {"x": EYE}, lib.RunOptions())
    np.testing.assert_allclose(found, EYE)

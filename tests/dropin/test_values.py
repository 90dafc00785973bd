"""Devices, sparse tensors, adapters and bindings say what ONNX Runtime's say."""

import contextlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sardonyx as sx
from session.models import AFFINE, encoded, graph

ort = pytest.importorskip("onnxruntime")
BOTH = pytest.mark.parametrize("lib", [ort, sx], ids=["onnxruntime", "sardonyx"])
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("name", ["cpu", "cuda", "gpu", "npu", "dml", "cann", "webgpu"])
def test_devices_have_the_same_numbers(name: str) -> None:
    made = [lib.OrtDevice.make(name, 2) for lib in (ort, sx)]
    told = [
        (d.device_type(), d.device_id(), d.device_vendor_id(), d.device_mem_type()) for d in made
    ]
    if name != "dml":  # theirs makes it a GPU
        assert told[0] == told[1]
    state = ort.capi.onnxruntime_pybind11_state.OrtDevice
    assert getattr(sx.OrtDevice, name)() == getattr(state, name)()


@BOTH
def test_a_device_that_does_not_exist(lib: ModuleType) -> None:
    with pytest.raises(Exception, match="abacus"):
        lib.OrtDevice.make("abacus", 0)
    with pytest.raises(RuntimeError):
        lib.OrtValue.ortvalue_from_numpy(X, "cuda", 0)


@BOTH
def test_memory_and_devices_of_a_session(lib: ModuleType) -> None:
    session = lib.InferenceSession(encoded(AFFINE), providers=["CPUExecutionProvider"])
    for info in (*session.get_input_memory_infos(), *session.get_output_memory_infos()):
        assert info.name == "Cpu"
        assert int(info.allocator_type) == int(lib.OrtAllocatorType.ORT_ARENA_ALLOCATOR)
        assert (info.device_id, info.device_vendor_id) == (0, 0)
    (device,) = session.get_input_epdevices()
    assert device.ep_name == "CPUExecutionProvider"
    assert int(device.device.type) == int(lib.OrtHardwareDeviceType.CPU)
    named = [d.ep_name for d in lib.get_ep_devices()]
    assert "CPUExecutionProvider" in named


@BOTH
def test_sparse_tensors(lib: ModuleType) -> None:
    cpu = lib.OrtDevice.make("cpu", 0)
    values, shape = np.array([1.0, 2.0, 3.0], np.float32), [3, 3]
    coo = lib.SparseTensor.sparse_coo_from_numpy(shape, values, np.array([1, 3, 8]), cpu)
    assert int(coo.format()) == int(lib.OrtSparseFormat.ORT_SPARSE_COO)
    assert [*coo.dense_shape()] == shape
    assert (coo.data_type(), coo.device_name()) == ("sparse_tensor(float)", "cpu")
    assert coo.as_coo_view().indices().tolist() == [1, 3, 8]
    assert coo.values().tolist() == values.tolist()
    with pytest.raises(RuntimeError):
        coo.as_csrc_view()
    inner, outer = np.array([1, 0, 2]), np.array([0, 1, 2, 3])
    csr = lib.SparseTensor.sparse_csr_from_numpy(shape, values, inner, outer, cpu)
    assert csr.as_csrc_view().outer().tolist() == outer.tolist()
    held = lib.OrtValue.ort_value_from_sparse_tensor(csr)
    assert held.is_sparse_tensor()
    assert not held.is_tensor()
    assert held.as_sparse_tensor().as_csrc_view().inner().tolist() == inner.tolist()
    with pytest.raises(RuntimeError):
        lib.SparseTensor.sparse_coo_from_numpy(shape, values, np.array([1, 3]), cpu)


@pytest.mark.parametrize("writer", [ort, sx], ids=["theirs", "ours"])
@pytest.mark.parametrize("reader", [ort, sx], ids=["by them", "by us"])
def test_adapters_travel(writer: Any, reader: Any, tmp_path: Path) -> None:
    arrays = {"a": X, "bias": np.array([7], np.int64), "e": np.zeros((0, 4), np.float16)}
    made = writer.AdapterFormat()
    made.set_adapter_version(3)
    made.set_model_version(5)
    make = writer.OrtValue.ortvalue_from_numpy
    made.set_parameters({name: make(array) for name, array in arrays.items()})
    path = str(tmp_path / "a.onnx_adapter")
    made.export_adapter(path)
    found = reader.AdapterFormat.read_adapter(path)
    assert (found.get_adapter_version(), found.get_model_version()) == (3, 5)
    assert found.get_format_version() == made.get_format_version() == 1
    held = found.get_parameters()
    assert set(held) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(held[name].numpy(), array)
    reader.LoraAdapter().Load(path)


def test_an_adapter_takes_the_place_of_defaults(tmp_path: Path) -> None:
    model = graph(AFFINE)
    model.inputs.append(model.initializers["b"])
    session = sx.InferenceSession(model)
    plain = session.run(None, {"x": X})[0]
    made = sx.AdapterFormat()
    made.set_parameters({"b": sx.OrtValue(np.zeros(2, np.float32))})
    made.export_adapter(tmp_path / "a.onnx_adapter")
    adapter = sx.LoraAdapter()
    adapter.Load(tmp_path / "a.onnx_adapter")
    options = sx.RunOptions()
    options.add_active_adapter(adapter)
    found = session.run(None, {"x": X}, options)[0]
    np.testing.assert_allclose(found, session.run(None, {"x": X, "b": np.zeros(2, np.float32)})[0])
    assert np.abs(found - plain).max() > 0.1
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], plain)


def test_damaged_adapters_are_refused(tmp_path: Path) -> None:
    made = sx.AdapterFormat()
    made.set_parameters({"weight": sx.OrtValue(X)})
    path = tmp_path / "a.onnx_adapter"
    made.export_adapter(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(sx.SardonyxError) as caught:
            sx.AdapterFormat.read_adapter(path)
        assert caught.value.code == "E0258"
    for _ in range(500):
        hurt = bytearray(whole)
        hurt[rng.integers(len(hurt))] = rng.integers(256)
        path.write_bytes(bytes(hurt))
        with contextlib.suppress(sx.InvalidProtobuf):
            sx.AdapterFormat.read_adapter(path)


def test_vectors_of_values() -> None:
    held = sx.capi.onnxruntime_pybind11_state.OrtValueVector()
    held.push_back(sx.OrtValue(X))
    held.push_back(sx.OrtValue(np.array([1, 0], np.uint8)).to_dlpack(), True)
    assert len(held) == 2
    assert held.element_type_at(0) == 1
    assert held.bool_tensor_indices() == [1]
    again = sx.OrtValue.from_dlpack(held.dlpack_at(0))
    np.testing.assert_array_equal(again.numpy(), X)
    assert [*map(type, held.to_dlpacks(sx.OrtValue.from_dlpack))] == [sx.OrtValue] * 2


def test_values_are_copied_between() -> None:
    source, target = sx.OrtValue(X), sx.OrtValue(np.zeros_like(X))
    sx.copy_tensors([source], [target])
    np.testing.assert_array_equal(target.numpy(), X)
    with pytest.raises(sx.InvalidArgument):
        sx.copy_tensors([source], [sx.OrtValue(np.zeros(3))])


def test_sessions_and_bindings_of_the_binding_below() -> None:
    state = sx.capi.onnxruntime_pybind11_state
    session = state.InferenceSession(sx.SessionOptions(), encoded(AFFINE), False, False)
    session.initialize_session([], [], set())
    assert [i.name for i in session.inputs_meta] == ["x"]
    assert session.model_meta.graph_name == "affine"
    plain = session.run(["y"], {"x": X}, None)[0]
    binding, cpu = state.SessionIOBinding(session), sx.OrtDevice(0, 0, 0)
    binding.bind_input("x", X)
    target = np.zeros_like(plain)
    binding.bind_output("y", cpu, np.float32, target.shape, target.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(target, plain)
    binding.bind_input("x", cpu, np.float32, X.shape, X.ctypes.data)
    binding.bind_output("y", cpu)
    session._sess.run_with_iobinding(binding._iobinding)
    np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), plain)

"""Stored tensors: every data type and every way to store it, and each way to store it wrongly."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sardonyx import formats
from sardonyx.core.dtype import DType, pack, unpack
from sardonyx.core.errors import InvalidProtobuf, LimitExceeded, SardonyxError
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Graph

NUMERIC = [d for d in DType if not d.is_string]


def load(tensor: onnx.TensorProto, limits: Limits | None = None) -> Tensor:
    """The tensor as the initializer of a model that is loaded."""
    tensor.name = "w"
    graph = helper.make_graph([], "g", [], [], [tensor])
    held = formats.load(helper.make_model(graph), limits).initializers["w"].const
    assert isinstance(held, Tensor)
    return held


def some(dtype: DType, count: int) -> np.ndarray[Any, Any]:
    """`count` elements from all over the type's codes."""
    codes = np.random.default_rng(count).integers(0, 256, dtype.nbytes(count) or 1, np.uint8)
    if dtype.is_bool:
        codes &= 1
    return unpack(pack(unpack(codes[: dtype.nbytes(count)], dtype, count), dtype), dtype, count)


def same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays have the same type, shape and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 33])
def test_raw_data_of_every_type(dtype: DType, count: int) -> None:
    array = some(dtype, count)
    proto = numpy_helper.from_array(array)
    assert proto.data_type == dtype.value
    held = load(proto)
    assert not held.is_loaded
    assert same(held.numpy(), array)
    assert same(held.numpy(), numpy_helper.to_array(proto))
    assert bytes(held.packed()) == proto.raw_data
    assert not held.numpy().flags.writeable


def typed(array: np.ndarray[Any, Any], dtype: DType) -> onnx.TensorProto:
    """The array in TensorProto's typed field, written by `onnx`."""
    values = array.astype(np.float32) if dtype.bits < 16 and dtype.is_float else array
    if dtype.bits == 6:
        proto = TensorProto(data_type=dtype.value, dims=array.shape)
        proto.int32_data.extend(array.view(np.uint8).tolist())
        return proto
    return helper.make_tensor("w", dtype.value, array.shape, values.reshape(-1))


@pytest.mark.parametrize("dtype", [d for d in NUMERIC if d is not DType.FLOAT8E8M0], ids=str)
@pytest.mark.parametrize("count", [0, 1, 3, 8, 33])
def test_typed_fields_of_every_type(dtype: DType, count: int) -> None:
    numbers = some(dtype, count)
    with np.errstate(all="ignore"):
        finite = numbers if dtype.is_int else numbers[np.isfinite(numbers)]
    proto = typed(finite, dtype)
    assert not proto.raw_data
    assert same(load(proto).numpy(), numpy_helper.to_array(proto).reshape(finite.shape))
    assert same(load(proto).numpy(), finite)


def test_strings() -> None:
    proto = helper.make_tensor("w", TensorProto.STRING, [2, 1], [b"naive", "∂".encode()])
    held = load(proto)
    assert held.numpy().tolist() == [["naive"], ["∂"]]
    assert held.nbytes == 8
    with pytest.raises(InvalidProtobuf):
        held.packed()


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("off", [-1, 1])
def test_raw_size_must_fit_the_dims(dtype: DType, off: int) -> None:
    proto = numpy_helper.from_array(some(dtype, 16))
    proto.raw_data = proto.raw_data[:-1] if off < 0 else proto.raw_data + b"\0"
    with pytest.raises(InvalidProtobuf) as caught:
        load(proto)
    assert (caught.value.code, caught.value.tensor) == ("E0111", "w")


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
def test_raw_size_no_data_at_all(dtype: DType) -> None:
    with pytest.raises(InvalidProtobuf) as caught:
        load(TensorProto(data_type=dtype.value, dims=[1000, 1000]))
    assert caught.value.code == "E0111"


def test_raw_size_typed_counts_must_fit() -> None:
    for proto in (
        TensorProto(data_type=1, dims=[3], float_data=[1, 2]),
        TensorProto(data_type=14, dims=[2], float_data=[1, 2]),
        TensorProto(data_type=22, dims=[4], int32_data=[1, 2, 3]),
        TensorProto(data_type=7, dims=[], int64_data=[1, 2]),
        TensorProto(data_type=8, dims=[2], string_data=[b"a"]),
    ):
        with pytest.raises(InvalidProtobuf) as caught:
            load(proto)
        assert caught.value.code == "E0111"


def test_two_sources_or_the_wrong_one() -> None:
    for proto in (
        TensorProto(data_type=1, dims=[1], float_data=[1], raw_data=b"1234"),
        TensorProto(data_type=1, dims=[1], int32_data=[1]),
        TensorProto(data_type=8, dims=[4], raw_data=b"text"),
        TensorProto(data_type=1, dims=[1], raw_data=b"1234", segment=TensorProto.Segment(end=1)),
    ):
        with pytest.raises(InvalidProtobuf) as caught:
            load(proto)
        assert caught.value.code in ("E0113", "E0111")


@pytest.mark.parametrize("number", [0, 29, 1000, -1])
def test_an_unknown_data_type(number: int) -> None:
    with pytest.raises(InvalidProtobuf) as caught:
        load(TensorProto(data_type=number, dims=[1], raw_data=b"1"))
    assert caught.value.code == "E0112"


@pytest.mark.parametrize(
    ("dims", "code"),
    [
        ([1 << 62, 4], "E0504"),
        ([1 << 32, 1 << 32], "E0504"),
        ([(1 << 63) - 1], "E0504"),
        ([1 << 40] * 8, "E0504"),
        ([-1, 4], "E0110"),
        ([-1, -4], "E0110"),
        ([-(1 << 63)], "E0110"),
        ([1] * 65, "E0504"),
    ],
)
def test_dim_ovf(dims: list[int], code: str) -> None:
    with pytest.raises(SardonyxError) as caught:
        load(TensorProto(data_type=1, dims=dims, raw_data=bytes(16)))
    assert caught.value.code == code


def test_dim_ovf_zero_times_much_is_zero() -> None:
    held = load(TensorProto(data_type=1, dims=[0, 1 << 40]))
    assert (held.count, held.numpy().shape) == (0, (0, 1 << 40))
    with pytest.raises(InvalidProtobuf) as caught:
        load(TensorProto(data_type=1, dims=[0, (1 << 63) - 1]))
    assert caught.value.code == "E0110"
    assert load(TensorProto(data_type=1, dims=[1] * 64, raw_data=b"1234")).count == 1


def test_limits_of_size_can_be_raised() -> None:
    proto = numpy_helper.from_array(np.ones(100, np.float32))
    with pytest.raises(LimitExceeded) as caught:
        load(proto, Limits(tensor_bytes=100))
    assert "tensor_bytes" in str(caught.value)
    load(proto, Limits(tensor_bytes=400))


def sparse(values: list[float], at: Any, dims: list[int]) -> SparseTensor:
    """A sparse initializer that is loaded."""
    held = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array(values, np.float32), "s"),
        numpy_helper.from_array(np.array(at, np.int64).reshape(np.shape(at))),
        dims,
    )
    graph = helper.make_graph([], "g", [], [], sparse_initializer=[held])
    loaded: Graph = formats.load(helper.make_model(graph))
    found = loaded.initializers["s"].const
    assert isinstance(found, SparseTensor)
    return found


def test_sparse_tensors() -> None:
    assert sparse([1, 2], [1, 3], [2, 2]).numpy().tolist() == [[0, 1], [0, 2]]
    assert sparse([1, 2], [[0, 1], [1, 1]], [2, 2]).numpy().tolist() == [[0, 1], [0, 2]]
    assert sparse([], np.zeros((0, 2)), [2, 2]).numpy().tolist() == [[0, 0], [0, 0]]


def test_idx_oob_sparse_indices() -> None:
    for at in ([4], [-1], [[0, 2]], [[-1, 0]], [[0, 0, 0]], [[[0]]], [0, 1]):
        with pytest.raises(InvalidProtobuf) as caught:
            sparse([1], at, [2, 2]).numpy()
        assert caught.value.code == "E0111"


def test_a_sparse_tensor_too_large_to_make_dense() -> None:
    with pytest.raises(LimitExceeded) as caught:
        sparse([1], [5], [1 << 25, 1 << 25]).numpy()
    assert caught.value.code == "E0506"

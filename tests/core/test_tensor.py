"""Constant tensors: laziness, zero copies, and data that must fit."""

from typing import Any

import numpy as np
import pytest

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidProtobuf
from sardonyx.core.tensor import SparseTensor, Tensor


class Later:
    """A source that counts how often it is read."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.reads = 0

    def read(self) -> Any:
        """The data."""
        self.reads += 1
        return self.data


def test_bytes_are_viewed_not_copied() -> None:
    data = np.arange(6, dtype=np.float32).tobytes()
    tensor = Tensor(DType.FLOAT32, (2, 3), memoryview(data), name="w")
    assert not tensor.is_loaded
    array = tensor.numpy()
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensor.numpy() is array
    assert bytes(tensor.packed()) == data
    assert repr(tensor) == "Tensor('w', float32[2,3])"


def test_a_source_is_read_once_and_when_wanted() -> None:
    source = Later(np.arange(4, dtype=np.int64))
    tensor = Tensor(DType.INT64, (2, 2), source)
    assert (tensor.nbytes, source.reads) == (32, 0)
    assert tensor.numpy().tolist() == [[0, 1], [2, 3]]
    tensor.numpy()
    assert source.reads == 1


def test_packed_bytes_of_a_source_are_not_unpacked() -> None:
    source = Later(b"\x21\x03")
    tensor = Tensor(DType.UINT4, (3,), source)
    assert bytes(tensor.packed()) == b"\x21\x03"
    assert not tensor.is_loaded
    assert tensor.numpy().astype(int).tolist() == [1, 2, 3]


def test_elements_cannot_be_changed() -> None:
    array = np.zeros(3)
    tensor = Tensor.of(array)
    with pytest.raises(ValueError, match="read-only"):
        tensor.numpy()[0] = 1
    array[0] = 5


@pytest.mark.parametrize("data", [b"123", b"12345", memoryview(b"")])
def test_bytes_must_fit(data: Any) -> None:
    with pytest.raises(InvalidProtobuf) as caught:
        Tensor(DType.FLOAT32, (1,), data, name="w")
    assert (caught.value.code, caught.value.tensor) == ("E0111", "w")
    late = Tensor(DType.FLOAT32, (1,), Later(data), name="w")
    for read in (late.numpy, late.packed):
        with pytest.raises(InvalidProtobuf):
            read()


def test_arrays_must_fit() -> None:
    with pytest.raises(InvalidProtobuf):
        Tensor(DType.FLOAT32, (2,), np.zeros(3, np.float32))
    with pytest.raises(InvalidProtobuf):
        Tensor(DType.FLOAT32, (3,), np.zeros(3, np.float64))
    assert Tensor(DType.FLOAT32, (3, 1), np.zeros(3, np.float32)).numpy().shape == (3, 1)


def test_dims_must_be_sound() -> None:
    for shape in ((-1,), (-1, -1), (1 << 62, 4), (0, 1 << 62)):
        with pytest.raises(InvalidProtobuf) as caught:
            Tensor(DType.FLOAT32, shape, b"")
        assert caught.value.code == "E0110"


def test_of_converts_on_request() -> None:
    assert Tensor.of([1, 2]).dtype is DType.INT64
    assert Tensor.of([1.5], DType.FLOAT16).numpy().dtype == np.float16
    assert Tensor.of(np.float32(3)).shape == ()
    strided = np.arange(12).reshape(3, 4)[:, ::2]
    assert Tensor.of(strided).numpy().tolist() == strided.tolist()


def test_strings() -> None:
    tensor = Tensor.of([["a", "∂"]])
    assert tensor.dtype is DType.STRING
    assert tensor.nbytes == 4
    assert Tensor.of(np.array([b"\xff"])).numpy().tolist() == ["\udcff"]
    with pytest.raises(InvalidProtobuf):
        tensor.packed()


def test_renaming_shares_the_data() -> None:
    source = Later(np.zeros(2, np.int8))
    first = Tensor(DType.INT8, (2,), source, name="a", origin="payload")
    second = first.renamed("b")
    assert (first.name, second.name, second.origin) == ("a", "b", "payload")
    assert source.reads == 0


def test_sparse_tensors_of_text_are_empty_elsewhere() -> None:
    sparse = SparseTensor(Tensor.of(["x"]).renamed("s"), Tensor.of([2]), (3,))
    assert sparse.numpy().tolist() == ["", "", "x"]
    assert (sparse.name, sparse.dtype) == ("s", DType.STRING)


def test_a_sparse_tensor_of_three_axes() -> None:
    at = np.array([[0, 1, 2], [1, 0, 0]])
    sparse = SparseTensor(Tensor.of([5, 6]), Tensor.of(at), (2, 2, 3))
    wanted = np.zeros((2, 2, 3), np.int64)
    wanted[0, 1, 2], wanted[1, 0, 0] = 5, 6
    assert sparse.numpy().tolist() == wanted.tolist()

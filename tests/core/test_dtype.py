"""The 28 data types against onnx and ml_dtypes."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from sardonyx.core.dtype import DType, pack, unpack
from sardonyx.core.errors import InvalidArgument, InvalidProtobuf

NUMERIC = [d for d in DType if not d.is_string]


def test_the_types_are_those_of_the_standard() -> None:
    theirs = {v.number: v.name for v in onnx.TensorProto.DataType.DESCRIPTOR.values}
    del theirs[0]
    assert len(theirs) == 28
    assert {d.value for d in DType} == set(theirs)
    spelled = {"FLOAT": "float32", "DOUBLE": "float64"}
    assert {d.value: str(d) for d in DType} == {
        n: spelled.get(name, name.lower()) for n, name in theirs.items()
    }


@pytest.mark.parametrize("dtype", DType, ids=str)
def test_numpy_forms_are_those_of_onnx(dtype: DType) -> None:
    assert dtype.numpy == helper.tensor_dtype_to_np_dtype(dtype.value)
    assert DType.from_numpy(dtype.numpy) is dtype
    assert DType.from_onnx(dtype.value) is dtype
    assert DType.parse(str(dtype)) is dtype


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
def test_properties(dtype: DType) -> None:
    assert [dtype.is_float, dtype.is_int, dtype.is_bool, dtype.is_complex].count(True) == 1
    assert dtype.bits <= 8 * dtype.numpy.itemsize
    assert dtype.is_packed == (dtype.bits < 8)
    if dtype.is_int:
        info = ml_dtypes.iinfo(dtype.numpy)  # type: ignore[no-untyped-call]
        assert dtype.bits == info.bits
        assert dtype.is_signed == (info.min < 0)
    if dtype.is_float and dtype is not DType.FLOAT8E8M0:
        found = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
        assert found.bits == dtype.bits
        assert dtype.is_signed


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 9, 1000])
def test_packing_is_undone_by_unpacking(dtype: DType, count: int) -> None:
    width = 8 * dtype.numpy.itemsize
    codes = np.random.default_rng(count).integers(0, 1 << min(dtype.bits, 8), count * width // 8)
    if dtype.is_bool:
        codes &= 1
    array = codes.astype(np.uint8).view(dtype.numpy)
    packed = pack(array, dtype)
    assert packed.size == dtype.nbytes(count) == -(-count * dtype.bits // 8)
    assert unpack(packed, dtype, count).tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", [DType.INT4, DType.INT2], ids=str)
def test_signed_sub_byte_values(dtype: DType) -> None:
    info = ml_dtypes.iinfo(dtype.numpy)  # type: ignore[no-untyped-call]
    values = np.arange(info.min, info.max + 1)
    array = values.astype(dtype.numpy)
    assert unpack(pack(array, dtype), dtype, len(values)).astype(int).tolist() == values.tolist()


def test_bit_order() -> None:
    assert pack(np.array([1, 2, 3], ml_dtypes.uint4), DType.UINT4).tolist() == [0x21, 0x03]
    assert pack(np.array([1, 2, 3, 0, 1], ml_dtypes.uint2), DType.UINT2).tolist() == [0x39, 0x01]
    six = np.array([1, 2, 3, 4], np.uint8).view(ml_dtypes.float6_e2m3fn)
    assert pack(six, DType.FLOAT6E2M3).tolist() == [0x81, 0x30, 0x10]


def test_a_shape_is_flattened_row_major() -> None:
    array = np.array([[1, 2], [3, 4]], ml_dtypes.int4)
    assert pack(array.T, DType.INT4).tolist() == [0x31, 0x42]


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
def test_unpacking_wants_the_exact_size(dtype: DType) -> None:
    for size in (dtype.nbytes(8) - 1, dtype.nbytes(8) + 1):
        with pytest.raises(InvalidProtobuf) as caught:
            unpack(bytes(size), dtype, 8)
        assert caught.value.code == "E0111"


@pytest.mark.parametrize("wrong", [np.float128, "M8[s]", np.dtype([("a", np.int8)])])
def test_foreign_numpy_types_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        DType.from_numpy(wrong)


def test_other_spellings() -> None:
    assert DType.from_numpy(">f4") is DType.FLOAT32
    assert DType.from_numpy("U7") is DType.STRING
    assert DType.from_numpy("S3") is DType.STRING
    assert DType.parse("Double") is DType.FLOAT64
    for number in (0, 29, -1):
        with pytest.raises(InvalidProtobuf):
            DType.from_onnx(number)
    with pytest.raises(InvalidArgument):
        DType.parse("float7")
    with pytest.raises(InvalidArgument):
        DType.STRING.nbytes(3)

"""Files of arrays: what they hold is checked against their size before anything is made of it."""

from pathlib import Path

import numpy as np
import pytest

from sardonyx.core.errors import InvalidArgument
from sardonyx.formats.arrays import read_arrays


def _with_shape(path: Path, shape: str) -> None:
    np.save(path, np.arange(6.0).reshape(2, 3))
    raw = path.read_bytes()
    head = raw[10:128].replace(b"(2, 3)", shape.encode()).rstrip()[:117]
    path.write_bytes(raw[:10] + head.ljust(117) + b"\n" + raw[128:])


@pytest.mark.parametrize(
    "shape", ["(-2, -3)", "(-2, 3)", "(7,)", "(2, 3, -1)", "(2, 3, 1e3)", "(True, 6)", "('x',)",
              "0", "(9999999999999999,)", "(0, 99999999999999999999999)"],
)  # fmt: skip
def test_an_npy_whose_dims_do_not_fit_is_refused(shape: str, tmp_path: Path) -> None:
    _with_shape(tmp_path / "x.npy", shape)
    with pytest.raises(InvalidArgument) as caught:
        read_arrays(tmp_path / "x.npy")
    assert caught.value.code == "E0209"


@pytest.mark.parametrize("size", [0, 3, 8, 50, 130])
def test_a_cut_npy_is_refused(size: int, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:size])
    with pytest.raises(InvalidArgument):
        read_arrays(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "array",
    [np.arange(6).reshape(2, 3), np.array(3.5), np.zeros((0, 3), np.float32), np.array(["ab", ""]),
     np.asfortranarray(np.arange(6).reshape(2, 3)), np.array([True])],
    ids=["plain", "scalar", "empty", "text", "by columns", "bool"],
)  # fmt: skip
def test_arrays_come_back(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "y.npz", a=array, b=array)
    (one,) = read_arrays(tmp_path / "x.npy").values()
    two = read_arrays(tmp_path / "y.npz")
    assert list(two) == ["a", "b"]
    for found in (one, *two.values()):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(InvalidArgument, match="Python objects"):
        read_arrays(tmp_path / "x.npy")

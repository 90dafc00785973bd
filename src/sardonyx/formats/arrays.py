"""Files of plain arrays: .npy, .npz and .json in, .npy and .npz out; never a pickle."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, NoSuchFile, UsageError
from sardonyx.core.limits import Limits
from sardonyx.formats.files import replacing

SUFFIXES = (".npy", ".npz", ".json")
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_DAMAGED = (
    TypeError,
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    RecursionError,
    zipfile.BadZipFile,
)


class Untyped(np.ndarray[Any, Any]):
    """An array whose dtype is only how JSON spells numbers; `typed` gives it the one wanted."""


def typed(x: Array, dtype: DType | None) -> Array:
    """An array of JSON numbers as `dtype` (strings stay strings); any other array as it is."""
    if not isinstance(x, Untyped):
        return x
    plain = np.asarray(x)
    if dtype is None or dtype.is_string:
        return plain
    with np.errstate(all="ignore"):
        made = plain.astype(dtype.numpy)
        same = np.array_equal(made.astype(plain.dtype), plain)
    if dtype.is_int and not same:
        raise InvalidArgument("E0209", f"the numbers do not fit {dtype}")
    return made


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a file by name; an .npy has one, named after the file.

    NoSuchFile where there is none, InvalidArgument (E0209) where it cannot be read.
    """
    if not path.is_file():
        raise NoSuchFile("E0101", f"there is no file `{path}`", file=str(path))
    try:
        return _json(path) if path.suffix == ".json" else _numpy(path)
    except _DAMAGED as problem:
        said = str(problem).splitlines()
        raise InvalidArgument(
            "E0209",
            f"cannot read arrays from `{path}`: {said[0] if said else 'too large'}",
            file=str(path),
            hint="a .npy, .npz or .json file without Python objects is wanted",
        ) from problem


def _numpy(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream:
        head = stream.read(len(_NPY))
        stream.seek(0)
        if head == _NPY:
            return {path.stem: _npy(stream, path.stat().st_size)}
        if not head.startswith(_ZIP):
            raise ValueError("neither .npy nor .npz")
        with zipfile.ZipFile(stream) as archive:
            found = {}
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    found[entry.filename.removesuffix(".npy")] = _npy(member, entry.file_size)
            return found


def _npy(stream: IO[bytes], size: int) -> Array:
    """The array of an .npy of `size` bytes, copied; ValueError where its head does not fit it."""
    version = np.lib.format.read_magic(stream)
    readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if version[0] not in readers:
        raise ValueError(f"an .npy of version {version[0]}")
    shape, by_columns, dtype = readers[version[0]](stream)
    if dtype.hasobject:
        raise ValueError("Python objects, which are not read")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize != size - stream.tell():
        raise ValueError(f"{size - stream.tell()} bytes of data for {dtype}{list(shape)}")
    Limits.current().check_memory(count * dtype.itemsize)
    data = np.frombuffer(bytearray(stream.read()), dtype, count)
    return data.reshape(shape, order="F" if by_columns else "C")


def _json(path: Path) -> dict[str, Array]:
    loaded = json.loads(path.read_text(encoding="utf-8"))
    items = loaded if isinstance(loaded, dict) else {path.stem: loaded}
    made = {name: np.asarray(x) for name, x in items.items()}
    for name, x in made.items():
        if x.dtype == object:
            raise ValueError(f"`{name}` is no array of numbers or strings")
    return {name: x.view(Untyped) for name, x in made.items()}


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes one array as .npy or several as .npz, whole or not at all.

    UsageError (E0914) for another suffix, several arrays for one .npy, and what is no array.
    """
    if path.suffix not in (".npy", ".npz"):
        raise UsageError("E0914", f"cannot write arrays to `{path}`", wanted=".npy or .npz")
    if path.suffix == ".npy" and len(arrays) != 1:
        raise UsageError("E0914", f"{len(arrays)} outputs do not fit one .npy", hint="use .npz")
    plain = {name: _plain(name, x) for name, x in arrays.items()}
    with replacing(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, next(iter(plain.values())), allow_pickle=False)
        else:
            _zip(stream, plain)


def _zip(stream: BinaryIO, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        for name, x in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, x, allow_pickle=False)


def write_stream(stream: BinaryIO, arrays: Mapping[str, Any]) -> None:
    """Writes .npz to a stream that cannot be rewound."""
    whole = io.BytesIO()
    _zip(whole, {name: _plain(name, x) for name, x in arrays.items()})
    stream.write(whole.getbuffer())


def _plain(name: str, x: Any) -> Array:
    if not isinstance(x, np.ndarray):
        said = f"output `{name}` is no tensor and cannot be written as an array"
        raise UsageError("E0914", said, given=type(x).__name__)
    if x.dtype == object:
        return x.astype(str)
    return x.view(f"u{x.dtype.itemsize}") if x.dtype.kind == "V" else x

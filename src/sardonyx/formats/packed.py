"""Runs of numbers in protobuf's packed form, read by numpy and only when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.errors import InvalidProtobuf

_BLOCK = 1 << 22
_FIXED: dict[str, np.dtype[Any]] = {"float": np.dtype("<f4"), "double": np.dtype("<f8")}
_VARINT: dict[str, np.dtype[Any]] = {
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "uint32": np.dtype(np.uint32),
    "uint64": np.dtype(np.uint64),
    "enum": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}


class Packed:
    """The encoded elements of one repeated number field, in the pieces in which they came."""

    __slots__ = ("chunks", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.chunks: list[memoryview] = []

    def add(self, chunk: memoryview) -> None:
        """Append encoded elements; InvalidProtobuf where the last one is cut."""
        size = _FIXED[self.kind].itemsize if self.kind in _FIXED else 1
        if len(chunk) % size or (self.kind in _VARINT and len(chunk) and chunk[-1] >= 0x80):
            raise InvalidProtobuf("E0102", f"a packed run of {self.kind} is cut short")
        if len(chunk):
            self.chunks.append(chunk)

    @property
    def nbytes(self) -> int:
        """Encoded bytes."""
        return sum(map(len, self.chunks))

    def __len__(self) -> int:
        """The number of elements."""
        if self.kind in _FIXED:
            return self.nbytes // _FIXED[self.kind].itemsize
        return sum(
            int(np.count_nonzero(np.frombuffer(block, np.uint8) < 0x80)) for block in self._blocks()
        )

    def numpy(self) -> Array:
        """The elements as a flat array of the field's type."""
        if self.kind in _FIXED:
            parts = [np.frombuffer(chunk, _FIXED[self.kind]) for chunk in self.chunks]
        else:
            parts = [decode_varints(b).astype(_VARINT[self.kind]) for b in self._blocks()]
        if len(parts) == 1:
            return parts[0]
        dtype = (_FIXED | _VARINT)[self.kind]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def _blocks(self) -> Iterator[memoryview]:
        for chunk in self.chunks:
            start = 0
            while start < len(chunk):
                stop = min(start + _BLOCK, len(chunk))
                while chunk[stop - 1] >= 0x80:
                    stop += 1
                yield chunk[start:stop]
                start = stop


def decode_varints(data: memoryview) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Every variable-length integer of `data`, which ends with the end of one."""
    raw = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(raw < 0x80)
    first = np.concatenate([np.zeros(1, np.int64), last[:-1] + 1]) if len(last) else last
    lengths = last - first + 1
    longest = int(lengths.max()) if len(lengths) else 0
    if longest > 10:
        raise InvalidProtobuf("E0102", "an integer is longer than ten bytes")
    result = (raw[first] & np.uint8(0x7F)).astype(np.uint64)
    for k in range(1, longest):
        longer = np.flatnonzero(lengths > k)
        part = (raw[first[longer] + k] & np.uint8(0x7F)).astype(np.uint64)
        result[longer] |= part << np.uint64(7 * k)
    return result


def encode_varint(value: int) -> bytes:
    """One integer in variable-length form; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

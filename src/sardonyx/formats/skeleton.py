"""A model file read without its large weights, which stay where they are until they are wanted."""

from __future__ import annotations

import mmap

import numpy as np

from sardonyx.core.errors import InvalidProtobuf
from sardonyx.formats.message import Message, find_all
from sardonyx.formats.stored import LARGE, Piece, Stored
from sardonyx.formats.wire import length_at

_BLOCK = 1 << 16
_HEAD = 32
_RUN = 2
_WIDTHS = {1: 8, 5: 4}
# ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_PATH = (7, 5, 9)


class Skeleton:
    """A model file in memory but for its large payloads, which stay holes of zeros.

    Walks from message to message as far as initializers lie, and reads everything but `raw_data`
    of at least LARGE bytes; `holes` says where those are. Whatever looks odd is read: judging it
    is the decoder's business.
    """

    def __init__(self, file: Stored) -> None:
        self._file = file
        self.data = memoryview(mmap.mmap(-1, max(file.size, 1)))[: file.size]
        self.holes: dict[int, int] = {}
        self._done = 0
        try:
            self._walk(0, file.size, _PATH)
        except (IndexError, InvalidProtobuf):
            self.holes.clear()
            self._done = 0
        self._need(file.size)
        file.check()

    def _need(self, stop: int) -> None:
        """Reads on to `stop`, some further."""
        if stop > self._done:
            end = min(max(stop, self._done + _BLOCK), self._file.size)
            self._file.fill(self.data[self._done : end], self._done)
            self._done = end

    def _walk(self, at: int, end: int, path: tuple[int, ...]) -> None:
        while at < end:
            self._need(min(at + _HEAD, self._file.size))
            tag, at = length_at(self.data, at)
            if tag & 7 != _RUN:
                at = self._past(at, tag & 7)
                continue
            size, at = length_at(self.data, at)
            stop = at + size
            if stop > end:
                raise IndexError
            if tag >> 3 != path[0] or size < LARGE:
                self._need(stop)
            elif len(path) > 1:
                self._walk(at, stop, path[1:])
            else:
                self.holes[at], self._done = size, max(self._done, stop)
            at = stop

    def _past(self, at: int, wire: int) -> int:
        if wire == 0:
            return length_at(self.data, at)[1]
        if wire not in _WIDTHS:
            raise IndexError
        return at + _WIDTHS[wire]

    def settle(self, message: Message) -> None:
        """Gives the tensors of the decoded file the pieces of it that were left out."""
        left = dict(self.holes)
        start = _address(self.data)
        for tensor in find_all(message, "TensorProto"):
            data = tensor.fields.get("raw_data")
            if isinstance(data, memoryview) and len(data) >= LARGE:
                offset = _address(data) - start
                if left.pop(offset, None) == len(data):
                    tensor.fields["raw_data"] = Piece(self._file, offset, len(data))
        for offset, size in left.items():
            self._file.fill(self.data[offset : offset + size], offset)
        if left:
            self._file.check()


def _address(data: memoryview) -> int:
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])

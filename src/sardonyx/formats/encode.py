"""Messages to bytes: canonical protobuf, built from the end so that every length is known."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, Protocol, TypeAlias

from sardonyx.formats.message import UNKNOWN, Message, NotANumber
from sardonyx.formats.onnx_tables import MESSAGES, Field
from sardonyx.formats.packed import Packed, encode_varint
from sardonyx.formats.wire import wire_of


class Later(Protocol):
    """A payload that is read when it is written."""

    def __len__(self) -> int:
        """Its bytes."""

    def read(self) -> bytes | memoryview:
        """The payload itself."""


Chunk: TypeAlias = "bytes | memoryview | Later"


class _Close:
    """Marks where a nested message's content ends; `size` is what stood behind it."""

    __slots__ = ("size", "tag")

    def __init__(self, tag: bytes, size: int) -> None:
        self.tag = tag
        self.size = size


class _Open:
    """A nested message still to be written, with its tag."""

    __slots__ = ("message", "tag")

    def __init__(self, tag: bytes, message: Message) -> None:
        self.tag = tag
        self.message = message


def encode(message: Message) -> bytes:
    """The message in one piece, fields in the order of their numbers, unknown ones last."""
    return b"".join(map(plain, chunks(message)))


def plain(chunk: Chunk) -> bytes | memoryview:
    """A piece of an encoded message as bytes."""
    return chunk if isinstance(chunk, bytes | memoryview) else chunk.read()


def chunks(message: Message) -> list[Chunk]:
    """The encoded message in pieces; large payloads are not copied."""
    done: list[Chunk] = []
    size = 0
    stack: list[Chunk | _Open | _Close] = list(_content(message))
    while stack:
        item = stack.pop()
        if isinstance(item, _Open):
            stack.append(_Close(item.tag, size))
            stack.extend(_content(item.message))
            continue
        if isinstance(item, _Close):
            item = item.tag + encode_varint(size - item.size)
        done.append(item)
        size += len(item)
    done.reverse()
    return done


def _content(message: Message) -> list[Chunk | _Open | _Close]:
    """The fields in order; plain ones encoded and joined, nested messages left for later."""
    items: list[Chunk | _Open | _Close] = []
    plain = bytearray()
    fields = message.fields
    for row, tag, run_tag in _order(message.kind):
        value = fields.get(row.name)
        if value is None:
            continue
        if row.kind == "message":
            _flush(items, plain)
            items.extend(_Open(tag, m) for m in (value if row.repeated else [value]))
        elif row.name == "raw_data" or isinstance(value, Packed):
            parts = value.chunks if isinstance(value, Packed) else [value]
            plain += run_tag + encode_varint(sum(map(len, parts)))
            _flush(items, plain)
            items.extend(parts)
        else:
            for element in value if row.repeated else (value,):
                plain += tag
                plain += _scalar(row, element)
    for kept in fields.get(UNKNOWN, ()):
        plain += kept
    _flush(items, plain)
    return items


def _flush(items: list[Chunk | _Open | _Close], plain: bytearray) -> None:
    if plain:
        items.append(bytes(plain))
        plain.clear()


@cache
def _order(kind: str) -> list[tuple[Field, bytes, bytes]]:
    return [
        (row, encode_varint(row.number << 3 | wire_of(row)), encode_varint(row.number << 3 | 2))
        for row in MESSAGES[kind]
    ]


def _scalar(row: Field, value: Any) -> bytes:
    if row.kind in ("string", "bytes"):
        data: bytes = value.encode("utf-8", "surrogateescape") if row.kind == "string" else value
        return encode_varint(len(data)) + data
    if row.kind in ("float", "double"):
        return _number(row.kind, value)
    return bytes((value,)) if 0 <= value < 0x80 else encode_varint(value)


def _number(kind: str, value: float) -> bytes:
    if isinstance(value, NotANumber) and len(value.bits) == (4 if kind == "float" else 8):
        return value.bits
    if kind == "double":
        return struct.pack("<d", value)
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", float("inf") if value > 0 else float("-inf"))

"""Protobuf's wire format, table-driven: bytes to light messages and back, without protobuf.

    message := field*          field := tag payload          tag := varint(number << 3 | wire)
    wire 0: varint  1: 8 bytes  2: varint length + bytes  3, 4: group (only unknown)  5: 4 bytes

The decoder is one loop with its own stack, so depth costs no recursion; it looks at every byte
once and copies no large payload. Fields that a table does not know are kept, with their bytes, in
the message where they stood.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from sardonyx.core.errors import InvalidProtobuf
from sardonyx.core.limits import Limits
from sardonyx.formats.message import UNKNOWN, Fields, Message, NotANumber
from sardonyx.formats.onnx_tables import MESSAGES, Field
from sardonyx.formats.packed import Packed, encode_varint

Read: TypeAlias = "Callable[[memoryview, int, int, Fields, Tag], int]"

_VIEWS = frozenset({"raw_data"})
_MESSAGE_COST = 4
_SIGNED = 1 << 63
# Elements of a repeated field that are looked at together.
_RUN = 64
# Bytes of such a field that are looked at together, and of numbers in it that are less than 2^63.
_PIECE, _LONGEST = 1 << 16, 10
_TOO_LONG = "an integer is longer than ten bytes"


class Tag(NamedTuple):
    """How to read one tag: `read` takes the payload, or None for a nested message of `target`."""

    read: Read | None
    row: Field
    name: str
    target: str
    rivals: tuple[str, ...]


def length_at(view: memoryview, pos: int) -> tuple[int, int]:
    """A varint at `pos` and the position after it."""
    value = shift = 0
    while True:
        byte = view[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), pos
        shift += 7
        if shift > 63:
            raise InvalidProtobuf("E0102", _TOO_LONG)


def _span(view: memoryview, pos: int, end: int) -> tuple[int, int]:
    """Start and stop of a length-delimited payload."""
    size = view[pos]
    pos += 1
    if size >= 0x80:
        size, pos = length_at(view, pos - 1)
    if size > end - pos:
        raise InvalidProtobuf("E0102", f"a field of {size} bytes goes beyond the end")
    return pos, pos + size


def _read_string(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    start, stop = _span(view, pos, end)
    value = str(view[start:stop], "utf-8", "surrogateescape")
    if entry.row.repeated:
        fields.setdefault(entry.name, []).append(value)
    else:
        _set(fields, entry, value)
    return stop


def _read_bytes(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    start, stop = _span(view, pos, end)
    chunk = view[start:stop]
    value = chunk if entry.name in _VIEWS else bytes(chunk)
    if not entry.row.repeated:
        _set(fields, entry, value)
        return stop
    values, tag = fields.setdefault(entry.name, []), view[pos - 1]
    values.append(value)
    while entry.row.number < 16 and stop < end and view[stop] == tag:
        start, stop = _span(view, stop + 1, end)
        values.append(bytes(view[start:stop]))
    return stop


def _read_varint(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    value, pos = length_at(view, pos)
    if pos > end:
        raise IndexError
    value = _typed(value, entry.row.kind)
    if entry.row.repeated:
        fields.setdefault(entry.name, []).append(value)
    else:
        _set(fields, entry, value)
    return pos


def _read_varints(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    """An element of a repeated field and those that follow it, as long as the tag is the same."""
    values = fields.setdefault(entry.name, [])
    kind, tag, last = entry.row.kind, view[pos - 1], end - 2
    many = kind == "int64"
    while True:
        byte = view[pos]
        if byte < 0x80:
            values.append(byte)
            pos += 1
        else:
            value, pos = length_at(view, pos)
            values.append(_typed(value, kind))
        while many and end - pos > 4 * _RUN:
            found, size = _run_of(view[pos : min(end, pos + _PIECE)], tag)
            values += found
            pos, many = pos + size, size > 2 * _RUN
        if pos > last or view[pos] != tag:
            return pos
        pos += 1


def _run_of(view: memoryview, tag: int) -> tuple[list[int], int]:
    """The whole numbers that a piece begins with, each behind the tag, and how many bytes they are.

    A tag is one byte, and like a number ends in a byte below 0x80.
    """
    held = np.frombuffer(view, np.uint8)
    ends = np.flatnonzero(held < 0x80)
    starts, stops = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    before = np.concatenate([[-1], stops[:-1]])[: len(starts)]
    good = (held[starts] == tag) & (starts == before + 1) & (stops - starts < _LONGEST)
    count = len(good) if good.all() else int(good.argmin())
    starts, sizes = starts[:count], (stops - starts)[:count]
    values = np.zeros(count, np.uint64)
    for k in range(int(sizes.max(initial=0))):
        more = np.flatnonzero(sizes > k)
        part = held[starts[more] + 1 + k].astype(np.uint64) & np.uint64(0x7F)
        values[more] |= part << np.uint64(7 * k)
    return values.view(np.int64).tolist(), int(stops[count - 1]) + 1 if count else 0


def _read_fixed(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    size = 4 if entry.row.kind == "float" else 8
    if pos + size > end:
        raise IndexError
    bits = bytes(view[pos : pos + size])
    value = _float(bits)
    if not entry.row.repeated:
        _set(fields, entry, value)
        return pos + size
    values, tag = fields.setdefault(entry.name, []), view[pos - 1]
    values.append(value)
    pos, step = pos + size, size + 1
    while pos + step * _RUN <= end and entry.row.number < 16:
        part = bytes(view[pos : pos + step * _RUN])
        alike = struct.unpack(("<" + "xf" * _RUN) if size == 4 else ("<" + "xd" * _RUN), part)
        if part[::step].count(tag) < _RUN or math.isnan(sum(alike)):
            break
        values += alike
        pos += len(part)
    return pos


def _read_run(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    """A packed run for a field that the tables write element by element."""
    start, stop = _span(view, pos, end)
    run = Packed(entry.row.kind)
    run.add(view[start:stop])
    if entry.row.kind in ("float", "double"):
        size = 4 if entry.row.kind == "float" else 8
        values: list[Any] = [_float(bytes(view[i : i + size])) for i in range(start, stop, size)]
    else:
        values = run.numpy().tolist()
    if values:
        fields.setdefault(entry.name, []).extend(values)
    return stop


def _read_packed(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    start, stop = _span(view, pos, end)
    run = fields.get(entry.name) or Packed(entry.row.kind)
    run.add(view[start:stop])
    if run.chunks:
        fields[entry.name] = run
    return stop


def _read_packed_element(view: memoryview, pos: int, end: int, fields: Fields, entry: Tag) -> int:
    """One element, written alone, of a field that the tables write packed."""
    sizes = {"float": 4, "double": 8}
    stop = pos + sizes[entry.row.kind] if entry.row.kind in sizes else length_at(view, pos)[1]
    if stop > end:
        raise IndexError
    run = fields.setdefault(entry.name, Packed(entry.row.kind))
    run.add(view[pos:stop])
    return stop


def _set(fields: Fields, entry: Tag, value: Any) -> None:
    for rival in entry.rivals:
        fields.pop(rival, None)
    fields[entry.name] = value


def _typed(value: int, kind: str) -> int:
    if kind in ("uint64", "bool"):
        return value
    if kind == "int64":
        return value - (1 << 64) if value >= _SIGNED else value
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 and kind != "uint32" else value


def _float(bits: bytes) -> float:
    value: float = struct.unpack("<f" if len(bits) == 4 else "<d", bits)[0]
    return NotANumber(bits) if value != value else value


_WIRES = {"float": 5, "double": 1, "string": 2, "bytes": 2, "message": 2}


def wire_of(row: Field) -> int:
    """The wire type of one element."""
    return _WIRES.get(row.kind, 0)


def _reader(row: Field) -> Read | None:
    if row.kind == "message":
        return None
    if row.kind in ("string", "bytes"):
        return _read_string if row.kind == "string" else _read_bytes
    if row.packed:
        return _read_packed_element
    if row.kind in ("float", "double"):
        return _read_fixed
    return _read_varints if row.repeated and row.number < 16 else _read_varint


@cache
def entries(kind: str) -> dict[int, Tag]:
    """The tags of a message, each as the little-endian number of its encoded bytes."""
    found: dict[int, Tag] = {}
    rows = MESSAGES[kind]
    for row in rows:
        rivals = tuple(
            other.name for other in rows if row.oneof == other.oneof != "" and other is not row
        )
        tag = encode_varint(row.number << 3 | wire_of(row))
        entry = Tag(_reader(row), row, row.name, row.target, rivals)
        found[int.from_bytes(tag, "little")] = entry
        if row.repeated and wire_of(row) != 2:
            tag = encode_varint(row.number << 3 | 2)
            read = _read_packed if row.packed else _read_run
            found[int.from_bytes(tag, "little")] = entry._replace(read=read)
    return found


def decode(kind: str, data: Any, limits: Limits | None = None) -> Message:
    """The message of that kind in `data` (anything with the buffer protocol).

    Large payloads stay views of `data`. InvalidProtobuf for damaged bytes, LimitExceeded where
    they nest too deep or hold too many parts.
    """
    view = memoryview(data).cast("B")
    progress = [0]
    try:
        return _decode(kind, view, limits or Limits.current(), progress)
    except IndexError:
        raise InvalidProtobuf(
            "E0102", f"the {kind} is cut short inside a field", given=f"{len(view)} bytes"
        ) from None
    except InvalidProtobuf as problem:
        raise problem.locate(where=f"near byte {progress[0]}") from None


def _decode(kind: str, view: memoryview, limits: Limits, progress: list[int]) -> Message:
    root = Message(kind)
    stack: list[tuple[Fields, dict[int, Tag], int]] = []
    fields, table, end, pos = root.fields, entries(kind), len(view), 0
    parts, allowed = 0, limits.fields
    while True:
        if pos >= end:
            if pos > end:
                raise InvalidProtobuf("E0102", "a field goes beyond the end of its message")
            if not stack:
                return root
            fields, table, end = stack.pop()
            continue
        progress[0] = start = pos
        tag = view[pos]
        pos += 1
        if tag >= 0x80:
            tag |= view[pos] << 8
            pos += 1
        entry = table.get(tag)
        parts += 1
        if entry is None:
            parts += _MESSAGE_COST
            pos = _keep_unknown(view, start, end, table, fields, limits)
        elif entry.read is not None:
            pos = entry.read(view, pos, end, fields, entry)
        else:
            parts += _MESSAGE_COST
            start, stop = _span(view, pos, end)
            stack.append((fields, table, end))
            limits.check_depth(len(stack))
            fields, table, end, pos = (
                _enter(fields, entry).fields,
                entries(entry.target),
                stop,
                start,
            )
        if parts > allowed:
            limits.check_fields(parts)


def _enter(fields: Fields, entry: Tag) -> Message:
    """The message to fill: a new element, or the present one, which protobuf merges into."""
    present = None if entry.row.repeated else fields.get(entry.name)
    if isinstance(present, Message):
        return present
    inner = Message(entry.target)
    if entry.row.repeated:
        fields.setdefault(entry.name, []).append(inner)
    else:
        _set(fields, entry, inner)
    return inner


def _keep_unknown(
    view: memoryview, start: int, end: int, table: dict[int, Tag], fields: Fields, limits: Limits
) -> int:
    """Keep a field outside the table; the position after it."""
    tag, pos = length_at(view, start)
    number, wire = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise InvalidProtobuf("E0102", f"there is no field number {number}")
    if int.from_bytes(encode_varint(tag), "little") in table:
        raise InvalidProtobuf("E0102", "a tag is written in more bytes than it needs")
    stop = _skip(view, pos, end, number, wire, limits)
    fields.setdefault(UNKNOWN, []).append(bytes(view[start:stop]))
    return stop


def _skip(view: memoryview, pos: int, end: int, number: int, wire: int, limits: Limits) -> int:
    """The position after the payload of a field, groups and all they hold included."""
    groups: list[int] = []
    while True:
        if wire == 3:
            groups.append(number)
            limits.check_depth(len(groups), "groups")
        elif wire == 4:
            if not groups or groups.pop() != number:
                raise InvalidProtobuf("E0102", "a group ends that did not begin")
        else:
            pos = _skip_plain(view, pos, end, wire)
        if not groups:
            return pos
        tag, pos = length_at(view, pos)
        number, wire = tag >> 3, tag & 7


def _skip_plain(view: memoryview, pos: int, end: int, wire: int) -> int:
    if wire == 0:
        return length_at(view, pos)[1]
    if wire == 2:
        return _span(view, pos, end)[1]
    if wire not in (1, 5):
        raise InvalidProtobuf("E0102", f"there is no wire type {wire}")
    return pos + (8 if wire == 1 else 4)

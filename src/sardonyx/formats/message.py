"""Messages as light objects: a kind and its fields, and the search for messages in messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self, TypeAlias

from sardonyx.formats.onnx_tables import MESSAGES

Fields: TypeAlias = dict[str, Any]

UNKNOWN = ""


class NotANumber(float):
    """A NaN that remembers its bits, which arithmetic on floats may change."""

    bits: bytes

    def __new__(cls, bits: bytes) -> Self:
        self = super().__new__(cls, "nan")
        self.bits = bits
        return self


@dataclass(slots=True, eq=False)
class Message:
    """One message: `kind` is its name in the tables, `fields` what it holds, by field name.

    Repeated fields are lists (a `Packed` where the table says packed), text is str with stray
    bytes as surrogates, `raw_data` a memoryview, other bytes are bytes. The list under the key
    UNKNOWN holds the encoded fields that the table does not know. `source` says where the data of
    an external tensor lie.
    """

    kind: str
    fields: Fields = field(default_factory=dict)
    source: Any = None

    def has(self, name: str) -> bool:
        """Whether the field was set."""
        return name in self.fields

    def text(self, name: str) -> str:
        """A string field, empty where unset."""
        value: str = self.fields.get(name, "")
        return value

    def number(self, name: str) -> int:
        """An integer field, 0 where unset."""
        value: int = self.fields.get(name, 0)
        return value

    def child(self, name: str) -> Message | None:
        """A message field."""
        value: Message | None = self.fields.get(name)
        return value

    def children(self, name: str) -> list[Message]:
        """A repeated message field."""
        value: list[Message] = self.fields.get(name, [])
        return value

    def texts(self, name: str) -> list[str]:
        """A repeated string field."""
        value: list[str] = self.fields.get(name, [])
        return value

    def numbers(self, name: str) -> list[int]:
        """A repeated integer field."""
        value: list[int] = self.fields.get(name, [])
        return value

    def put(self, name: str, value: Any) -> None:
        """Set a field; None or an empty list unsets it."""
        if value is None or (isinstance(value, list) and not value):
            self.fields.pop(name, None)
        else:
            self.fields[name] = value

    def copy(self) -> Message:
        """Another message with the same field values."""
        return Message(self.kind, dict(self.fields), self.source)


@cache
def leads_to(kind: str, target: str) -> tuple[str, ...]:
    """The message fields of `kind` in which a `target` may lie, at any depth."""
    return tuple(
        row.name for row in MESSAGES[kind] if row.kind == "message" and _reaches(row.target, target)
    )


def _reaches(kind: str, target: str) -> bool:
    seen: set[str] = set()
    pending = [kind]
    while pending:
        here = pending.pop()
        if here == target:
            return True
        if here not in seen:
            seen.add(here)
            pending.extend(row.target for row in MESSAGES[here] if row.kind == "message")
    return False


def find_all(root: Message, target: str) -> Iterator[Message]:
    """Every message of kind `target` in `root`, wherever the tables allow one."""
    stack = [root]
    while stack:
        message = stack.pop()
        if message.kind == target:
            yield message
        for name in leads_to(message.kind, target):
            value = message.fields.get(name)
            if value is not None:
                stack.extend(reversed(value) if isinstance(value, list) else (value,))

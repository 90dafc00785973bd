"""Text of unknown origin made harmless, in one place: for a terminal, for JSON, for HTML.

Models name their tensors; whoever prints such a name asks here first. What is not printable (the
control, format, bidirectional and surrogate characters) shows as its escape, so that no name moves
a cursor, reverses a line or ends a string early, and two different names still look different.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

# Characters of a model's own text that a message shows.
_LONGEST = 2000
_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_LAYOUT = "\n"
_PLAIN = re.compile("[\\x20-\\x7e\n\t]*")
_PRINTED = re.compile("[^\\x20-\\x7e\n]")


def sanitise(text: object, longest: int = _LONGEST) -> str:
    """`text` as one printable line of at most `longest` characters and a note of what was cut."""
    string = str(text)
    if len(string) > longest:
        string = f"{string[:longest]}… ({len(string)} characters)"
    if string.isprintable():
        return string
    return "".join(map(_visible, string))


def printable(text: str) -> str:
    """`text` with its lines and tabs, everything else that is not printable as its escape."""
    return text if _PLAIN.fullmatch(text) else "".join(map(_kept, text))


def _kept(c: str) -> str:
    return c if c in "\n\t" else _visible(c)


def _visible(c: str) -> str:
    return c if c.isprintable() else c.encode("unicode_escape").decode("ascii")


def html(text: object) -> str:
    """`text` as HTML that shows it, in an element or a quoted attribute; its lines stay lines."""
    lines = (sanitise(line, len(line)) for line in str(text).split(_LAYOUT))
    import html  # noqa: PLC0415 - large, and for pages only

    return html.escape(_LAYOUT.join(lines))


def dumps(values: Any) -> str:
    """Standard JSON in printable characters only; a stray byte of a name shows as an escape.

    Numbers that JSON lacks become the strings NaN, Infinity and -Infinity; what has `to_dict` or
    `tolist` is taken by it; anything else unknown by its text.
    """
    made = json.dumps(_plain(values), indent=2, allow_nan=False, ensure_ascii=False)
    return _PRINTED.sub(_quoted, made)


def _quoted(match: re.Match[str]) -> str:
    c = match[0]
    return c if c.isprintable() else json.dumps(c)[1:-1]


def _plain(x: Any) -> Any:
    if isinstance(x, float):
        return x if math.isfinite(x) else _NAMES.get(x, "NaN")
    if isinstance(x, str):
        return x.encode("utf-8", "backslashreplace").decode()
    if isinstance(x, int) or x is None:
        return x
    if isinstance(x, Mapping):
        return {_plain(str(k)): _plain(v) for k, v in x.items()}
    if hasattr(x, "to_dict"):
        return _plain(x.to_dict())
    if hasattr(x, "tolist"):
        return _plain(_numbers(x))
    return [_plain(item) for item in x] if isinstance(x, Iterable) else _plain(str(x))


def _numbers(x: Any) -> Any:
    """The elements of an array as Python's own numbers; complex ones as pairs."""
    if getattr(x.dtype, "kind", "") == "c":
        return [_numbers(x.real), _numbers(x.imag)]
    if getattr(x.dtype, "kind", "") == "V":
        return x.astype("float64").tolist()
    return x.tolist()

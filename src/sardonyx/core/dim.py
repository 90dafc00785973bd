"""The shape grammar of the command line and the API, one everywhere.

    spec := name "=" dims [":" dtype]
    dims := dim ("x" dim)* | "scalar"      dim := int | symbol

`x=1x3x224x224`, `ids=NxS:int64`. A symbol is letters, digits and `_`, none of
them a small x. `--dim N=8` binds a symbol, `--dim N=1..64` bounds it. A mistake is shown with a
caret under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.errors import SardonyxError, UsageError

_DIM = re.compile(r"[0-9]+|[A-Za-wyz_][A-Za-wyz0-9_]*")
_BINDING = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([0-9]+)")
_RANGE = re.compile(rf"{_BINDING.pattern}\.\.([0-9]+)")
# The largest size that can be asked for: a typing error rather than a dim.
_LARGEST = 1 << 40


@dataclass(frozen=True)
class Spec:
    """One input: its name, dims (integers and symbol names), and dtype where one was given."""

    name: str
    dims: tuple[int | str, ...]
    dtype: DType | None = None

    def shape(self, bindings: Mapping[str, int]) -> tuple[int, ...]:
        """The dims as integers; UsageError for a symbol without a binding."""
        return tuple(_bound(d, bindings) for d in self.dims)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbol names, in order, each once."""
        return tuple(dict.fromkeys(d for d in self.dims if isinstance(d, str)))

    def __str__(self) -> str:
        dims = "x".join(map(str, self.dims)) or "scalar"
        return f"{self.name}={dims}" + (f":{self.dtype}" if self.dtype else "")


def _bound(d: int | str, bindings: Mapping[str, int]) -> int:
    if isinstance(d, int):
        return d
    if d not in bindings:
        raise UsageError("E0911", f"the symbol `{d}` has no size", hint=f"add --dim {d}=4")
    return bindings[d]


def parse_spec(text: str) -> Spec:
    """Reads `name=dims[:dtype]`; UsageError with a caret under the first wrong character."""
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise _wrong(text, len(name), "a shape looks like name=1x3x224x224")
    shape, colon, dtype = rest.partition(":")
    start = len(name) + 1
    dims = parse_dims(shape, text, start)
    return Spec(name.strip(), dims, _dtype(dtype, text, start + len(shape) + 1) if colon else None)


def parse_dims(shape: str, text: str | None = None, start: int = 0) -> tuple[int | str, ...]:
    """Reads `1x3xHxW`; `text` and `start` place the caret when it is part of something longer."""
    whole = shape if text is None else text
    if shape == "scalar":
        return ()
    dims: list[int | str] = []
    at = 0
    while True:
        found = _DIM.match(shape, at)
        if found is None:
            raise _wrong(whole, start + at, "a dim is an integer or a symbol such as N")
        dims.append(_dim(found.group(), whole, start + at))
        at = found.end()
        if at == len(shape):
            return tuple(dims)
        if shape[at] != "x":
            raise _wrong(whole, start + at, "dims are separated by x")
        at += 1


def _dim(word: str, text: str, at: int) -> int | str:
    if not word.isdigit():
        return word
    if int(word) > _LARGEST:
        raise _wrong(text, at, "no dim is that large")
    return int(word)


def _dtype(word: str, text: str, at: int) -> DType:
    try:
        return DType.parse(word)
    except SardonyxError:
        raise _wrong(text, at, "a dtype is one such as float32 or int64") from None


def parse_bindings(items: Iterable[str]) -> dict[str, int]:
    """Reads `N=8` items; UsageError with a caret."""
    found: dict[str, int] = {}
    for text in items:
        match = _BINDING.fullmatch(text)
        if match is None:
            raise _wrong(text, max(text.find("=") + 1, 0), "a binding looks like N=8")
        found[match.group(1)] = int(match.group(2))
    return found


def parse_ranges(items: Iterable[str]) -> dict[str, int | range]:
    """Reads `N=8` and `N=1..64` items; UsageError with a caret."""
    found: dict[str, int | range] = {}
    for text in items:
        match = _RANGE.fullmatch(text)
        if match is None:
            found |= parse_bindings([text])
            continue
        name, low, high = match.group(1), int(match.group(2)), int(match.group(3))
        if low > high:
            raise _wrong(text, match.start(2), "a range goes from the lower to the higher")
        found[name] = range(low, high + 1)
    return found


def _wrong(text: str, at: int, wanted: str) -> UsageError:
    return UsageError("E0910", f"cannot read this shape: {wanted}\n    {text}\n    {' ' * at}^")

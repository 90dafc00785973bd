"""What a caller feeds, turned into arrays and checked against what the model declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import InvalidArgument, ShapeMismatch, foreign
from sardonyx.core.near import near
from sardonyx.formats.onnx import info
from sardonyx.graph.bind import bind
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.session.arrays import as_array
from sardonyx.session.value import OrtValue

_REMEMBERED = 256


class Feeds:
    """The inputs of a graph: `required` must be fed, `optional` have a default.

    Before version 4 of the format every initializer was listed as an input, and none is a default.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.required = {v.name: v for v in graph.inputs if v.const is None}
        fixed = 0 < info(graph).ir_version < 4
        given = [] if fixed else [v for v in graph.inputs if v.const is not None]
        self.optional = {v.name: v for v in given}
        self._bound: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The feeds as contiguous arrays of the declared types; the first thing wrong is raised.

        InvalidArgument: E0201 missing, E0202 unknown, E0203 type, E0233 no array. ShapeMismatch:
        E0205, E0206, E0207.
        """
        self.names(given)
        feeds = {name: self._checked(self._value(name), x) for name, x in given.items()}
        shapes = [(n, x.shape) for n, x in feeds.items() if isinstance(x, np.ndarray)]
        self._bind(tuple(shapes))
        return feeds

    def _value(self, name: str) -> Value:
        found = self.required.get(name)
        return self.optional[name] if found is None else found

    def names(self, given: Iterable[str]) -> None:
        """InvalidArgument where one is missing (E0201) or unknown (E0202)."""
        unknown = [n for n in given if n not in self.required and n not in self.optional]
        if unknown:
            raise unknown_input(unknown[0], (*self.required, *self.optional))
        for name, value in self.required.items():
            if name not in given and value.type.kind != "optional":
                raise InvalidArgument(
                    "E0201",
                    f"input `{name}` is missing",
                    tensor=name,
                    wanted=value.type,
                    where=place(self.graph, value),
                    hint=f"pass {{{name!r}: array}}",
                    file=self.graph.source or None,
                )

    def _bind(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        if shapes in self._bound:
            return
        try:
            bind(self.graph.inputs, dict(shapes), self.graph.assumed)
        except ShapeMismatch as error:
            names = {v.name: v for v in self.graph.inputs}
            value = names.get(error.tensor or "")
            where = None if value is None else place(self.graph, value)
            raise error.locate(where=where, file=self.graph.source or None) from None
        if len(self._bound) >= _REMEMBERED:
            self._bound.clear()
        self._bound.add(shapes)

    def _checked(self, value: Value, x: Any) -> Any:
        try:
            return _read(value.type, x)
        except _Refused as refused:
            raise self._refusal(value, refused.args[0], refused.args[1]) from None
        except InvalidArgument as error:
            raise error.locate(
                tensor=value.name,
                wanted=value.type,
                where=place(self.graph, value),
                file=self.graph.source or None,
            ) from error.__cause__
        except MemoryError as problem:
            raise foreign(problem).locate(tensor=value.name) from problem
        except (TypeError, ValueError) as problem:
            told = f"input `{value.name}` cannot be read: {problem}"
            raise InvalidArgument(
                "E0233", told, tensor=value.name, given=type(x).__name__, wanted=value.type
            ) from problem

    def _refusal(self, value: Value, given: str, hint: str | None) -> InvalidArgument:
        kind = given.partition("[")[0]
        wanted = value.type.dtype if value.type.kind == "tensor" else value.type
        return InvalidArgument(
            "E0203",
            f"input `{value.name}` is {kind}, the model wants {wanted}",
            tensor=value.name,
            given=given,
            wanted=value.type,
            where=place(self.graph, value),
            file=self.graph.source or None,
            hint=hint,
        )


class _Refused(Exception):  # noqa: N818 - carried a few lines up, never out
    """What was given, and what to do about it."""


def unknown_input(name: object, known: Iterable[str]) -> InvalidArgument:
    """The error (E0202) for an input that the model does not have."""
    names = list(known)
    return InvalidArgument(
        "E0202",
        f"the model has no input `{name}`",
        given=name,
        wanted=", ".join(names),
        hint=near(str(name), names),
    )


def _read(t: Type, x: Any) -> Any:
    if isinstance(x, OrtValue):
        x = x.content
    if t.kind == "optional":
        return None if x is None else _read(t.elem or Type(), x)
    if t.kind == "sequence":
        if not isinstance(x, list | tuple):
            raise _Refused(type(x).__name__, "pass a list of arrays")
        return [_read(t.elem or Type(), item) for item in x]
    if t.kind == "map":
        return _map(t, x)
    if t.kind != "tensor":
        return x
    if x is None:
        raise _Refused("None", "pass an array")
    return _tensor(t.dtype, x)


def _map(t: Type, x: Any) -> Any:
    if not isinstance(x, Mapping):
        raise _Refused(type(x).__name__, "pass a dict")
    value = None if t.elem is None else t.elem.dtype
    return {_scalar(t.dtype, k): _scalar(value, _plain(v)) for k, v in x.items()}


def _plain(x: Any) -> Any:
    """A number without a type of its own: what a map holds is of the map's type."""
    return x.item() if isinstance(x, np.generic) else x


def _scalar(wanted: DType | None, x: Any) -> Any:
    """A key or a value of a map, as a Python string or integer, or as a number of its type."""
    found = _tensor(wanted, x)
    if found.size != 1:
        raise _Refused(_told(found), "a map holds single numbers and strings")
    item = found.reshape(-1)[0]
    return int(item) if isinstance(item, np.int64) else item


def _tensor(wanted: DType | None, x: Any) -> Array:
    array = as_array(x)
    if wanted is None:
        return _settled(array)
    if wanted.is_string:
        return _strings(array)
    if array.dtype == wanted.numpy:
        return _settled(array)
    if array.dtype.kind != "T" and array.dtype.newbyteorder("=") == wanted.numpy:
        return array.astype(wanted.numpy)
    if _bare(x) and _holds(wanted, array):
        return array.astype(wanted.numpy)
    raise _Refused(_told(array), f"pass x.astype({_numpy_name(wanted)})")


def _settled(array: Array) -> Array:
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.array(array, order="C")


def _strings(array: Array) -> Array:
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8").astype(object)
    if array.dtype.kind == "V" and array.dtype.names is None:
        array = np.array([_text(x.tobytes()) for x in array.ravel()], object).reshape(array.shape)
    if array.dtype.kind not in "UTO":
        raise _Refused(_told(array), "pass an array of str")
    found = array.astype(object)
    if array.dtype.kind in "TO":
        flat = [_text(item) for item in found.reshape(-1)]
        found = np.empty(found.shape, object)
        found.reshape(-1)[:] = flat
    return found


def _text(item: Any) -> str:
    if isinstance(item, bytes):
        return item.decode("utf-8", "surrogateescape")
    if not isinstance(item, str):
        raise _Refused(f"an array with a {type(item).__name__}", "pass an array of str")
    return item


def _bare(x: Any) -> bool:
    """Whether x is Python numbers in lists, which have no type of their own."""
    while isinstance(x, list | tuple) and x:
        x = x[0]
    return isinstance(x, bool | int | float | list | tuple) and not isinstance(x, np.generic)


def _holds(wanted: DType, array: Array) -> bool:
    if array.dtype.kind not in "biuf":
        return False
    if wanted.is_float or wanted.is_complex or array.size == 0:
        return True
    if array.dtype.kind == "f" or wanted.is_bool:
        return bool(array.dtype.kind == "b")
    return bool(np.all(array.astype(wanted.numpy).astype(array.dtype) == array))


def _told(array: Array) -> str:
    try:
        given = str(DType.from_numpy(array.dtype))
    except InvalidArgument:
        given = str(array.dtype)
    return f"{given}[{','.join(map(str, array.shape))}]"


def _numpy_name(dtype: DType) -> str:
    module = "np" if dtype.numpy.type.__module__ == "numpy" else "ml_dtypes"
    return f"{module}.{dtype.numpy.name}"


def place(graph: Graph, value: Value) -> str:
    """`input 0, first used by node 3 (the one named so)`."""
    where = f"input {graph.inputs.index(value)}"
    used = {node: n for n, node in enumerate(graph.nodes) if node in value.uses}
    if used:
        first, n = next(iter(used.items()))
        where += f", first used by node {n}" + (f" `{first.name}`" if first.name else "")
    return where

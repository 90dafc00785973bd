"""What a caller feeds, turned into arrays and checked against what the model declares."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.graph.bind import bind
from sardonyx.graph.ir import Graph, Value

Array = np.ndarray[Any, Any]


def as_array(x: Any) -> Any:
    """An array over anything with `__dlpack__`, `__array_interface__`, `__array__`, or a list."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def check_feeds(
    graph: Graph, wanted: Mapping[str, Value], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The feeds as contiguous arrays, defaults included; the first thing wrong is raised.

    InvalidArgument: E0201 missing, E0202 unknown, E0203 dtype. ShapeMismatch: E0205, E0206, E0207.
    """
    feeds: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in given:
            raise InvalidArgument(
                "E0201", f"input `{name}` is missing", tensor=name, wanted=str(value.type),
                where=_where(graph, value), hint=f"pass {{{name!r}: array}}",
            )  # fmt: skip
        feeds[name] = _checked(graph, value, given[name])
    for name in given:
        if name not in wanted:
            _overridden(graph, wanted, name, given[name], feeds)
    shapes = {n: x.shape for n, x in feeds.items() if isinstance(x, np.ndarray)}
    bind(graph.inputs, shapes)
    for value in graph.inputs:
        if value.name not in feeds and value.const is not None:
            feeds[value.name] = value.const.numpy()
    return feeds


def _overridden(
    graph: Graph, wanted: Mapping[str, Value], name: str, x: Any, feeds: dict[str, Any]
) -> None:
    for value in graph.inputs:
        if value.name == name:
            feeds[name] = _checked(graph, value, x)
            return
    close = difflib.get_close_matches(name, wanted, 1)
    raise InvalidArgument(
        "E0202", f"the model has no input `{name}`", tensor=name, wanted=", ".join(wanted),
        hint=f"did you mean `{close[0]}`?" if close else None,
    )  # fmt: skip


def _checked(graph: Graph, value: Value, x: Any) -> Any:
    if value.type.kind != "tensor":
        return x.numpy() if hasattr(x, "numpy") and not isinstance(x, np.ndarray) else x
    array = as_array(x)
    declared = value.type.dtype
    if declared is None:
        return array
    if declared.is_string:
        return array.astype(object) if array.dtype.kind in "USTO" else _refuse(graph, value, array)
    if array.dtype != declared.numpy:
        if array.dtype.newbyteorder("=") != declared.numpy:
            _refuse(graph, value, array)
        array = array.astype(declared.numpy)
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def _refuse(graph: Graph, value: Value, array: Array) -> Any:
    wanted = value.type.dtype
    try:
        given = str(DType.from_numpy(array.dtype))
    except InvalidArgument:
        given = str(array.dtype)
    shape = ",".join(map(str, array.shape))
    raise InvalidArgument(
        "E0203", f"input `{value.name}` is {given}, the model wants {wanted}",
        tensor=value.name, given=f"{given}[{shape}]", wanted=str(value.type),
        where=_where(graph, value), hint=f"pass x.astype({_numpy_name(wanted)})",
    )  # fmt: skip


def _numpy_name(dtype: DType | None) -> str:
    if dtype is None or dtype.is_string:
        return "object"
    module = "np" if dtype.numpy.type.__module__ == "numpy" else "ml_dtypes"
    return f"{module}.{dtype.numpy.name}"


def _where(graph: Graph, value: Value) -> str:
    where = f"input {graph.inputs.index(value)}"
    first = next(iter(value.uses), None)
    if first is not None:
        where += f", first used by node {graph.nodes.index(first)} `{first.name}`"
    return where

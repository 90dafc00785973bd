"""Whether attributes have the names and types that an operator's class declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.make import AttributeRef, attribute_fields, misfit
from sardonyx.graph.op import Op, Opaque, find, versions

_PLAIN: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "bool": (bool, int),
    "float": float,
    "str": str,
    "bytes": bytes,
    "Tensor": Tensor,
    "SparseTensor": SparseTensor,
    "Graph": Graph,
    "Type": Type,
    "DType": (DType, int),
    "None": type(None),
}


def misfits(op: Op, opset: int | None = None) -> Iterator[str]:
    """What is wrong with an op's attributes; an Opaque is held against the class of its name."""
    if not isinstance(op, Opaque):
        yield from _wrong_types(type(op), op.attributes())
        return
    if opset is None:
        return
    kind = find(op.space, op.kind, opset)
    if kind is None:
        first = min(versions(op.space, op.kind), default=0)
        if first > opset:
            yield f"{op.kind} came with opset {first}, the model imports {opset}"
        return
    settings = dict(op.settings)
    if any(isinstance(v, AttributeRef) for v in settings.values()):
        return
    reason = misfit(kind, settings)
    if reason is not None:
        yield f"{op.kind}: {reason}"
    yield from _wrong_types(kind, settings)


def _wrong_types(kind: type[Op], settings: dict[str, Any]) -> Iterator[str]:
    fields = attribute_fields(kind)
    for name, value in settings.items():
        f = fields.get(name)
        if f is not None and not _fits(value, f):
            yield f"the attribute `{name}` is {_kind(value)}, wanted {f.type}"


def _fits(value: Any, f: dataclasses.Field[Any]) -> bool:
    text = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", "")
    choices = text.split("|")
    return any(_fits_one(value, choice.strip()) for choice in choices)


def _fits_one(value: Any, wanted: str) -> bool:
    if wanted.startswith("tuple["):
        inner = wanted.removeprefix("tuple[").removesuffix(", ...]")
        if not isinstance(value, tuple):
            return False
        kind = _PLAIN.get(inner)
        return kind is None or all(issubclass(found, kind) for found in set(map(type, value)))
    kind = _PLAIN.get(wanted)
    return kind is None or isinstance(value, kind)


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return type(value).__name__

"""Whether attributes have the names and types that an operator's class declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Graph, Type
from sardonyx.graph.make import AttributeRef, attribute_fields, misfit
from sardonyx.graph.op import Op, Opaque, find, registered

_PLAIN: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, int),
    "bool": lambda v: isinstance(v, bool | int),
    "float": lambda v: isinstance(v, float),
    "str": lambda v: isinstance(v, str),
    "bytes": lambda v: isinstance(v, bytes),
    "Tensor": lambda v: isinstance(v, Tensor),
    "SparseTensor": lambda v: isinstance(v, SparseTensor),
    "Graph": lambda v: isinstance(v, Graph),
    "Type": lambda v: isinstance(v, Type),
    "DType": lambda v: isinstance(v, DType | int),
    "None": lambda v: v is None,
}


def misfits(op: Op, opset: int | None = None) -> Iterator[str]:
    """What is wrong with an op's attributes; an Opaque is held against the class of its name."""
    if not isinstance(op, Opaque):
        yield from _wrong_types(type(op), op.attributes())
        return
    versions = registered().get((op.space, op.kind), {})
    kind = find(op.space, op.kind, opset) if opset is not None else None
    if kind is None:
        if versions and opset is not None and opset < min(versions):
            yield f"{op.kind} came with opset {min(versions)}, the model imports {opset}"
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
    text = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
    return any(_fits_one(value, part.strip()) for part in str(text).split("|"))


def _fits_one(value: Any, wanted: str) -> bool:
    if wanted.startswith("tuple["):
        inner = wanted.removeprefix("tuple[").removesuffix("]").partition(",")[0].strip()
        return isinstance(value, tuple) and all(_fits_one(item, inner) for item in value)
    check = _PLAIN.get(wanted)
    return check is None or check(value)


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    return type(value).__name__

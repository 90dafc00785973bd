"""TypeProto and ValueInfoProto to types with symbolic dims and back.

A dim without value and name becomes a symbol of its own whose name begins with `?`; it is written
back without a name. So does a dim whose name is a word for "unknown", which exporters give to every
such dim. Any other name is the same symbol wherever it stands in a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, const, name_of, number, show, symbol
from sardonyx.core.limits import Limits
from sardonyx.formats.message import Message
from sardonyx.graph.ir import Type
from sardonyx.graph.type import TypeKind

ANONYMOUS = "?"
_UNKNOWN = re.compile(r"\s*|\?+|\*|-\d+|none|null|nan|unk(nown)?|unk_+\d+", re.IGNORECASE)
_CONTAINERS: dict[TypeKind, tuple[str, str, str]] = {
    "sequence": ("sequence_type", "TypeProto.Sequence", "elem_type"),
    "optional": ("optional_type", "TypeProto.Optional", "elem_type"),
    "map": ("map_type", "TypeProto.Map", "value_type"),
}


@dataclass(frozen=True)
class Info:
    """A declared value: its ValueInfoProto, and the type that the value had after loading."""

    message: Message
    seen: Type


def read_type(message: Message | None, stem: str, limits: Limits) -> Type:
    """The type that a TypeProto declares; `stem` names its unnamed dims."""
    if message is None:
        return Type()
    plain: dict[TypeKind, str] = {"tensor": "tensor_type", "sparse": "sparse_tensor_type"}
    for kind, field in plain.items():
        inner = message.child(field)
        if inner is not None:
            return Type(_dtype(inner, "elem_type"), _shape(inner, stem, limits), kind=kind)
    for kind, (field, _, elem) in _CONTAINERS.items():
        inner = message.child(field)
        if inner is not None:
            dtype = _dtype(inner, "key_type") if kind == "map" else None
            return Type(dtype, kind=kind, elem=read_type(inner.child(elem), f"{stem}.", limits))
    return Type(kind="opaque") if message.has("opaque_type") else Type()


def _dtype(message: Message, field: str) -> DType | None:
    value = message.number(field)
    return DType.from_onnx(value) if value else None


def _shape(message: Message, stem: str, limits: Limits) -> tuple[Expr, ...] | None:
    shape = message.child("shape")
    if shape is None:
        return None
    dims = shape.children("dim")
    limits.check_rank(len(dims), stem)
    return tuple(_dim(dim, f"{ANONYMOUS}{stem}.{axis}") for axis, dim in enumerate(dims))


def _dim(message: Message, unnamed: str) -> Expr:
    if message.has("dim_value") and message.number("dim_value") >= 0:
        return const(message.number("dim_value"))
    name = message.text("dim_param")
    return symbol(unnamed if _UNKNOWN.fullmatch(name) else name)


def dims_of(declared: Message) -> list[int | str | None] | None:
    """The dims of a ValueInfoProto's tensor as they stand there; None where it has no shape."""
    shape = _shape_of(declared)
    return None if shape is None else [_said(dim) for dim in shape.children("dim")]


def denotations(declared: Message) -> list[str]:
    """What the dims of a ValueInfoProto's tensor stand for (`DATA_BATCH`), empty where not said."""
    shape = _shape_of(declared)
    return [] if shape is None else [d.text("denotation") for d in shape.children("dim")]


def _shape_of(declared: Message) -> Message | None:
    kind = declared.child("type")
    tensor = None if kind is None else kind.child("tensor_type")
    return None if tensor is None else tensor.child("shape")


def _said(dim: Message) -> int | str | None:
    if dim.has("dim_value"):
        return dim.number("dim_value") if dim.number("dim_value") >= 0 else None
    return dim.text("dim_param") or None


def write_type(kind: Type, old: Message | None = None) -> Message:
    """The TypeProto of a type; what `old` says beyond it (denotations) is kept."""
    message = Message("TypeProto")
    if old is not None and old.has("denotation"):
        message.put("denotation", old.text("denotation"))
    if kind.kind in _CONTAINERS:
        field, inner_kind, elem = _CONTAINERS[kind.kind]
        inner = Message(inner_kind)
        if kind.kind == "map" and kind.dtype is not None:
            inner.put("key_type", kind.dtype.value)
        inner.put(elem, write_type(kind.elem or Type()))
        message.put(field, inner)
    elif kind.kind == "opaque":
        opaque = old.child("opaque_type") if old is not None else None
        message.put("opaque_type", opaque or Message("TypeProto.Opaque"))
    elif kind.dtype is not None or kind.shape is not None:
        _put_tensor(message, kind, old)
    return message


def _put_tensor(message: Message, kind: Type, old: Message | None) -> None:
    sparse = kind.kind == "sparse"
    field = "sparse_tensor_type" if sparse else "tensor_type"
    inner = Message("TypeProto.SparseTensor" if sparse else "TypeProto.Tensor")
    if kind.dtype is not None:
        inner.put("elem_type", kind.dtype.value)
    if kind.shape is not None:
        shape = Message("TensorShapeProto")
        shape.put("dim", [_write_dim(d) for d in kind.shape])
        was = old.child(field) if old is not None else None
        before = was.child("shape") if was is not None else None
        _keep_denotations(shape, before)
        inner.put("shape", shape)
    message.put(field, inner)


def _write_dim(dim: Expr) -> Message:
    message = Message("TensorShapeProto.Dimension")
    value = number(dim)
    if value is not None:
        message.put("dim_value", value)
    elif dim.op != "var":
        message.put("dim_param", show(dim))
    elif not name_of(dim).startswith(ANONYMOUS):
        message.put("dim_param", name_of(dim))
    return message


def _keep_denotations(shape: Message, before: Message | None) -> None:
    old = before.children("dim") if before is not None else []
    new = shape.children("dim")
    if len(old) == len(new):
        for dim, was in zip(new, old, strict=True):
            if was.has("denotation"):
                dim.put("denotation", was.text("denotation"))


def same_declaration(a: Type, b: Type) -> bool:
    """Whether two types are written alike: known values of elements do not count."""
    if (a.dtype, a.shape, a.kind) != (b.dtype, b.shape, b.kind):
        return False
    return a.elem == b.elem


def write_info(name: str, kind: Type, info: Info | None) -> Message:
    """The ValueInfoProto of a value; the one it came with where name and type are unchanged."""
    if info is not None and same_declaration(kind, info.seen):
        message = info.message
        if message.text("name") != name:
            message = message.copy()
            message.put("name", name)
        return message
    message = info.message.copy() if info is not None else Message("ValueInfoProto")
    message.put("name", name)
    message.put("type", write_type(kind, message.child("type")))
    return message

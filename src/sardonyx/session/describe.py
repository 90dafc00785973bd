"""How a model's inputs, outputs and origin are told, in ONNX Runtime's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sardonyx.core.expr import Expr, name_of, show
from sardonyx.formats.onnx import info
from sardonyx.graph.ir import Graph, Type, Value

_NAMES = {"float32": "float", "float64": "double"}
_KINDS = {"sequence": "seq"}


@dataclass(frozen=True)
class NodeArg:
    """An input or output.

    `type` is such as `tensor(float)`; `shape` has integers, symbol names and, where nothing is
    known, None; it is [] where the rank is unknown too.
    """

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True)
class ModelMetadata:
    """What the model says about itself."""

    graph_name: str
    description: str
    domain: str = ""
    graph_description: str = ""
    producer_name: str = ""
    version: int = 0
    custom_metadata_map: Mapping[str, str] = field(default_factory=dict)


def node_arg(v: Value) -> NodeArg:
    """The description of an input or output."""
    return NodeArg(v.name, type_name(v.type), [_dim(d) for d in v.shape or ()])


def _dim(d: Expr) -> int | str | None:
    if d.is_const:
        return int(d.arg)
    if d.op == "var":
        name = name_of(d)
        return None if name.startswith(("?", "_")) else name
    return show(d)


def type_name(t: Type) -> str:
    """A type in ONNX Runtime's spelling, such as `tensor(float)` or `seq(tensor(int64))`."""
    if t.kind == "tensor":
        text = str(t.dtype) if t.dtype is not None else "undefined"
        return f"tensor({_NAMES.get(text, text)})"
    inner = type_name(t.elem) if t.elem is not None else "undefined"
    return f"{_KINDS.get(t.kind, t.kind)}({inner})"


def metadata(graph: Graph) -> ModelMetadata:
    """The model's own description."""
    told = info(graph)
    return ModelMetadata(
        graph_name=graph.name,
        description=told.doc,
        domain=told.domain,
        graph_description=told.graph_doc,
        producer_name=told.producer_name,
        version=told.model_version,
        custom_metadata_map=dict(graph.meta),
    )

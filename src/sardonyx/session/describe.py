"""How a model's inputs, outputs and origin are told, in ONNX Runtime's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sardonyx.core.expr import Expr, name_of
from sardonyx.formats.onnx import declared_dims, info
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


@dataclass(frozen=True)
class OrtEpAssignedNode:
    """A node that a provider runs."""

    name: str
    domain: str
    op_type: str


@dataclass(frozen=True)
class OrtEpAssignedSubgraph:
    """The nodes that a provider runs together."""

    ep_name: str
    nodes: list[OrtEpAssignedNode]

    def get_nodes(self) -> list[OrtEpAssignedNode]:
        """The nodes."""
        return self.nodes


def node_args(graph: Graph, values: Iterable[Value]) -> list[NodeArg]:
    """The descriptions of inputs or outputs: a dim that the file names keeps that name."""
    told = declared_dims(graph)
    return [NodeArg(v.name, type_name(v.type), _dims(v, told.get(v.name))) for v in values]


def _dims(v: Value, told: Sequence[int | str | None] | None) -> list[int | str | None]:
    if v.shape is None or (told is not None and len(told) != len(v.shape)):
        return list(told or ())
    said = told or [None] * len(v.shape)
    return [_dim(d, text) for d, text in zip(v.shape, said, strict=True)]


def _dim(d: Expr, told: int | str | None) -> int | str | None:
    """A number that is known, what the file says, or a symbol of the inputs."""
    if d.is_const:
        return int(d.arg)
    if told is not None or d.op != "var":
        return told
    name = name_of(d)
    return None if name.startswith(("?", "_")) else name


def type_name(t: Type) -> str:
    """A type in ONNX Runtime's spelling: `tensor(float)`, `seq(map(int64,tensor(float)))`."""
    text = str(t.dtype) if t.dtype is not None else "undefined"
    text = _NAMES.get(text, text)
    if t.kind in ("tensor", "sparse"):
        return f"tensor({text})" if t.kind == "tensor" else f"sparse_tensor({text})"
    inner = type_name(t.elem) if t.elem is not None else "undefined"
    return f"map({text},{inner})" if t.kind == "map" else f"{_KINDS.get(t.kind, t.kind)}({inner})"


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

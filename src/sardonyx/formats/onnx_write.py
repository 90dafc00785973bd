"""Graph to ModelProto: what is unchanged is written as it came, what changed is written anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.formats.message import Message
from sardonyx.formats.onnx_read import VALUE_FIELDS, GraphExtra, ModelExtra, NodeExtra, read_opsets
from sardonyx.formats.onnx_tables import ENUMS, IR_VERSION, OPSET_IR
from sardonyx.formats.onnx_tensor import write_sparse, write_tensor
from sardonyx.formats.onnx_type import Info, write_info, write_type
from sardonyx.graph.ir import Function, Graph, Node, Type, Value, subgraphs
from sardonyx.graph.make import AttributeRef, attribute_fields
from sardonyx.graph.op import Op, Opaque, domain_of

KINDS = ENUMS["AttributeProto.AttributeType"]
_LOOSE_INITIALIZERS = 4
_FUNCTIONS = 8


def write_model(graph: Graph) -> Message:
    """The ModelProto of a main graph."""
    extra = graph.extra if isinstance(graph.extra, ModelExtra) else None
    model = extra.model.copy() if extra is not None else _new_model()
    model.put("graph", write_graph(graph, main=True))
    if extra is None or graph.opsets != extra.opsets:
        model.put("opset_import", _opsets(graph.opsets))
    if extra is None or graph.meta != extra.meta:
        model.put("metadata_props", write_pairs(graph.meta))
    model.put("functions", [_write_function(f) for f in graph.functions.values()])
    needed = _needed_ir(graph, extra)
    if needed and (needed > model.number("ir_version") or _is_older(graph, extra)):
        model.put("ir_version", needed)
    return model


def _new_model() -> Message:
    return Message("ModelProto", {"ir_version": _LOOSE_INITIALIZERS, "producer_name": "sardonyx"})


def _needed_ir(graph: Graph, extra: ModelExtra | None) -> int:
    """The IR version that what was added since loading asks for; 0 for an untouched model."""
    inputs, older = set(graph.inputs), _is_older(graph, extra)
    needed = 0
    if extra is None or graph.opsets != extra.opsets:
        version = graph.opsets.get("", 1)
        known = [ir for opset, ir in OPSET_IR.items() if opset >= version]
        needed = min(known, default=IR_VERSION)
    known_names = extra.names if extra is not None and not older else {}
    inner = (body for node in graph.nodes for body in subgraphs(node.op))
    if older and any(body.initializers for body in inner):
        needed = max(needed, _LOOSE_INITIALIZERS)
    if any(v not in inputs and n not in known_names for n, v in graph.initializers.items()):
        needed = max(needed, _LOOSE_INITIALIZERS)
    had_functions = extra is not None and extra.model.has("functions") and not older
    return max(needed, _FUNCTIONS) if graph.functions and not had_functions else needed


def _is_older(graph: Graph, extra: ModelExtra | None) -> bool:
    """Whether the model is one of an older opset of ai.onnx than when it was loaded."""
    return extra is not None and graph.opsets.get("", 1) < extra.opsets.get("", 1)


def _opsets(opsets: dict[str, int]) -> list[Message]:
    entries = []
    for domain, version in opsets.items():
        entry = Message("OperatorSetIdProto")
        entry.put("domain", domain)
        entry.put("version", version)
        entries.append(entry)
    return entries


def write_pairs(pairs: dict[str, str]) -> list[Message]:
    """A dict as StringStringEntryProtos."""
    return [
        Message("StringStringEntryProto", {"key": key, "value": value})
        for key, value in pairs.items()
    ]


def write_graph(graph: Graph, *, main: bool = False) -> Message:
    """The GraphProto of a graph; the main one's metadata are the model's."""
    extra = graph.extra if isinstance(graph.extra, GraphExtra) else None
    message = extra.message.copy() if extra is not None else Message("GraphProto")
    known = extra or GraphExtra(message)
    _put_text(message, "name", graph.name, known.name)
    _put_text(message, "doc_string", graph.doc, known.doc)
    if not main and graph.meta != known.meta:
        message.put("metadata_props", write_pairs(graph.meta))
    message.put("input", _declare(graph.inputs, known.inputs))
    message.put("output", _declare(graph.outputs, known.outputs))
    message.put("node", [write_node(node) for node in graph.nodes])
    _put_initializers(message, graph)
    _put_value_info(message, graph, known)
    _put_annotations(message, graph, known)
    return message


def _declare(values: list[Value], known: list[tuple[Value, Info]]) -> list[Message]:
    """The declarations of values, each the one it came with, by place or else by value."""
    first = dict(reversed(known))
    declared = []
    for place, value in enumerate(values):
        stood = place < len(known) and known[place][0] is value
        info = known[place][1] if stood else first.get(value)
        declared.append(write_info(value.name, value.type, info))
    return declared


def _put_text(message: Message, name: str, value: str, before: str) -> None:
    if value != before:
        message.put(name, value or None)


def _put_initializers(message: Message, graph: Graph) -> None:
    dense: list[Message] = []
    sparse: list[Message] = []
    for value in graph.initializers.values():
        held = value.const
        if isinstance(held, SparseTensor):
            named = dataclasses.replace(held, values=held.values.renamed(value.name))
            sparse.append(write_sparse(held if held.name == value.name else named))
        elif held is not None:
            dense.append(
                write_tensor(held if held.name == value.name else held.renamed(value.name))
            )
    message.put("initializer", dense)
    message.put("sparse_initializer", sparse)


def _put_value_info(message: Message, graph: Graph, known: GraphExtra) -> None:
    if not message.has("value_info"):
        return
    present = set(graph.values())
    kept: list[Message] = []
    seen: set[str] = set()
    for declared in message.children("value_info"):
        name = declared.text("name")
        entry = known.inner.get(name)
        if entry is None or name in seen:
            kept.append(declared)
        elif entry[0] in present:
            kept.append(write_info(entry[0].name, entry[0].type, entry[1]))
        seen.add(name)
    message.put("value_info", kept)


def _put_annotations(message: Message, graph: Graph, known: GraphExtra) -> None:
    if not message.has("quantization_annotation"):
        return
    present = set(graph.values())
    kept = []
    for note in message.children("quantization_annotation"):
        value = known.names.get(note.text("tensor_name"))
        if value is not None and value not in present:
            continue
        if value is not None and value.name != note.text("tensor_name"):
            note = note.copy()
            note.put("tensor_name", value.name)
        kept.append(note)
    message.put("quantization_annotation", kept)


def _names(values: tuple[Value | None, ...]) -> list[str]:
    return ["" if v is None else v.name for v in values]


def write_node(node: Node) -> Message:
    """The NodeProto of a node; its own where it came with one and stayed as it was."""
    extra = node.extra if isinstance(node.extra, NodeExtra) else None
    message = extra.message.copy() if extra is not None else Message("NodeProto")
    before = extra or NodeExtra(message, Op(), "", "", {})
    message.put("input", _names(node.inputs))
    message.put("output", _names(node.outputs))
    _put_text(message, "name", node.name, before.name)
    _put_text(message, "doc_string", node.doc, before.doc)
    if node.meta != before.meta:
        message.put("metadata_props", write_pairs(node.meta))
    if node.op is before.op:
        _refresh_subgraphs(message, node.op)
    else:
        _put_op(message, node.op, before.op if extra is not None else None)
    return message


def _refresh_subgraphs(message: Message, op: Op) -> None:
    """Write the graphs among the attributes again, since a graph may change in place."""
    if not any(a.has("g") or a.has("graphs") for a in message.children("attribute")):
        return
    values = op.attributes()
    fresh = []
    for attribute in message.children("attribute"):
        value = values.get(attribute.text("name"))
        if isinstance(value, Graph):
            attribute = attribute.copy()
            attribute.put("g", write_graph(value))
        elif attribute.has("graphs") and isinstance(value, tuple):
            attribute = attribute.copy()
            attribute.put("graphs", [write_graph(g) for g in value])
        fresh.append(attribute)
    message.put("attribute", fresh)


def _put_op(message: Message, op: Op, before: Op | None) -> None:
    """Write an op that is not the one that was read, keeping the attributes that are the same."""
    message.put("op_type", op.op_type)
    message.put("domain", domain_of(op) or None)
    message.put("overload", (op.overload or None) if isinstance(op, Opaque) else None)
    same = before is not None and (before.op_type, domain_of(before)) == (op.op_type, domain_of(op))
    old = {a.text("name"): a for a in message.children("attribute")} if same else {}
    was = before.attributes() if before is not None and same else {}
    hints = {} if isinstance(op, Opaque) else attribute_fields(type(op))
    written = []
    for name, value in op.attributes().items():
        hint = hints.get(name)
        if name in was and was[name] is value and not _holds_graph(value):
            if name in old:
                written.append(old[name])
            if name in old or hint is None:
                continue
        if hint is not None and not _holds_graph(value) and hint.default == value:
            continue
        written.append(write_attribute(name, value, str(hint.type) if hint else ""))
    message.put("attribute", written)


def _holds_graph(value: Any) -> bool:
    return any(isinstance(v, Graph) for v in (value if isinstance(value, tuple) else (value,)))


def write_attribute(name: str, value: Any, hint: str = "") -> Message:
    """The AttributeProto of a value; `hint` is the annotation of its field, for empty tuples."""
    message = Message("AttributeProto", {"name": name})
    if isinstance(value, AttributeRef):
        message.put("ref_attr_name", value.name)
        message.put("type", KINDS.get(value.kind))
        return message
    many = isinstance(value, tuple | list)
    kind = _kind_of(value[0] if many and value else None if many else value, hint, name)
    convert = _CONVERT[kind]
    message.put("type", KINDS[kind + "S" if many else kind])
    field_name = VALUE_FIELDS[kind + "S" if many else kind]
    message.put(field_name, [convert(v) for v in value] if many else convert(value))
    return message


def _kind_of(value: Any, hint: str, name: str) -> str:
    for word, kind in (("float", "FLOAT"), ("int", "INT"), ("str", "STRING")):
        if word in hint and (value is None or isinstance(value, bool | int | float | str)):
            return kind
    for types, kind in _KINDS_BY_TYPE:
        if isinstance(value, types):
            return kind
    if value is None:
        return "INT"
    raise InvalidArgument(
        "E0132", f"the attribute `{name}` cannot be stored in ONNX", given=type(value).__name__
    )


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


_KINDS_BY_TYPE: tuple[tuple[Any, str], ...] = (
    ((bool, int, DType), "INT"),
    (float, "FLOAT"),
    ((str, bytes), "STRING"),
    (Tensor, "TENSOR"),
    (SparseTensor, "SPARSE_TENSOR"),
    (Graph, "GRAPH"),
    (Type, "TYPE_PROTO"),
)
_CONVERT: dict[str, Callable[[Any], Any]] = {
    "INT": lambda v: v.value if isinstance(v, DType) else int(v),
    "FLOAT": float,
    "STRING": _text,
    "TENSOR": write_tensor,
    "SPARSE_TENSOR": write_sparse,
    "GRAPH": write_graph,
    "TYPE_PROTO": write_type,
}


def _write_function(function: Function) -> Message:
    body = function.body
    extra = body.extra if isinstance(body.extra, GraphExtra) else None
    if extra is None or extra.message.kind != "FunctionProto":
        message = Message("FunctionProto")
        message.put("opset_import", _opsets(body.opsets))
        extra = GraphExtra(message)
    message = extra.message.copy()
    _put_text(message, "doc_string", body.doc, extra.doc)
    if (function.domain or "ai.onnx") != (message.text("domain") or "ai.onnx"):
        message.put("domain", function.domain)
    _put_text(message, "name", function.name, message.text("name"))
    _put_text(message, "overload", function.overload, message.text("overload"))
    message.put("input", [v.name for v in body.inputs])
    message.put("output", [v.name for v in body.outputs])
    message.put("attribute", list(function.attributes))
    if {a.text("name") for a in message.children("attribute_proto")} != set(function.defaults):
        defaults = [write_attribute(name, value) for name, value in function.defaults.items()]
        message.put("attribute_proto", defaults)
    message.put("node", [write_node(node) for node in body.nodes])
    said = read_opsets(message)
    now = {domain: body.opsets.get(domain, version) for domain, version in said.items()}
    if now != said:
        message.put("opset_import", _opsets(now))
    if body.meta != extra.meta:
        message.put("metadata_props", write_pairs(body.meta))
    _put_value_info(message, body, extra)
    return message

"""ModelProto to Graph: names become values, attributes become fields of ops.

Reading is tolerant and loses nothing: a name that nothing produces becomes a value without
producer, an attribute that no class knows leaves its node Opaque. The checker judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sardonyx.ops  # noqa: F401 - importing it is what makes the operators known
from sardonyx.core.errors import InvalidGraph, InvalidProtobuf
from sardonyx.core.expr import const
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.formats.message import Message
from sardonyx.formats.onnx_tables import ENUMS
from sardonyx.formats.onnx_tensor import read_sparse, read_tensor
from sardonyx.formats.onnx_type import Info, read_type
from sardonyx.graph.ir import Function, Graph, Node, Type, Value
from sardonyx.graph.make import AttributeRef, make_op
from sardonyx.graph.op import Op

KIND_NAMES = {number: name for name, number in ENUMS["AttributeProto.AttributeType"].items()}
VALUE_FIELDS = {
    "FLOAT": "f",
    "INT": "i",
    "STRING": "s",
    "TENSOR": "t",
    "GRAPH": "g",
    "SPARSE_TENSOR": "sparse_tensor",
    "TYPE_PROTO": "tp",
    "FLOATS": "floats",
    "INTS": "ints",
    "STRINGS": "strings",
    "TENSORS": "tensors",
    "GRAPHS": "graphs",
    "SPARSE_TENSORS": "sparse_tensors",
    "TYPE_PROTOS": "type_protos",
}


@dataclass(eq=False)
class NodeExtra:
    """A node's NodeProto and what the node was when it was read."""

    message: Message
    op: Op
    name: str
    doc: str
    meta: dict[str, str]


@dataclass(eq=False)
class GraphExtra:
    """A graph's GraphProto or FunctionProto and how its values were declared."""

    message: Message
    inputs: list[tuple[Value, Info]] = field(default_factory=list)
    outputs: list[tuple[Value, Info]] = field(default_factory=list)
    inner: dict[str, tuple[Value, Info]] = field(default_factory=dict)
    names: dict[str, Value] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    doc: str = ""
    name: str = ""


@dataclass(eq=False)
class ModelExtra(GraphExtra):
    """The main graph's GraphProto, and the ModelProto around it."""

    model: Message = field(default_factory=lambda: Message("ModelProto"))
    opsets: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Scope:
    """The names visible in a graph: its own, then those of the graphs around it."""

    own: dict[str, Value] = field(default_factory=dict)
    outer: Scope | None = None

    def find(self, name: str) -> Value:
        """The value of that name; a new one without producer where there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.own:
                return scope.own[name]
            scope = scope.outer
        return self.own.setdefault(name, Value(name))


def read_model(model: Message, limits: Limits) -> Graph:
    """The main graph of a ModelProto whose external tensors are resolved."""
    message = model.child("graph")
    if message is None:
        raise InvalidProtobuf("E0102", "the file holds no graph, so it is no ONNX model")
    reader = Reader(limits)
    opsets = read_opsets(model)
    reader.functions = {_key(f) for f in model.children("functions")}
    extra = ModelExtra(message, model=model, opsets=dict(opsets))
    graph = reader.graph(message, None, opsets, extra)
    graph.meta = read_pairs(model.children("metadata_props"))
    graph.overridable = model.number("ir_version") >= 4
    extra.meta = dict(graph.meta)
    for item in model.children("functions"):
        found = reader.function(item, opsets)
        graph.functions[found.domain, found.name, found.overload] = found
    if len(graph.functions) != len(model.children("functions")):
        raise InvalidGraph("E0130", "two functions have the same domain, name and overload")
    return graph


def read_opsets(message: Message) -> dict[str, int]:
    """The imported opset of each domain; the highest where one is imported twice."""
    found: dict[str, int] = {}
    for entry in message.children("opset_import"):
        domain = _domain(entry.text("domain"))
        found[domain] = max(found.get(domain, 0), entry.number("version"))
    if not found and message.number("ir_version") < 3:
        found[""] = 1
    return found


def read_pairs(entries: list[Message]) -> dict[str, str]:
    """StringStringEntryProtos as a dict."""
    return {entry.text("key"): entry.text("value") for entry in entries}


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _key(message: Message) -> tuple[str, str, str]:
    return _domain(message.text("domain")), message.text("name"), message.text("overload")


class Reader:
    """One pass over a model's graphs, counting what it meets against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.functions: set[tuple[str, str, str]] = set()
        self._nodes = 0
        self._initializers = 0

    def graph(
        self,
        message: Message,
        outer: Scope | None,
        opsets: dict[str, int],
        extra: GraphExtra | None = None,
    ) -> Graph:
        """A GraphProto within the names of `outer`."""
        extra = extra or GraphExtra(message)
        graph = Graph(message.text("name"), doc=message.text("doc_string"), opsets=dict(opsets))
        graph.meta = read_pairs(message.children("metadata_props"))
        graph.extra = extra
        extra.doc, extra.meta, extra.name = graph.doc, dict(graph.meta), graph.name
        scope = Scope(outer=outer)
        for declared in message.children("input"):
            value = self._declared(declared)
            value = scope.own.setdefault(value.name, value)
            extra.inputs.append((value, Info(declared, value.type)))
            graph.inputs.append(value)
        self._read_initializers(message, graph, scope)
        self._read_nodes(message, graph, scope)
        self._declare(message, graph, extra)
        for declared in message.children("output"):
            value = scope.find(declared.text("name"))
            kind = self._declared(declared).type
            if value.type == Type():
                value.type = kind
            elif kind.dtype not in (None, value.type.dtype) and value.type.dtype is not None:
                said = f"the output `{value.name}` is declared with two types"
                raise InvalidGraph("E0332", said, given=kind, wanted=value.type)
            extra.outputs.append((value, Info(declared, value.type)))
            graph.outputs.append(value)
        return graph

    def function(self, message: Message, model_opsets: Mapping[str, int]) -> Function:
        """A FunctionProto; its body is a graph of its own."""
        opsets = {**model_opsets, **read_opsets(message)}
        domain, name, overload = _key(message)
        extra = GraphExtra(message, doc=message.text("doc_string"), name=name)
        body = Graph(name, doc=extra.doc, opsets=opsets, extra=extra)
        extra.meta = read_pairs(message.children("metadata_props"))
        body.meta = dict(extra.meta)
        scope = Scope()
        body.inputs = [scope.own.setdefault(n, Value(n)) for n in message.texts("input")]
        self._read_nodes(message, body, scope)
        self._declare(message, body, extra)
        body.outputs = [scope.find(n) for n in message.texts("output")]
        defaults = {
            a.text("name"): self.attribute(a, scope, opsets)
            for a in message.children("attribute_proto")
        }
        required = tuple(message.texts("attribute"))
        return Function(domain, name, body, overload, required, defaults)

    def _declared(self, message: Message) -> Value:
        name = message.text("name")
        return Value(name, read_type(message.child("type"), name, self.limits))

    def _read_initializers(self, message: Message, graph: Graph, scope: Scope) -> None:
        dense, sparse = message.children("initializer"), message.children("sparse_initializer")
        self._initializers += len(dense) + len(sparse)
        self.limits.check_initializers(self._initializers)
        for item in dense:
            tensor = read_tensor(item, self.limits)
            self._initialize(graph, scope, tensor, tensor.shape)
        for item in sparse:
            zeros = read_sparse(item, self.limits)
            self._initialize(graph, scope, zeros, zeros.dims)

    def _initialize(
        self, graph: Graph, scope: Scope, tensor: Tensor | SparseTensor, dims: tuple[int, ...]
    ) -> None:
        name = tensor.name
        if name in graph.initializers:
            raise InvalidGraph("E0130", "two initializers have the same name", tensor=name)
        value = scope.own.get(name)
        if value is None:
            kind = Type(tensor.dtype, tuple(const(d) for d in dims))
            value = scope.own[name] = Value(name, kind)
        value.const = tensor
        graph.initializers[name] = value

    def _read_nodes(self, message: Message, graph: Graph, scope: Scope) -> None:
        nodes = message.children("node")
        self._nodes += len(nodes)
        self.limits.check_nodes(self._nodes)
        outputs = [self._outputs(item, scope) for item in nodes]
        for item, made in zip(nodes, outputs, strict=True):
            self._read_node(item, made, graph, scope)

    def _outputs(self, message: Message, scope: Scope) -> list[Value | None]:
        made: list[Value | None] = []
        for name in message.texts("output"):
            value = Value(name) if name else None
            if value is not None:
                scope.own.setdefault(name, value)
            made.append(value)
        return made

    def _read_node(
        self, message: Message, outputs: list[Value | None], graph: Graph, scope: Scope
    ) -> Node:
        op = self.op(message, len(outputs), scope, graph.opsets)
        inputs = [scope.find(name) if name else None for name in message.texts("input")]
        meta = read_pairs(message.children("metadata_props"))
        name, doc = message.text("name"), message.text("doc_string")
        node = graph.append(op, inputs, outputs, name, doc, meta)
        node.extra = NodeExtra(message, op, name, doc, meta)
        return node

    def op(self, message: Message, outputs: int, scope: Scope, opsets: dict[str, int]) -> Op:
        """The op of a NodeProto; Opaque for a call of a model-local function."""
        domain = _domain(message.text("domain"))
        name, overload = message.text("op_type"), message.text("overload")
        settings = {
            item.text("name"): self.attribute(item, scope, opsets)
            for item in message.children("attribute")
        }
        called = (domain, name, overload) in self.functions
        opset = None if called else opsets.get(domain)
        return make_op(domain, name, opset, settings, overload=overload, outputs=outputs)

    def attribute(self, message: Message, scope: Scope, opsets: dict[str, int]) -> Any:
        """The value of an AttributeProto; InvalidProtobuf when it has none that its type wants."""
        kind = _attribute_kind(message)
        if message.text("ref_attr_name"):
            return AttributeRef(message.text("ref_attr_name"), kind)
        field_name = VALUE_FIELDS[kind]
        convert = self._converter(kind.removesuffix("S"), scope, opsets)
        value = message.fields.get(field_name)
        if kind.endswith("S"):
            return _each(convert, value or ())
        if value is None:
            value = {"FLOAT": 0.0, "INT": 0, "STRING": b""}.get(kind)
        if value is None:
            raise InvalidProtobuf(
                "E0131", f"the attribute `{message.text('name')}` has no value of its type {kind}"
            )
        return convert(value)

    def _converter(self, kind: str, scope: Scope, opsets: dict[str, int]) -> Callable[[Any], Any]:
        limits = self.limits
        converters: dict[str, Callable[[Any], Any]] = {
            "FLOAT": float,
            "INT": int,
            "STRING": lambda data: data.decode("utf-8", "surrogateescape"),
            "TENSOR": lambda item: read_tensor(item, limits),
            "SPARSE_TENSOR": lambda item: read_sparse(item, limits),
            "TYPE_PROTO": lambda item: read_type(item, "", limits),
            "GRAPH": lambda item: self.graph(item, scope, opsets),
        }
        return converters[kind]

    def _declare(self, message: Message, graph: Graph, extra: GraphExtra) -> None:
        """Give the graph's own values the types that `value_info` declares for them."""
        for known in graph.values():
            extra.names.setdefault(known.name, known)
        for declared in message.children("value_info"):
            name = declared.text("name")
            value = extra.names.get(name)
            if value is None or name in extra.inner:
                continue
            if value.type == Type():
                value.type = read_type(declared.child("type"), name, self.limits)
            extra.inner[name] = (value, Info(declared, value.type))


def _each(convert: Callable[[Any], Any], values: Sequence[Any]) -> tuple[Any, ...]:
    """The items of a list converted; of texts each once, since long lists have few."""
    if values and isinstance(values[0], bytes):
        known = {value: convert(value) for value in set(values)}
        return tuple(map(known.__getitem__, values))
    return tuple(map(convert, values))


def _attribute_kind(message: Message) -> str:
    """The type in ONNX's words; from the field that is set where no known type is given."""
    kind = KIND_NAMES.get(message.number("type"), "UNDEFINED")
    if kind != "UNDEFINED":
        return kind
    for name, field_name in VALUE_FIELDS.items():
        if message.has(field_name):
            return name
    if message.text("ref_attr_name"):
        return "UNDEFINED"
    raise InvalidProtobuf("E0131", f"the attribute `{message.text('name')}` has no value")

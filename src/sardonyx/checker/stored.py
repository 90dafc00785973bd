"""What the standard wants of the messages of a file: fields that must be set, and only once.

Sessions read past all of this, since nothing of it makes two readings of a model possible; the
standard, and its own checker, refuse such models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sardonyx.core.errors import ExternalDataError
from sardonyx.formats.message import Message, find_all
from sardonyx.formats.onnx_read import KIND_NAMES, VALUE_FIELDS, read_opsets
from sardonyx.formats.onnx_tables import IR_VERSION
from sardonyx.formats.onnx_tensor import EXTERNAL
from sardonyx.formats.onnx_type import dims_of
from sardonyx.graph.check import Finding
from sardonyx.graph.make import attribute_fields
from sardonyx.graph.op import find
from sardonyx.passes.allowed import since

# IR versions from which on opsets are imported, attributes have types, initializers need not be
# inputs, functions are part of a model.
_OPSETS, _TYPED, _LOOSE, _FUNCTIONS = 3, 2, 4, 8
_FIELDS = {
    "int": "INT", "float": "FLOAT", "str": "STRING", "Tensor": "TENSOR", "Graph": "GRAPH",
    "SparseTensor": "SPARSE_TENSOR", "Type": "TYPE_PROTO", "tuple[int, ...]": "INTS",
    "tuple[float, ...]": "FLOATS", "tuple[str, ...]": "STRINGS", "tuple[Tensor, ...]": "TENSORS",
}  # fmt: skip
_WANTED = {
    "tensor_type": ("elem_type", "shape"),
    "sparse_tensor_type": ("elem_type", "shape"),
    "sequence_type": ("elem_type",),
    "optional_type": ("elem_type",),
    "map_type": ("key_type", "value_type"),
    "opaque_type": ("name",),
}

Opsets = dict[str, int]


def stored(model: Message) -> list[Finding]:
    """What is wrong with a ModelProto."""
    return list(_Stored(model).model())


def _missing(what: str, **where: Any) -> Finding:
    return Finding("error", "E0316", what, **where)


def _twice(names: Iterable[str], what: str) -> Iterator[Finding]:
    for name, count in Counter(names).items():
        if count > 1:
            yield Finding("error", "E0317", f"{what} `{name}` stands there {count} times")


class _Stored:
    """One walk over a model's messages."""

    def __init__(self, model: Message) -> None:
        self.message, self.ir = model, model.number("ir_version")
        functions = model.children("functions")
        self.functions = {(f.text("domain"), f.text("name"), f.text("overload")) for f in functions}

    def model(self) -> Iterator[Finding]:
        """The model, its graph and functions."""
        model, opsets = self.message, read_opsets(self.message)
        yield from self.versions()
        keys = (entry.text("key") for entry in model.children("metadata_props"))
        yield from _twice(keys, "the metadata key")
        for tensor in find_all(model, "TensorProto"):
            yield from _elsewhere(tensor)
        graph = model.child("graph")
        assert graph is not None
        yield from self.graph(graph, opsets, main=True)
        if self.ir >= _FUNCTIONS:
            known = dict(opsets)
            for function in model.children("functions"):
                known = {**_own(function), **known}
            for function in model.children("functions"):
                yield from self.function(function, known)

    def versions(self) -> Iterator[Finding]:
        """The IR version and the opsets."""
        imports = self.message.children("opset_import")
        if self.ir <= 0:
            yield _missing("the model has no IR version")
        elif self.ir > IR_VERSION:
            said = f"IR version {self.ir} is newer than {IR_VERSION}"
            yield Finding("error", "E0308", said, hint="save the model with an older one")
        elif self.ir < _OPSETS and imports:
            said = f"a model of IR version {self.ir} imports no opsets"
            yield Finding("error", "E0311", said, hint=f"give it IR version {_OPSETS} or newer")
        elif self.ir >= _OPSETS and not imports:
            yield _missing("the model imports no opset")
        pairs = {(entry.text("domain"), entry.number("version")) for entry in imports}
        yield from _twice((domain for domain, _ in pairs), "an opset of the domain")

    def graph(self, graph: Message, opsets: Opsets, *, main: bool = False) -> Iterator[Finding]:
        """A graph with its subgraphs."""
        if not graph.text("name"):
            yield _missing("a graph has no name")
        for side in ("input", "output"):
            for declared in graph.children(side):
                yield from self.declared(declared, side, main)
        yield from _contradicted(graph)
        yield from self.initializers(graph)
        for node in graph.children("node"):
            yield from self.node(node, opsets, main=main)

    def initializers(self, graph: Message) -> Iterator[Finding]:
        """Names of initializers."""
        inputs = {declared.text("name") for declared in graph.children("input")}
        for tensor in graph.children("initializer"):
            name = tensor.text("name")
            if not name:
                yield _missing("an initializer has no name")
            elif self.ir < _LOOSE and name not in inputs:
                said = f"before IR version {_LOOSE} an initializer is an input too"
                yield Finding("error", "E0311", said, tensor=name)
        for sparse in graph.children("sparse_initializer"):
            values = sparse.child("values")
            if values is None or not values.text("name"):
                yield _missing("an initializer has no name")

    def declared(self, declared: Message, side: str, main: bool) -> Iterator[Finding]:
        """An input or output; those of subgraphs may lack a type."""
        name = declared.text("name")
        if not name:
            yield _missing(f"an {side} has no name")
        kind = declared.child("type")
        if not main:
            return
        found = next((f for f in _WANTED if kind is not None and kind.has(f)), None)
        if kind is None or found is None:
            yield _missing(f"the {side} has no type", tensor=name)
            return
        inner = kind.child(found)
        assert inner is not None
        for wanted in _WANTED[found]:
            undefined = not inner.fields.get(wanted) and (wanted, side) != ("elem_type", "output")
            if undefined or not inner.has(wanted):
                yield _missing(f"the {side} has no {wanted.replace('_', ' ')}", tensor=name)
        shape = inner.child("shape") if inner.has("shape") else None
        for dim in () if shape is None else shape.children("dim"):
            if dim.number("dim_value") < 0:
                said = f"a dim of the {side} is declared {dim.number('dim_value')}"
                yield Finding("error", "E0331", said, tensor=name)

    def node(self, node: Message, opsets: Opsets, *, main: bool) -> Iterator[Finding]:
        """A node and its attributes."""
        where: dict[str, Any] = {"node": node.text("name") or None, "op": node.text("op_type")}
        if not node.text("op_type"):
            yield _missing("a node has no operator", **where)
        elif self.called(node) and node.text("domain") not in opsets:
            said = f"no opset of `{node.text('domain')}` is imported"
            yield Finding("error", "E0307", said, **where)
        elif not node.has("input") and not node.has("output"):
            yield _missing("the node has neither inputs nor outputs", **where)
        names = (a.text("name") for a in node.children("attribute"))
        for found in _twice(names, "the attribute"):
            yield Finding("error", found.code, found.message, **where)
        for attribute in node.children("attribute"):
            for said in self.attribute(attribute, self.fields(node, opsets), main):
                yield Finding("error", "E0309", said, **where)
            yield from self.subgraphs(attribute, opsets)

    def called(self, node: Message) -> bool:
        """Whether a node calls a function of the model."""
        return (node.text("domain"), node.text("op_type"), node.text("overload")) in self.functions

    def subgraphs(self, attribute: Message, opsets: Opsets) -> Iterator[Finding]:
        """The graphs of an attribute."""
        one = attribute.child("g")
        for graph in (*([] if one is None else [one]), *attribute.children("graphs")):
            yield from self.graph(graph, opsets)

    def fields(self, node: Message, opsets: Opsets) -> dict[str, str]:
        """The types of an operator's attributes, in ONNX's words."""
        domain, name = node.text("domain"), node.text("op_type")
        opset = opsets.get("" if domain == "ai.onnx" else domain)
        if opset is None or self.called(node):
            return {}
        kind = find(domain, name, opset)
        fields = {} if kind is None else attribute_fields(kind)
        return {n: _FIELDS.get(str(f.type).removesuffix(" | None"), "") for n, f in fields.items()}

    def attribute(self, message: Message, fields: dict[str, str], main: bool) -> Iterator[str]:
        """What is wrong with an attribute in itself, and with its type."""
        name = message.text("name")
        if not name:
            yield "an attribute has no name"
        kind = KIND_NAMES.get(message.number("type"), "UNDEFINED")
        if not message.has("type") and self.ir >= _TYPED:
            yield f"the attribute `{name}` says no type"
        held = [k for k, f in VALUE_FIELDS.items() if message.fields.get(f, ()) not in ((), [])]
        if len(held) > 1 or (held and message.has("type") and held[0] != kind):
            yield f"the attribute `{name}` says {kind} and holds {', '.join(held)}"
        wanted = fields.get(name)
        if wanted and message.has("type") and kind != wanted:
            yield f"the attribute `{name}` says {kind}, wanted {wanted}"
        refers = message.text("ref_attr_name")
        if refers and held:
            yield f"the attribute `{name}` has a value, and refers to `{refers}`"
        if refers and main:
            yield f"the attribute `{name}` refers to `{refers}`, where there is no function"

    def function(self, function: Message, model: Opsets) -> Iterator[Finding]:
        """A function; `model` are the opsets of the model and, where it has none, its functions."""
        name = function.text("name")
        for field in ("name", "domain"):
            if not (function.text(field) or (field == "domain" and function.has(field))):
                yield _missing(f"a function has no {field}", op=name or None)
        yield from _twice(function.texts("output"), f"of the function {name} the output")
        yield from _twice(function.texts("attribute"), f"of the function {name} the attribute")
        own = _own(function)
        for node in function.children("node"):
            yield from self.node(node, own, main=False)
            yield from self.imported(node, own, model)

    def imported(self, node: Message, own: Opsets, model: Opsets) -> Iterator[Finding]:
        """Whether a function's opset means what the model's does by its node."""
        domain, name = node.text("domain"), node.text("op_type")
        where: dict[str, Any] = {"node": node.text("name") or None, "op": name}
        opset = own.get(domain)
        if opset is None:
            said = f"the function imports no opset of `{domain or 'ai.onnx'}`"
            yield Finding("error", "E0307", said, **where)
            return
        if since(domain, name, opset) != since(domain, name, model.get(domain, opset)):
            said = f"the function imports opset {opset}, the model {model[domain]}: not the same"
            yield Finding("error", "E0311", f"{said} {name}", **where)


def _contradicted(graph: Message) -> Iterator[Finding]:
    """Values that are declared, or held, with several shapes."""
    sides = ("initializer", "input", "output", "value_info")
    known: dict[str, Sequence[int | str | None]] = {}
    for message in (m for side in sides for m in graph.children(side)):
        dims: Sequence[int | str | None] | None = message.numbers("dims")
        if message.kind != "TensorProto":
            dims = dims_of(message)
        name = message.text("name")
        before = known.setdefault(name, dims) if dims is not None else None
        if before is not None and dims is not None and _differ(before, dims):
            said = f"`{name}` is declared {list(before)} and {list(dims)}"
            yield Finding("error", "E0333", said, tensor=name)


def _differ(a: Sequence[int | str | None], b: Sequence[int | str | None]) -> bool:
    pairs = zip(a, b, strict=False)
    numbers = ((x, y) for x, y in pairs if isinstance(x, int) and isinstance(y, int))
    return len(a) != len(b) or any(x != y for x, y in numbers)


def _elsewhere(tensor: Message) -> Iterator[Finding]:
    """Data in a file of their own that is not there."""
    segment = tensor.source
    if tensor.number("data_location") != EXTERNAL or segment is None or segment.folder is None:
        return
    try:
        segment.folder.size(segment.location)
    except ExternalDataError as error:
        yield Finding("error", error.code, error.message, tensor=tensor.text("name") or None)


def _own(function: Message) -> Opsets:
    return {e.text("domain"): e.number("version") for e in function.children("opset_import")}

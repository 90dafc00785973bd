"""Graphs as text, printed and read back (`from_text`).

    graph    := "graph" NAME "{" item* "}"
    item     := "opset" NAME INT | "meta" STRING "=" STRING | "doc" STRING | function
              | "input" value | "const" value "=" [type] tensor | "output" value | node
    function := "function" OP ["<" param ("," param)* ">"] "(" [NAME ("," NAME)*] ")" "{" item* "}"
    param    := NAME ["=" attr]
    node     := ["[" NAME ("," STRING "=" STRING)* "]"] out ("," out)* "=" OP
                ["<" NAME "=" attr ("," NAME "=" attr)* ">"] "(" [in ("," in)*] ")"
    out      := value | "_"          in := NAME | "_"
    value    := NAME [":" type ["layout" "(" INT ("," INT)* ")"]]
    type     := DTYPE "[" ("?" | [dim ("," dim)*]) "]" | KIND ["<" DTYPE ">"] "(" type ")" | "?"
    dim      := an expression: + - * // % and calls such as max(N, 1); SYMBOL [">=" LOWEST]
    OP       := [DOMAIN "::"] NAME ["@" SINCE] | DOMAIN "::" NAME "::" OVERLOAD
    attr     := INT | FLOAT | STRING | "[" attr* "]" | "tensor" type tensor | "type" "(" type ")"
              | "&" NAME ":" KIND (the calling function's attribute) | graph | "dtype" DTYPE
    tensor   := "{" element ("," element)* "}" | "#" DIGEST

A NAME is bare where it is letters, digits, `_`, `.` and `/` and no keyword, else a JSON string. A
tensor of more than 32 elements is its digest; the elements are in a table beside the text.
`Op@13` is printed where the op is not the one that the graph's opset says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.expr import Expr, name_of, written
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Function, Graph, Node, Type, Value
from sardonyx.graph.make import AttributeRef
from sardonyx.graph.op import Op, Opaque, domain_of, find
from sardonyx.graph.parse import KEYWORDS, from_text

__all__ = ["digest", "from_text", "line", "show_type", "tensors", "to_text"]

INLINE = 32
_BARE = re.compile(r"(?!//)[A-Za-z0-9_./]+")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_text(graph: Graph, *, meta: bool = True) -> str:
    """The text of a graph; `tensors(graph)` is the table of its large tensors.

    Without `meta` the nodes' metadata (stack traces and the like) are left out.
    """
    return "\n".join(_Printer(meta).graph(graph)) + "\n"


def tensors(graph: Graph) -> dict[str, Tensor | SparseTensor]:
    """The tensors that the text names by digest."""
    found: dict[str, Tensor | SparseTensor] = {}
    for body in (graph, *(f.body for f in graph.functions.values())):
        for inner in bodies(body):
            held: list[Any] = [v.const for v in inner.initializers.values()]
            for node in inner.nodes:
                held.extend(node.op.attributes().values())
            for item in held:
                if isinstance(item, Tensor | SparseTensor) and not _is_inline(item):
                    found[digest(item)] = item
    return found


def digest(tensor: Tensor | SparseTensor) -> str:
    """The name of a tensor's content: type, dims and elements."""
    parts = (tensor,) if isinstance(tensor, Tensor) else (tensor.values, tensor.indices)
    found = blake2b(digest_size=12)
    for part in parts:
        found.update(f"{part.dtype}{part.shape}".encode())
        if part.dtype.is_string:
            found.update(json.dumps(part.numpy().reshape(-1).tolist()).encode())
        else:
            found.update(part.packed())
    return found.hexdigest()


def line(node: Node, opsets: dict[str, int] | None = None) -> str:
    """One node on one line, subgraphs left out; for messages."""
    outs = ", ".join(_name(None if v is None else v.name) for v in node.outputs)
    ins = ", ".join(_name(None if v is None else v.name) for v in node.inputs)
    return f"{outs} = {_op_name(node.op, opsets or {})}({ins})"


def _name(name: str | None) -> str:
    if name is None:
        return "_"
    if _BARE.fullmatch(name) and name != "_" and name not in KEYWORDS:
        return name
    return json.dumps(name)


class _Printer:
    """The lines of graphs, with or without the nodes' metadata."""

    def __init__(self, meta: bool) -> None:
        self.meta = meta

    def graph(self, graph: Graph) -> Iterator[str]:
        """A graph."""
        yield f"graph {_name(graph.name)} {{"
        yield from _indented(self.items(graph, graph.inputs))
        yield "}"

    def items(self, graph: Graph, inputs: Iterable[Value]) -> Iterator[str]:
        """What stands between the braces."""
        for domain, version in graph.opsets.items():
            yield f"opset {json.dumps(domain)} {version}"
        for key, text in graph.meta.items():
            yield f"meta {json.dumps(key)} = {json.dumps(text)}"
        if graph.doc:
            yield f"doc {json.dumps(graph.doc)}"
        for function in graph.functions.values():
            yield from self.function(function)
        for v in inputs:
            yield f"input {_value(v)}"
        for v in graph.initializers.values():
            assert v.const is not None
            yield f"const {_value(v)} = {_constant(v, v.const)}"
        for node in graph.nodes:
            yield from self.node(node, graph.opsets)
        for v in graph.outputs:
            yield f"output {_name(v.name)}"

    def function(self, function: Function) -> Iterator[str]:
        """A model-local function."""
        params = [_name(a) for a in function.attributes]
        for name, default in function.defaults.items():
            params.append(f"{_name(name)}={' '.join(self.attr(default))}")
        parts = [function.domain, function.name]
        parts += [function.overload] if function.overload else []
        head = "::".join(map(_name, parts))
        given = f"<{', '.join(params)}>" if params else ""
        ins = ", ".join(_name(v.name) for v in function.body.inputs)
        yield f"function {head}{given}({ins}) {{"
        yield from _indented(self.items(function.body, ()))
        yield "}"

    def node(self, node: Node, opsets: dict[str, int]) -> Iterator[str]:
        """A node."""
        meta = node.meta.items() if self.meta else ()
        notes = [f"{json.dumps(k)}={json.dumps(v)}" for k, v in meta]
        head = f"[{', '.join([_name(node.name), *notes])}] " if node.name or notes else ""
        outs = ", ".join("_" if v is None else _value(v) for v in node.outputs)
        ins = ", ".join(_name(None if v is None else v.name) for v in node.inputs)
        texts = [f"{head}{outs} = {_op_name(node.op, opsets)}"]
        attributes = node.op.attributes()
        for n, (name, value) in enumerate(attributes.items()):
            first, *rest = self.attr(value)
            texts[-1] += f"{', ' if n else '<'}{_name(name)}={first}"
            texts.extend(rest)
        texts[-1] += f">({ins})" if attributes else f"({ins})"
        yield from texts

    def attr(self, value: Any) -> list[str]:
        """An attribute's value as one line, or as several for a graph."""
        if isinstance(value, Graph):
            return list(self.graph(value))
        if isinstance(value, tuple | list):
            return _listed([self.attr(item) for item in value])
        if isinstance(value, Tensor):
            return [f"tensor {value.dtype}[{', '.join(map(str, value.shape))}] {_tensor(value)}"]
        if isinstance(value, SparseTensor):
            return [f"tensor #{digest(value)}"]
        if isinstance(value, Type):
            return [f"type({show_type(value)})"]
        if isinstance(value, AttributeRef):
            return [f"&{_name(value.name)}:{_name(value.kind)}"]
        return [f"dtype {value}"] if isinstance(value, DType) else [_plain(value)]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for text in lines:
        yield f"  {text}"


def _constant(v: Value, tensor: Tensor | SparseTensor) -> str:
    if isinstance(tensor, Tensor) and _is_inline(tensor):
        if (v.type.dtype, v.type.static_shape) != (tensor.dtype, tensor.shape):
            return f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}] {_tensor(tensor)}"
    return _tensor(tensor)


def _op_name(op: Op, opsets: dict[str, int]) -> str:
    domain = domain_of(op)
    text = f"{_name(domain)}::{_name(op.op_type)}" if domain else _name(op.op_type)
    if isinstance(op, Opaque):
        full = f"{_name(domain)}::{_name(op.op_type)}::{_name(op.overload)}"
        return full if op.overload else text
    expected = find(domain, op.op_type, opsets.get(domain, 0))
    return text if expected is type(op) else f"{text}@{type(op).since}"


def _value(v: Value) -> str:
    text = _name(v.name)
    if v.type == Type():
        return text
    layout = "" if v.layout is None else f" layout({', '.join(map(str, v.layout))})"
    return f"{text}: {show_type(v.type)}{layout}"


def show_type(t: Type) -> str:
    """A type as the text has it."""
    if t.kind in ("tensor", "sparse"):
        if t.dtype is None and t.shape is None:
            return "?"
        dims = "?" if t.shape is None else ", ".join(_expr(d) for d in t.shape)
        return f"{'sparse ' if t.kind == 'sparse' else ''}{t.dtype or '?'}[{dims}]"
    key = f"<{t.dtype}>" if t.dtype is not None else ""
    return f"{t.kind}{key}({'?' if t.elem is None else show_type(t.elem)})"


def _expr(e: Expr) -> str:
    return written(e, [_expr(a) for a in e.args], _dim)


def _dim(v: Expr) -> str:
    name = name_of(v)
    bare = _SYMBOL.fullmatch(name) and name not in ("true", "false")
    shown = name if bare else json.dumps(name)
    return shown if v.arg[1] == 1 else f"{shown}>={v.arg[1]}"


def _listed(items: list[list[str]]) -> list[str]:
    lines = ["["]
    for n, item in enumerate(items):
        lines[-1] += (", " if n else "") + item[0]
        lines.extend(item[1:])
    lines[-1] += "]"
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, bool | int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return json.dumps(text)


def _is_inline(tensor: Tensor | SparseTensor) -> bool:
    return isinstance(tensor, Tensor) and tensor.count <= INLINE and not tensor.dtype.is_complex


def _tensor(tensor: Tensor | SparseTensor) -> str:
    if not isinstance(tensor, Tensor) or not _is_inline(tensor):
        return f"#{digest(tensor)}"
    flat = tensor.numpy().reshape(-1)
    if tensor.dtype.is_string:
        items: list[Any] = flat.tolist()
    elif tensor.dtype.is_float:
        items = [float(x) for x in flat]
    else:
        items = [int(x) for x in flat]
    return "{" + ", ".join(_plain(x) for x in items) + "}"

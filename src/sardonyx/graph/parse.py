"""Reads the text form of graphs; its grammar stands in `graph.text`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, get_args

import numpy as np

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument, SardonyxError
from sardonyx.core.expr import Expr, cast, fold, symbol, unary, where
from sardonyx.core.limits import Limits
from sardonyx.core.read import Reader
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Function, Graph, Type, Value
from sardonyx.graph.make import AttributeRef, make_op
from sardonyx.graph.type import TypeKind

KEYWORDS = frozenset({
    "const", "doc", "function", "graph", "input", "meta", "opset", "output",
})  # fmt: skip
_MARKED: tuple[TypeKind, ...] = get_args(TypeKind)[1:]
Table = Mapping[str, Tensor | SparseTensor]


def from_text(text: str, tensors: Table | None = None) -> Graph:
    """The graph that a text describes; `tensors` holds those that it names by digest.

    InvalidArgument (E0345) with the line where the text breaks the grammar.
    """
    parser = _Parser(text, tensors or {})
    graph = parser.graph({}, {})
    parser.expect("")
    return graph


class _Parser(Reader):
    """One reading; `loose` are values that were read but not made yet."""

    def __init__(self, text: str, tensors: Table) -> None:
        super().__init__(text)
        self.tensors = tensors
        self.depth = 0
        self.limits = Limits.current()
        self.functions: set[tuple[str, str, str]] = set()
        self.loose: set[Value | None] = set()

    def fail(self, why: str) -> NoReturn:
        """E0345 at the present word."""
        offset = self.words[self.at][2]
        number = self.text.count("\n", 0, offset) + 1
        start = self.text.rfind("\n", 0, offset) + 1
        shown = self.text[start:].split("\n", 1)[0]
        caret = " " * (offset - start) + "^"
        raise InvalidArgument("E0345", f"line {number}: {why}\n{shown}\n{caret}")

    def missing(self, wanted: str) -> NoReturn:
        self.fail(f"expected {wanted}")

    def stray(self) -> NoReturn:
        self.fail("a character that means nothing here")

    def graph(self, outer: dict[str, Value], opsets: dict[str, int]) -> Graph:
        """A graph inside the names of `outer`."""
        self.expect("graph")
        graph = Graph(self.name(), opsets=dict(opsets))
        self.body(graph, dict(outer))
        return graph

    def body(self, graph: Graph, scope: dict[str, Value]) -> None:
        """The items between braces."""
        self.depth += 1
        self.limits.check_depth(self.depth, "graphs")
        self.expect("{")
        items: dict[str, Callable[[Graph, dict[str, Value]], None]] = {
            "opset": self.opset, "meta": self.meta, "doc": self.doc, "function": self.function,
            "input": self.input, "const": self.const, "output": self.output,
        }  # fmt: skip
        while not self.take("}"):
            kind, word, _ = self.words[self.at]
            if kind == "word" and word in items:
                self.at += 1
                items[word](graph, scope)
            else:
                self.node(graph, scope)
        self.depth -= 1

    def opset(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        del scope
        domain = self.name()
        graph.opsets[domain] = self.integer()

    def meta(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        del scope
        key = self.string()
        self.expect("=")
        graph.meta[key] = self.string()

    def doc(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        del scope
        graph.doc = self.string()

    def input(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        graph.inputs.append(self.value(scope))

    def output(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        value = self.found(scope)
        graph.outputs.append(value)
        if self.take(":"):
            value.type = self.type()

    def const(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item; gives an input of that name its default."""
        name = self.name()
        default = next((v for v in graph.inputs if v.name == name), None)
        value = default or (scope[name] if scope.get(name) in self.loose else Value(name))
        self.loose.discard(value)
        if self.take(":"):
            value.type = self.type()
        self.expect("=")
        value.const = self.tensor(value.type)
        scope[name] = graph.initializers[name] = value

    def function(self, graph: Graph, scope: dict[str, Value]) -> None:
        """An item."""
        del scope
        domain, name, overload = self.op_name()[:3]
        params = self.many(self.param, ">") if self.take("<") else []
        inner: dict[str, Value] = {}
        self.expect("(")
        body = Graph(name)
        body.inputs = self.many(lambda: self.defined(inner), ")")
        self.body(body, inner)
        needed = tuple(n for n, default in params if default is None)
        defaults = {n: default[0] for n, default in params if default is not None}
        made = Function(domain, name, body, overload, needed, defaults)
        graph.functions[domain, name, overload] = made
        self.functions.add((domain, name, overload))

    def param(self) -> tuple[str, tuple[Any] | None]:
        """An attribute of a function, with its default if it has one."""
        name = self.name()
        return name, (self.attr({}, {}),) if self.take("=") else None

    def defined(self, scope: dict[str, Value]) -> Value:
        """A value that is made here, under a new name."""
        name = self.name()
        scope[name] = value = Value(name)
        return value

    def value(self, scope: dict[str, Value]) -> Value:
        """A value that is made here, with its type and layout."""
        name = self.name()
        found = scope.get(name)
        value = found if found is not None and found in self.loose else Value(name)
        self.loose.discard(value)
        scope[name] = value
        if self.take(":"):
            value.type = self.type()
            if self.take("layout"):
                self.expect("(")
                value.layout = tuple(self.many(self.integer, ")"))
        return value

    def node(self, graph: Graph, scope: dict[str, Value]) -> None:
        """A node."""
        name, meta = "", list[tuple[str, str]]()
        if self.take("["):
            name = self.name()
            meta = self.many(self.entry, "]") if self.take(",") else []
            if not meta:
                self.expect("]")
        outs: list[Value | None] = []
        while not outs or self.take(","):
            outs.append(None if self.take("_") else self.value(scope))
        self.expect("=")
        domain, kind, overload, since = self.op_name()
        settings: dict[str, Any] = {}
        if self.take("<"):
            settings = dict(self.many(lambda: self.setting(scope, graph.opsets), ">"))
        self.expect("(")
        ins = self.many(lambda: self.read(scope), ")")
        called = (domain, kind, overload) in self.functions
        opset = None if called else since or graph.opsets.get(domain)
        op = make_op(domain, kind, opset, settings, overload=overload, outputs=len(outs))
        graph.append(op, ins, outs, name, meta=dict(meta))

    def entry(self) -> tuple[str, str]:
        """A metadata property."""
        key = self.string()
        self.expect("=")
        return key, self.string()

    def read(self, scope: dict[str, Value]) -> Value | None:
        """An input of a node."""
        return None if self.take("_") else self.found(scope)

    def found(self, scope: dict[str, Value]) -> Value:
        """The value of a name, which may be made further down."""
        name = self.name()
        if name not in scope:
            scope[name] = Value(name)
            self.loose.add(scope[name])
        return scope[name]

    def op_name(self) -> tuple[str, str, str, int | None]:
        """Domain, name, overload and version."""
        parts = [self.name()]
        while len(parts) < 3 and self.take("::"):
            parts.append(self.name())
        since = self.integer() if self.take("@") else None
        if len(parts) == 1:
            return "", parts[0], "", since
        return parts[0], parts[1], parts[2] if len(parts) > 2 else "", since

    def setting(self, scope: dict[str, Value], opsets: dict[str, int]) -> tuple[str, Any]:
        """An attribute by name."""
        name = self.name()
        self.expect("=")
        return name, self.attr(scope, opsets)

    def attr(self, scope: dict[str, Value], opsets: dict[str, int]) -> Any:
        """The value of an attribute."""
        if self.peek("graph"):
            return self.graph(scope, opsets)
        if self.take("["):
            return tuple(self.many(lambda: self.attr(scope, opsets), "]"))
        if self.take("&"):
            name = self.name()
            self.expect(":")
            return AttributeRef(name, self.name())
        if self.take("tensor"):
            return self.tensor(Type() if self.peek("#") else self.type())
        if self.take("type"):
            self.expect("(")
            found = self.type()
            self.expect(")")
            return found
        return DType.parse(self.name()) if self.take("dtype") else self.literal()

    def literal(self) -> Any:
        """A number or string."""
        kind, word, _ = self.words[self.at]
        self.next("int", "float", "string")
        if kind == "int":
            return int(word)
        return float(word) if kind == "float" else str(json.loads(word))

    def tensor(self, declared: Type) -> Tensor | SparseTensor:
        """The elements of a tensor of a declared type, or the one with a digest."""
        if self.take("#"):
            key = self.name()
            if key not in self.tensors:
                self.fail(f"no tensor with the digest {key} is given")
            return self.tensors[key]
        if not self.peek("{"):
            declared = self.type()
        self.expect("{")
        items = self.many(self.literal, "}")
        shape, dtype = declared.static_shape, declared.dtype
        if shape is None or dtype is None:
            self.fail("the type of a tensor must be known")
        try:
            if dtype.is_string:
                return Tensor.of(np.array(items, object).reshape(shape), dtype)
            return Tensor.of(np.array(items).astype(dtype.numpy).reshape(shape), dtype)
        except (SardonyxError, ValueError, TypeError, OverflowError) as problem:
            self.at -= 1
            self.fail(f"the elements do not fit: {problem}")

    def type(self) -> Type:
        """A type."""
        if self.take("?"):
            return self.dims(None, "tensor") if self.peek("[") else Type()
        kind: TypeKind = next((k for k in _MARKED if self.take(k)), "tensor")
        if kind in ("tensor", "sparse"):
            return self.dims(self.dtype(), kind)
        key = self.dtype() if self.take("<") else None
        if key is not None:
            self.expect(">")
        self.expect("(")
        elem = self.type()
        self.expect(")")
        return Type(key, kind=kind, elem=None if elem == Type() else elem)

    def dims(self, dtype: DType | None, kind: TypeKind) -> Type:
        """The dims of a tensor."""
        self.expect("[")
        if self.take("?"):
            self.expect("]")
            return Type(dtype, None, kind=kind)
        return Type(dtype, tuple(self.many(self.expression, "]")), kind=kind)

    def variable(self, name: str) -> Expr:
        """A dim that is known only when running."""
        return symbol(name, self.integer()) if self.take(">=") else symbol(name)

    def build(self, op: str, args: tuple[Expr, ...], dtype: DType | None) -> Expr:
        """An operation in normal form."""
        if op == "where":
            return where(*args)
        if dtype is not None:
            return cast(args[0], dtype)
        return fold(op, args) if len(args) > 1 else unary(op, args[0])

"""The model as data: a use-def graph of values and nodes.

    Graph := inputs, outputs, initializers, nodes (in topological order), opsets, functions
    Node  := op (an Op instance), inputs, outputs        Value := name, type, producer, uses, const

A subgraph (an attribute of If, Loop, Scan) refers to the outer graph's values directly; such a
use is recorded on the value like any other. Text in, text out: `graph.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph
from sardonyx.core.expr import Expr
from sardonyx.graph.type import Type as Type
from sardonyx.graph.type import constant_type
from sardonyx.graph.type import tensor_type as tensor_type

if TYPE_CHECKING:
    from sardonyx.core.tensor import SparseTensor, Tensor
    from sardonyx.graph.op import Op

Dim = Expr


@dataclass(eq=False, slots=True)
class Value:
    """One tensor (or sequence, optional, map) of a graph; compared by identity.

    `producer` is the node that makes it, None for inputs and initializers. `uses` counts
    (node -> number of its inputs that are this value). `const` holds an initializer's data.
    `layout` is the storage order of its axes (outermost first), None for row-major: memory holds
    axis layout[0] slowest. `extra` belongs to the format that loaded the value.
    """

    name: str
    type: Type = field(default_factory=Type)
    const: Tensor | SparseTensor | None = None
    producer: Node | None = None
    uses: dict[Node, int] = field(default_factory=dict)
    layout: tuple[int, ...] | None = None
    extra: Any = None

    @property
    def dtype(self) -> DType | None:
        """The element type."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Expr, ...] | None:
        """The symbolic shape."""
        return self.type.shape

    def made_by(self, *names: str) -> bool:
        """Whether the node that makes it is one of these operators of ai.onnx."""
        return self.producer is not None and self.producer.op.standard(*names)

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(eq=False, slots=True)
class Node:
    """An operation applied to values; make one with `Graph.append`, so that uses are kept.

    An absent optional input or an unwanted output is None. `meta` holds the node's metadata
    properties (such as `pkg.torch.onnx.stack_trace`), `extra` what its format must keep.
    """

    op: Op
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    name: str = ""
    doc: str = ""
    meta: dict[str, str] = field(default_factory=dict)
    extra: Any = None
    _captured: dict[Value, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.op.op_type} {self.name!r}>"

    def operand(self, n: int) -> Value | None:
        """Input number `n`, None where it is absent."""
        return self.inputs[n] if n < len(self.inputs) else None

    @property
    def output(self) -> Value:
        """The first output."""
        out = self.outputs[0]
        assert out is not None
        return out


@dataclass(eq=False)
class Function:
    """A model-local function: a graph with named attributes; inputs and outputs are values.

    `attributes` are those a call must give, `defaults` those it may, with their values. Inside the
    body an attribute that takes the value of one of them is a `graph.make.AttributeRef`.
    """

    domain: str
    name: str
    body: Graph
    overload: str = ""
    attributes: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)
    extra: Any = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Domain, name and overload: what a call says."""
        return self.domain, self.name, self.overload


@dataclass(eq=False)
class Graph:
    """A graph, the main one carrying the model's opsets, functions and metadata.

    `assumed` lists pairs of dims that shape inference took as equal; a session checks them when
    it binds shapes, those of a subgraph hold only where it runs. `overridable` says whether a feed
    may replace an initializer that is an input too (from IR version 4 on). `extra` is what the
    format must keep to save the model as it came. `inferred` holds what equal nodes make, for
    `passes.infer`; copies share it.
    """

    name: str = ""
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    initializers: dict[str, Value] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    functions: dict[tuple[str, str, str], Function] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    doc: str = ""
    assumed: list[tuple[Expr, Expr]] = field(default_factory=list)
    source: str = ""
    overridable: bool = True
    extra: Any = None
    inferred: dict[Any, Any] = field(default_factory=dict, repr=False)
    _nodes: dict[Node, None] = field(default_factory=dict)
    _names: int = 0
    _taken: set[str] = field(default_factory=set)
    _counted: tuple[int, int] = (-1, -1)

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes in order; a snapshot, so the graph may change while iterating."""
        return tuple(self._nodes)

    def since(self, count: int) -> list[Node]:
        """The nodes appended since there were `count` of them; linear in their number."""
        return list(islice(reversed(self._nodes), len(self._nodes) - count))[::-1]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def defaults(self) -> set[Value]:
        """The initializers that a feed may replace, since they are inputs too."""
        if not self.overridable:
            return set()
        return {v for v in self.inputs if v.const is not None}

    def gives(self, v: Value) -> bool:
        """Whether a value is an output of the graph; linear in the outputs."""
        return any(v is out for out in self.outputs)

    def fresh_name(self, stem: str) -> str:
        """A value or node name that no value of this graph made so far has."""
        taken = self._names_taken()
        while True:
            self._names += 1
            name = f"{stem}_{self._names}"
            if name not in taken:
                taken.add(name)
                return name

    def free_name(self, wanted: str) -> str:
        """The name wanted, or a fresh one like it where a value of this graph has it."""
        taken = self._names_taken()
        if wanted in taken:
            return self.fresh_name(wanted)
        taken.add(wanted)
        return wanted

    def _names_taken(self) -> set[str]:
        counted = (len(self.inputs), len(self.initializers))
        if counted != self._counted:
            self._taken.update(v.name for v in self.values())
            self._counted = counted
        return self._taken

    def append(
        self, op: Op, inputs: Iterable[Value | None], outputs: Iterable[Value | None],
        name: str = "", doc: str = "", meta: dict[str, str] | None = None,
    ) -> Node:  # fmt: skip
        """Adds a node at the end (`sort` restores topological order) and records its uses."""
        node = Node(op, tuple(inputs), tuple(outputs), name, doc, dict(meta or {}))
        self._nodes[node] = None
        for v in node.outputs:
            if v is not None:
                v.producer = node
                self._taken.add(v.name)
        _record(node)
        return node

    def remove(self, node: Node) -> None:
        """Takes a node out; its outputs must not be used any more, or be replaced first."""
        del self._nodes[node]
        _forget(node)
        for body in subgraphs(node.op):
            _release(body)
        for v in node.outputs:
            if v is not None and v.producer is node:
                v.producer = None

    def set_inputs(self, node: Node, inputs: Iterable[Value | None]) -> None:
        """Gives a node other inputs."""
        _count(node.inputs, node, -1)
        node.inputs = tuple(inputs)
        _count(node.inputs, node, 1)

    def set_op(self, node: Node, op: Op) -> None:
        """Gives a node another op, its subgraphs' uses included."""
        kept = subgraphs(op)
        for body in subgraphs(node.op):
            if all(body is not k for k in kept):
                _release(body)
        _forget(node)
        node.op = op
        _record(node)

    def recount(self, node: Node) -> None:
        """Records the uses of a node again, after its subgraphs were changed in place."""
        _forget(node)
        _record(node)

    def replace(self, old: Value, by: Value, *, outputs: bool = True) -> None:
        """Makes every reader of `old`, subgraphs and (by choice) graph outputs included, read `by`.

        Linear in the readers, and in the graph outputs where they are included.
        """
        if old is by:
            return
        for user, count in old.uses.items():
            user.inputs = tuple(by if v is old else v for v in user.inputs)
            if old in user._captured:
                user._captured[by] = user._captured.get(by, 0) + user._captured.pop(old)
            for body in subgraphs(user.op):
                body.outputs = [by if v is old else v for v in body.outputs]
            by.uses[user] = by.uses.get(user, 0) + count
        old.uses.clear()
        if outputs:
            self.outputs = [by if v is old else v for v in self.outputs]

    def values(self) -> Iterator[Value]:
        """Inputs, initializers, then every node's outputs."""
        yield from self.inputs
        yield from self.initializers.values()
        for node in self._nodes:
            for v in node.outputs:
                if v is not None:
                    yield v

    def constant(self, tensor: Tensor, name: str = "const") -> Value:
        """A new initializer with this data; its type knows the elements where they are few."""
        unique = self.free_name(name)
        value = Value(unique, constant_type(tensor), const=tensor)
        self.initializers[unique] = value
        self._counted = (len(self.inputs), len(self.initializers))
        return value

    def is_sorted(self) -> bool:
        """Whether every node comes after those that make what it reads."""
        seen: set[Node] = set()
        for node in self._nodes:
            if any(maker not in seen for maker in self.dependencies(node)):
                return False
            seen.add(node)
        return True

    def sort(self) -> None:
        """Restores topological order, keeping the present order where it is free to.

        InvalidGraph (E0303) where there is none.
        """
        ready: dict[Node, None] = {}
        state: dict[Node, int] = {}
        for root in self._nodes:
            stack = [root]
            while stack:
                node = stack[-1]
                if state.get(node) == 2:
                    stack.pop()
                    continue
                state[node] = 1
                before = [p for p in self.dependencies(node) if state.get(p) != 2]
                if any(state.get(p) == 1 for p in before):
                    said = "the node needs what is made from its own output"
                    raise InvalidGraph("E0303", said, node=node.name, op=node.op.op_type)
                if before:
                    stack.extend(before)
                    continue
                state[node] = 2
                ready[node] = None
                stack.pop()
        self._nodes = ready

    def dependencies(self, node: Node) -> list[Node]:
        """The nodes of this graph that make what a node or its subgraphs read."""
        makers = (v.producer for v in (*node.inputs, *captured(node)) if v is not None)
        return [maker for maker in makers if maker is not None and maker in self._nodes]


_graph_fields: dict[type[Op], tuple[str, ...]] = {}


def subgraphs(op: Op) -> list[Graph]:
    """The graphs among an op's attributes."""
    kind = type(op)
    names = _graph_fields.get(kind)
    if names is None:
        may = ("Graph", "Any")
        names = tuple(f.name for f in fields(op) if any(m in str(f.type) for m in may))
        _graph_fields[kind] = names
    if not names:
        return []
    found: list[Graph] = []
    for name in names:
        _collect(getattr(op, name), found)
    return found


def _collect(value: Any, found: list[Graph]) -> None:
    if isinstance(value, Graph):
        found.append(value)
    # A list is of one kind, and a pair of a name and a value ends in the value.
    elif isinstance(value, tuple) and value and isinstance(value[-1], Graph | tuple):
        for item in value:
            _collect(item, found)


def captured(node: Node) -> dict[Value, int]:
    """The outer values that a node's subgraphs read, with the number of reads."""
    counts: dict[Value, int] = {}
    for body in subgraphs(node.op):
        for v, count in around(body).items():
            counts[v] = counts.get(v, 0) + count
    return counts


def around(body: Graph) -> dict[Value, int]:
    """The outer values that a subgraph reads, with the number of reads."""
    counts: dict[Value, int] = {}
    own = set(body.values())
    for inner in body.nodes:
        for v in (*inner.inputs, *captured(inner)):
            if v is not None and v not in own:
                counts[v] = counts.get(v, 0) + 1
    for v in body.outputs:
        if v not in own:
            counts[v] = counts.get(v, 0) + 1
    return counts


def _count(values: Iterable[Value | None], node: Node, step: int) -> None:
    for v in values:
        if v is not None:
            _add(v, node, step)


def _add(v: Value, node: Node, count: int) -> None:
    total = v.uses.get(node, 0) + count
    if total > 0:
        v.uses[node] = total
    else:
        v.uses.pop(node, None)


def _record(node: Node) -> None:
    _count(node.inputs, node, 1)
    if subgraphs(node.op):
        node._captured = captured(node)
        for v, count in node._captured.items():
            _add(v, node, count)


def _forget(node: Node) -> None:
    _count(node.inputs, node, -1)
    for v, count in node._captured.items():
        _add(v, node, -count)
    node._captured = {}


def _release(body: Graph) -> None:
    """Forgets what the nodes of a subgraph that goes away read from outside."""
    for node in body.nodes:
        _forget(node)
        for inner in subgraphs(node.op):
            _release(inner)

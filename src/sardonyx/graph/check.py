"""Whether a graph is well formed: names, order, operators, attributes, counts, subgraphs, limits.

`check` lists findings, `verify` raises the first error with the nodes around it. Both look at the
structure in linear time; what types tell is found by inference, on top of this.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sardonyx.core.errors import InvalidGraph
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor
from sardonyx.graph.attributes import misfits
from sardonyx.graph.functions import called, inlined_size
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs
from sardonyx.graph.make import ASSUMED
from sardonyx.graph.op import Op, Opaque, domain_of, versions
from sardonyx.graph.text import line

LATEST = {"": 28, "ai.onnx.ml": 5, "ai.onnx.training": 1, "ai.onnx.preview.training": 1}

# Neighbours shown on each side of a node: enough to find it in a drawing of the model.
_NEAR = 2


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ("error") or odd ("warning"); `around` shows the nodes nearby."""

    severity: str
    code: str
    message: str
    node: str | None = None
    tensor: str | None = None
    op: str | None = None
    hint: str | None = None
    around: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the model cannot mean anything as it is."""
        return self.severity == "error"

    def error(self) -> InvalidGraph:
        """The finding as an exception."""
        said = f"{self.message}\n{self.around}" if self.around else self.message
        return InvalidGraph(
            self.code, said, node=self.node, op=self.op, tensor=self.tensor, hint=self.hint
        )


def check(graph: Graph, *, full: bool = True, limits: Limits | None = None) -> list[Finding]:
    """Every finding, errors first; without `full` attributes and subgraph signatures are skipped.

    LimitExceeded where the graph is beyond the limits.
    """
    walk = _Check(graph, limits or Limits.current(), full)
    walk.model()
    return sorted(walk.findings, key=lambda f: not f.is_error)


def verify(graph: Graph, limits: Limits | None = None) -> None:
    """Raises InvalidGraph for the first error."""
    for finding in check(graph, limits=limits):
        if finding.is_error:
            raise finding.error()


class _Check:
    """One walk over a model; `defined` are the values that exist where it stands."""

    def __init__(self, graph: Graph, limits: Limits, full: bool) -> None:
        self.root, self.limits, self.full = graph, limits, full
        self.findings: list[Finding] = []
        self.defined: set[Value] = set()
        self.made: list[Value] = []
        self.names: dict[str, int] = {}
        self.nodes = 0
        self.warned: set[tuple[str, str]] = set()

    def say(
        self, severity: str, code: str, message: str, node: Node | None = None,
        value: Value | None = None, hint: str | None = None, graph: Graph | None = None,
    ) -> None:  # fmt: skip
        """Notes a finding."""
        around = neighbourhood(graph, node) if graph is not None and node is not None else ""
        name = None if node is None else node.name or None
        op = None if node is None else node.op.op_type
        tensor = None if value is None else value.name
        self.findings.append(Finding(severity, code, message, name, tensor, op, hint, around))

    def model(self) -> None:
        """The main graph and the functions."""
        try:
            inlined_size(self.root, self.limits)
        except InvalidGraph as error:
            self.findings.append(Finding("error", error.code, error.message, op=error.op))
        for domain, version in self.root.opsets.items():
            if version > LATEST.get(domain, version):
                self.say(
                    "error", "E0308",
                    f"opset {version} of `{domain or 'ai.onnx'}` is newer than {LATEST[domain]}",
                    hint="export the model for an older opset, or update Sardonyx",
                )  # fmt: skip
        self.graph(self.root, 1)
        for function in self.root.functions.values():
            self.defined, self.names = set(), {}
            self.graph(function.body, 1)

    def graph(self, graph: Graph, depth: int) -> None:
        """One graph, subgraphs on the way."""
        self.limits.check_depth(depth, "graphs")
        own: dict[str, Value] = {}
        first = len(self.made)
        for v in graph.inputs:
            self.define(v, own)
        for v in graph.initializers.values():
            if v not in self.defined:
                self.define(v, own)
            self.initializer(v)
        self.nodes += len(graph)
        self.limits.check_nodes(self.nodes)
        self.body(graph, own, depth)
        for v in graph.outputs:
            if v not in self.defined:
                self.say("error", "E0301", f"nothing makes the output `{v.name}`", value=v)
        self.labels(graph)
        for v in self.made[first:]:
            self.defined.discard(v)
            self.names[v.name] -= 1
        del self.made[first:]

    def body(self, graph: Graph, own: dict[str, Value], depth: int) -> None:
        """The nodes of a graph, in order."""
        later = {v for node in graph.nodes for v in node.outputs if v is not None}
        unsorted = False
        for node in graph.nodes:
            unsorted = self.node(node, graph, later, depth) or unsorted
            for made in node.outputs:
                if made is not None:
                    self.define(made, own, node)
        if unsorted:
            self.order(graph)

    def define(self, v: Value, own: dict[str, Value], node: Node | None = None) -> None:
        """Takes a value into scope."""
        if v.name in own:
            said = f"the name `{v.name}` is given twice"
            self.say("error", "E0302", said, node, v, "rename one of the two values")
        elif self.names.get(v.name):
            said = f"the name `{v.name}` is given again inside a subgraph"
            self.say("warning", "E0302", said, node, v, "optimizing gives it another name")
        self.names[v.name] = self.names.get(v.name, 0) + 1
        self.defined.add(v)
        own.setdefault(v.name, v)
        self.made.append(v)
        self.type(v)

    def type(self, v: Value) -> None:
        """The rank of a declared type."""
        if v.type.shape is not None:
            self.limits.check_rank(len(v.type.shape), v.name)

    def initializer(self, v: Value) -> None:
        """An initializer against the type declared for it."""
        tensor = v.const
        if tensor is None:
            return
        dims = tensor.dims if isinstance(tensor, SparseTensor) else tensor.shape
        declared = v.type
        same = declared.dtype in (None, tensor.dtype) and _may_be(declared, dims)
        if not same:
            held = f"{tensor.dtype}{list(dims)}"
            said = f"`{v.name}` is declared {declared} and initialized with {held}"
            self.say("error", "E0313", said, value=v)

    def node(self, node: Node, graph: Graph, later: set[Value], depth: int) -> bool:
        """One node; whether it reads what only a later node makes."""
        early = False
        for v in node.inputs:
            if v is None or v in self.defined:
                continue
            if v in later:
                early = True
                continue
            said = f"nothing makes the input `{v.name}`"
            self.say("error", "E0301", said, node, v, graph=graph)
        self.operator(node, graph)
        held = subgraphs(node.op)
        for body in held:
            self.graph(body, depth + 1)
        if self.full and held and not any(misfits(node.op)):
            for said in node.op.signature(len(node.inputs), len(node.outputs)):
                self.say("error", "E0312", said, node, graph=graph)
        return early

    def operator(self, node: Node, graph: Graph) -> None:
        """That the operator exists, has its attributes, and has as many inputs as it takes."""
        op = node.op
        domain = domain_of(op)
        if called(op, self.root.functions) is not None:
            return
        if domain not in (graph.opsets or self.root.opsets):
            weight = "warning" if domain in ASSUMED else "error"
            self.once(weight, "E0307", f"no opset of `{domain or 'ai.onnx'}` is imported", node)
        if op.foreign:
            said = f"{op.op_type} is none of the standard's in this opset; ONNX Runtime writes it"
            self.once("warning", "E0349", said, node)
        if isinstance(op, Opaque):
            self.opaque(node, op)
            return
        if self.full:
            for said in misfits(op):
                self.say("error", "E0309", said, node, graph=graph)
            for said in _counts(node):
                self.say("error", "E0310", said, node, graph=graph)

    def opaque(self, node: Node, op: Opaque) -> None:
        """Why an operator is kept as data."""
        if not versions(op.space, op.kind):
            said = f"the operator `{op.kind}` of `{op.space or 'ai.onnx'}` is unknown"
            self.once("warning", "E0401", said, node, "it is refused only when it has to run")
            return
        for said in misfits(op, self.root.opsets.get(op.space)):
            self.say("error", "E0309", said, node)

    def once(
        self, severity: str, code: str, message: str, node: Node, hint: str | None = None
    ) -> None:
        """Notes a finding the first time that it is met."""
        if (code, message) not in self.warned:
            self.warned.add((code, message))
            self.say(severity, code, message, node, hint=hint)

    def order(self, graph: Graph) -> None:
        """Whether nodes that are out of order can be sorted."""
        stuck = cycle(graph)
        if stuck is None:
            said = "the nodes are not in topological order"
            self.say("warning", "E0314", said, hint="they are sorted when the model is used")
        else:
            said = "the node needs what is made from its own output"
            self.say("error", "E0303", said, stuck, graph=graph)

    def labels(self, graph: Graph) -> None:
        """Node names that do not tell nodes apart."""
        seen: set[str] = set()
        for node in graph.nodes:
            if node.name in seen:
                self.once("warning", "E0304", f"several nodes are called `{node.name}`", node)
            if node.name:
                seen.add(node.name)


def _may_be(declared: Type, dims: tuple[int, ...]) -> bool:
    if declared.shape is None:
        return True
    if len(declared.shape) != len(dims):
        return False
    pairs = zip(declared.shape, dims, strict=True)
    return all(not d.is_const or d.arg == n for d, n in pairs)


def cycle(graph: Graph) -> Node | None:
    """A node on a cycle, None where the nodes can be sorted."""
    waiting = {node: set(graph.dependencies(node)) for node in graph.nodes}
    readers: dict[Node, list[Node]] = {}
    for node, makers in waiting.items():
        for maker in makers:
            readers.setdefault(maker, []).append(node)
    ready = [node for node, makers in waiting.items() if not makers]
    while ready:
        done = ready.pop()
        del waiting[done]
        for reader in readers.get(done, ()):
            waiting[reader].discard(done)
            if not waiting[reader] and reader is not done:
                ready.append(reader)
    return next(iter(waiting), None)


class Arity(NamedTuple):
    """How many inputs an op takes, `most` None for any number; those at `needed` must be there."""

    least: int
    most: int | None
    needed: tuple[int, ...]


_arities: dict[type[Op], Arity | None] = {}


def arity(kind: type[Op]) -> Arity | None:
    """The inputs that an op takes, read off its methods; None where they do not tell."""
    if kind not in _arities:
        _arities[kind] = _arity(kind)
    return _arities[kind]


def _arity(kind: type[Op]) -> Arity | None:
    names = [n for n in ("compose", "infer", "reference", "control") if kind.has(n)]
    if not names:
        return None
    method = getattr(kind, names[0])
    params = list(inspect.signature(method).parameters.values())
    params = params[2 if names[0] in ("compose", "control") else 1 :]
    plain = [p for p in params if p.kind is p.POSITIONAL_OR_KEYWORD]
    fixed = [p for p in plain if p.default is p.empty]
    needed = [n for n, p in enumerate(fixed) if "None" not in str(p.annotation)]
    many = any(p.kind is p.VAR_POSITIONAL for p in params)
    return Arity(len(fixed), None if many else len(plain), tuple(needed))


def _counts(node: Node) -> Iterable[str]:
    found = arity(type(node.op))
    if found is None:
        return
    name, count = node.op.op_type, len(node.inputs)
    if found.most is not None and count > found.most:
        yield f"{name} takes {found.most} inputs at most, this has {count}"
    if count < found.least:
        yield f"{name} takes {found.least} inputs at least, this has {count}"
    for n in found.needed:
        if n < count and node.inputs[n] is None:
            yield f"{name} needs its input {n}"


def neighbourhood(graph: Graph, node: Node) -> str:
    """The node with those that feed and read it, one a line."""
    makers = [v.producer for v in node.inputs if v is not None and v.producer is not None]
    before = list(dict.fromkeys(makers))[:_NEAR]
    readers = [user for v in node.outputs if v is not None for user in v.uses]
    after = list(dict.fromkeys(readers))[:_NEAR]
    rows = [*(("  ", n) for n in before), ("> ", node), *(("  ", n) for n in after)]
    return "\n".join(f"{mark}{line(n, graph.opsets)}" for mark, n in rows)

"""Types, shapes and small values of every value of a graph, from its inputs and initializers.

Dims stay symbolic. What a model declares (`value_info`, outputs) fills what inference cannot know
and names data-dependent dims; elsewhere the inferred dim stands, and a declared number that
contradicts it is a finding. What inference took as equal is kept in `assumed` of the graph, or of
the subgraph, whose nodes need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sardonyx.core.errors import InvalidGraph, LimitExceeded, SardonyxError
from sardonyx.core.expr import INDEX, Expr, number, show
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs, tensor_type
from sardonyx.graph.op import Op, Opaque, exactly
from sardonyx.graph.type import constant_type
from sardonyx.ops.base.shapes import assumptions
from sardonyx.passes import values
from sardonyx.passes.allowed import refuse_types


def infer(
    graph: Graph, *, strict: bool = True, limits: Limits | None = None, allowed: bool = False
) -> list[SardonyxError]:
    """Sets the type of every value in place; linear in the graph.

    Functions are inlined before; a node of an unknown op keeps what is
    declared. With `strict` the first node whose inputs cannot be raises InvalidGraph, otherwise
    such errors are returned and the node's outputs keep what is declared. With `allowed` inputs
    cannot be of a type that the graph's opset does not allow: for models as they come.
    """
    walk = Inference(limits or Limits.current(), strict, allowed=allowed, known=graph.inferred)
    for v in graph.inputs:
        walk.symbols.update(_free(v.type))
    known = dict.fromkeys(graph.assumed)
    walk.graph(graph)
    graph.assumed = list(known | dict.fromkeys(graph.assumed))
    return walk.errors


def infer_node(node: Node) -> None:
    """Sets the types of one node's outputs from its inputs' types."""
    Inference(Limits.current(), strict=True).node(node)


def emit(graph: Graph, op: Op, inputs: Sequence[Value | None], stem: str) -> Value:
    """The output of a new node at the end of the graph, its type inferred; for rules."""
    out = Value(graph.fresh_name(stem))
    infer_node(graph.append(op, inputs, [out]))
    return out


# Errors of element types, which no feed mends: they count in a body that may never run, too.
_TYPED = frozenset({"E0323", "E0324", "E0332"})

Types = Sequence[Type | None]
_Found = tuple[Types, tuple[tuple[Expr, Expr], ...]]


@dataclass
class Inference:
    """One walk: what it assumed, the symbols that have a meaning so far, and the errors met.

    `known` is what equal nodes with equal inputs were found to make, by this walk or others.
    """

    limits: Limits
    strict: bool
    assumed: dict[tuple[Expr, Expr], None] = field(default_factory=dict)
    symbols: set[Expr] = field(default_factory=set)
    numbers: dict[Expr, Expr] = field(default_factory=dict)
    errors: list[SardonyxError] = field(default_factory=list)
    allowed: bool = False
    visits: int = 0
    budget: int = 1 << 16
    known: dict[Any, _Found] = field(default_factory=dict)
    _doubts: int = 0
    _opsets: dict[str, int] = field(default_factory=dict)
    _light: set[Expr] = field(default_factory=set)

    def graph(self, graph: Graph) -> None:
        """Infers a graph whose inputs and captured values have types; sorts it where needed.

        What it assumes is its own: the graph around a body holds whether the body runs or not.
        """
        outer, self.assumed = self.assumed, {}
        around, self._opsets = self._opsets, graph.opsets or self._opsets
        if not graph.is_sorted():
            graph.sort()
        changeable = graph.defaults()
        for v in graph.initializers.values():
            self.initializer(v, overridable=v in changeable)
        nodes = graph.nodes
        self.budget += 2 * len(nodes)
        for node in nodes:
            self.node(node)
        graph.assumed, self.assumed = list(self.assumed), outer
        self._opsets = around

    def initializer(self, v: Value, overridable: bool) -> None:
        """The type of an initializer; its elements are known when no feed can replace it."""
        tensor = v.const
        if tensor is None or (v.type.value is not None and not overridable):
            return
        found = _constant_type(tensor)
        v.type = _open(v.type, found) if overridable else found

    def node(self, node: Node) -> None:
        """The types of a node's outputs."""
        self.visits += 1
        op = node.op
        types = [None if v is None else v.type for v in node.inputs]
        try:
            if self.allowed:
                refuse_types(op, self._opsets.get(type(op).domain), types)
            made, pairs = self._known_before(node, types) or self._found(node, types)
            self.assumed.update(dict.fromkeys(pairs))
        except SardonyxError as error:
            self._fail(error.locate(node=node.name, op=op.op_type))
            made = [None] * len(node.outputs)
        for v, t in zip(node.outputs, made, strict=False):
            if v is not None and t is not None:
                self._set(v, t, node)

    def _known_before(self, node: Node, types: Types) -> _Found | None:
        """What an equal node with equal inputs was found to make."""
        try:
            return self.known.get((exactly(node.op), *types))
        except TypeError:
            return None

    def _found(self, node: Node, types: list[Type | None]) -> _Found:
        with assumptions() as pairs:
            found = self._infer(node, node.op, types), tuple(pairs)
        if not isinstance(node.op, Opaque) and not subgraphs(node.op) and _follows(*found, types):
            with suppress(TypeError):
                self.known[exactly(node.op), *types] = found
        return found

    def _infer(self, node: Node, op: Op, types: list[Type | None]) -> Types:
        if isinstance(op, Opaque) or not op.has("enter"):
            for body in subgraphs(op):
                self.graph(body)
        if isinstance(op, Opaque) or not op.has("infer"):
            return [None] * len(node.outputs)
        try:
            if op.has("enter"):
                op.enter(self, *types)
            made = op.infer(*types)
        except NotImplementedError:
            return [None] * len(node.outputs)
        except SardonyxError:
            raise
        except values.MISTAKES as problem:
            said = f"its inputs cannot be: {problem}"
            raise InvalidGraph("E0344", said, given=_listed(types)) from problem
        made = list(made) if isinstance(made, tuple) else [made]
        return values.outputs(op, types, made)

    def _fail(self, error: SardonyxError) -> None:
        sure = self.strict and (not self._doubts or error.code in _TYPED)
        if sure or isinstance(error, LimitExceeded):
            raise error
        self.errors.append(error)

    def _set(self, v: Value, made: Type, node: Node) -> None:
        place, before = (
            {"node": node.name, "op": node.op.op_type, "tensor": v.name},
            len(self.errors),
        )
        try:
            self._check(made)
            v.type = self._merged(made, self._believed(v, made, node))
        except SardonyxError as error:
            self._fail(error.locate(**place))
        for noted in self.errors[before:]:
            noted.locate(**place)

    def _believed(self, v: Value, made: Type, node: Node) -> Type:
        """What is declared of a value; of a result that nothing reads, the dims do not count where
        its operator does not say them, since nothing needs them and exporters get them wrong.
        """
        needed = isinstance(node.op, Opaque) or v.uses or made.shape is not None
        return v.type if needed else replace(v.type, shape=None)

    def _check(self, t: Type) -> None:
        if t.shape is None:
            return
        self.limits.check_rank(len(t.shape))
        for d in t.shape:
            if d.dtype is not INDEX:
                raise InvalidGraph("E0331", "a dim is no whole number", given=str(t))
            n = number(d)
            if n is not None and n < 0:
                raise InvalidGraph("E0331", f"a dim is inferred to be {n}", given=str(t))
            if n is None and d not in self._light:
                if not values.is_light(d):
                    raise LimitExceeded("E0510", "the formula of a dim is too large")
                self._light.add(d)

    def _merged(self, made: Type, declared: Type) -> Type:
        held = made.elem if made.kind == "optional" else None
        other = declared != Type() and made.kind != declared.kind
        if other and (made.kind != "optional" or _clash(held, declared)):
            self._differ("E0332", f"the type is declared {declared}", made, declared)
            return made
        if made.kind != "tensor":
            if not other and _clash(made.elem, declared.elem):
                self._differ("E0332", f"the type is declared {declared}", made, declared)
            return made if made.elem is not None else replace(made, elem=declared.elem)
        if made.dtype is not None and declared.dtype not in (None, made.dtype):
            said = f"the type is declared {declared.dtype}"
            self._differ("E0332", said, made, declared)
        dtype = made.dtype or declared.dtype
        if made.shape is None:
            return replace(declared, dtype=dtype, value=None)
        if declared.shape is None or declared.kind != "tensor":
            self.symbols.update(_free(made))
            return made if made.dtype is dtype else replace(made, dtype=dtype)
        if len(declared.shape) != len(made.shape):
            self._differ("E0333", "another rank is declared", made, declared)
            return made
        pairs = zip(made.shape, declared.shape, strict=True)
        dims = [self._dim(inferred, said, made) for inferred, said in pairs]
        return Type(dtype, tuple(dims), made.value)

    def _dim(self, inferred: Expr, declared: Expr, made: Type) -> Expr:
        if inferred is declared or inferred.is_const:
            if inferred is not declared and declared.is_const:
                said = f"the dim {show(inferred)} is declared {show(declared)}"
                self._differ("E0333", said, made, None)
            return inferred
        if inferred.op == "var" and declared.is_const:
            before = self.numbers.setdefault(inferred, declared)
            if before is not declared:
                said = f"the dim {show(inferred)} is declared {show(before)} and {show(declared)}"
                self._differ("E0333", said, made, None)
        if inferred.op != "var" or inferred in self.symbols:
            return inferred
        named = declared.op == "var" and declared not in self.symbols
        self.symbols.add(declared if named else inferred)
        return declared if named else inferred

    def _differ(self, code: str, said: str, made: Type, declared: Type | None) -> None:
        error = InvalidGraph(code, said, given=declared, wanted=made)
        if code == "E0332":
            self._fail(error)
        else:
            self.errors.append(error)

    @property
    def hurries(self) -> bool:
        """Whether the bodies of loops have been walked so often that precision has to give way."""
        return self.visits > self.budget

    def doubtful(self, body: Graph) -> None:
        """Infers a body that may never run: an error in it is only noted, unless it is of types."""
        self._doubts += 1
        self.graph(body)
        self._doubts -= 1


def _clash(made: Type | None, declared: Type | None) -> bool:
    """Whether the element types of containers differ where both are known."""
    if made is None or declared is None or Type() in (made, declared):
        return False
    known = made.dtype is not None and declared.dtype is not None
    if made.kind != declared.kind or (known and made.dtype is not declared.dtype):
        return True
    return _clash(made.elem, declared.elem)


def _follows(made: Types, pairs: Iterable[tuple[Expr, Expr]], given: Types) -> bool:
    """Whether what was found holds for every node like it: it has no dim or element of its own."""
    own = _mentioned(made).union(x for pair in pairs for e in pair for x in e.free)
    return own <= _mentioned(given)


def _listed(types: Sequence[Type | None]) -> str:
    return ", ".join("nothing" if t is None else str(t) for t in types)


def _constant_type(tensor: Tensor | SparseTensor) -> Type:
    if isinstance(tensor, SparseTensor):
        return tensor_type(tensor.dtype, tensor.dims)
    return constant_type(tensor)


def _open(declared: Type, default: Type) -> Type:
    """The type of what a feed may replace: with the declared symbols, which need not be bound to
    the sizes of the default.
    """
    shape = default.shape
    if declared.shape is not None and shape is not None and len(declared.shape) == len(shape):
        pairs = zip(declared.shape, shape, strict=True)
        shape = tuple(size if dim.is_const else dim for dim, size in pairs)
    return replace(default, shape=shape, value=None)


def _free(t: Type) -> set[Expr]:
    return {x for d in t.shape or () for x in d.free}


def _mentioned(types: Types) -> set[Expr]:
    found: set[Expr] = set()
    for t in types:
        while t is not None:
            found.update(x for e in (*(t.shape or ()), *(t.value or ())) for x in e.free)
            t = t.elem
    return found

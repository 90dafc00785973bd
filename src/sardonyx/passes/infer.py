"""Types, shapes and small values of every value of a graph, from its inputs and initializers.

Dims stay symbolic. What a model declares (`value_info`, outputs) fills what inference cannot know
and names data-dependent dims; elsewhere the inferred dim stands, and a declared number that
contradicts it is a finding. What inference took as equal is kept in `graph.assumed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidGraph, LimitExceeded, SardonyxError
from sardonyx.core.expr import Expr, number, show
from sardonyx.core.limits import Limits
from sardonyx.core.tensor import SparseTensor, Tensor
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node, Type, Value, subgraphs, tensor_type
from sardonyx.graph.op import Op, Opaque
from sardonyx.graph.type import constant_type
from sardonyx.ops.base.shapes import assumptions, unknown_dim
from sardonyx.passes import values

_ROUNDS = 4


def infer(
    graph: Graph, *, strict: bool = True, limits: Limits | None = None
) -> list[SardonyxError]:
    """Sets the type of every value in place; linear in the graph.

    Functions are inlined before; a node of an unknown op keeps what is
    declared. With `strict` the first node whose inputs cannot be raises InvalidGraph, otherwise
    such errors are returned and the node's outputs keep what is declared.
    """
    walk = Inference(limits or Limits.current(), strict)
    for v in graph.inputs:
        walk.symbols.update(_free(v.type))
    walk.graph(graph)
    known = dict.fromkeys(graph.assumed)
    known.update(walk.assumed)
    graph.assumed = list(known)
    return walk.errors


def infer_node(node: Node) -> None:
    """Sets the types of one node's outputs from its inputs' types."""
    Inference(Limits.current(), strict=True).node(node)


def emit(graph: Graph, op: Op, inputs: Sequence[Value | None], stem: str) -> Value:
    """The output of a new node at the end of the graph, its type inferred; for rules."""
    out = Value(graph.fresh_name(stem))
    infer_node(graph.append(op, inputs, [out]))
    return out


@dataclass
class Inference:
    """One walk: what it assumed, the symbols that have a meaning so far, and the errors met."""

    limits: Limits
    strict: bool
    assumed: dict[tuple[Expr, Expr], None] = field(default_factory=dict)
    symbols: set[Expr] = field(default_factory=set)
    errors: list[SardonyxError] = field(default_factory=list)
    visits: int = 0
    budget: int = 1 << 16
    _light: set[Expr] = field(default_factory=set)

    def graph(self, graph: Graph) -> None:
        """Infers a graph whose inputs and captured values have types; sorts it where needed."""
        if not graph.is_sorted():
            graph.sort()
        changeable = graph.defaults()
        for v in graph.initializers.values():
            self.initializer(v, overridable=v in changeable)
        nodes = graph.nodes
        self.budget += 2 * len(nodes)
        for node in nodes:
            self.node(node)

    def initializer(self, v: Value, overridable: bool) -> None:
        """The type of an initializer; its elements are known when no feed can replace it."""
        tensor = v.const
        if tensor is None or (v.type.value is not None and not overridable):
            return
        found = _constant_type(tensor)
        v.type = replace(found, value=None) if overridable else found

    def node(self, node: Node) -> None:
        """The types of a node's outputs."""
        self.visits += 1
        op = node.op
        types = [None if v is None else v.type for v in node.inputs]
        try:
            with assumptions() as pairs:
                made = self._infer(node, op, types)
            self.assumed.update(dict.fromkeys(pairs))
        except SardonyxError as error:
            self._fail(error.locate(node=node.name, op=op.op_type))
            made = [None] * len(node.outputs)
        for v, t in zip(node.outputs, made, strict=False):
            if v is not None and t is not None:
                self._set(v, t, node)

    def _infer(self, node: Node, op: Op, types: list[Type | None]) -> Sequence[Type | None]:
        if isinstance(op, Opaque) or not op.has("infer"):
            for body in subgraphs(op):
                self.graph(body)
            return [None] * len(node.outputs)
        if subgraphs(op):
            self._bodies(op, types)
        try:
            made = op.infer(*types)
        except NotImplementedError:
            return [None] * len(node.outputs)
        except values.MISTAKES as problem:
            said = f"its inputs cannot be: {problem}"
            raise InvalidGraph("E0344", said, given=_listed(types)) from problem
        made = list(made) if isinstance(made, tuple) else [made]
        return values.outputs(op, types, made)

    def _fail(self, error: SardonyxError) -> None:
        if self.strict or isinstance(error, LimitExceeded):
            raise error
        self.errors.append(error)

    def _set(self, v: Value, made: Type, node: Node) -> None:
        try:
            self._check(made)
            v.type = self._merged(made, v.type)
        except SardonyxError as error:
            place = {"node": node.name, "op": node.op.op_type, "tensor": v.name}
            self._fail(error.locate(**place))

    def _check(self, t: Type) -> None:
        if t.shape is None:
            return
        self.limits.check_rank(len(t.shape))
        for d in t.shape:
            n = number(d)
            if n is not None and n < 0:
                raise InvalidGraph("E0331", f"a dim is inferred to be {n}", given=str(t))
            if n is None and d not in self._light:
                if not values.is_light(d):
                    raise LimitExceeded("E0510", "the formula of a dim is too large")
                self._light.add(d)

    def _merged(self, made: Type, declared: Type) -> Type:
        if made.kind != "tensor":
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
        if inferred.op != "var" or inferred in self.symbols:
            return inferred
        named = declared.op == "var" and declared not in self.symbols
        self.symbols.add(declared if named else inferred)
        return declared if named else inferred

    def _differ(self, code: str, said: str, made: Type, declared: Type | None) -> None:
        self.errors.append(InvalidGraph(code, said, given=declared, wanted=made))

    def _bodies(self, op: Op, types: list[Type | None]) -> None:
        if op.op_type == "Loop":
            self._iterate(subgraphs(op)[0], _loop_inputs(types), fixed=2, feedback=1)
        elif op.op_type == "Scan" and op.since > 8:
            states = len(types) - int(getattr(op, "num_scan_inputs", 0))
            inputs = _scan_inputs(op, types, states)
            self._iterate(subgraphs(op)[0], inputs, fixed=0, feedback=0, states=states)
        elif op.op_type == "If":
            self._branches(op)
        elif op.op_type == "SequenceMap":
            body = subgraphs(op)[0]
            for v, t in zip(body.inputs, types, strict=False):
                if t is not None and t.kind == "sequence" and t.elem is not None:
                    v.type = t.elem
            self.graph(body)
        else:
            for body in subgraphs(op):
                self.graph(body)

    def _branches(self, op: Op) -> None:
        """Infers branches; an error in one is only noted, as the branch may never be taken."""
        strict, self.strict = self.strict, False
        for body in subgraphs(op):
            self.graph(body)
        self.strict = strict

    def _iterate(
        self, body: Graph, types: list[Type], fixed: int, feedback: int, states: int | None = None
    ) -> None:
        """Infers a body whose outputs from `feedback` on come back as its inputs from `fixed` on.

        Dims that change from trip to trip become unknown: first as fresh symbols, by rank where
        that does not settle.
        """
        count = len(types) - fixed if states is None else states
        declared = {v: v.type for inner in bodies(body) for v in inner.values()}
        for attempt in range(_ROUNDS + 1):
            for v, t in declared.items():
                v.type = t
            for v, t in zip(body.inputs, types, strict=False):
                v.type = t if t.kind != "tensor" or t.shape is not None else v.type
            self.graph(body)
            made = [v.type for v in body.outputs[feedback : feedback + count]]
            loose = attempt >= _ROUNDS - 1 or self.visits > self.budget
            stable = True
            for n, t in enumerate(made):
                joined = _joined(types[fixed + n], t, loose)
                stable = stable and joined == types[fixed + n]
                types[fixed + n] = joined
            if stable:
                return


def _listed(types: Sequence[Type | None]) -> str:
    return ", ".join("nothing" if t is None else str(t) for t in types)


def _constant_type(tensor: Tensor | SparseTensor) -> Type:
    if isinstance(tensor, SparseTensor):
        return tensor_type(tensor.dtype, tensor.dims)
    return constant_type(tensor)


def _free(t: Type) -> set[Expr]:
    return {x for d in t.shape or () for x in d.free}


def _loop_inputs(types: list[Type | None]) -> list[Type]:
    trip = tensor_type(DType.INT64, ())
    condition = tensor_type(DType.BOOL, ())
    return [trip, condition, *map(_unvalued, types[2:])]


def _unvalued(t: Type | None) -> Type:
    return Type() if t is None else replace(t, value=None)


def _scan_inputs(op: Op, types: list[Type | None], states: int) -> list[Type]:
    axes = getattr(op, "scan_input_axes", None) or ()
    found = []
    for n, t in enumerate(types):
        kept = _unvalued(t)
        if n >= states and kept.shape:
            axis = axes[n - states] if n - states < len(axes) else 0
            dims = list(kept.shape)
            del dims[axis % len(dims)]
            kept = kept.with_shape(dims)
        found.append(kept)
    return found


def _joined(a: Type, b: Type, loose: bool) -> Type:
    """A type that both `a` (which came before) and `b` are."""
    if a.kind != "tensor" or b.kind != "tensor" or a.shape is None:
        return a
    if b.shape is None or len(a.shape) != len(b.shape):
        return replace(a, shape=None)
    if loose and a.shape != b.shape:
        return replace(a, shape=None)
    dims = tuple(
        x if x is y or _is_free(x) else unknown_dim("trip")
        for x, y in zip(a.shape, b.shape, strict=True)
    )
    return replace(a, shape=dims)


def _is_free(d: Expr) -> bool:
    return d.op == "var" and str(d.arg[0]).startswith("_trip_")

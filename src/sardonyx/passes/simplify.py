"""Rules that remove operations which do nothing, exactly: the result keeps every bit.

A value is replaced by an equal one; where equality needs a shape that is not proved, or would
change the sign of a zero, the rule refuses and says so.
"""

from __future__ import annotations

from math import copysign

from sardonyx.core.dtype import DType
from sardonyx.graph.ir import Graph, Node, Type, Value
from sardonyx.graph.op import Trait
from sardonyx.graph.rewrite import Log, Pass, Rule, apply, rule
from sardonyx.passes.infer import emit
from sardonyx.passes.sequences import SEQUENCES
from sardonyx.passes.views import VIEWS


def _input(node: Node, n: int) -> Value | None:
    return node.inputs[n] if n < len(node.inputs) else None


def same_shape(a: Value, b: Value) -> bool:
    """Whether two values provably have the same shape."""
    return a.type.shape is not None and a.type.shape == b.type.shape


def _first(node: Node) -> Value:
    found = node.inputs[0]
    assert found is not None
    return found


@rule("identity", "Identity")
def identity(node: Node, graph: Graph) -> Value | str | None:
    """Identity(x) is x, unless it gives a name to a graph output that x cannot have."""
    x = _first(node)
    if any(v is node.output for v in graph.outputs):
        own = x.producer is not None and x.producer in graph
        if not own or any(v is x for v in graph.outputs):
            return "it names a graph output"
    return x


@rule("dropout", "Dropout")
def dropout(node: Node, graph: Graph) -> Value | str | None:
    """Dropout outside training is x."""
    mask = node.outputs[1] if len(node.outputs) > 1 else None
    if mask is not None and (mask.uses or graph.gives(mask)):
        return "its mask is read"
    training = _input(node, 2)
    if training is not None and not _all(training.type, False):
        return "it may be training"
    return "it is training" if getattr(node.op, "is_test", 1) == 0 else _first(node)


@rule("no-op cast", "Cast", "CastLike")
def cast(node: Node, graph: Graph) -> Value | str | None:
    """A Cast to the type that x has is x; a Cast of a lossless Cast reads the first input."""
    x = _first(node)
    to = node.output.type.dtype
    if x.type.dtype is to and to is not None:
        return x
    maker = x.producer
    if maker is None or not maker.op.standard("Cast") or not node.op.standard("Cast"):
        return None
    source = _first(maker)
    if source.type.dtype is None or not _widens(source.type.dtype, x.type.dtype):
        return "the first Cast loses something"
    if source.producer is None and source not in graph.inputs and source.const is None:
        return None
    return source if source.type.dtype is to else emit(graph, node.op, [source], node.output.name)


def _widens(a: DType, b: DType | None) -> bool:
    """Whether every number of `a` is one of `b`."""
    if b is None or a.is_string or b.is_string or a.is_complex or b.is_complex or b.is_bool:
        return a is b
    if a.is_bool or a is b:
        return True
    if a.is_int and b.is_int:
        return a.bits + (not a.is_signed and b.is_signed) <= b.bits and a.is_signed <= b.is_signed
    precise = {DType.FLOAT16: (11, 5), DType.BFLOAT16: (8, 8), DType.FLOAT32: (24, 8)}
    precise[DType.FLOAT64] = (53, 11)
    if b not in precise:
        return False
    if a.is_int:
        return a.bits - a.is_signed <= precise[b][0] and b is not DType.FLOAT16
    return a in precise and all(p <= q for p, q in zip(precise[a], precise[b], strict=True))


@rule("one operand", Trait.JOINS)
def one_operand(node: Node, graph: Graph) -> Value | None:
    """Concat, Sum, Max and their kin of one value are that value."""
    del graph
    return _first(node) if len(node.inputs) == 1 else None


@rule("double", Trait.INVOLUTION)
def double(node: Node, graph: Graph) -> Value | None:
    """An involution applied twice is its input."""
    del graph
    maker = _first(node).producer
    return _first(maker) if maker is not None and type(maker.op) is type(node.op) else None


@rule("again", Trait.IDEMPOTENT)
def again(node: Node, graph: Graph) -> Value | None:
    """An idempotent operation applied twice is applied once."""
    del graph
    x = _first(node)
    return x if x.producer is not None and x.producer.op == node.op else None


@rule("no limits", "Clip")
def no_limits(node: Node, graph: Graph) -> Value | None:
    """Clip with neither limit is x."""
    del graph
    bounds = ("min", "max")
    given = any(getattr(node.op, b, None) is not None for b in bounds)
    return None if given or any(v is not None for v in node.inputs[1:]) else _first(node)


def _all(t: Type, wanted: float, *, signed: bool = True) -> bool:
    """Whether all elements are known to be this number, of a float type with this sign."""
    if not t.value or not all(e.is_const and float(e.arg) == wanted for e in t.value):
        return False
    if not signed or t.dtype is None or not t.dtype.is_float:
        return True
    return all(copysign(1, e.arg) == copysign(1, wanted) for e in t.value)


@rule("neutral operand")
def neutral(node: Node, graph: Graph) -> Value | str | None:
    """x + 0, x - 0, x * 1, x / 1, x ** 1, and their boolean kin are x where that is exact."""
    del graph
    for n, wanted in enumerate(node.op.neutral):
        if wanted is None:
            continue
        x, y = node.inputs[1 - n], node.inputs[n]
        if x is None or y is None or not _all(y.type, wanted, signed=False):
            continue
        if not _all(y.type, wanted):
            return "adding 0 turns -0 into 0"
        if same_shape(x, node.output) and x.type.dtype is node.output.type.dtype:
            return x
        return "it broadcasts or converts"
    return None


@rule("known condition", "Where")
def known_condition(node: Node, graph: Graph) -> Value | str | None:
    """Where with one answer everywhere is that side."""
    del graph
    condition, yes, no = node.inputs
    if condition is None or not condition.type.value:
        return None
    side = yes if _all(condition.type, True) else no if _all(condition.type, False) else None
    if side is None:
        return None
    return side if same_shape(side, node.output) else "it broadcasts"


RULES: tuple[Rule, ...] = (
    identity,
    dropout,
    cast,
    one_operand,
    double,
    again,
    no_limits,
    neutral,
    known_condition,
    *VIEWS,
    *SEQUENCES,
)


def _run(graph: Graph, log: Log) -> None:
    apply(RULES, graph, log)


SIMPLIFY = Pass("simplify", _run)

"""Moves a model to another opset, newer or older, node by node, where the meaning can be kept.

A node that has another form at the wanted opset takes that form (`passes.forms`); where that is not
the same, it is written in other operators, which are moved in turn: as the operator itself says
(`express`, `expand`), or element by element (`passes.formula`), or in a wider type between Casts
(`passes.wider`). What is left is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sardonyx.core import errors
from sardonyx.core.dtype import DType
from sardonyx.core.errors import InvalidArgument, InvalidGraph, SardonyxError
from sardonyx.graph.body import Body
from sardonyx.graph.check import LATEST
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.functions import called
from sardonyx.graph.ir import Graph, Node
from sardonyx.graph.op import MISTAKES, Op, Opaque, domain_of, find, versions
from sardonyx.graph.rewrite import Log, Record, Replacement, Rule, apply, each_body
from sardonyx.passes.allowed import formals, refuse_types
from sardonyx.passes.forms import newer, older
from sardonyx.passes.formula import spelled_out
from sardonyx.passes.infer import infer, infer_node
from sardonyx.passes.inline import INLINE
from sardonyx.passes.steady import steady
from sardonyx.passes.wider import widened

Found: TypeAlias = "Replacement | str | None"

_D = DType
_CAME = {
    _D.BFLOAT16: 13, _D.FLOAT8E4M3FN: 19, _D.FLOAT8E4M3FNUZ: 19, _D.FLOAT8E5M2: 19,
    _D.FLOAT8E5M2FNUZ: 19, _D.INT4: 21, _D.UINT4: 21, _D.FLOAT4E2M1: 23, _D.FLOAT8E8M0: 24,
    _D.INT2: 25, _D.UINT2: 25, _D.FLOAT6E2M3: 28, _D.FLOAT6E3M2: 28,
}  # fmt: skip
# The domain of operators that only bodies of operators have.
_OWN = "ai.sardonyx"
_ML = "ai.onnx.ml"
# The opset of ai.onnx.ml by the first of ai.onnx that was released with it.
_ML_OF = {7: 1, 11: 2, 16: 3, 20: 4, 21: 5}
# From this opset on axes may count from the end.
_FROM_END = 11


def in_standard(domain: str, name: str, opset: int) -> type[Op] | None:
    """The class in force at an opset, None where it is another's in the standard's domain."""
    kind = find(domain, name, opset)
    return None if kind is None or kind.foreign else kind


@dataclass(frozen=True)
class Upgraded:
    """A copy of a model at other opsets, and what was done.

    `log.changes` are the nodes that were changed, each with the way that it went; the other records
    of the log are the nodes that cannot follow, with reasons, in which case the graph is no model.
    """

    graph: Graph
    log: Log

    @property
    def refused(self) -> list[Record]:
        """The nodes that cannot follow."""
        return [r for r in self.log.records if r.reason]


def upgrade(graph: Graph, opset: int | None = None, ml: int | None = None) -> Upgraded:
    """A copy of a model at another opset of ai.onnx, the newest if none is given.

    `ml` is that of ai.onnx.ml; where it is not given, it stays, or falls to the one that was
    released with an older `opset`. Local functions whose nodes hold unchanged stay, others are
    inlined. InvalidArgument (E0347) for an opset that there is not.
    """
    wanted = _targets(graph, LATEST[""] if opset is None else opset, ml)
    made = clone(graph)
    kept = steady(made, wanted)
    made.functions = {k: f for k, f in made.functions.items() if k not in kept}
    INLINE(made)
    made.functions = kept
    infer(made)
    return Upgraded(made, move(made, wanted))


def _targets(graph: Graph, opset: int, ml: int | None) -> dict[str, int]:
    wanted = {"": opset}
    now = graph.opsets.get(_ML)
    if ml is not None:
        wanted[_ML] = ml
    elif now is not None and opset < graph.opsets.get("", 1):
        wanted[_ML] = min(now, max(m for first, m in _ML_OF.items() if first <= opset or m == 1))
    for domain, n in wanted.items():
        if not 1 <= n <= LATEST[domain]:
            said = f"there is no opset {n} of `{domain or 'ai.onnx'}`"
            raise InvalidArgument("E0347", said, given=n, wanted=f"1 to {LATEST[domain]}")
    return wanted


def move(graph: Graph, opsets: Mapping[str, int]) -> Log:
    """Makes a model with inferred types one of these opsets, in place; see `Upgraded`."""
    mover = _Mover(graph, opsets)
    log = Log()
    apply(mover.rules(), graph, log)
    _drop_unread(graph)
    each_body(graph, lambda body: body.opsets.update(_known(body, opsets)))
    graph.opsets[""] = opsets.get("", graph.opsets.get("", 1))
    log.records = log.changes
    for node, reason in mover.stuck():
        log.refused("version", node, reason)
    return log


def raise_refusals(log: Log) -> None:
    """NotImplemented (E0346) for the first node that could not follow."""
    refused = [r for r in log.records if r.reason]
    if refused:
        first = refused[0]
        more = f" ({len(refused) - 1} more nodes neither)" if len(refused) > 1 else ""
        said = f"this node cannot be converted: {first.reason}{more}"
        raise errors.NotImplemented("E0346", said, node=first.node, op=first.op)


def _known(body: Graph, opsets: Mapping[str, int]) -> dict[str, int]:
    return {d: n for d, n in opsets.items() if d in body.opsets}


def _drop_unread(graph: Graph) -> None:
    """Removes the initializers whose elements became attributes."""
    for body in bodies(graph):
        kept = {*body.inputs, *body.outputs}
        for name, v in list(body.initializers.items()):
            if not v.uses and v not in kept:
                del body.initializers[name]


class _Mover:
    """The rules that bring nodes to the wanted opsets, and why they did not."""

    def __init__(self, graph: Graph, opsets: Mapping[str, int]) -> None:
        self.graph, self.opsets = graph, opsets
        self.down = {d for d, n in opsets.items() if n < graph.opsets.get(d, 1)}
        self.reasons: dict[Node, str] = {}
        self.constants = {
            v for body in bodies(graph) for v in body.initializers.values()
        } - graph.defaults()

    def rules(self) -> list[Rule]:
        """In the order in which they are tried."""
        ways = {
            "form": self.form,
            "axes": self.axes,
            "express": self.express,
            "expand": self.expand,
            "formula": self.formula,
            "wider": self.wider,
        }
        return [self.rule(name, way) for name, way in ways.items()]

    def rule(self, name: str, way: Callable[[Node, Graph, int], Found]) -> Rule:
        """A rule for nodes that are not as the wanted opset has them."""

        def match(node: Node, graph: Graph) -> Found:
            if self.misfit(node) is None:
                return None
            before = len(graph)
            try:
                found = way(node, graph, self.opsets.get(domain_of(node.op), 0))
            except SardonyxError as error:
                found = error.message
            except MISTAKES as problem:
                found = str(problem)
            if found is None or isinstance(found, str):
                for made in reversed(graph.since(before)):
                    graph.remove(made)
            if isinstance(found, str):
                self.reasons[node] = found
            return found

        return Rule(name, match)

    def misfit(self, node: Node) -> str | None:
        """Why the wanted opset does not have a node as it is, None where it does."""
        op, domain = node.op, domain_of(node.op)
        if domain == _OWN:
            return f"no opset has {op.op_type}, in which it is written"
        opset = self.opsets.get(domain)
        if opset is None or called(op, self.graph.functions) is not None:
            return None
        if isinstance(op, Opaque):
            return f"the operator `{op.kind}` is unknown, or not used as it should be"
        kind, name = in_standard(domain, op.op_type, opset), op.op_type
        if kind is None:
            first = min(s for s, k in versions(domain, name).items() if not k.foreign)
            return f"{name} came with opset {first}"
        if kind.ended is not None and opset >= kind.ended:
            return f"{name} ended with opset {kind.ended - 1}"
        if kind is not type(op):
            return f"opset {opset} has another form of {name}"
        return self.excess(node, opset) if domain in self.down else None

    def excess(self, node: Node, opset: int) -> str | None:
        """What of a node came after an opset that has its operator."""
        op = node.op
        needs = op.needs(*node.inputs)
        if needs > opset:
            return f"its attributes and inputs may be such from opset {needs} on"
        row = formals(domain_of(op), op.op_type, opset)
        if row and not row[-1].many and any(v is not None for v in node.inputs[len(row) :]):
            return f"{op.op_type} of opset {opset} has {len(row)} inputs at most"
        try:
            refuse_types(op, opset, [None if v is None else v.type for v in node.inputs])
        except InvalidGraph as error:
            return error.message
        for v in node.outputs:
            dtype = None if v is None else v.type.dtype
            if dtype is not None and _CAME.get(dtype, 1) > opset:
                return f"{dtype} came with opset {_CAME[dtype]}"
        if opset < _FROM_END and not domain_of(op) and _counted_from_end(node):
            return f"its axes count from the end, which came with opset {_FROM_END}"
        return None

    def form(self, node: Node, graph: Graph, opset: int) -> Found:
        """The operator's own form at the opset, one definition after another."""
        domain, name = domain_of(node.op), node.op.op_type
        target = None if isinstance(node.op, Opaque) else in_standard(domain, name, opset)
        if target is None or type(node.op) is target:
            return None
        known = sorted(versions(domain, name).items())
        while type(node.op) is not target:
            since = type(node.op).since
            if since < target.since:
                kind = next(k for s, k in known if s > since)
                reason = newer(graph, node, kind)
            else:
                kind = next(k for s, k in reversed(known) if s < since)
                reason = older(graph, node, kind, self.constants)
            if reason is not None:
                return reason
        return node.outputs if self.misfit(node) is None else self.misfit(node)

    def axes(self, node: Node, graph: Graph, opset: int) -> Found:
        """Axes counted from the front."""
        if opset >= _FROM_END or not _counted_from_end(node):
            return None
        v = node.output if node.op.op_type in ("OneHot", "Unsqueeze") else node.inputs[0]
        rank = None if v is None else v.type.rank
        if rank is None:
            return None
        graph.set_op(node, _from_front(node, rank))
        return node.outputs if self.misfit(node) is None else self.misfit(node)

    def express(self, node: Node, graph: Graph, opset: int) -> Found:
        """As the operator says it in others."""
        op = node.op
        kind = in_standard(domain_of(op), op.op_type, opset)
        ended = kind is not None and kind.ended is not None and opset >= kind.ended
        if kind is type(op) and not ended and op.needs(*node.inputs) <= opset:
            return None
        found: Found = op.express(_body(node, graph), opset, *node.inputs)
        return found

    def expand(self, node: Node, graph: Graph, opset: int) -> Found:
        """By the body that the operator has."""
        op = node.op
        if isinstance(op, Opaque) or not op.has("expand"):
            return None
        if type(op) is in_standard(domain_of(op), op.op_type, opset):
            return None
        before = len(graph)
        found: Found = op.expand(graph, *node.inputs)
        for made in graph.since(before):
            infer_node(made)
        return found

    def formula(self, node: Node, graph: Graph, opset: int) -> Found:
        """Element by element."""
        del opset
        return spelled_out(node, _body(node, graph))

    def wider(self, node: Node, graph: Graph, opset: int) -> Found:
        """In a wider type."""
        if type(node.op) is not in_standard(domain_of(node.op), node.op.op_type, opset):
            return None
        return widened(node, _body(node, graph), opset)

    def stuck(self) -> Iterator[tuple[Node, str]]:
        """The nodes that are not as the wanted opset has them, with reasons."""
        for body in bodies(self.graph):
            for node in body.nodes:
                misfit = self.misfit(node)
                if misfit is not None:
                    yield node, self.reasons.get(node, misfit)


def _body(node: Node, graph: Graph) -> Body:
    return Body(graph, node.name or node.op.op_type)


def _counted_from_end(node: Node) -> bool:
    given = node.op.attributes()
    axis, axes = given.get("axis"), given.get("axes")
    by_default = isinstance(axis, int) and axis == getattr(type(node.op), "axis", None)
    if isinstance(axis, int) and axis < 0 and not by_default:
        return True
    return isinstance(axes, tuple) and any(a < 0 for a in axes)


def _from_front(node: Node, rank: int) -> Op:
    given = node.op.attributes()
    changed: Any = {
        name: given[name] % rank if name == "axis" else tuple(a % rank for a in given[name])
        for name in ("axis", "axes")
        if given.get(name) is not None
    }
    return replace(node.op, **changed)

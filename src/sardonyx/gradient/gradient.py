"""Models with gradients: as further outputs, and where a Gradient operator asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import sardonyx.gradient.elements
import sardonyx.gradient.loops
import sardonyx.gradient.moves
import sardonyx.gradient.products
import sardonyx.gradient.recurrent
import sardonyx.gradient.reduces
import sardonyx.gradient.windows  # noqa: F401 - these register their rules
from sardonyx.core.errors import InvalidArgument, UnsupportedOperator
from sardonyx.gradient.backward import Backward, is_smooth
from sardonyx.gradient.step import Writer
from sardonyx.graph.clone import clone, transplant
from sardonyx.graph.ir import Graph, Node, Value, captured
from sardonyx.graph.rewrite import substitute
from sardonyx.passes.dead import DEAD
from sardonyx.passes.infer import infer
from sardonyx.passes.inline import inlined
from sardonyx.passes.version import raise_refusals, upgrade

if TYPE_CHECKING:
    from sardonyx.ops.training.optimizers import Gradient

# The first opset in which the operators that gradients need take axes as inputs.
_OPSET = 18


def with_gradients(
    graph: Graph, wrt: Sequence[str] | None = None, of: str | Sequence[str] | None = None
) -> Graph:
    """A copy with the output `NAME.grad` for every name in `wrt`; see `sardonyx.gradient`."""
    made = _ready(graph)
    targets = _targets(made, of)
    names = {v.name: v for v in made.values()}
    sources = _sources(made, targets) if wrt is None else [_named(names, n) for n in wrt]
    for v, grad in zip(sources, _gradients(made, targets, sources), strict=True):
        made.outputs.append(_output(made, grad, f"{v.name}.grad"))
    made.sort()
    DEAD(made)
    return made


def _ready(graph: Graph) -> Graph:
    """A copy without functions at an opset that has what gradients are written in."""
    if graph.opsets.get("", 1) < _OPSET:
        moved = upgrade(graph, _OPSET)
        raise_refusals(moved.log)
        return moved.graph
    made = clone(inlined(graph))
    infer(made)
    return made


def _targets(graph: Graph, of: str | Sequence[str] | None) -> list[Value]:
    if of is None:
        found = graph.outputs[:1]
    else:
        names = {v.name: v for v in graph.values()}
        found = [_named(names, n) for n in ([of] if isinstance(of, str) else of)]
    return [_smooth(v) for v in found]


def _named(names: dict[str, Value], name: str) -> Value:
    if name not in names:
        raise InvalidArgument("E0204", f"the model has no value `{name}`", given=name)
    return _smooth(names[name])


def _smooth(v: Value) -> Value:
    if v.type.dtype is None or not v.type.dtype.is_float:
        said = f"`{v.name}` has no gradient: it is no tensor of floats"
        raise InvalidArgument("E0203", said, tensor=v.name, given=v.type)
    return v


def _sources(graph: Graph, targets: Iterable[Value]) -> list[Value]:
    """The inputs, and initializers that are no plain numbers, that the targets change with."""
    reached = set(targets)
    for node in reversed(graph.nodes):
        if any(v in reached for v in node.outputs):
            read = (*node.inputs, *captured(node))
            reached.update(v for v in read if v is not None and is_smooth(v))
    weights = (v for v in graph.initializers.values() if v.type.rank)
    return [v for v in dict.fromkeys([*graph.inputs, *weights]) if v in reached]


def _gradients(graph: Graph, targets: Sequence[Value], sources: Sequence[Value]) -> list[Value]:
    """The gradients of the sum of all elements of the targets, at the graph's end."""
    opset = graph.opsets.get("", _OPSET)
    write, walk = Writer(graph, "grad", opset), Backward(graph, opset)
    nodes = graph.nodes
    seeds = {v: write.filled(v, 1.0) for v in targets}
    found = walk.walk(nodes, seeds, sources)
    if walk.stuck:
        reasons = "; ".join(f"{name}: {why}" for name, why in walk.stuck.items())
        raise UnsupportedOperator("E0406", f"no gradient goes through {reasons}")
    return [found.get(v) or write.filled(v, 0.0) for v in sources]


def _output(graph: Graph, grad: Value, name: str) -> Value:
    """A gradient under a name of its own."""
    made = Writer(graph, name, graph.opsets.get("", _OPSET))("Identity", grad)
    made.name = graph.free_name(name)
    return made


def _asking(node: Node) -> Gradient | None:
    """The operator of a node that asks for derivatives, known without its module's import."""
    kind = type(node.op)
    asks = (kind.domain, kind.name) == ("ai.onnx.preview.training", "Gradient")
    return cast("Gradient", node.op) if asks else None


def written_out(graph: Graph) -> Graph:
    """The graph, or where it has Gradient operators a copy with what they stand for."""
    if not any(_asking(node) for node in graph.nodes):
        return graph
    kept = clone(graph)
    named = {n for node in kept.nodes if (op := _asking(node)) for n in _names(op)}
    # Nobody else may read what they name: as outputs these values are not dropped meanwhile.
    kept.outputs += [v for v in dict.fromkeys(kept.values()) if v.name in named]
    made = _ready(kept)
    made.sort()
    names = {v.name: v for v in made.values()}
    made.outputs = made.outputs[: len(graph.outputs)]
    outputs = Counter(made.outputs)
    for node in made.nodes:
        op = _asking(node)
        if op is not None:
            for old, new in zip(node.outputs, _replaced(made, node, op, names), strict=False):
                if old is not None:
                    names[old.name] = new
                    substitute(made, old, new, outputs)
            made.remove(node)
    made.sort()
    DEAD(made)
    return made


def _names(op: Gradient) -> tuple[str, ...]:
    return (*op.xs, *(op.zs or ()), op.y)


def _replaced(graph: Graph, node: Node, op: Gradient, names: dict[str, Value]) -> list[Value]:
    """What a Gradient node gives: at the values that it reads, not at those that it names."""
    given = dict(zip((*op.xs, *(op.zs or ())), node.inputs, strict=False))
    fed = {_named(names, name): v for name, v in given.items() if v is not None}
    target = _named(names, op.y)
    sources = [_named(names, name) for name in op.xs]
    if any(named is not v for named, v in fed.items()):
        before = graph.nodes
        known = transplant(before[: before.index(node)], dict(fed), graph, f"{node.name}/")
        target, sources = known.get(target) or target, [fed[v] for v in sources]
    return _gradients(graph, [target], sources)

"""Converts a model to a newer opset, operator by operator, where the meaning can be kept.

Each operator climbs from one definition to the next. A step either keeps the attributes, or moves
some of them into constant inputs, or follows the operator's own `renew`; what changed its meaning
in a way that no rule covers is refused by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core import errors
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import LATEST
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.make import attribute_fields
from sardonyx.graph.op import Op, Opaque, domain_of, find, versions
from sardonyx.graph.rewrite import Log, each_body

Settings = dict[str, Any]

_OBSOLETE = frozenset({"consumed_inputs", "output_sequence"})
_OF_INPUT = frozenset({"min", "max", "value"})


def upgrade(graph: Graph, opset: int) -> Log:
    """Makes a model with inferred types one of this opset of ai.onnx, in place.

    InvalidArgument when the opset is older than the model's or unknown; NotImplemented (E0346)
    where an operator cannot follow, in which case nothing was changed but subgraphs before it.
    """
    now = graph.opsets.get("", 1)
    if not now <= opset <= LATEST[""]:
        wanted = f"{now} to {LATEST['']}"
        raise errors.InvalidArgument(
            "E0347", f"no way to opset {opset}", given=opset, wanted=wanted
        )
    log = Log()

    def lift(body: Graph) -> None:
        for node in body.nodes:
            if not domain_of(node.op) and not isinstance(node.op, Opaque):
                _climb(body, node, opset, log)
        body.opsets[""] = opset

    each_body(graph, lift)
    return log


def _climb(graph: Graph, node: Node, opset: int, log: Log) -> None:
    name = node.op.op_type
    ended = type(node.op).ended
    if ended is not None and opset >= ended:
        raise _stuck(node, f"{name} ended with opset {ended - 1}")
    target = find("", name, opset)
    for since, kind in sorted(versions("", name).items()):
        if not type(node.op).since < since <= opset:
            continue
        reason = _step(graph, node, kind)
        if reason is not None:
            raise _stuck(node, reason)
        log.fired(f"opset {since}", node)
    assert type(node.op) is target


def _stuck(node: Node, reason: str) -> errors.NotImplemented:
    return errors.NotImplemented(
        "E0346", f"this node cannot be converted: {reason}", node=node.name, op=node.op.op_type
    )


def _step(graph: Graph, node: Node, kind: type[Op]) -> str | None:
    """Makes a node's op one of the next definition, or says why not."""
    op = node.op
    if kind.since in op.redefined:
        return f"opset {kind.since} changed what it means"
    given = {k: v for k, v in op.attributes().items() if k not in _OBSOLETE}
    types = (None if v is None else v.type for v in node.inputs)
    reason = op.renew(kind.since, given, *types)
    if reason is not None:
        return reason
    opset, names = op.made_inputs
    _to_inputs(graph, node, given, names if opset == kind.since else ())
    known = attribute_fields(kind)
    defaults = {n: f.default for n, f in attribute_fields(type(op)).items()}
    for extra in [n for n in given if n not in known]:
        if given.pop(extra) != defaults[extra]:
            return f"opset {kind.since} has no attribute `{extra}`"
    fields = {known[n].name: value for n, value in given.items()}
    graph.set_op(node, kind(outputs=op.outputs, **fields))
    return None


def _to_inputs(graph: Graph, node: Node, given: Settings, names: tuple[str, ...]) -> None:
    """Moves attributes into constant inputs."""
    inputs = list(node.inputs)
    for name in names:
        value = given.pop(name, None)
        inputs.append(None if value is None else _constant(graph, node, name, value))
    while inputs and inputs[-1] is None:
        inputs.pop()
    graph.set_inputs(node, inputs)


def _constant(graph: Graph, node: Node, name: str, value: Any) -> Value:
    x = node.inputs[0]
    dtype: np.dtype[Any] = np.dtype(np.int64)
    if name in _OF_INPUT and x is not None and x.type.dtype is not None:
        dtype = x.type.dtype.numpy
    elif isinstance(value, float):
        dtype = np.dtype(np.float32)
    data = np.array([value] if name == "k" else value).astype(dtype)
    return graph.constant(Tensor.of(data), f"{node.output.name}_{name}")

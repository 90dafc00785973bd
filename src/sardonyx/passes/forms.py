"""The forms that one operator has in several opsets: a node's op made that of the next or the last.

What changed is kept either in the same attributes, or moves between an attribute and a constant
input (`made_inputs`), or follows the operator's own `renew` and `revert`; what changed its meaning
(`redefined`) is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import arity
from sardonyx.graph.ir import Graph, Node, Value, subgraphs
from sardonyx.graph.make import attribute_fields
from sardonyx.graph.op import Op

Settings = dict[str, Any]

_OBSOLETE = frozenset({"consumed_inputs", "output_sequence"})
_OF_INPUT = frozenset({"min", "max", "value"})


def newer(graph: Graph, node: Node, kind: type[Op]) -> str | None:
    """Makes a node's op one of the next definition, or says why not."""
    op = node.op
    if kind.since in op.redefined:
        return f"opset {kind.since} changed what it means"
    given = _settings(op)
    types = (None if v is None else v.type for v in node.inputs)
    reason = op.renew(kind.since, given, *types)
    if reason is not None:
        return reason
    opset, names = op.made_inputs
    inputs = _to_inputs(graph, node, given, names if opset == kind.since else ())
    return _adopt(graph, node, _made(op, kind, given), inputs)


def older(graph: Graph, node: Node, kind: type[Op], constants: set[Value]) -> str | None:
    """Makes a node's op one of the definition before, or says why not.

    `constants` are the values that no feed can change.
    """
    op, since = node.op, type(node.op).since
    if since in kind.redefined:
        return f"opset {since} changed what it means"
    given, inputs = _settings(op), list(node.inputs)
    before = set(given)
    reason = kind.revert(given, inputs)
    settled = before - set(given)
    if reason is None and kind.made_inputs[0] == since:
        reason = _to_attributes(kind, given, inputs, constants)
    found = arity(kind)
    if reason is None and found is not None and found.most is not None:
        if any(v is not None for v in inputs[found.most :]):
            reason = f"before opset {since} it has {found.most} inputs at most"
        del inputs[found.most :]
    made = reason if reason is not None else _made(op, kind, given)
    if isinstance(made, Op) and not _leads_to(made, op, node, settled):
        made = f"opset {since} changed what its attributes mean"
    if isinstance(made, Op) and not _gives(made, inputs, node):
        made = f"before opset {since} its outputs are others"
    return _adopt(graph, node, made, inputs)


def _leads_to(made: Op, op: Op, node: Node, settled: set[str]) -> bool:
    """Whether `made`, renewed, is `op`, but for what `revert` has settled."""
    back = _settings(made)
    types = (None if v is None else v.type for v in node.inputs)
    if made.renew(type(op).since, back, *types) is not None:
        return False
    fields = attribute_fields(type(op))
    moved = made.made_inputs[1] if made.made_inputs[0] == type(op).since else ()
    return all(
        back.get(name, f.default) == getattr(op, f.name)
        for name, f in fields.items()
        if name not in moved and name not in _OBSOLETE and name not in settled
    )


def _settings(op: Op) -> Settings:
    return {k: v for k, v in op.attributes().items() if k not in _OBSOLETE}


def _gives(made: Op, inputs: list[Value | None], node: Node) -> bool:
    """Whether an op has a node's outputs, of their types."""
    if subgraphs(made):
        return True
    found = made.infer(*(None if v is None else v.type for v in inputs))
    types = found if isinstance(found, tuple) else (found,)
    wanted = [v for v in node.outputs if v is not None]
    pairs = zip(node.outputs, types, strict=False)
    same = (v is None or v.type.dtype in (None, t.dtype) for v, t in pairs)
    return len(types) >= len(wanted) and all(same)


def _made(op: Op, kind: type[Op], given: Settings) -> Op | str:
    """An op of that class with these attributes, or which of them is in the way."""
    known = attribute_fields(kind)
    defaults = {n: f.default for n, f in attribute_fields(type(op)).items()}
    for extra in [n for n in given if n not in known]:
        if given.pop(extra) != defaults.get(extra):
            return f"opset {kind.since} has no attribute `{extra}`"
    fields = {known[n].name: value for n, value in given.items()}
    try:
        return kind(outputs=op.outputs, **fields)
    except TypeError:
        return f"opset {kind.since} needs attributes that it does not have"


def _adopt(graph: Graph, node: Node, made: Op | str, inputs: list[Value | None]) -> str | None:
    """Gives the node an op and its inputs; the reason where there is none."""
    if isinstance(made, str):
        return made
    while inputs and inputs[-1] is None:
        inputs.pop()
    graph.set_inputs(node, inputs)
    graph.set_op(node, made)
    return None


def _to_inputs(
    graph: Graph, node: Node, given: Settings, names: tuple[str, ...]
) -> list[Value | None]:
    """Moves attributes into constant inputs."""
    inputs = list(node.inputs)
    for name in names:
        value = given.pop(name, None)
        inputs.append(None if value is None else _constant(graph, node, name, value))
    return inputs


def _constant(graph: Graph, node: Node, name: str, value: Any) -> Value:
    x = node.inputs[0]
    dtype: np.dtype[Any] = np.dtype(np.int64)
    if name in _OF_INPUT and x is not None and x.type.dtype is not None:
        dtype = x.type.dtype.numpy
    elif isinstance(value, float):
        dtype = np.dtype(np.float32)
    data = np.array([value] if name == "k" else value).astype(dtype)
    return graph.constant(Tensor.of(data), f"{node.output.name}_{name}")


def _to_attributes(
    kind: type[Op], given: Settings, inputs: list[Value | None], constants: set[Value]
) -> str | None:
    """Moves constant inputs into attributes."""
    found = arity(kind)
    first = len(inputs) if found is None or found.most is None else found.most
    fields = attribute_fields(kind)
    for n, name in enumerate(kind.made_inputs[1], first):
        v = inputs[n] if n < len(inputs) else None
        if v is None:
            continue
        held = held_by(v, constants)
        if held is None:
            return f"its input `{name}` is not known before running"
        if not held.size and fields[name].default is None:
            inputs[n] = None
            continue
        given[name] = _plain(held, str(fields[name].type))
        inputs[n] = None
    return None


def _plain(held: Array, kind: str) -> Any:
    each = float if "float" in kind else int
    values = tuple(each(x) for x in held.reshape(-1))
    return values if "tuple" in kind else values[0]


def held_by(v: Value, constants: set[Value]) -> Array | None:
    """The elements of a value that are known before running."""
    if v in constants and v.const is not None:
        return v.const.numpy()
    if v.producer is not None and v.made_by("Constant"):
        return np.asarray(v.producer.op.reference())
    shape, known, dtype = v.type.static_shape, v.type.value, v.type.dtype
    if shape is None or known is None or dtype is None or not all(e.is_const for e in known):
        return None
    return np.array([e.arg for e in known], dtype.numpy).reshape(shape)

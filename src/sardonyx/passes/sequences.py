"""Rules about sequences and optionals whose elements are known by name: tensors stand for them.

Exporters build lists only to take them apart again; what is left of a list that is never fed, nor
given out, nor carried by a loop is nothing.
"""

from __future__ import annotations

import numpy as np

from sardonyx.core.errors import SardonyxError
from sardonyx.core.expr import number
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.rewrite import Rule, rule
from sardonyx.ops.base.shapes import axis_of, known_ints

# Lists longer than this stay lists: a node for every element would cost more than it saves.
_LONGEST = 256


def _elements(sequence: Value | None) -> list[Value] | None:
    """The elements of a sequence, None where it is not known of which values it was made."""
    edits: list[Node] = []
    while sequence is not None and sequence.producer is not None:
        node = sequence.producer
        if node.op.standard("SequenceConstruct"):
            return _edited([v for v in node.inputs if v is not None], edits)
        if node.op.standard("SequenceEmpty"):
            return _edited([], edits)
        if not node.op.standard("SequenceInsert", "SequenceErase") or len(edits) == _LONGEST:
            return None
        edits.append(node)
        sequence = node.inputs[0]
    return None


def _edited(found: list[Value], edits: list[Node]) -> list[Value] | None:
    """The elements after insertions and erasures, the last of them first."""
    for node in reversed(edits):
        inserts = node.op.standard("SequenceInsert")
        at = _place(node, 2 if inserts else 1, len(found) + inserts, len(found))
        if at is None:
            return None
        if not inserts:
            del found[at]
        elif (new := node.inputs[1]) is not None:
            found.insert(at, new)
    return found if len(found) <= _LONGEST else None


def _place(node: Node, which: int, most: int, length: int) -> int | None:
    """The position that an input says, the last where it is left out; None for none that is."""
    given = node.inputs[which] if which < len(node.inputs) else None
    if given is None:
        return most - 1 if most else None
    numbers = known_ints(given.type)
    if numbers is None or len(numbers) != 1 or not -length <= numbers[0] < most:
        return None
    return numbers[0] + length if numbers[0] < 0 else numbers[0]


def _writer(node: Node, graph: Graph) -> Body:
    return Body(graph, node.output.name, graph.opsets.get("", 11))


@rule("element of a known list", "SequenceAt")
def element(node: Node, graph: Graph) -> Value | str | None:
    """SequenceAt of a list of known values is one of them."""
    del graph
    found = _elements(node.inputs[0])
    if found is None:
        return "the list is not known before running"
    at = _place(node, 1, len(found), len(found))
    return "the position is not known before running" if at is None else found[at]


@rule("length of a known list", "SequenceLength")
def length(node: Node, graph: Graph) -> Value | str | None:
    """SequenceLength of a list of known values is a number."""
    found = _elements(node.inputs[0])
    if found is None:
        return "the list is not known before running"
    return _writer(node, graph).constant(np.asarray(len(found), np.int64))


@rule("joined known list", "ConcatFromSequence")
def joined(node: Node, graph: Graph) -> Value | str | None:
    """ConcatFromSequence of a list of known values is a Concat, of a new axis or an old one."""
    found = _elements(node.inputs[0])
    if not found:
        return "the list is not known before running"
    axis, stacks = getattr(node.op, "axis", 0), getattr(node.op, "new_axis", 0)
    if stacks and axis < 0 and found[0].type.rank is None:
        return "the rank is not known"
    write, before = _writer(node, graph), len(graph)
    try:
        if stacks:
            at = axis_of(axis, found[0].type.rank + 1) if found[0].type.rank is not None else axis
            found = [_stretched(write, v, at) for v in found]
            axis = at
        return write("Concat", *found, axis=axis)
    except SardonyxError as error:
        for new in graph.since(before):
            graph.remove(new)
        return f"its elements do not join: {error.message}"


def _stretched(write: Body, v: Value, axis: int) -> Value:
    """`v` with another axis of extent 1."""
    if write.opset < 13:
        return write("Unsqueeze", v, axes=(axis,))
    return write("Unsqueeze", v, write.ints(axis))


@rule("list of known parts", "SplitToSequence")
def parts(node: Node, graph: Graph) -> Value | str | None:
    """SplitToSequence into parts of known sizes is a list of a Split's outputs."""
    x = node.inputs[0]
    assert x is not None
    if x.type.shape is None:
        return "the rank is not known"
    axis = axis_of(getattr(node.op, "axis", 0), len(x.type.shape))
    sizes = _sizes(node, number(x.type.shape[axis]))
    if sizes is None:
        return "the sizes are not known before running"
    write = _writer(node, graph)
    found = _split(write, x, axis, sizes)
    if len(node.inputs) < 2 and not getattr(node.op, "keepdims", 1):
        found = [_dropped(write, v, axis) for v in found]
    return write("SequenceConstruct", *found)


def _sizes(node: Node, extent: int | None) -> tuple[int, ...] | None:
    """The sizes of the parts, None where unknown, too many, or not the whole."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None and given.type.rank != 0:
        sizes = known_ints(given.type)
        fits = sizes and min(sizes) >= 0 and extent in (sum(sizes), None)
        return sizes if sizes and fits and len(sizes) <= _LONGEST else None
    each = (1,) if given is None else known_ints(given.type)
    if extent is None or not each or each[0] < 1 or not 0 < extent <= each[0] * _LONGEST:
        return None
    whole, rest = divmod(extent, each[0])
    return (each[0],) * whole + ((rest,) if rest else ())


def _split(write: Body, x: Value, axis: int, sizes: tuple[int, ...]) -> list[Value]:
    if write.opset < 13:
        return list(write.all("Split", x, axis=axis, split=sizes, outputs=len(sizes)))
    return list(write.all("Split", x, write.ints(*sizes), axis=axis, outputs=len(sizes)))


def _dropped(write: Body, v: Value, axis: int) -> Value:
    """`v` without an axis of extent 1."""
    if write.opset < 13:
        return write("Squeeze", v, axes=(axis,))
    return write("Squeeze", v, write.ints(axis))


@rule("known optional", "OptionalHasElement", "OptionalGetElement")
def optional(node: Node, graph: Graph) -> Value | str | None:
    """What an Optional of the same graph holds is what it was made of."""
    x = node.inputs[0] if node.inputs else None
    asks = node.op.standard("OptionalHasElement")
    held: Value | None = x
    if x is not None and x.type.kind == "optional":
        if x.producer is None or not x.producer.op.standard("Optional"):
            return "the optional is not known before running"
        held = x.producer.inputs[0] if x.producer.inputs else None
    if asks:
        return _writer(node, graph).constant(np.asarray(held is not None))
    return "the optional is empty" if held is None else held


SEQUENCES: tuple[Rule, ...] = (parts, element, length, joined, optional)

"""Steps through sequences: tensors put into one, changed there, and taken out again."""

from __future__ import annotations

from collections.abc import Sequence

from fuzz.flow import Step, inside, result
from fuzz.grow import Grower, Skip, is_float, rank
from sardonyx.graph.ir import Value


def sequence(g: Grower) -> tuple[Value, Value]:
    """A sequence of tensors of one type, and what its elements are like."""
    x = g.pick(lambda v: is_float(v) and rank(v) >= 1)
    if g.maybe(0.4):
        return g.emit("SplitToSequence", x, axis=g.axis(x), keepdims=g.below(0, 2)), x
    alike = [v for v in g.values if v.type == x.type]
    return g.emit("SequenceConstruct", *(g.one(*alike) for _ in range(g.below(1, 4)))), x


def changed(g: Grower, held: Value, like: Value) -> Value:
    """The sequence longer, shorter, or as it was."""
    if g.maybe(0.3) and held.type.elem == like.type:
        return g.emit("SequenceInsert", held, like, g.scalar(0) if g.maybe(0.5) else None)
    if g.maybe(0.2):
        return g.emit("SequenceErase", held)
    return held


def mapped(g: Grower, held: Value, steps: Sequence[Step]) -> Value:
    """A sequence of what a body makes of each element."""
    elem = held.type.elem
    if elem is None or elem.dtype is None or elem.shape is None:
        raise Skip
    item = Value("item", elem)
    inner = inside(g, (item,), steps)
    inner.graph.outputs = [result(inner, item)]
    return g.emit("SequenceMap", held, body=inner.graph)


def through(g: Grower, steps: Sequence[Step]) -> None:
    """Into a sequence and out of it."""
    held, like = sequence(g)
    held = changed(g, held, like)
    if g.maybe(0.4):
        held = mapped(g, held, steps)
    if g.maybe(0.2):
        g.emit("SequenceLength", held)
    if g.maybe(0.5):
        g.emit("ConcatFromSequence", held, axis=0, new_axis=g.below(0, 2))
    else:
        g.emit("SequenceAt", held, g.scalar(g.one(0, -1)))


def stepped(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The step, whose bodies are made of others."""
    return (lambda g: through(g, steps),)

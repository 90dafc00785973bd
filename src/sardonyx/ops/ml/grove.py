"""A forest as nodes of a graph: constants, a TreeWalk, and what joins its scores."""

from __future__ import annotations

import math

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.core.limits import Limits
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Value
from sardonyx.ops.ml.forest import LEAF, Forest
from sardonyx.ops.ml.layout import Layout, laid_out
from sardonyx.ops.ml.walk import TreeWalk

# Bytes of a table of what leaves give to all targets.
_TABLE = 1 << 28


def walked(body: Body, x: Value, forest: Forest, how: str) -> Value | None:
    """What leaves give to the targets of each row [N, F], joined; None where it has no code."""
    layout = laid_out(forest)
    given = None if layout is None else _given(forest, layout, how)
    if layout is None or given is None or x.type.dims[1].free:
        return None
    kind = np.dtype(forest.threshold.dtype)
    feature = layout.feature if forest.features else np.zeros_like(layout.feature)
    lists = (feature, layout.threshold.astype(kind), layout.child, layout.flags)
    starts = {"MIN": ("min", math.inf), "MAX": ("max", -math.inf)}
    join, start = starts.get(how, ("add", 0.0))
    op = TreeWalk(targets=forest.targets, asks=layout.kind, how=join,
                  steps=layout.steps, trees=layout.trees, start=start)  # fmt: skip
    made = body(op, x, *map(body.constant, (*lists, *given)))
    if how == "AVERAGE":
        made = body("Div", made, body.constant(np.array(len(forest.roots), kind)))
    return made


def _given(forest: Forest, layout: Layout, how: str) -> tuple[Array, ...] | None:
    """The last inputs of the TreeWalk: what slots give, and to which target or from which row."""
    each = forest.one_each()
    if how in ("MIN", "MAX"):
        silent = (np.diff(forest.start) == 0) & (forest.mode == LEAF)
        if each is None or forest.targets > 1 or silent.any() or np.isnan(forest.weight).any():
            return None
        return (_of_slots(layout, each, math.inf if how == "MIN" else -math.inf),)
    if each is not None:
        values = _of_slots(layout, each, -0.0)
        if forest.targets == 1:
            return (values,)
        owner = np.zeros(len(forest.mode), np.uint32)
        owner[np.diff(forest.start) > 0] = forest.target
        return values, _of_slots(layout, owner, 0)
    return _table(forest, layout)


def _of_slots(layout: Layout, of_nodes: Array, rest: float) -> Array:
    """Something of each slot, from that of the forest's nodes."""
    held = (layout.node >= 0) & (layout.node < len(of_nodes))
    made = np.full(len(layout.node), rest, of_nodes.dtype)
    made[held] = of_nodes[layout.node[held]]
    return made


def _table(forest: Forest, layout: Layout) -> tuple[Array, ...] | None:
    """What leaves give to all targets, and each slot's row of it; the last row is of zeros."""
    counts = np.diff(forest.start)
    leaves = np.flatnonzero(counts)
    size = (len(leaves) + 1) * forest.targets * forest.weight.dtype.itemsize
    if size > min(_TABLE, Limits.current().memory_allowed()):
        return None
    rows = np.full(len(forest.mode), len(leaves), np.uint32)
    rows[leaves] = np.arange(len(leaves))
    table = np.zeros((len(leaves) + 1, forest.targets), forest.weight.dtype)
    table[-1] = -0.0
    np.add.at(table, (np.repeat(rows[leaves], counts[leaves]), forest.target), forest.weight)
    return table, _of_slots(layout, rows, len(leaves))

"""Forests laid out for machine code: two comparisons only, the children of a node side by side.

    slot := feature, threshold, child, flags        a node; its `yes` is slot `child`, `no` the next
    leaf := threshold NaN, child the slot before    any step from a leaf leads to itself

A slot for each root, in order, then two for each inner node, those of one tree together. What
`x == t` and membership ask is asked in steps of `<=` and `<`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.ops.ml.forest import EQ, GT, GTE, LEAF, LT, MEMBER, NEQ, Forest

# Trees that are walked side by side: their chains of loads hide each other's latency.
SIDE_BY_SIDE = 8
# Slots in all for each node: beyond, trees share so much that they are not laid out.
_SHARED = 16

STRICT, MISSING = 1, 2


@dataclass
class _Nodes:
    """Nodes of two modes: `x <= t`, or `x < t` where strict; a leaf has no threshold."""

    feature: Array
    threshold: Array
    flags: Array
    yes: Array
    no: Array
    leaf: Array

    def more(self, count: int) -> int:
        """Room for more nodes, copies of the first; the number of the first new one."""
        first = len(self.leaf)
        for name, held in vars(self).items():
            setattr(self, name, np.concatenate([held, np.repeat(held[:1], count)]))
        self.leaf[first:] = False
        return first

    def put(self, at: Array, strict: bool, missing: Array | bool, yes: Array, no: Array) -> None:
        """Makes nodes comparisons of their own."""
        self.flags[at] = STRICT * strict + MISSING * np.asarray(missing)
        self.yes[at], self.no[at] = yes, no

    def ask_equal(self, at: Array, missing: Array, yes: Array, no: Array) -> None:
        """Makes nodes `x == t`: x <= t, and then not x < t, which is false of NaN."""
        second = np.arange(len(at)) + self.more(len(at))
        self.feature[second], self.threshold[second] = self.feature[at], self.threshold[at]
        self.put(at, False, missing, second, no)
        self.put(second, True, False, no, yes)


def _plain(forest: Forest) -> _Nodes:
    """The nodes of a forest in two modes; the first ones keep their numbers."""
    mode, missing = forest.mode, forest.missing
    nodes = _Nodes(
        forest.feature.copy(), forest.threshold.copy(), np.zeros(len(mode), np.uint8),
        forest.yes.copy(), forest.no.copy(), mode == LEAF,
    )  # fmt: skip
    nodes.flags[:] = STRICT * ((mode == LT) | (mode == GTE)) + MISSING * missing
    turned = np.flatnonzero((mode == GT) | (mode == GTE))
    nodes.yes[turned], nodes.no[turned] = forest.no[turned], forest.yes[turned]
    nodes.flags[turned] ^= MISSING
    equal = np.flatnonzero((mode == EQ) | (mode == NEQ))
    same = mode[equal] == EQ
    yes, no = forest.yes[equal], forest.no[equal]
    lead = np.where(same, missing[equal], False)
    nodes.ask_equal(equal, lead, np.where(same, yes, no), np.where(same, no, yes))
    for node in np.flatnonzero(mode == MEMBER).tolist():
        _ask_member(nodes, forest, node)
    return nodes


def _ask_member(nodes: _Nodes, forest: Forest, node: int) -> None:
    """Makes a node a row of `x == v`, one for each member."""
    members, ends = forest.members[node], (forest.yes[[node]], forest.no[[node]])
    missing, at = forest.missing[[node]], np.array([node])
    if not len(members):
        nodes.threshold[at] = np.nan
        nodes.put(at, False, missing, *ends)
    for n, v in enumerate(members):
        following = ends[1]
        if n < len(members) - 1:
            following = np.array([nodes.more(1)])
            nodes.feature[following] = forest.feature[node]
        nodes.threshold[at] = v
        nodes.ask_equal(at, missing, ends[0], following)
        at, missing = following, np.zeros(1, bool)


@dataclass(frozen=True)
class Layout:
    """See the module. `node` is the node of the forest that a leaf's slot stands for, else -1.

    There are as many slots as some power of two, and `trees` a multiple of SIDE_BY_SIDE; no walk
    takes more than `steps`.
    """

    feature: Array
    threshold: Array
    child: Array
    flags: Array
    node: Array
    steps: int
    trees: int

    @property
    def kind(self) -> str:
        """`<=` or `<` where that is all that is asked, `flags` otherwise."""
        asked = np.unique(self.flags[self.node < 0])
        if not asked.size or asked.tolist() == [0]:
            return "le"
        return "lt" if asked.tolist() == [STRICT] else "flags"


def laid_out(forest: Forest) -> Layout | None:
    """The layout of a forest; None where its trees share too many nodes."""
    nodes, trees = _plain(forest), -(-len(forest.roots) // SIDE_BY_SIDE) * SIDE_BY_SIDE
    found = list(_visited(nodes, forest.roots))
    if sum(map(len, found)) > _SHARED * (len(nodes.leaf) + len(forest.roots)) or not trees:
        return None
    every = np.concatenate([np.zeros((0, 2), np.int64), *found])
    _, first = np.unique(every[:, 1], return_index=True)
    every = every[np.sort(first)]
    order = every[np.argsort(every[:, 0], kind="stable"), 1]
    nowhere = nodes.more(1)
    nodes.leaf[nowhere] = True
    roots = np.concatenate([forest.roots, np.full(trees - len(forest.roots), nowhere)])
    pairs = np.stack([nodes.yes[order], nodes.no[order]], axis=1).reshape(-1)
    places = np.zeros(len(nodes.leaf), np.int64)
    places[order] = trees + 2 * np.arange(len(order))
    held = np.concatenate([roots, pairs])
    return _slots(nodes, held, places, nowhere, len(found), trees)


def _visited(nodes: _Nodes, roots: Array) -> Iterator[Array]:
    """The inner nodes of each level as (tree, node), each once a tree."""
    inner = np.flatnonzero(~nodes.leaf)
    ways = np.bincount(
        np.concatenate([nodes.yes[inner], nodes.no[inner]]), minlength=len(nodes.leaf)
    )
    shared = bool((ways[inner] > 1).any())
    pairs, count = np.stack([np.arange(len(roots)), roots], axis=1), 0
    most = _SHARED * (len(nodes.leaf) + len(roots))
    while True:
        pairs = pairs[~nodes.leaf[pairs[:, 1]]]
        count += len(pairs)
        if not pairs.size or count > most:
            if pairs.size:
                yield np.zeros((most + 1, 2), np.int64)
            return
        yield pairs
        both = np.concatenate([nodes.yes[pairs[:, 1]], nodes.no[pairs[:, 1]]])
        pairs = np.stack([np.tile(pairs[:, 0], 2), both], axis=1)
        if shared:
            keys = np.unique(pairs[:, 0] * len(nodes.leaf) + both)
            pairs = np.stack(np.divmod(keys, len(nodes.leaf)), axis=1)


def _slots(
    nodes: _Nodes, held: Array, places: Array, nowhere: int, steps: int, trees: int
) -> Layout:
    size = 1 << int(len(held) - 1).bit_length()
    held = np.concatenate([held, np.full(size - len(held), nowhere)])
    leaf, own = nodes.leaf[held], np.arange(size)
    feature = np.where(leaf, 0, nodes.feature[held])
    threshold = np.where(leaf, np.nan, nodes.threshold[held])
    most = int(feature.max(initial=0))
    narrow = np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32
    return Layout(
        feature.astype(narrow),
        threshold.astype(nodes.threshold.dtype),
        np.where(leaf, (own - 1) % size, places[held]).astype(np.uint32),
        np.where(leaf, 0, nodes.flags[held]).astype(np.uint8),
        np.where(leaf, np.where(held == nowhere, nowhere, held), -1),
        steps,
        trees,
    )

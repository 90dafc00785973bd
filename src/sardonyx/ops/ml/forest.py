"""Trees as flat arrays, checked once: nodes that compare a feature, leaves that give to targets.

    node := feature, threshold, mode, whether NaN goes to `yes`, yes, no      yes, no are nodes
    leaf := weights start .. start of the next, each for a target

What a model says is looked at before anything follows it: every number is in its range, and every
walk from a root ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array
from sardonyx.ops.base.shapes import refuse

MODES = (
    "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ",
    "BRANCH_MEMBER", "LEAF",
)  # fmt: skip
LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, LEAF = range(8)

# Levels beyond which a tree is taken for a mistake: the deepest real ones have hundreds.
_DEEPEST = 1 << 16
# Ids of trees, and of nodes, between the least and the greatest: a pair is one number of 62 bits.
_APART = 1 << 31
# Walks that go on side by side: their state is a few megabytes.
_WALKS = 1 << 18

_COMPARED: dict[int, Callable[[Array, Array], Array]] = {
    LEQ: np.less_equal,
    LT: np.less,
    GTE: np.greater_equal,
    GT: np.greater,
    EQ: np.equal,
    NEQ: np.not_equal,
}


@dataclass(frozen=True, eq=False)
class Forest:
    """See the module; `start` has one entry more than there are nodes, leaves alone hold weights.

    `members` are the sets of the MEMBER nodes. A leaf is its own `yes` and `no`.
    """

    feature: Array
    threshold: Array
    mode: Array
    missing: Array
    yes: Array
    no: Array
    roots: Array
    start: Array
    target: Array
    weight: Array
    targets: int
    members: dict[int, Array] = field(default_factory=dict)

    @property
    def features(self) -> int:
        """The least number of features that a row must have."""
        inner = self.feature[self.mode != LEAF]
        return int(inner.max()) + 1 if inner.size else 0

    def check(self) -> Forest:
        """Itself; E0341 where a number is out of range or a walk never ends."""
        nodes = len(self.feature)
        inner = self.mode != LEAF
        _within(self.feature[inner], 1 << 31, "a feature")
        _within(self.target, self.targets, "a target")
        for ids in (self.yes, self.no, self.roots):
            _within(ids, nodes, "a node")
        assert self.depth >= 0
        return self

    def astype(self, dtype: Any) -> Forest:
        """The same with thresholds and weights of a type."""
        if self.threshold.dtype == dtype and self.weight.dtype == dtype:
            return self
        kinds = self.threshold.astype(dtype), self.weight.astype(dtype)
        return replace(self, threshold=kinds[0], weight=kinds[1])

    @cached_property
    def depth(self) -> int:
        """The most comparisons of one walk; E0341 where one never ends."""
        inner = np.flatnonzero(self.mode != LEAF)
        waiting = np.bincount(np.concatenate([self.yes[inner], self.no[inner]]), minlength=1)
        waiting = np.pad(waiting, (0, max(0, len(self.mode) - len(waiting))))
        level, left, depth = inner[waiting[inner] == 0], len(inner), -1
        while level.size:
            depth, left = depth + 1, left - len(level)
            below = np.concatenate([self.yes[level], self.no[level]])
            np.subtract.at(waiting, below, 1)
            below = below[(waiting[below] == 0) & (self.mode[below] != LEAF)]
            level = np.unique(below) if len(below) > 1 else below
        if left or depth >= _DEEPEST:
            said = "a tree has a cycle" if left else "a tree is too deep"
            raise refuse("E0341", said, left or depth, f"at most {_DEEPEST} levels")
        return depth + 1

    def leaves(self, x: Array) -> Array:
        """The leaf where each walk of each row [N, F] ends: [N, roots]."""
        out = np.empty((len(x), len(self.roots)), np.int64)
        step = max(1, _WALKS // max(1, len(self.roots)))
        for first in range(0, len(x), step):
            part = x[first : first + step]
            rows = np.repeat(np.arange(len(part)), len(self.roots))
            out[first : first + step] = self._walked(part, rows).reshape(len(part), -1)
        return out

    def _walked(self, x: Array, rows: Array) -> Array:
        at = np.tile(self.roots, len(x))
        walking = np.flatnonzero(self.mode[at] != LEAF)
        while walking.size:
            here = at[walking]
            go = self._goes(here, x[rows[walking], self.feature[here]])
            at[walking] = here = np.where(go, self.yes[here], self.no[here])
            walking = walking[self.mode[here] != LEAF]
        return at

    def _goes(self, nodes: Array, x: Array) -> Array:
        """Whether each walk goes to `yes`."""
        modes, threshold = self.mode[nodes], self.threshold[nodes]
        go = np.isnan(x) & self.missing[nodes]
        for mode, compare in _COMPARED.items():
            here = modes == mode
            if here.any():
                go[here] |= compare(x[here], threshold[here])
        for k in np.flatnonzero(modes == MEMBER):
            go[k] |= bool((self.members[int(nodes[k])] == x[k]).any())
        return go

    def sums(self, x: Array, how: str) -> tuple[Array, Array]:
        """What the leaves give to each target [N, targets], and whether any gave something.

        `how` is SUM, AVERAGE, MIN or MAX; trees are added in order, in the type of the weights.
        """
        made = np.zeros((len(x), self.targets), self.weight.dtype)
        given = np.zeros(made.shape, bool)
        rows = np.arange(len(x))
        for leaves in self.leaves(x).T:
            most = int((self.start[leaves + 1] - self.start[leaves]).max(initial=0))
            for k in range(most):
                place = self.start[leaves] + k
                one = place < self.start[leaves + 1]
                at = rows[one], self.target[place[one]]
                made[at] = _joined(how, made[at], given[at], self.weight[place[one]])
                given[at] = True
        if how == "AVERAGE":
            made = made / made.dtype.type(len(self.roots))
        return made, given

    def one_each(self) -> Array | None:
        """What each node gives, -0.0 where it is no leaf or gives nothing; None for more."""
        counts = np.diff(self.start)
        if (counts > 1).any():
            return None
        made = np.full(len(self.mode), -0.0, self.weight.dtype)
        made[counts > 0] = self.weight
        return made

    def always(self, target: int) -> bool:
        """Whether every row is given something for a target: by all leaves of some tree."""
        gives = np.zeros(len(self.mode), bool)
        places = np.flatnonzero(self.target == target)
        gives[np.searchsorted(self.start, places, side="right") - 1] = True
        return any(bool(gives[self._leaves_of(root)].all()) for root in self.roots)

    def _leaves_of(self, root: int) -> Array:
        seen, level = np.zeros(len(self.mode), bool), np.array([root])
        while level.size:
            seen[level] = True
            level = level[self.mode[level] != LEAF]
            level = np.unique(np.concatenate([self.yes[level], self.no[level]]))
            level = level[~seen[level]]
        return np.flatnonzero(seen & (self.mode == LEAF))


def _joined(how: str, old: Array, given: Array, new: Array) -> Array:
    if how in ("MIN", "MAX"):
        better = new < old if how == "MIN" else new > old
        return np.where(~given | better, new, old)
    return old + new


def _within(found: Array, count: int, what: str) -> None:
    wrong = found[(found < 0) | (found >= count)]
    if wrong.size:
        wanted = f"0 … {count - 1}"
        raise refuse("E0341", f"{what} is out of range", int(wrong[0]), wanted)


def integers(values: Sequence[int] | None) -> Array:
    """A list of integers as an array."""
    return np.array(values or (), np.int64)


def same_length(lists: dict[str, Any]) -> int:
    """The common length of lists; E0341 where it is not one."""
    sizes = {name: len(value) for name, value in lists.items()}
    first = next(iter(sizes.values()))
    for name, size in sizes.items():
        if size != first:
            raise refuse("E0341", f"`{name}` has another length", size, first)
    return first


def split_sets(values: Array, count: int) -> list[Array]:
    """The sets of the MEMBER nodes, which NaN separates."""
    cuts = np.flatnonzero(np.isnan(values))
    parts = [part[~np.isnan(part)] for part in np.split(values, cuts)]
    if len(parts) == count + 1 and not parts[-1].size:
        parts.pop()
    if len(parts) != count:
        raise refuse("E0341", "`membership_values` does not fit the modes", len(parts), count)
    return parts


@dataclass(frozen=True)
class Places:
    """The nodes of trees by (tree, node): positions in lists of these two."""

    trees: Array
    nodes: Array

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        """Positions in the order of (tree, node), and their keys."""
        keys = self._keys(self.trees, self.nodes)
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    def _keys(self, trees: Array, nodes: Array) -> Array:
        """A number for each pair in the order of pairs; -1 for one outside of all there are."""
        keys, inside = np.zeros(len(trees), np.int64), np.ones(len(trees), bool)
        for ids, known in ((trees, self.trees), (nodes, self.nodes)):
            low, high = int(known.min(initial=1 << 62)), int(known.max(initial=-(1 << 62)))
            if high - low >= _APART:
                raise refuse("E0341", "the ids of trees or nodes are too far apart", high - low)
            inside &= (ids >= low) & (ids <= high)
            keys = keys * (high - low + 1) + (ids - low)
        return np.where(inside, keys, -1)

    def check(self) -> None:
        """E0341 where two nodes have one name."""
        _, keys = self._sorted
        if (keys[1:] == keys[:-1]).any():
            raise refuse("E0341", "two nodes of a tree have the same id")

    def find(self, trees: Array, nodes: Array, what: str) -> Array:
        """The positions of nodes; E0341 where there is no such node."""
        order, keys = self._sorted
        wanted = self._keys(trees, nodes)
        at = np.searchsorted(keys, wanted)
        hit = at < len(keys)
        hit[hit] = keys[at[hit]] == wanted[hit]
        if not hit.all():
            tree, node = int(trees[~hit][0]), int(nodes[~hit][0])
            said = f"`{what}` names a node that is not there"
            raise refuse("E0341", said, f"node {node} of tree {tree}")
        return np.asarray(order[at], np.int64)

    @cached_property
    def roots(self) -> Array:
        """The first node listed of each run of one tree."""
        changes = np.ones(len(self.trees), bool)
        changes[1:] = self.trees[1:] != self.trees[:-1]
        return np.flatnonzero(changes)

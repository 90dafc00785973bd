"""A forest as the attributes of either form that the standard has for one.

lists of named nodes (TreeEnsembleRegressor)  <->  roots, nodes and leaves (TreeEnsemble)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sardonyx.core.tensor import Tensor
from sardonyx.ops.ml.forest import EQ, LEAF, MEMBER, MODES, Forest

Row = tuple[int, int, int, int, int, float, bool]


def listed(forest: Forest) -> dict[str, Any]:
    """Lists of nodes, each named by its tree and a number; a set is asked element by element."""
    nodes: list[tuple[int, Row]] = []
    given: list[tuple[int, int, int, float]] = []
    for tree, root in enumerate(forest.roots.tolist()):
        for row in _below(forest, root):
            nodes.append((tree, row))
            n, mode = row[0], row[1]
            if mode == LEAF:
                held = range(forest.start[n], forest.start[n + 1])
                given += [(tree, n, int(forest.target[k]), float(forest.weight[k])) for k in held]
    columns = list(zip(*(row for _, row in nodes), strict=True))
    trees, ids, targets, weights = zip(*given, strict=True)
    return {
        "nodes_treeids": tuple(tree for tree, _ in nodes),
        "nodes_nodeids": columns[0],
        "nodes_modes": tuple(MODES[m] for m in columns[1]),
        "nodes_featureids": columns[2],
        "nodes_truenodeids": columns[3],
        "nodes_falsenodeids": columns[4],
        "nodes_values": columns[5],
        "nodes_missing_value_tracks_true": tuple(map(int, columns[6])),
        "target_treeids": trees,
        "target_nodeids": ids,
        "target_ids": targets,
        "target_weights": weights,
        "n_targets": forest.targets,
    }


def _below(forest: Forest, root: int) -> Iterator[Row]:
    """The nodes of a tree, the root first: number, mode, feature, yes, no, threshold, missing."""
    waiting, more = [root], len(forest.mode)
    while waiting:
        n = waiting.pop()
        mode, feature = int(forest.mode[n]), int(forest.feature[n])
        yes, no, missing = int(forest.yes[n]), int(forest.no[n]), bool(forest.missing[n])
        if mode == LEAF:
            yield n, mode, 0, 0, 0, 0.0, False
            continue
        waiting += [no, yes]
        asked = forest.members[n].tolist() if mode == MEMBER else [float(forest.threshold[n])]
        for k, value in enumerate(asked):
            last = k == len(asked) - 1
            own, following = n if k == 0 else more - 1, no if last else more
            kind = EQ if mode == MEMBER else mode
            yield own, kind, feature, yes, following, value, missing
            more += not last


def rooted(forest: Forest, *, apart: bool) -> dict[str, Any] | str:
    """Roots, nodes and leaves that give to one target each; a text why that cannot be.

    `apart`: a tree whose leaves give to several targets may stand there once for each of them.
    """
    counts = np.diff(forest.start)[forest.mode == LEAF]
    alone = bool((counts == 1).all())
    if not (alone or apart):
        return "its leaves give to several targets or to none"
    found = _Rooted()
    for root in forest.roots.tolist():
        for target in [None] if alone else range(forest.targets):
            place = found.add(forest, root, target)
            if place is None:
                return "a tree is a leaf alone"
            found.roots.append(place)
    return found.settings(forest)


class _Rooted:
    """Nodes and leaves as they are numbered anew."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.nodes: list[list[float]] = []
        self.leaves: list[tuple[int, float]] = []

    def add(self, forest: Forest, root: int, target: int | None) -> int | None:
        """Appends a tree, its leaves for one target; the number of its first node."""
        if forest.mode[root] == LEAF:
            return None
        numbers: dict[int, int] = {}
        waiting = [root]
        while waiting:
            n = waiting.pop()
            if forest.mode[n] != LEAF and n not in numbers:
                numbers[n] = len(self.nodes)
                self.nodes.append([])
                waiting += [int(forest.no[n]), int(forest.yes[n])]
        for n, place in numbers.items():
            ends = [self._end(forest, int(side[n]), numbers, target)
                    for side in (forest.yes, forest.no)]  # fmt: skip
            row = (forest.mode[n], forest.feature[n], forest.threshold[n], forest.missing[n])
            self.nodes[place] = [*map(float, row), *ends[0], *ends[1]]
        return numbers[root]

    def _end(
        self, forest: Forest, n: int, numbers: dict[int, int], target: int | None
    ) -> tuple[int, int]:
        """Where a branch leads: a number, and whether it is that of a leaf."""
        if n in numbers:
            return numbers[n], 0
        held = range(forest.start[n], forest.start[n + 1])
        pairs = [(int(forest.target[k]), float(forest.weight[k])) for k in held]
        if target is not None:
            pairs = [(target, sum(w for t, w in pairs if t == target))]
        self.leaves.append(pairs[0])
        return len(self.leaves) - 1, 1

    def settings(self, forest: Forest) -> dict[str, Any]:
        """The attributes of TreeEnsemble."""
        mode, feature, value, missing, yes, yes_leaf, no, no_leaf = zip(*self.nodes, strict=True)
        whole = {
            "nodes_featureids": feature, "nodes_missing_value_tracks_true": missing,
            "nodes_truenodeids": yes, "nodes_trueleafs": yes_leaf, "nodes_falsenodeids": no,
            "nodes_falseleafs": no_leaf, "tree_roots": self.roots,
            "leaf_targetids": [t for t, _ in self.leaves],
        }  # fmt: skip
        weights = [w for _, w in self.leaves]
        return {
            **{name: tuple(map(int, held)) for name, held in whole.items()},
            "nodes_modes": Tensor.of(np.array(mode, np.uint8)),
            "nodes_splits": Tensor.of(np.array(value, np.float32)),
            "leaf_weights": Tensor.of(np.array(weights, np.float32)),
            "n_targets": forest.targets,
        }

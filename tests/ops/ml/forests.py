"""Random trees in both forms that the standard has: lists of named nodes, and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

Rng = np.random.Generator
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")


class Trees:
    """Trees whose nodes are (feature, split, mode, missing, yes, no) or leaves."""

    def __init__(
        self,
        rng: Rng,
        count: int,
        depth: int,
        features: int,
        *,
        modes: tuple[str, ...] = MODES[:1],
        full: bool = False,
        missing: bool = False,
        grid: int = 5,
    ) -> None:
        self.rng, self.features, self.modes = rng, features, modes
        self.full, self.missing, self.grid = full, missing, grid
        self.trees: list[list[dict[str, Any]]] = []
        for _ in range(count):
            nodes: list[dict[str, Any]] = []
            self._grow(nodes, depth)
            self.trees.append(nodes)

    def _grow(self, nodes: list[dict[str, Any]], depth: int) -> int:
        rng, own = self.rng, len(nodes)
        node: dict[str, Any] = {"mode": "LEAF"}
        nodes.append(node)
        if depth == 0 or (not self.full and own and rng.random() < 0.25):
            return own
        node["mode"] = str(rng.choice(self.modes))
        node["feature"] = int(rng.integers(self.features))
        node["split"] = float(rng.integers(-self.grid, self.grid + 1)) / 2
        node["missing"] = int(self.missing and rng.integers(2))
        node["yes"], node["no"] = self._grow(nodes, depth - 1), self._grow(nodes, depth - 1)
        return own

    def rows(self, count: int, dtype: Any = np.float32) -> Any:
        """Rows that meet the splits often; with NaN where it may be missing."""
        x = self.rng.integers(-self.grid, self.grid + 1, (count, self.features)) / 2
        if self.missing:
            x[self.rng.random(x.shape) < 0.2] = np.nan
        return x.astype(dtype)

    def listed(self, kind: str, targets: int, *, each: bool = False, sign: bool = True) -> Any:
        """Attributes of TreeEnsembleRegressor ("target") or TreeEnsembleClassifier ("class").

        A leaf gives to one target, or to `each`.
        """
        found: dict[str, list[Any]] = {}

        def add(**row: Any) -> None:
            for name, value in row.items():
                found.setdefault(name, []).append(value)

        for tree, nodes in enumerate(self.trees):
            for n, node in enumerate(nodes):
                add(nodes_treeids=tree, nodes_nodeids=n, nodes_modes=node["mode"],
                    nodes_featureids=node.get("feature", 0), nodes_values=node.get("split", 0.0),
                    nodes_truenodeids=node.get("yes", 0), nodes_falsenodeids=node.get("no", 0),
                    nodes_missing_value_tracks_true=node.get("missing", 0))  # fmt: skip
                if node["mode"] == "LEAF":
                    for target in range(targets) if each else [tree % targets]:
                        weight = float(np.float32(self.rng.normal()))
                        row = {"treeids": tree, "nodeids": n, "ids": target,
                               "weights": weight if sign else abs(weight)}  # fmt: skip
                        add(**{f"{kind}_{name}": v for name, v in row.items()})
        return found

    def arrays(self, targets: int, dtype: Any = np.float32, members: bool = False) -> Any:
        """Attributes of TreeEnsemble."""
        inner = [(t, n) for t, nodes in enumerate(self.trees)
                 for n, node in enumerate(nodes) if node["mode"] != "LEAF"]  # fmt: skip
        leaf = [(t, n) for t, nodes in enumerate(self.trees)
                for n, node in enumerate(nodes) if node["mode"] == "LEAF"]  # fmt: skip
        places = {key: k for k, key in enumerate(inner)} | {key: k for k, key in enumerate(leaf)}
        nodes = [self.trees[t][n] for t, n in inner]
        codes = [MODES.index(node["mode"]) for node in nodes]
        sets: list[float] = []
        if members:
            for k in range(0, len(codes), 3):
                codes[k] = 6
                sets += [*self.rng.integers(-4, 5, 1 + k % 3).tolist(), float("nan")]
        made: dict[str, Any] = {
            "tree_roots": [places[t, 0] for t in range(len(self.trees))],
            "nodes_featureids": [node["feature"] for node in nodes],
            "nodes_modes": numpy_helper.from_array(np.array(codes, np.uint8)),
            "nodes_splits": numpy_helper.from_array(np.array([n["split"] for n in nodes], dtype)),
            "nodes_missing_value_tracks_true": [node["missing"] for node in nodes],
            "leaf_targetids": [t % targets for t, _ in leaf],
            "leaf_weights": numpy_helper.from_array(self.rng.normal(size=len(leaf)).astype(dtype)),
            "n_targets": targets,
        }
        if sets:
            made["membership_values"] = numpy_helper.from_array(np.array(sets, dtype))
        for side, name in (("yes", "true"), ("no", "false")):
            ends = [(t, self.trees[t][n][side]) for t, n in inner]
            made[f"nodes_{name}nodeids"] = [places[end] for end in ends]
            made[f"nodes_{name}leafs"] = [int(self.trees[t][n]["mode"] == "LEAF") for t, n in ends]
        return made

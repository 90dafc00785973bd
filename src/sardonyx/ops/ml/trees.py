"""Ensembles of decision trees: TreeEnsemble, and the regressor and classifier before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.core.tensor import Tensor
from sardonyx.graph.ir import Type
from sardonyx.ops.base.element import quiet, settle, widen
from sardonyx.ops.base.shapes import at_most, common_dtype, refuse
from sardonyx.ops.ml.forest import (
    LEAF,
    MEMBER,
    MODES,
    Forest,
    Places,
    integers,
    same_length,
    split_sets,
)
from sardonyx.ops.ml.scores import (
    TRANSFORMS,
    Tabular,
    either,
    label_type,
    labels,
    one_of,
    pair,
    table,
    table_dims,
    top,
    transformed,
)

_HOW = ("AVERAGE", "SUM", "MIN", "MAX")


class _Ensemble(Tabular, abstract=True):
    """What all have: a forest, how its leaves are joined, and what is done to the scores."""

    tolerance = "reduction"

    @cached_property
    def forest(self) -> Forest:
        """The trees, checked."""
        raise NotImplementedError

    @property
    def how(self) -> str:
        """SUM, AVERAGE, MIN or MAX."""
        return "SUM"

    @property
    def transform(self) -> str:
        """The transform of the scores."""
        raise NotImplementedError

    def rows(self, x: Type) -> Any:
        """The dims of the table, which must have all the features that trees look at."""
        dims = table_dims(x)
        forest = self.forest
        if dims is not None:
            at_most(const(forest.features), dims[1])
        return dims


class TreeEnsemble(_Ensemble, kw_only=True):
    """For each row and target what the leaves reached give, joined and transformed."""

    since = 5
    aggregate_function: int = 1
    leaf_targetids: tuple[int, ...]
    leaf_weights: Tensor
    membership_values: Tensor | None = None
    n_targets: int | None = None
    nodes_falseleafs: tuple[int, ...]
    nodes_falsenodeids: tuple[int, ...]
    nodes_featureids: tuple[int, ...]
    nodes_hitrates: Tensor | None = None
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None
    nodes_modes: Tensor
    nodes_splits: Tensor
    nodes_trueleafs: tuple[int, ...]
    nodes_truenodeids: tuple[int, ...]
    post_transform: int = 0
    tree_roots: tuple[int, ...]

    @property
    def how(self) -> str:
        return _numbered(_HOW, self.aggregate_function, "aggregate_function")

    @property
    def transform(self) -> str:
        return _numbered(TRANSFORMS, self.post_transform, "post_transform")

    @cached_property
    def forest(self) -> Forest:
        modes = self.nodes_modes.numpy().reshape(-1)
        splits = widen(self.nodes_splits.numpy().reshape(-1))
        weights = widen(self.leaf_weights.numpy().reshape(-1))
        inner, leaves = len(modes), len(weights)
        missing = integers(self.nodes_missing_value_tracks_true or (0,) * inner)
        feature = integers(self.nodes_featureids)
        same_length({"nodes_modes": modes, "nodes_splits": splits, "nodes_featureids": feature,
                     "nodes_missing_value_tracks_true": missing})  # fmt: skip
        same_length({"leaf_weights": weights, "leaf_targetids": self.leaf_targetids})
        if (modes >= LEAF).any():
            raise refuse("E0341", "`nodes_modes` is unknown", int(modes.max()), f"0 … {LEAF - 1}")
        sets = self._sets(modes)
        yes = _children(self.nodes_truenodeids, self.nodes_trueleafs, inner, leaves)
        no = _children(self.nodes_falsenodeids, self.nodes_falseleafs, inner, leaves)
        own = np.arange(inner, inner + leaves)
        none = np.zeros(leaves, np.int64)
        return Forest(
            feature=np.concatenate([feature, none]),
            threshold=np.concatenate([splits, none.astype(splits.dtype)]),
            mode=np.concatenate([modes.astype(np.uint8), none.astype(np.uint8) + LEAF]),
            missing=np.concatenate([missing != 0, none != 0]),
            yes=np.concatenate([yes, own]),
            no=np.concatenate([no, own]),
            roots=_roots(self.tree_roots, inner),
            start=np.concatenate([np.zeros(inner, np.int64), np.arange(leaves + 1)]),
            target=integers(self.leaf_targetids),
            weight=weights,
            targets=self._targets(),
            members=dict(zip(np.flatnonzero(modes == MEMBER).tolist(), sets, strict=True)),
        ).check()

    def _targets(self) -> int:
        count = 1 if self.n_targets is None else self.n_targets
        if count < 1:
            raise refuse("E0341", "`n_targets` must be positive", count)
        return count

    def _sets(self, modes: Array) -> list[Array]:
        count = int((modes == MEMBER).sum())
        if self.membership_values is None:
            if count:
                raise refuse("E0341", "`membership_values` is missing", None, f"{count} sets")
            return []
        return split_sets(widen(self.membership_values.numpy().reshape(-1)), count)

    def infer(self, x: Type) -> Type:
        dims = self.rows(x)
        dtype = common_dtype(x, Type(self.nodes_splits.dtype), Type(self.leaf_weights.dtype))
        assert self.how
        one_of(self.transform, TRANSFORMS, "post_transform")
        return Type(dtype, None if dims is None else (dims[0], const(self.forest.targets)))

    @quiet
    def reference(self, x: Array) -> Array:
        rows = widen(x.reshape(1, -1) if x.ndim == 1 else x)
        made, _ = self.forest.sums(rows, self.how)
        return np.asarray(settle(transformed(made, single(self.transform, made.shape[1])), x.dtype))


def single(transform: str, columns: int) -> str:
    """The transform of scores: of a single one there is none but PROBIT."""
    return transform if columns > 1 or transform == "PROBIT" else "NONE"


def _numbered(names: Sequence[str], number: int, what: str) -> str:
    if not 0 <= number < len(names):
        raise refuse("E0341", f"`{what}` is unknown", number, f"0 … {len(names) - 1}")
    return names[number]


def _children(ids: tuple[int, ...], leaf: tuple[int, ...], inner: int, leaves: int) -> Array:
    """Node numbers of children, a leaf's counting after those of the inner nodes."""
    found, is_leaf = integers(ids), integers(leaf) != 0
    same_length({"nodes_modes": range(inner), "nodes_…nodeids": found, "nodes_…leafs": is_leaf})
    most = np.where(is_leaf, leaves, inner)
    wrong = (found < 0) | (found >= most)
    if wrong.any():
        given, wanted = int(found[wrong][0]), f"0 … {int(most[wrong][0]) - 1}"
        raise refuse("E0341", "a node or leaf is out of range", given, wanted)
    return found + np.where(is_leaf, inner, 0)


def _roots(ids: tuple[int, ...], inner: int) -> Array:
    found = integers(ids)
    wrong = found[(found < 0) | (found >= inner)]
    if wrong.size:
        raise refuse("E0341", "a root is out of range", int(wrong[0]), f"0 … {inner - 1}")
    return found


class _Listed(_Ensemble, abstract=True):
    """Trees as lists of nodes with names, and of what leaves give: versions 1 to 4."""

    kind: ClassVar[str]
    base_values: tuple[float, ...] | None = None
    nodes_falsenodeids: tuple[int, ...] | None = None
    nodes_featureids: tuple[int, ...] | None = None
    nodes_hitrates: tuple[float, ...] | None = None
    nodes_missing_value_tracks_true: tuple[int, ...] | None = None
    nodes_modes: tuple[str, ...] | None = None
    nodes_nodeids: tuple[int, ...] | None = None
    nodes_treeids: tuple[int, ...] | None = None
    nodes_truenodeids: tuple[int, ...] | None = None
    nodes_values: tuple[float, ...] | None = None
    post_transform: str = "NONE"

    @property
    def transform(self) -> str:
        return one_of(self.post_transform, TRANSFORMS, "post_transform")

    @property
    def targets(self) -> int:
        """How many targets or classes there are."""
        raise NotImplementedError

    def floats(self, name: str) -> Array:
        """A list of floats, or the tensor that stands for it."""
        given: Tensor | None = getattr(self, f"{name}_as_tensor", None)
        if given is not None:
            return given.numpy().reshape(-1)
        return np.array(getattr(self, name) or (), np.float32)

    @cached_property
    def forest(self) -> Forest:
        lists = {
            name: integers(getattr(self, f"nodes_{name}"))
            for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
        }
        names = {name: n for n, name in enumerate(MODES)}
        modes = [names.get(m, -1) for m in self.nodes_modes or ()]
        missing = self.nodes_missing_value_tracks_true or (0,) * len(modes)
        values = self.floats("nodes_values")
        every = {"nodes_modes": modes, **{f"nodes_{k}": v for k, v in lists.items()}}
        every |= {"nodes_missing_value_tracks_true": missing, "nodes_values": values}
        same_length(every)
        mode = np.array(modes, np.int64)
        if ((mode < 0) | (mode == MEMBER)).any():
            raise refuse("E0341", "`nodes_modes` is unknown", wanted=", ".join(MODES))
        places = Places(lists["treeids"], lists["nodeids"])
        places.check()
        return self._joined(lists, mode, integers(missing), values, places)

    def _joined(
        self, lists: dict[str, Array], mode: Array, missing: Array, values: Array, places: Places
    ) -> Forest:
        inner = np.flatnonzero(mode != LEAF)
        yes = np.arange(len(mode))
        no = yes.copy()
        for name, ids in (("true", yes), ("false", no)):
            what = f"nodes_{name}nodeids"
            wanted = lists[f"{name}nodeids"][inner]
            ids[inner] = places.find(lists["treeids"][inner], wanted, what)
        start, target, weight = self._given(places, mode)
        return Forest(
            feature=np.where(mode == LEAF, 0, lists["featureids"]),
            threshold=values,
            mode=mode.astype(np.uint8),
            missing=missing != 0,
            yes=yes,
            no=no,
            roots=places.roots,
            start=start,
            target=target,
            weight=weight,
            targets=self.targets,
        ).check()

    def _given(self, places: Places, mode: Array) -> tuple[Array, Array, Array]:
        """What leaves give, in the order of nodes: where each node's begin, targets, weights."""
        kind = self.kind
        ids = {n: integers(getattr(self, f"{kind}_{n}")) for n in ("ids", "nodeids", "treeids")}
        weights = self.floats(f"{kind}_weights")
        same_length({f"{kind}_ids": ids["ids"], f"{kind}_nodeids": ids["nodeids"],
                     f"{kind}_treeids": ids["treeids"], f"{kind}_weights": weights})  # fmt: skip
        nodes = places.find(ids["treeids"], ids["nodeids"], f"{kind}_nodeids")
        leaf = mode[nodes] == LEAF
        nodes, targets, weights = nodes[leaf], ids["ids"][leaf], weights[leaf]
        order = np.argsort(nodes, kind="stable")
        counts = np.bincount(nodes, minlength=len(mode))
        start = np.concatenate([[0], np.cumsum(counts)])
        return start, targets[order], weights[order]

    def of_type(self, x: Array) -> tuple[Array, Forest]:
        """The rows and the forest in one type: that of the thresholds for integers.

        Thresholds and weights of float32 take part in float64 where the rows are float64.
        """
        rows, forest = table(x), self.forest
        kind = rows.dtype
        if forest.threshold.dtype == kind and forest.weight.dtype == kind:
            return rows, forest
        made = {n: getattr(forest, n) for n in forest.__dataclass_fields__}
        made["threshold"] = forest.threshold.astype(kind)
        made["weight"] = forest.weight.astype(kind)
        return rows, Forest(**made)


class TreeEnsembleRegressorV1(_Listed):
    """For each row and target what the leaves reached give, joined, with a base, transformed."""

    kind = "target"

    aggregate_function: str = "SUM"
    n_targets: int | None = None
    target_ids: tuple[int, ...] | None = None
    target_nodeids: tuple[int, ...] | None = None
    target_treeids: tuple[int, ...] | None = None
    target_weights: tuple[float, ...] | None = None

    @property
    def how(self) -> str:
        return one_of(self.aggregate_function, _HOW, "aggregate_function")

    @property
    def targets(self) -> int:
        count = 1 if self.n_targets is None else self.n_targets
        if count < 1:
            raise refuse("E0341", "`n_targets` must be positive", count)
        return count

    @property
    def base(self) -> Array:
        """What is added to the scores: one number for each target, or none."""
        given = self.floats("base_values")
        if len(given) not in (0, self.targets):
            raise refuse("E0341", "`base_values` does not fit", len(given), self.targets)
        return given

    def infer(self, x: Type) -> Type:
        dims = self.rows(x)
        assert self.how and self.transform and self.base.ndim  # noqa: PT018 - all are checked
        return Type(DType.FLOAT32, None if dims is None else (dims[0], const(self.targets)))

    @quiet
    def reference(self, x: Array) -> Array:
        rows, forest = self.of_type(x)
        made, _ = forest.sums(rows, self.how)
        if self.base.size:
            made = made + self.base.astype(made.dtype)
        return np.asarray(transformed(made, single(self.transform, self.targets)), np.float32)


class TreeEnsembleRegressor(TreeEnsembleRegressorV1):
    """TreeEnsembleRegressor with thresholds and weights in double precision."""

    since = 3
    base_values_as_tensor: Tensor | None = None
    nodes_hitrates_as_tensor: Tensor | None = None
    nodes_values_as_tensor: Tensor | None = None
    target_weights_as_tensor: Tensor | None = None


class TreeEnsembleClassifierV1(_Listed):
    """The label of the greatest score of each row, and the scores, transformed."""

    kind = "class"

    class_ids: tuple[int, ...] | None = None
    class_nodeids: tuple[int, ...] | None = None
    class_treeids: tuple[int, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    classlabels_int64s: tuple[int, ...] | None = None
    classlabels_strings: tuple[str, ...] | None = None

    @cached_property
    def labels(self) -> Array:
        """The class labels."""
        return labels(self.classlabels_int64s, self.classlabels_strings)

    @property
    def targets(self) -> int:
        return len(self.labels)

    @property
    def base(self) -> Array:
        """What is added to the scores."""
        given = self.floats("base_values")
        fits = (0, self.targets) if self.targets > 2 else (0, 1, 2)
        if len(given) not in fits:
            raise refuse("E0341", "`base_values` does not fit", len(given), self.targets)
        return given

    @property
    def binary(self) -> bool:
        """Whether all weights are of one of two classes."""
        return self.targets == 2 and len(np.unique(self.forest.target)) == 1

    @property
    def positive(self) -> bool:
        """Whether no weight is negative."""
        return not (self.forest.weight < 0).any()

    def infer(self, x: Type) -> Any:
        dims = self.rows(x)
        assert self.transform and self.base.ndim  # noqa: PT018 - both are checked
        scores = Type(DType.FLOAT32, None if dims is None else (dims[0], const(self.targets)))
        return label_type(self.labels, dims), scores

    @quiet
    def reference(self, x: Array) -> Any:
        rows, forest = self.of_type(x)
        made, given = forest.sums(rows, "SUM")
        base = self.base.astype(made.dtype)
        if self.targets == 1:
            found, scores = self._one(made, base)
        elif self.targets == 2:
            found, scores = self._binary(made, base) if self.binary else self._two(made, base)
        else:
            found, scores = self._many(made, given, base)
        return found, np.asarray(scores, np.float32)

    def _one(self, made: Array, base: Array) -> tuple[Array, Array]:
        scores = made + base[:1] if base.size else made
        over = (scores[:, 0] > 0).astype(np.int64)
        return either(self.labels)[over], transformed(scores, single(self.transform, 1))

    def _two(self, made: Array, base: Array) -> tuple[Array, Array]:
        scores = made.copy()
        scores[:, : base.size] += base
        return self.labels[top(scores)], transformed(scores, self.transform)

    def _binary(self, made: Array, base: Array) -> tuple[Array, Array]:
        """The weights are all of one class, whose score decides by itself."""
        own = int(self.forest.target[0])
        score = made[:, own : own + 1]
        if base.size == 2 or not own:
            score = score + base[own : own + 1] if base.size else score
        found = self.labels[(score[:, 0] > self.threshold).astype(np.int64)]
        if base.size == 2 or own:
            beside = -score if base.size == 2 and own else np.zeros_like(score)
            both = np.concatenate([beside, score] if own else [score, beside], axis=1)
            return found, transformed(both, self.transform)
        return found, pair(score, self.transform, mixed=not self.positive)

    @property
    def threshold(self) -> float:
        """What the one score of two classes must exceed."""
        return 0.5 if self.positive else 0.0

    def _many(self, made: Array, given: Array, base: Array) -> tuple[Array, Array]:
        if base.size:
            made, given = made + base, np.ones_like(given)
        best = top(np.where(given, made, -np.inf))
        return self.labels[best], transformed(made, self.transform)


class TreeEnsembleClassifier(TreeEnsembleClassifierV1):
    """TreeEnsembleClassifier with thresholds and weights in double precision."""

    since = 3
    base_values_as_tensor: Tensor | None = None
    class_weights_as_tensor: Tensor | None = None
    nodes_hitrates_as_tensor: Tensor | None = None
    nodes_values_as_tensor: Tensor | None = None

"""Ensembles of decision trees: TreeEnsemble, and the regressor and classifier before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import find
from sardonyx.ops.base.element import is_narrow, quiet, settle, widen
from sardonyx.ops.base.shapes import at_most, common_dtype, refuse
from sardonyx.ops.ml.forest import LEAF, MEMBER, Forest, integers, same_length, split_sets
from sardonyx.ops.ml.grove import walked
from sardonyx.ops.ml.restated import listed
from sardonyx.ops.ml.scores import (
    TRANSFORMS,
    Tabular,
    one_of,
    table_dims,
    table_of,
    transform_of,
    transformed,
)

HOW = ("AVERAGE", "SUM", "MIN", "MAX")


class Ensemble(Tabular, abstract=True):
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


class TreeEnsemble(Ensemble, kw_only=True):
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
        return _numbered(HOW, self.aggregate_function, "aggregate_function")

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

    def express(self, write: Body, opset: int, x: Value) -> Value | str:
        if x.type.dtype is not DType.FLOAT32:
            return "before opset 5 trees give float32 only"
        kind = find(self.domain, "TreeEnsembleRegressor", opset)
        assert kind is not None
        given = listed(self.forest)
        given["aggregate_function"], given["post_transform"] = self.how, self.transform
        return write(kind(**given), x)

    def expand(self, graph: Graph, x: Value) -> Value | None:
        body, dtype, forest = Body(graph, "trees"), x.type.dtype, self.forest
        if dtype is None or dtype is not DType.from_numpy(forest.threshold.dtype):
            if dtype is None or not is_narrow(dtype):
                return None
        real = DType.from_numpy(forest.threshold.dtype)
        made = walked(body, table_of(body, x, real), forest, self.how)
        if made is None:
            return None
        made = transform_of(body, made, single(self.transform, forest.targets))
        return made if dtype is real else body("Cast", made, to=dtype.value)


def single(transform: str, columns: int) -> str:
    """The transform of scores: of a single one there is none but PROBIT."""
    return transform if columns > 1 or transform == "PROBIT" else "NONE"


def based(body: Body, scores: Value, base: Array) -> Value:
    """The scores with a base added, where there is one."""
    if not base.size:
        return scores
    assert scores.type.dtype is not None
    return body("Add", scores, body.constant(base.astype(scores.type.dtype.numpy)))


def to_float(body: Body, scores: Value) -> Value:
    """The scores in float32."""
    if scores.type.dtype is DType.FLOAT32:
        return scores
    return body("Cast", scores, to=DType.FLOAT32.value)


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

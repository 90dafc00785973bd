"""Trees as versions 1 to 4 say them: TreeEnsembleRegressor and TreeEnsembleClassifier."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sardonyx.core.dtype import Array, DType
from sardonyx.core.expr import const
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import find
from sardonyx.ops.base.element import quiet
from sardonyx.ops.base.shapes import refuse
from sardonyx.ops.ml.forest import LEAF, MEMBER, MODES, Forest, Places, integers, same_length
from sardonyx.ops.ml.grove import walked
from sardonyx.ops.ml.linear import positive
from sardonyx.ops.ml.restated import rooted
from sardonyx.ops.ml.scores import (
    TRANSFORMS,
    TopClass,
    chosen,
    either,
    label_type,
    labels,
    one_of,
    pair,
    pair_of,
    table,
    table_of,
    top,
    transform_of,
    transformed,
)
from sardonyx.ops.ml.trees import HOW, Ensemble, based, single, to_float


class Listed(Ensemble, abstract=True):
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
        modes = self.nodes_modes or ()
        known = {m: MODES.index(m) if m in MODES else -1 for m in set(modes)}
        missing = self.nodes_missing_value_tracks_true or (0,) * len(modes)
        values = self.floats("nodes_values")
        every = {"nodes_modes": modes, **{f"nodes_{k}": v for k, v in lists.items()}}
        every |= {"nodes_missing_value_tracks_true": missing, "nodes_values": values}
        same_length(every)
        mode = np.fromiter(map(known.__getitem__, modes), np.int64, len(modes))
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
        """The rows and the forest in one type: float64 where the rows are, float32 otherwise."""
        rows = table(x)
        return rows, self.forest.astype(rows.dtype)

    def table_of(self, body: Body, x: Value) -> tuple[Value, Forest]:
        """`of_type` as nodes."""
        rows = table_of(body, x)
        assert rows.type.dtype is not None
        return rows, self.forest.astype(rows.type.dtype.numpy)


class TreeEnsembleRegressorV1(Listed):
    """For each row and target what the leaves reached give, joined, with a base, transformed."""

    kind = "target"
    ended = 5

    aggregate_function: str = "SUM"
    n_targets: int | None = None
    target_ids: tuple[int, ...] | None = None
    target_nodeids: tuple[int, ...] | None = None
    target_treeids: tuple[int, ...] | None = None
    target_weights: tuple[float, ...] | None = None

    @property
    def how(self) -> str:
        return one_of(self.aggregate_function, HOW, "aggregate_function")

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

    def express(self, write: Body, opset: int, x: Value) -> Value | str:
        if x.type.dtype is DType.FLOAT64:
            return "from opset 5 on trees of float64 give float64"
        transform = single(self.transform, self.targets)
        if self.base.size and transform != "NONE":
            return "its base is added before its scores are transformed"
        given = rooted(self.forest, apart=self.how == "SUM")
        kind = find(self.domain, "TreeEnsemble", opset)
        if isinstance(given, str) or kind is None:
            return given if isinstance(given, str) else "there is no TreeEnsemble"
        given["aggregate_function"] = HOW.index(self.how)
        given["post_transform"] = TRANSFORMS.index(transform)
        return based(write, write(kind(**given), to_float(write, x)), self.base)

    def expand(self, graph: Graph, x: Value) -> Value | None:
        body = Body(graph, "trees")
        rows, forest = self.table_of(body, x)
        made = walked(body, rows, forest, self.how)
        if made is None:
            return None
        made = based(body, made, self.base)
        return to_float(body, transform_of(body, made, single(self.transform, self.targets)))


class TreeEnsembleRegressor(TreeEnsembleRegressorV1):
    """TreeEnsembleRegressor with thresholds and weights in double precision."""

    since = 3
    base_values_as_tensor: Tensor | None = None
    nodes_hitrates_as_tensor: Tensor | None = None
    nodes_values_as_tensor: Tensor | None = None
    target_weights_as_tensor: Tensor | None = None


class TreeEnsembleClassifierV1(Listed):
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

    def expand(self, graph: Graph, x: Value) -> Any:
        """A walk and what is made of its scores; None where that hangs on which leaves spoke."""
        body, many = Body(graph, "trees"), self.targets > 2 and not self.base.size
        rows, forest = self.table_of(body, x)
        if many and not all(map(forest.always, range(self.targets))):
            return None
        if self.binary:
            return self._binary_of(body, rows, forest)
        made = walked(body, rows, forest, "SUM")
        if made is None:
            return None
        made = based(body, made, self._base_of_all())
        if self.targets == 1:
            found = chosen(body, either(self.labels), positive(body, made, 0.0))
        else:
            found = chosen(body, self.labels, body(TopClass(), made))
        made = transform_of(body, made, single(self.transform, self.targets))
        return found, to_float(body, made)

    def _base_of_all(self) -> Array:
        """The base of each class, 0 where only that of the first is given; empty without any."""
        return (
            np.pad(self.base, (0, self.targets - self.base.size)) if self.base.size else self.base
        )

    def _binary_of(self, body: Body, rows: Value, forest: Forest) -> Any:
        """`_binary` as nodes: the trees have one target."""
        own, base = int(forest.target[0]), self.base
        alone = replace(forest, target=np.zeros_like(forest.target), targets=1)
        score = walked(body, rows, alone, "SUM")
        if score is None:
            return None
        if base.size == 2 or not own:
            score = based(body, score, base[own : own + 1])
        found = chosen(body, self.labels, positive(body, score, self.threshold))
        if not (base.size == 2 or own):
            made = pair_of(body, score, self.transform, mixed=not self.positive)
            return found, to_float(body, made)
        zero = body.constant(np.zeros((), forest.weight.dtype))
        beside = body("Neg", score) if base.size == 2 and own else body("Mul", score, zero)
        both = body("Concat", *((beside, score) if own else (score, beside)), axis=1)
        return found, to_float(body, transform_of(body, both, self.transform))

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

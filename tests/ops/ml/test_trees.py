"""Trees: reference and machine code against ONNX Runtime and onnx's own; bad trees are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import sardonyx as sx
from ops.ml.forests import MODES, Trees
from ops.ml.models import agree, alike, model, ours, peer
from sardonyx.session import InferenceSession

Rng = np.random.Generator
HOW = ("AVERAGE", "SUM", "MIN", "MAX")
EVERY = [(mode,) for mode in MODES] + [MODES]


@pytest.mark.parametrize("modes", EVERY, ids="-".join)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modes_and_missing_values(
    modes: tuple[str, ...], missing: bool, dtype: Any, rng: Rng
) -> None:
    trees = Trees(rng, 4, 4, 3, modes=modes, missing=missing)
    x = trees.rows(40, dtype)
    assert not alike("TreeEnsembleRegressor", [x], 3, n_targets=1, **trees.listed("target", 1))
    assert not alike("TreeEnsemble", [x], **trees.arrays(3, dtype))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
def test_targets_are_joined(how: str, each: bool, targets: int, post: str, rng: Rng) -> None:
    trees = Trees(rng, 7, 4, 3)
    base = rng.normal(size=targets).tolist()
    settings = trees.listed("target", targets, each=each)
    alike("TreeEnsembleRegressor", [trees.rows(30)], 1, n_targets=targets, post_transform=post,
          aggregate_function=how, base_values=base, **settings)  # fmt: skip
    if post == "NONE":
        arrays = trees.arrays(targets)
        alike("TreeEnsemble", [trees.rows(30)], aggregate_function=HOW.index(how), **arrays)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("base", [None, 0.05])
def test_one_score_of_two_classes(post: str, sign: bool, base: float | None, rng: Rng) -> None:
    trees = Trees(rng, 5, 4, 3)
    settings = trees.listed("class", 1, sign=sign)
    more = {} if base is None else {"base_values": [base]}
    for labels in ({"classlabels_int64s": [5, 7]}, {"classlabels_strings": ["no", "yes"]}):
        alike("TreeEnsembleClassifier", [trees.rows(40)], 3, post_transform=post,
              **labels, **more, **settings)  # fmt: skip


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("base", [None, [0.5, 0.25, -1.0, 0.1]])
def test_many_classes(each: bool, base: list[float] | None, rng: Rng) -> None:
    trees = Trees(rng, 6, 4, 3)
    settings = trees.listed("class", 4, each=each)
    more = {} if base is None else {"base_values": base}
    for labels in ({"classlabels_int64s": [5, 7, -1, 0]}, {"classlabels_strings": list("abcd")}):
        alike("TreeEnsembleClassifier", [trees.rows(40)], 3, **labels, **more, **settings)


def test_scores_of_both_classes_decide_by_the_greater_one(rng: Rng) -> None:
    # ONNX Runtime answers 1 where the second score is positive, whatever the labels are.
    trees = Trees(rng, 6, 4, 3)
    settings = trees.listed("class", 2, each=True)
    x = trees.rows(40)
    data = model("TreeEnsembleClassifier", [x], 3, classlabels_int64s=[5, 7], **settings)
    for provider in ("reference", "native"):
        label, scores = ours(data, [x], provider)
        np.testing.assert_allclose(scores, peer(data, [x])[1], 1e-5, 1e-6)
        assert label.tolist() == np.array([5, 7])[scores.argmax(1)].tolist()


def test_a_score_never_given_is_not_the_greatest(rng: Rng) -> None:
    trees = Trees(rng, 1, 3, 3, full=True)
    settings = trees.listed("class", 3)
    settings["class_weights"] = [-abs(w) for w in settings["class_weights"]]
    found = alike("TreeEnsembleClassifier", [trees.rows(9)], 3, classlabels_int64s=[1, 2, 3],
                  **settings)  # fmt: skip
    assert found == ["TreeEnsembleClassifier"]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64])
def test_other_types_of_rows(dtype: Any, rng: Rng) -> None:
    trees = Trees(rng, 5, 4, 3)
    alike("TreeEnsembleClassifier", [trees.rows(40, dtype)], 3, classlabels_int64s=[1, 2, 3],
          **trees.listed("class", 3, each=True))  # fmt: skip


def test_double_precision_decides_by_the_last_bit() -> None:
    split = 0.1 + 1e-12
    x = np.array([[0.1], [0.1 + 2e-12]])
    settings = Trees(np.random.default_rng(0), 1, 1, 1, full=True).listed("target", 1)
    del settings["nodes_values"]
    settings["nodes_values_as_tensor"] = numpy_helper.from_array(np.array([split, 0, 0]))
    del settings["target_weights"]
    settings["target_weights_as_tensor"] = numpy_helper.from_array(np.array([1.0, 2.0]))
    data = model("TreeEnsembleRegressor", [x], 3, n_targets=1, **settings)
    for provider in ("reference", "native"):
        assert ours(data, [x], provider)[0].tolist() == [[1.0], [2.0]]


def test_members_of_sets(rng: Rng) -> None:
    # ONNX Runtime takes the members for bits of an integer, and onnx ends a set at a 0 in it.
    trees = Trees(rng, 4, 4, 3, missing=True)
    settings = trees.arrays(3, members=True)
    members = numpy_helper.to_array(settings["membership_values"])
    settings["membership_values"] = numpy_helper.from_array(np.where(members == 0, 3.5, members))
    x = trees.rows(60)
    data = model("TreeEnsemble", [x], **settings)
    wanted = ReferenceEvaluator(onnx.load_from_string(data)).run(None, {"x0": x})
    for provider in ("reference", "native"):
        agree(ours(data, [x], provider), wanted)


def test_halves(rng: Rng) -> None:
    trees = Trees(rng, 4, 4, 3)
    x = trees.rows(40, np.float16)
    settings = trees.arrays(3, np.float16)
    data = model("TreeEnsemble", [x], **settings)
    wanted = ReferenceEvaluator(onnx.load_from_string(data)).run(None, {"x0": x})[0]
    for provider in ("reference", "native"):
        (found,) = ours(data, [x], provider)
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, wanted, 2e-3, 2e-3)


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (3, 14), (200, 6), (17, 9)])
@pytest.mark.parametrize("rows", [1, 2, 7, 65, 300])
def test_sizes(count: int, depth: int, rows: int) -> None:
    trees = _grown(count, depth)
    x = trees.rows(rows)
    assert not alike("TreeEnsembleRegressor", [x], 1, n_targets=1, **_listed(count, depth))


_KEPT: dict[tuple[int, int], tuple[Trees, Any]] = {}


def _grown(count: int, depth: int) -> Trees:
    if (count, depth) not in _KEPT:
        trees = Trees(np.random.default_rng(count + depth), count, depth, 20, grid=9)
        _KEPT[count, depth] = trees, trees.listed("target", 1)
    return _KEPT[count, depth][0]


def _listed(count: int, depth: int) -> Any:
    return _KEPT[count, depth][1]


def test_one_row_of_one_dim(rng: Rng) -> None:
    trees = Trees(rng, 5, 4, 3)
    x, settings = trees.rows(1), trees.listed("target", 2)
    wanted = peer(model("TreeEnsembleRegressor", [x], 1, n_targets=2, **settings), [x])
    data = model("TreeEnsembleRegressor", [x[0]], 1, n_targets=2, **settings)
    for provider in ("reference", "native"):
        agree(ours(data, [x[0]], provider), wanted)


# Trees that nobody may follow.


def _stump() -> Any:
    return Trees(np.random.default_rng(1), 1, 2, 2, full=True).listed("target", 1)


BAD: dict[str, dict[str, Any]] = {
    "a cycle": {"nodes_truenodeids": [0, 2, 0, 0, 5, 0, 0]},
    "no such node": {"nodes_truenodeids": [99, 2, 0, 0, 5, 0, 0]},
    "a negative node": {"nodes_falsenodeids": [-4, 3, 0, 0, 6, 0, 0]},
    "a node twice": {"nodes_nodeids": [0, 1, 2, 3, 4, 5, 5]},
    "a negative feature": {"nodes_featureids": [-1, 0, 0, 0, 0, 0, 0]},
    "a feature beyond all": {"nodes_featureids": [1 << 40, 0, 0, 0, 0, 0, 0]},
    "a feature beyond the row": {"nodes_featureids": [2, 0, 0, 0, 0, 0, 0]},
    "a short list": {"nodes_values": [0.5]},
    "a mode nobody knows": {"nodes_modes": ["BRANCH_MAYBE"] + ["LEAF"] * 6},
    "no such target": {"target_ids": [0, 0, 0, 1]},
    "a negative target": {"target_ids": [0, 0, 0, -1]},
    "a weight of no node": {"target_nodeids": [2, 3, 5, 77]},
    "no targets": {"n_targets": 0},
    "too many targets": {"base_values": [1.0, 2.0]},
    "no such transform": {"post_transform": "SOFTEST"},
    "no such aggregate": {"aggregate_function": "MODE"},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("provider", ["native", "reference"])
def test_bad_trees_are_refused(bad: dict[str, Any], provider: str) -> None:
    x = np.zeros((3, 2), np.float32)
    data = model("TreeEnsembleRegressor", [x], 1, **{"n_targets": 1, **_stump(), **bad})
    with pytest.raises(sx.SardonyxError) as caught:
        InferenceSession(data, providers=[provider]).run(None, {"x0": x})
    assert caught.value.code in ("E0341", "E0322", "E0344")
    assert caught.value.node == "the node"


def _arrays() -> Any:
    return Trees(np.random.default_rng(1), 1, 2, 2, full=True).arrays(1)


WORSE: dict[str, dict[str, Any]] = {
    "a cycle": {"nodes_truenodeids": [0, 0, 2], "nodes_trueleafs": [0, 1, 1]},
    "no such node": {"nodes_truenodeids": [7, 0, 2]},
    "no such leaf": {"nodes_truenodeids": [1, 0, 9]},
    "no such root": {"tree_roots": [3]},
    "a negative root": {"tree_roots": [-1]},
    "a mode nobody knows": {"nodes_modes": numpy_helper.from_array(np.full(3, 9, np.uint8))},
    "no sets": {"nodes_modes": numpy_helper.from_array(np.full(3, 6, np.uint8))},
    "too many sets": {
        "membership_values": numpy_helper.from_array(np.array([1, np.nan], np.float32))
    },
    "no such target": {"leaf_targetids": [0, 0, 0, 5]},
    "no such transform": {"post_transform": 5},
    "no such aggregate": {"aggregate_function": 4},
    "a short list": {"nodes_trueleafs": [0]},
}


@pytest.mark.parametrize("bad", WORSE.values(), ids=list(WORSE))
def test_bad_arrays_are_refused(bad: dict[str, Any]) -> None:
    x = np.zeros((3, 2), np.float32)
    data = model("TreeEnsemble", [x], **{**_arrays(), **bad})
    with pytest.raises(sx.SardonyxError) as caught:
        InferenceSession(data).run(None, {"x0": x})
    assert caught.value.code == "E0341"
    assert caught.value.node == "the node"


def test_a_chain_is_followed_to_its_end() -> None:
    # As deep as no balanced tree is: every inner node has a leaf on one side.
    depth = 3000
    ids = list(range(depth))
    settings: dict[str, Any] = {
        "tree_roots": [0],
        "nodes_featureids": [0] * depth,
        "nodes_modes": numpy_helper.from_array(np.ones(depth, np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.arange(depth, dtype=np.float32)),
        "nodes_trueleafs": [1] * depth,
        "nodes_truenodeids": ids,
        "nodes_falseleafs": [0] * (depth - 1) + [1],
        "nodes_falsenodeids": [*ids[1:], depth],
        "leaf_targetids": [0] * (depth + 1),
        "leaf_weights": numpy_helper.from_array(np.arange(depth + 1, dtype=np.float32)),
        "n_targets": 1,
    }
    x = np.array([[-1], [17.5], [2998], [5000]], np.float32)
    data = model("TreeEnsemble", [x], **settings)
    for provider in ("reference", "native"):
        assert ours(data, [x], provider)[0].ravel().tolist() == [0, 18, 2999, depth]


@pytest.mark.parametrize("depth", [3, 11])
@pytest.mark.parametrize("rows", [1, 10])
def test_every_access_of_the_walk_is_inside(depth: int, rows: int, rng: Rng) -> None:
    trees = Trees(rng, 9, depth, 3, modes=MODES, missing=True)
    x = trees.rows(rows)
    for settings in (trees.arrays(1), trees.arrays(3)):
        data = model("TreeEnsemble", [x], **settings)
        agree(ours(data, [x], "interpreter"), ours(data, [x]))
    data = model("TreeEnsembleRegressor", [x], 1, n_targets=3,
                 **trees.listed("target", 3, each=True))  # fmt: skip
    agree(ours(data, [x], "interpreter"), ours(data, [x]))


def test_threads_share_rows(rng: Rng) -> None:
    trees = Trees(rng, 30, 6, 12)
    x = trees.rows(700)
    data = model("TreeEnsembleRegressor", [x], 1, n_targets=1, **trees.listed("target", 1))
    (wanted,) = ours(data, [x])
    for threads in (1, 2, 3):
        options = sx.SessionOptions()
        options.intra_op_num_threads = threads
        found = sx.InferenceSession(data, options).run(None, {"x0": x})[0]
        assert np.array_equal(found, wanted)


def test_more_features_than_are_copied(rng: Rng) -> None:
    trees = Trees(rng, 9, 4, 700)
    x = trees.rows(20)
    assert not alike("TreeEnsembleRegressor", [x], 1, n_targets=1, **trees.listed("target", 1))

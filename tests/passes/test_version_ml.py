"""Trees move between the forms that ai.onnx.ml has for them, those inside functions too."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import sardonyx as sx
from sardonyx.core import errors
from sardonyx.graph.evaluate import run
from sardonyx.passes.inline import inlined


def model(node: Any, opset: int, width: int) -> Any:
    x = helper.make_tensor_value_info("x", 1, ["N", width])
    y = helper.make_tensor_value_info("y", 1, ["N", None])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", opset)]
    graph = helper.make_graph([node], "g", [x], [y])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def regressor(targets: int, **more: Any) -> Any:
    """Two trees over three features, whose leaves give to all targets."""
    leaves = [(t, n) for t in (0, 1) for n in (2, 3, 4)]
    given = [(t, n, k) for t, n in leaves for k in range(targets)]
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=targets,
        nodes_treeids=[0] * 5 + [1] * 5, nodes_nodeids=[0, 1, 2, 3, 4] * 2,
        nodes_modes=["BRANCH_LEQ", "BRANCH_GT", *["LEAF"] * 3, "BRANCH_LT", "BRANCH_GTE",
                     *["LEAF"] * 3],
        nodes_featureids=[0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
        nodes_values=[0.1, -0.2, 0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 2, 0, 0, 0] * 2, nodes_falsenodeids=[4, 3, 0, 0, 0] * 2,
        nodes_missing_value_tracks_true=[1, 0, 0, 0, 0] * 2,
        target_treeids=[g[0] for g in given], target_nodeids=[g[1] for g in given],
        target_ids=[g[2] for g in given],
        target_weights=[0.5 * n + t - k for n, (t, _, k) in enumerate(given)], **more,
    )  # fmt: skip


def ensemble(**more: Any) -> Any:
    """One tree that asks for a set, then compares."""
    values = numpy_helper.from_array
    return helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=2, tree_roots=[0],
        nodes_modes=values(np.array([6, 0], np.uint8), "m"), nodes_featureids=[0, 1],
        nodes_splits=values(np.array([0, 0.5], np.float32), "s"),
        membership_values=values(np.array([1, 2, 5, np.nan], np.float32), "v"),
        nodes_truenodeids=[0, 1], nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 2],
        nodes_falseleafs=[0, 1], leaf_targetids=[0, 1, 0],
        leaf_weights=values(np.array([1, 2, 4], np.float32), "w"), **more,
    )  # fmt: skip


def same(old: Any, new: Any, x: Any) -> None:
    onnx.checker.check_model(sx.to_bytes(new), full_check=True)
    graphs = (inlined(sx.load(sx.to_bytes(g))) for g in (old, new))
    before, after = (run(g, {"x": x})["y"] for g in graphs)
    np.testing.assert_allclose(after, before, 1e-6, 1e-6)


ROWS = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
ROWS[::7, 0] = np.nan


@pytest.mark.parametrize("more", [
    {}, {"base_values": [0.5, -1.0]}, {"post_transform": "SOFTMAX"},
], ids=str)  # fmt: skip
def test_a_regressor_becomes_an_ensemble_and_one_again(more: dict[str, Any]) -> None:
    old = sx.load(model(regressor(2, **more), 3, 3))
    new = sx.upgrade(old, opset=17, ml=5)
    assert "TreeEnsemble" in {n.op.op_type for n in new.nodes}
    same(old, new, ROWS)
    same(old, sx.upgrade(new, opset=17, ml=1), ROWS)


@pytest.mark.parametrize("how", ["AVERAGE", "MIN", "MAX"])
def test_how_trees_are_joined_is_kept(how: str) -> None:
    old = sx.load(model(regressor(1, aggregate_function=how), 1, 3))
    same(old, sx.upgrade(old, opset=17, ml=5), ROWS)
    wide = sx.load(model(regressor(2, aggregate_function=how), 1, 3))
    with pytest.raises(errors.NotImplemented, match="several targets"):
        sx.upgrade(wide, opset=17, ml=5)


def test_a_set_is_asked_element_by_element_before_opset_5() -> None:
    x = np.array([[1, 0], [2, 1], [3, 0], [3, 1], [5, 1], [4, 0.5]], np.float32)
    old = sx.load(model(ensemble(), 5, 2))
    new = sx.upgrade(old, opset=17, ml=3)
    assert [n.op.op_type for n in new.nodes] == ["TreeEnsembleRegressor"]
    same(old, new, x)


def test_trees_move_inside_functions() -> None:
    made = model(regressor(2), 3, 3)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    inner = helper.make_function("own", "Trees", ["x"], ["y"], list(made.graph.node), opsets)
    del made.graph.node[:]
    made.graph.node.append(helper.make_node("Trees", ["x"], ["y"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.functions.append(inner)
    old = sx.load(made)
    same(old, sx.upgrade(old, opset=17, ml=5), ROWS)

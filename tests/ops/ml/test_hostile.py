"""Attributes and rows that no model should have: an answer or an error of ours, in bounds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from ops import hostile
from ops.ml.forests import Trees
from ops.ml.models import model
from ops.ml.test_tables import ALIKE, VECTORS, X

FOREST = Trees(np.random.default_rng(0), 3, 3, 2, missing=True)
CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    **ALIKE,
    "linear regressor": (
        "LinearRegressor", [X], {"coefficients": [1.0, 2.0], "intercepts": [1.0], "targets": 1},
    ),
    "linear classifier": (
        "LinearClassifier", [X],
        {"coefficients": [1.0] * 4, "intercepts": [0.0] * 2, "classlabels_ints": [1, 2],
         "post_transform": "SOFTMAX"},
    ),
    "vector regressor": (
        "SVMRegressor", [X],
        {"coefficients": [1.0, -0.5, 0.3], "rho": [0.2], "n_supports": 3, "kernel_type": "RBF",
         "one_class": 0, **VECTORS},
    ),
    "vector classifier": (
        "SVMClassifier", [X],
        {"coefficients": [1.0, -0.5, 0.3], "rho": [0.2], "vectors_per_class": [2, 1],
         "prob_a": [-1.0], "prob_b": [0.1], "classlabels_ints": [5, 7], "kernel_type": "POLY",
         **VECTORS},
    ),
    "tree regressor": (
        "TreeEnsembleRegressor", [FOREST.rows(3)],
        {"n_targets": 2, "base_values": [0.5, 1.0], "aggregate_function": "MIN",
         **FOREST.listed("target", 2)},
    ),
    "tree classifier": (
        "TreeEnsembleClassifier", [FOREST.rows(3)],
        {"classlabels_strings": ["a", "b"], "post_transform": "LOGISTIC",
         **FOREST.listed("class", 1)},
    ),
    "trees": ("TreeEnsemble", [FOREST.rows(3)], FOREST.arrays(2, members=True)),
}  # fmt: skip


def trials(case: str) -> Iterator[tuple[str, onnx.ModelProto, list[Any]]]:
    """Every hostile variant of a case."""
    op, inputs, attributes = CASES[case]
    plain = onnx.load_from_string(model(op, inputs, 1 if op.startswith("TreeEnsembleC") else 0,
                                        **attributes))  # fmt: skip
    yield "as it is", plain, inputs
    for n, attribute in enumerate(plain.graph.node[0].attribute):
        for label, changed in hostile._attributes(attribute):
            made = copy.deepcopy(plain)
            made.graph.node[0].attribute[n].CopyFrom(changed)
            yield f"{attribute.name}={label}", made, inputs
    for n, x in enumerate(inputs):
        for label, array in hostile._arrays(x):
            yield f"input {n} {label}", hostile._declared(plain, n, array), [
                *inputs[:n], array, *inputs[n + 1 :]
            ]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("provider", "share"), [("reference", 1), ("native", 12)])
def test_hostile_values(case: str, provider: str, share: int) -> None:
    first = sorted(CASES).index(case) % share
    found = []
    for n, (label, made, feeds) in enumerate(trials(case)):
        if n % share == first:
            fault = hostile.attempt(made, feeds, provider)
            found += [f"{label}: {fault}"] if fault is not None else []
    assert not found, "\n".join(found)

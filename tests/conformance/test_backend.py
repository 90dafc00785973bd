"""The standard's own test runner on our backend: every category, nothing left out but by name.

Of the node cases a share runs here: `test_native` runs each of them twice.
"""

from __future__ import annotations

import os
import unittest
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.backend.test import BackendTest

from conformance import node_cases
from sardonyx import backend
from sardonyx.core.errors import InvalidArgument

GAPS = node_cases.gaps(Path(__file__).with_name("gaps_backend.txt"))
SHARE = 25


@cache
def runner() -> dict[str, Any]:
    """The test cases of the standard's runner by category."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = np.random.get_state()  # noqa: NPY002 - the cases draw from numpy's global state
        made: dict[str, Any] = BackendTest(backend.SardonyxBackend, __name__).test_cases
        np.random.set_state(state)  # noqa: NPY002
    return made


def names() -> list[tuple[str, str]]:
    """Category and name of what runs here: all models, and a share of the nodes."""
    found = []
    for category, case in runner().items():
        own = [n for n in unittest.defaultTestLoader.getTestCaseNames(case) if n.endswith("_cpu")]
        nodes = category == "OnnxBackendNodeModelTest"
        found += [(category, name) for name in (own[::SHARE] if nodes else own)]
    return found


@pytest.mark.parametrize(("category", "name"), names(), ids=lambda x: x.removeprefix("OnnxBackend"))
def test_case(category: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ONNX_HOME", str(tmp_path))
    result = unittest.TestResult()
    runner()[category](name).run(result)
    wrong = result.failures + result.errors
    reason = node_cases.gap_of(name, GAPS)
    if reason is not None:
        assert wrong, f"the gap `{reason}` is closed: take {name} out of gaps_backend.txt"
        return
    assert not result.skipped
    assert not wrong, wrong[0][1]


def test_there_are_models_of_every_category() -> None:
    assert {category for category, _ in names()} == set(runner())
    assert len(names()) > 150


def test_a_node_is_run_by_itself() -> None:
    node = helper.make_node("Gemm", ["a", "b", ""], ["y"], transB=1)
    a, b = np.ones((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(4, 3)
    (y,) = backend.run_node(node, [a, b, None])
    np.testing.assert_array_equal(y, a @ b.T)
    old = helper.make_node("Squeeze", ["a"], ["y"], axes=[0])
    (y,) = backend.run_node(old, [a[:1]], opset_version=11, provider="reference")
    assert y.shape == (3,)


def test_inputs_may_be_named_and_devices_are_cpus() -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph)
    ready = backend.prepare(model)
    array = np.array([-1, 2], np.float32)
    for given in ({"x": array}, [array], array):
        np.testing.assert_array_equal(ready.run(given)[0], [0, 2])
    assert backend.is_compatible(model)
    assert not backend.supports_device("CUDA:0")
    with pytest.raises(InvalidArgument, match="device"):
        backend.prepare(model, "CUDA")

"""Models changed in structure are loaded or refused, in bounded time; a share of what hunts try."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from fuzz import mutants
from fuzz.worker import outcomes
from sardonyx.core.errors import InvalidArgument, LimitExceeded
from sardonyx.core.limits import Limits
from sardonyx.formats import load
from sardonyx.passes.infer import infer
from sardonyx.session import InferenceSession


@pytest.mark.slow
def test_mutants_are_used_or_refused() -> None:
    found = {n: lines for n, lines in outcomes(0, 1000, mutants.problems, 1000) if lines}
    assert found == {}


@pytest.mark.exhaustive
def test_many_mutants_are_used_or_refused() -> None:
    many = outcomes(1000, 200_000, mutants.problems, mutants.BATCH)
    assert {n: lines for n, lines in many if lines} == {}


RANKED = {
    "Reshape": ("x", "n"),
    "Expand": ("x", "n"),
    "Unsqueeze": ("x", "n"),
    "Slice": ("x", "n", "m"),
    "ConstantOfShape": ("n",),
    "Col2Im": ("x", "n", "m"),
}


@pytest.mark.parametrize("op", RANKED)
def test_a_rank_by_the_models_word_is_refused_at_once(op: str) -> None:
    graph = helper.make_graph(
        [helper.make_node(op, RANKED[op], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, 5]),
            helper.make_tensor_value_info("n", TensorProto.INT64, [1 << 40]),
            helper.make_tensor_value_info("m", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    made = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    with pytest.raises(LimitExceeded, match="E0504"):
        infer(made, limits=Limits())


@pytest.mark.parametrize("provider", ["native", "reference"])
def test_lengths_past_the_steps_of_a_recurrent_layer_are_refused(provider: str) -> None:
    names = ["x", "w", "r", "", "lengths"]
    shapes: dict[str, list[int | None]] = {"x": [None, 2, 3], "w": [1, 5, 3], "r": [1, 5, 5]}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [2]))
    node = helper.make_node("RNN", names, ["y"], hidden_size=5)
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "g", inputs, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = InferenceSession(model, providers=[provider])
    feeds = {n: np.ones([s or 4 for s in shape], np.float32) for n, shape in shapes.items()}
    session.run(None, {**feeds, "lengths": np.array([4, 0], np.int32)})
    for bad in (5, -1):
        with pytest.raises(InvalidArgument, match="E0210"):
            session.run(None, {**feeds, "lengths": np.array([4, bad], np.int32)})

"""A model moves to another opset with the same outputs, or is refused by name."""

import numpy as np
import pytest

from graph.sources import parse
from passes.equal import ready
from sardonyx.core import errors
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import check
from sardonyx.graph.evaluate import run
from sardonyx.passes.version import raise_refusals, upgrade

X = "input x: float32[2, 3, 4]\n"

CLIMBS = [
    ("y = Softmax<axis=2>(x)", 11),
    ("y = ReduceSum<axes=[1], keepdims=0>(x)", 11),
    ("y = ReduceMean<axes=[-1]>(x)", 13),
    ("y = ReduceMax(x)", 13),
    ("y = Clip<min=-0.5, max=0.25>(x)", 6),
    ("y = Clip<max=0.25>(x)", 6),
    ("y = Pad<pads=[0,1,0,0,1,0], value=2.0>(x)", 2),
    ("y = Unsqueeze<axes=[0]>(x)", 11),
    ("a = Unsqueeze<axes=[1]>(x)\n y = Squeeze<axes=[1]>(a)", 11),
    ("y = Slice<starts=[1], ends=[3], axes=[2]>(x)", 9),
    ("y = Slice<starts=[1], ends=[2]>(x)", 9),
    ("y, z = Split<axis=2>(x)", 11),
    ("y, z = Split<axis=2, split=[1, 3]>(x)", 11),
    ("y, z = TopK<k=2>(x)", 9),
    ("y = Reshape<shape=[0, -1]>(x)", 4),
    ("y = Add<broadcast=1>(x, x)", 6),
    ("y = Dropout<ratio=0.25>(x)", 10),
    ("y = DepthToSpace<blocksize=1>(q)\n q = Unsqueeze<axes=[0]>(x)", 10),
    ("y = MaxPool<kernel_shape=[2]>(x)", 7),
    ("y = Cast<to=7>(x)", 9),
    ("y = Relu<consumed_inputs=[0]>(x)", 5),
    ("y = Softmax<axis=1>(x)", 11),
    ('y = Upsample<scales=[1.0, 1.0, 2.0], mode="nearest">(x)', 8),
    ("y = Resize(x, w)\n const w: float32[3] = {1, 1, 2}", 10),
]


@pytest.mark.parametrize(("body", "opset"), CLIMBS)
@pytest.mark.parametrize("target", [18, 23])
def test_the_outputs_stay(body: str, opset: int, target: int) -> None:
    graph = ready(parse(f"{X}{body}\n output y", opset))
    moved = upgrade(graph, target)
    assert moved.refused == []
    made = moved.graph
    assert [f for f in check(made) if f.is_error] == []
    ready(made)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    feeds = {"x": x}
    np.testing.assert_array_equal(run(made, feeds)["y"], run(graph, feeds)["y"])


STAYS = [
    ("y = Add<broadcast=1, axis=0>(x, w)\n const w: float32[2] = {1, 2}", 6, 18, "axis"),
    ("y = BitCast<to=6>(x)", 26, 25, "came with opset 26"),
    ("y = ReduceSum<keepdims=0>(x, a)\n input a: int64[1]", 13, 11, "not known before running"),
    ("y = Cast<to=16>(x)", 13, 11, "bfloat16 came with opset 13"),
    ('y = Pad<mode="wrap">(x, w)\n const w: int64[6] = {0, 1, 0, 0, 1, 0}', 19, 18, "opset 19"),
]


@pytest.mark.parametrize(("body", "opset", "target", "reason"), STAYS)
def test_what_cannot_follow_is_named(body: str, opset: int, target: int, reason: str) -> None:
    graph = ready(parse(f"{X}{body}\n output y", opset))
    made = upgrade(graph, target)
    assert reason in made.refused[0].reason
    with pytest.raises(errors.NotImplemented, match="cannot be converted") as caught:
        raise_refusals(made.log)
    assert caught.value.code == "E0346"


@pytest.mark.parametrize("target", [0, 99])
def test_there_is_no_way_beyond(target: int) -> None:
    with pytest.raises(errors.InvalidArgument, match="E0347"):
        upgrade(parse(f"{X} y = Relu(x)\n output y", 9), target)


def test_subgraphs_follow() -> None:
    graph = ready(parse("""
      input x: float32[2]
      input flag: bool[]
      y = If<then_branch=graph t { opset "" 11 p = Unsqueeze<axes=[0]>(x) output p },
             else_branch=graph e { opset "" 11 q = Unsqueeze<axes=[1]>(x) output q }>(flag)
      output y
    """, 11))  # fmt: skip
    made = upgrade(graph, 18).graph
    assert [f for f in check(made) if f.is_error] == []
    found = run(made, {"x": np.ones(2, np.float32), "flag": np.array(True)})
    assert found["y"].shape == (1, 2)


DOWN = [
    ("y = ReduceMean<keepdims=0>(x, a)\n const a: int64[1] = {-1}", 18, 1),
    ("y = Clip(x, a, b)\n const a: float32[] = {-0.5}\n const b: float32[] = {0.25}", 13, 6),
    ("y = Clip(x, _, b)\n const b: float32[] = {0.25}", 13, 6),
    ("y = Slice(x, s, e, s)\n const s: int64[1] = {1}\n const e: int64[1] = {3}", 13, 9),
    ("y, z = TopK(x, k)\n const k: int64[1] = {2}", 11, 1),
    ("y = Gelu(x)", 20, 13),
    ("y = Unsqueeze(x, a)\n const a: int64[1] = {-1}", 13, 7),
    ("y = Pad(x, p, v)\n const p: int64[6] = {0, 1, 0, 0, 1, 0}\n const v: float32[] = {2}", 13, 1),
    ("y = Add(x, x)", 14, 7),
    ("y = Softmax<axis=1>(x)", 13, 7),
    ("y = LayerNormalization(x, w)\n const w: float32[4] = {1, 2, 3, 4}", 17, 11),
    ("y = RMSNormalization<axis=1>(x, w)\n const w: float32[4] = {1, 2, 3, 4}", 23, 11),
    ("y = Trilu(x)", 14, 11),
    ("y = Mish(x)", 18, 13),
    ("y = GroupNormalization<num_groups=1>(x, w, w)\n const w: float32[3] = {1, 2, 3}", 21, 13),
    ("y, z, u = Split<axis=2, num_outputs=3>(x)", 18, 11),
    ("y = LessOrEqual(x, w)\n const w: float32[] = {0.5}", 16, 11),
    ("s = Shape<start=1>(x)\n t = Cast<to=1>(s)\n y = Mul(t, t)", 15, 13),
]  # fmt: skip


@pytest.mark.parametrize(("body", "opset", "target"), DOWN)
def test_the_outputs_stay_on_the_way_down(body: str, opset: int, target: int) -> None:
    graph = ready(parse(f"{X}{body}\n output y", opset))
    made = upgrade(graph, target)
    assert made.refused == []
    assert [f for f in check(made.graph) if f.is_error] == []
    assert made.graph.opsets[""] == target
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    ready(made.graph)
    wanted, found = run(graph, {"x": x})["y"], run(made.graph, {"x": x})["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    back = upgrade(made.graph, opset)
    assert back.refused == []


def test_a_feed_that_can_change_is_no_constant() -> None:
    graph = ready(parse(f"{X}input a: int64[1]\n y = Squeeze(x, a)\n output y", 13))
    a = graph.inputs[1]
    a.const = Tensor.of(np.array([0]))
    graph.initializers["a"] = a
    assert "not known before running" in upgrade(graph, 11).refused[0].reason

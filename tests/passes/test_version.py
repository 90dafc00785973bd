"""A model climbs to a newer opset with the same outputs, or is refused by name."""

import numpy as np
import pytest

from graph.sources import parse
from passes.equal import ready
from sardonyx.core import errors
from sardonyx.graph.check import check
from sardonyx.graph.clone import clone
from sardonyx.graph.evaluate import run
from sardonyx.passes.version import upgrade

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
]


@pytest.mark.parametrize(("body", "opset"), CLIMBS)
@pytest.mark.parametrize("target", [18, 23])
def test_the_outputs_stay(body: str, opset: int, target: int) -> None:
    graph = ready(parse(f"{X}{body}\n output y", opset))
    made = clone(graph)
    upgrade(made, target)
    assert [f for f in check(made) if f.is_error] == []
    ready(made)
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    feeds = {"x": x}
    np.testing.assert_array_equal(run(made, feeds)["y"], run(graph, feeds)["y"])


STAYS = [
    ("y = Softmax<axis=1>(x)", 11, "flattens"),
    ("y = Add<broadcast=1, axis=0>(x, w)\n const w: float32[2] = {1, 2}", 6, "axis"),
    ('y = Upsample<scales=[1.0, 1.0, 1.0], mode="nearest">(x)', 8, "ended"),
    ("y = Resize(x, w)\n const w: float32[3] = {1, 1, 2}", 10, "changed"),
]


@pytest.mark.parametrize(("body", "opset", "reason"), STAYS)
def test_what_cannot_follow_is_named(body: str, opset: int, reason: str) -> None:
    graph = ready(parse(f"{X}{body}\n output y", opset))
    with pytest.raises(errors.NotImplemented, match=reason) as caught:
        upgrade(graph, 18)
    assert caught.value.code == "E0346"
    assert caught.value.op in ("Softmax", "Add", "Upsample", "Resize")


@pytest.mark.parametrize("target", [8, 99])
def test_there_is_no_way_back_nor_beyond(target: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        upgrade(parse(f"{X} y = Relu(x)\n output y", 9), target)


def test_subgraphs_follow() -> None:
    graph = ready(parse("""
      input x: float32[2]
      input flag: bool[]
      y = If<then_branch=graph t { opset "" 11 p = Unsqueeze<axes=[0]>(x) output p },
             else_branch=graph e { opset "" 11 q = Unsqueeze<axes=[1]>(x) output q }>(flag)
      output y
    """, 11))  # fmt: skip
    upgrade(graph, 18)
    assert [f for f in check(graph) if f.is_error] == []
    found = run(graph, {"x": np.ones(2, np.float32), "flag": np.array(True)})
    assert found["y"].shape == (1, 2)

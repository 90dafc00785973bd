"""What does nothing goes away, bit for bit; what nearly does stays, with the reason."""

import numpy as np
import pytest

from graph.sources import parse
from passes.equal import apply, ops, ready
from sardonyx.graph.rewrite import Log
from sardonyx.passes.simplify import SIMPLIFY

X = "input x: float32[N, 3]\n"
I0 = "const zero: float32[] = {0.0}\n"

GOES = [
    ("a = Identity(x)\n y = Neg(a)", ["Neg"]),
    ("a = Dropout(x)\n y = Neg(a)", ["Neg"]),
    ("a = Cast<to=1>(x)\n y = Neg(a)", ["Neg"]),
    ("a = Cast<to=11>(x)\n b = Cast<to=1>(a)\n y = Neg(b)", ["Neg"]),
    ("a = Cast<to=11>(x)\n y = Cast<to=10>(a)", ["Cast"]),
    ("a = Concat<axis=0>(x)\n y = Neg(a)", ["Neg"]),
    ("a = Sum(x)\n y = Neg(a)", ["Neg"]),
    ("a = Split<axis=0, num_outputs=1>(x)\n y = Neg(a)", ["Neg"]),
    ("a = Neg(x)\n b = Neg(a)\n y = Abs(b)", ["Abs"]),
    ("a = Relu(x)\n y = Relu(a)", ["Relu"]),
    ("a = Clip(x)\n y = Neg(a)", ["Neg"]),
    ("const one: float32[] = {1.0}\n a = Mul(one, x)\n y = Neg(a)", ["Neg"]),
    ("const one: float32[3] = {1,1,1}\n a = Div(x, one)\n y = Neg(a)", ["Neg"]),
    ("const one: float32[] = {1.0}\n a = Pow(x, one)\n y = Neg(a)", ["Neg"]),
    (f"{I0} a = Sub(x, zero)\n y = Neg(a)", ["Neg"]),
    ("const z: float32[] = {-0.0}\n a = Add(x, z)\n y = Neg(a)", ["Neg"]),
    ("a = Transpose<perm=[0, 1]>(x)\n y = Neg(a)", ["Neg"]),
    ("a = Transpose(x)\n b = Transpose(a)\n y = Neg(b)", ["Neg"]),
    ("const s: int64[2] = {-1, 3}\n a = Reshape(x, s)\n y = Neg(a)", ["Neg"]),
    ("s = Shape(x)\n a = Reshape(x, s)\n y = Neg(a)", ["Neg"]),
    ("const s: int64[1] = {-1}\n const t: int64[2] = {-1, 1}\n a = Flatten(x)\n y = Reshape(a, t)",
     ["Reshape"]),
    ("const s: int64[1] = {0}\n a = Unsqueeze(x, s)\n b = Squeeze(a, s)\n y = Neg(b)", ["Neg"]),
    ("s = Shape(x)\n a = Expand(x, s)\n y = Neg(a)", ["Neg"]),
    ("const s: int64[2] = {1, 1}\n a = Tile(x, s)\n y = Neg(a)", ["Neg"]),
    ("const s: int64[4] = {0,0,0,0}\n a = Pad(x, s)\n y = Neg(a)", ["Neg"]),
    (("const s: int64[1] = {0}\n const e: int64[1] = {3}\n a = Slice(x, s, e, e1)\n y = Neg(a)\n"
     "const e1: int64[1] = {1}"), ["Neg"]),
    ("const c: bool[1] = {1}\n n = Neg(x)\n y = Where(c, n, x)", ["Neg"]),
]  # fmt: skip

STAYS = [
    ("a = Cast<to=10>(x)\n b = Cast<to=1>(a)\n y = Neg(b)", "loses something"),
    (f"{I0} a = Add(x, zero)\n y = Neg(a)", "-0"),
    ("const one: float32[2, 1, 1] = {1,1}\n a = Mul(x, one)\n y = Neg(a)", "broadcasts"),
    ("const c: bool[2, 1, 1] = {1, 1}\n a = Where(c, x, x)\n y = Neg(a)", "broadcasts"),
    (("const s: int64[1] = {2}\n const e: int64[1] = {-9}\n const k: int64[1] = {1}\n"
     "const m: int64[1] = {-1}\n a = Slice(x, s, e, k, m)\n y = Neg(a)"), "backwards"),
    ("y = Identity(x)", "output"),
]  # fmt: skip


def reasons(log: Log) -> str:
    return "; ".join(r.reason for r in log.records)


@pytest.mark.parametrize(("body", "left"), GOES)
def test_what_does_nothing_goes(body: str, left: list[str]) -> None:
    made, log = apply(ready(parse(f"{X}{body}\n output y")), SIMPLIFY)
    assert [n for n in ops(made) if n != "Shape"] == left
    assert log.changes
    assert made.outputs[0].name == "y"


@pytest.mark.parametrize(("body", "reason"), STAYS)
def test_what_nearly_does_stays(body: str, reason: str) -> None:
    graph = ready(parse(f"{X}{body}\n output y"))
    before = ops(graph)
    made, log = apply(graph, SIMPLIFY)
    assert ops(made) == before
    assert reason in reasons(log)


def test_negative_zeros_are_kept() -> None:
    x = np.array([[0.0, -0.0, 1.0]], np.float32)
    for body in (f"{I0} a = Add(x, zero)", f"{I0} a = Sub(x, zero)"):
        graph = ready(parse(f"{X}{body}\n y = Reciprocal(a)\n output y"))
        apply(graph, SIMPLIFY, {"x": x})


def test_two_transposes_are_one() -> None:
    graph = ready(parse("""
      input x: float32[N, 2, 3]
      a = Transpose<perm=[1, 2, 0]>(x)
      y = Transpose<perm=[1, 0, 2]>(a)
      output y
    """))  # fmt: skip
    made, _ = apply(graph, SIMPLIFY)
    assert [n.op.attributes() for n in made] == [{"perm": (2, 1, 0)}]


def test_a_target_that_is_proved_becomes_constant() -> None:
    graph = ready(parse("""
      input x: float32[N, S, 12, 64]
      const i: int64[1] = {0}
      const j: int64[1] = {2}
      s = Shape(x)
      lead = Slice(s, i, j)
      const tail: int64[1] = {768}
      t = Concat<axis=0>(lead, tail)
      a = Reshape<allowzero=1>(x, t)
      y = Neg(a)
      output y
    """))  # fmt: skip
    made, _ = apply(graph, SIMPLIFY)
    reshape = next(n for n in made if n.op.op_type == "Reshape")
    assert reshape.inputs[1] is not None
    assert reshape.inputs[1].const is not None
    assert reshape.inputs[1].const.numpy().tolist() == [0, 0, 768]
    assert reshape.op.attributes()["allowzero"] == 0


def test_names_of_outputs_and_metadata_stay() -> None:
    graph = ready(parse("""
      input x: float32[N]
      a = Neg(x)
      [n1, "pkg.torch.onnx.stack_trace"="net.py:3"] y = Identity(a)
      [n2, "pkg.torch.onnx.stack_trace"="net.py:4"] z = Transpose(y)
      output y
      output z
    """))  # fmt: skip
    made, _ = apply(graph, SIMPLIFY)
    assert [v.name for v in made.outputs] == ["y", "z"]
    assert len({id(v) for v in made.outputs}) == 2


def test_subgraphs_are_simplified_too() -> None:
    graph = ready(parse("""
      input x: float32[N]
      input flag: bool[]
      r = Identity(x)
      y = If<then_branch=graph a { opset "" 20 b = Identity(r) c = Neg(b) output c },
             else_branch=graph d { opset "" 20 e = Identity(r) output e }>(flag)
      output y
    """))  # fmt: skip
    for flag in (True, False):
        feeds = {"x": np.ones(2, np.float32), "flag": np.array(flag)}
        made, log = apply(graph, SIMPLIFY, feeds)
        assert ops(made) == ["If"]
        assert log.counts() == {"identity": 2}

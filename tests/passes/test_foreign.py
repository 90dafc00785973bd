"""An operator of another domain is never taken for the one of ai.onnx that has its name."""

from typing import Any

import numpy as np
import pytest

from sardonyx.core.dtype import Array
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph, Type, Value
from sardonyx.graph.op import Op
from sardonyx.ops.index import MODULES
from sardonyx.passes.pipeline import optimize, prepare
from session.models import graph

NAMES = sorted(name for domain, name in MODULES if not domain)
# `op` is the foreign operator; a place for it is left where the text says Foreign.
TEXT = """graph g {
  opset "" 21
  opset acme 1
  input x: float32[2, 2]
  const w: float32[2, 2] = {1.0, 2.0, 3.0, 4.0}
  const one: float32[2, 2] = {1.0, 1.0, 1.0, 1.0}
  const zero: float32[] = {0.0}
  const scale: float32[] = {0.5}
  const point: int8[] = {0}
  const same: int64[2] = {2, 2}
  alone = acme::Foreign(x)
  twice = acme::Foreign(alone)
  neutral = acme::Foreign(x, one)
  nothing = acme::Foreign(x, zero)
  m = MatMul(x, w)
  after = acme::Foreign(m, one)
  before = MatMul(after, w)
  t = Transpose(x)
  u = acme::Foreign(t)
  back = Transpose(u)
  r = Reshape(x, same)
  view = acme::Foreign(r, same)
  c = Cast<to=11>(x)
  d = acme::Foreign(c)
  narrow = Cast<to=1>(d)
  q = QuantizeLinear(x, scale, point)
  e = DequantizeLinear(q, scale, point)
  f = acme::Foreign(e)
  g = QuantizeLinear(f, scale, point)
  pairs = DequantizeLinear(g, scale, point)
  h = acme::Foreign(one, scale, point)
  product = MatMul(e, h)
  ofconst = acme::Foreign(one)
  bn = Relu(alone)
  i = acme::Foreign(bn)
  j = QuantizeLinear(i, scale, point)
  clipped = DequantizeLinear(j, scale, point)
  output twice
  output neutral
  output nothing
  output before
  output back
  output view
  output narrow
  output pairs
  output product
  output ofconst
  output clipped
}"""


def _infer(self: Any, x: Type, *more: Type) -> Type:
    del self, more
    return Type(x.dtype, x.shape)


def _reference(self: Any, x: Array, *more: Array) -> Array:
    del self, more
    return (3 * x + 1).astype(x.dtype)


class _Base(Op, abstract=True):
    domain = "acme"
    infer = _infer
    reference = _reference


def _with(name: str) -> Graph:
    """The graph in which the foreign operator has that name."""
    made = graph(TEXT)
    kind = type(name, (_Base,), {"name": name, "since": 1}, abstract=True)
    for node in made.nodes:
        if node.op.op_type == "Foreign":
            made.set_op(node, kind())
    return made


def _results(made: Graph, x: Array) -> list[Any]:
    found = run(made, {"x": x})
    return [found[v.name] for v in made.outputs[:11]]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_another_domain(name: str) -> None:
    made = _with(name)
    x = np.array([[0.3, -1.7], [2.4, 0.0]], np.float32)
    wanted = _results(made, x)
    better = optimize(made).graph
    for changed in (better, prepare(better)):
        for a, b in zip(_results(changed, x), wanted, strict=True):
            np.testing.assert_allclose(a, b, 1e-5, 1e-6)


def test_what_makes_a_value_is_asked_with_its_domain() -> None:
    values: dict[str, Value] = {v.name: v for v in _with("MatMul").values()}
    assert values["m"].made_by("MatMul")
    assert not values["alone"].made_by("MatMul")

"""Small models that session and command tests share."""

import functools

import sardonyx.ops  # noqa: F401
from sardonyx.formats import to_bytes
from sardonyx.graph.ir import Graph
from sardonyx.graph.text import from_text

AFFINE = """
graph affine {
  opset "" 20
  input x: float32[N, 3]
  const w: float32[3, 2] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
  const b: float32[2] = {0.5, -0.5}
  [product] p = MatMul(x, w)
  [sum] y = Add(p, b)
  output y: float32[N, 2]
}
"""

SHARED = """
graph shared {
  opset "" 20
  input a: float32[N, 2]
  input b: float32[N, 2]
  [sum] y = Add(a, b)
  output y: float32[N, 2]
}
"""

UNKNOWN = """
graph unknown {
  opset "" 20
  opset acme 1
  input x: float32[N]
  [mystery] h = acme::Frobnicate(x)
  [relu] y = Relu(h)
  output y: float32[N]
}
"""

QUANTIZED = """
graph quantized {
  opset "" 20
  input x: float32[N, 3]
  const scale: float32[] = {0.05}
  const zero: int8[] = {0}
  const w: float32[3, 2] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
  const b: float32[2] = {0.5, -0.5}
  q = QuantizeLinear(x, scale, zero)
  d = DequantizeLinear(q, scale, zero)
  [product] p = MatMul(d, w)
  [sum] y = Add(p, b)
  output y: float32[N, 2]
}
"""


def graph(text: str) -> Graph:
    """The graph of a text."""
    return from_text(text)


@functools.cache
def encoded(text: str) -> bytes:
    """The model of a text as ONNX bytes."""
    return to_bytes(from_text(text))

"""Small float models to quantize, with data that suit them."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx.helper import make_model, make_opsetid
from onnx.numpy_helper import from_array
from onnx.parser import parse_graph

from sardonyx.core.dtype import Array
from sardonyx.formats import load
from sardonyx.graph.ir import Graph

RESIDUAL = """residual (float[N, 3, 12, 12] x) => (float[N, 5] logits) {
    c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    r1 = Relu(c1)
    p1 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r1)
    c2 = Conv<pads = [1, 1, 1, 1], group = 4>(p1, w2, b2)
    r2 = Clip(c2, low, high)
    c3 = Conv(r2, w3)
    s3 = Add(c3, p1)
    r3 = Relu(s3)
    g = GlobalAveragePool(r3)
    f = Flatten(g)
    logits = Gemm<transB = 1>(f, w4, b4)
}"""

TRANSFORMER = """block (float[N, S, 16] x) => (float[N, S, 16] y, float[N, S, S] weights) {
    q0 = MatMul(x, wq)
    q = Add(q0, bq)
    k = MatMul(x, wk)
    v = MatMul(x, wv)
    kt = Transpose<perm = [0, 2, 1]>(k)
    raw = MatMul(q, kt)
    scaled = Mul(raw, quarter)
    weights = Softmax<axis = -1>(scaled)
    mixed = MatMul(weights, v)
    o = MatMul(mixed, wo)
    s = Add(x, o)
    n = LayerNormalization<axis = -1>(s, g1, b1)
    h0 = MatMul(n, w1)
    h1 = Add(h0, bh)
    h = Gelu(h1)
    d = MatMul(h, w2)
    t = Add(n, d)
    y = LayerNormalization<axis = -1>(t, g2, b2)
}"""


def model(text: str, weights: Mapping[str, Array], opset: int = 20) -> onnx.ModelProto:
    """A checked model of a graph's text and its initializers."""
    graph = parse_graph(text)
    graph.initializer.extend(from_array(np.asarray(a), name) for name, a in weights.items())
    made = make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=9)
    for n, node in enumerate(made.graph.node):
        node.name = f"n{n}_{node.op_type}"
    onnx.checker.check_model(made, full_check=True)
    return made


def graph(text: str, weights: Mapping[str, Array], opset: int = 20) -> Graph:
    """The same, loaded."""
    return load(model(text, weights, opset))


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Weights of a usual size: each output's variance is about that of the inputs."""
    fan = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
    found: Array = rng.standard_normal(shape) / np.sqrt(fan)
    return found.astype(np.float32)


def residual(rng: np.random.Generator) -> Graph:
    """Convolutions, a depthwise one, a residual sum, pooling and a Gemm; x is [N, 3, 12, 12]."""
    weights = {
        "w1": normal(rng, 4, 3, 3, 3),
        "b1": normal(rng, 4),
        "w2": normal(rng, 4, 1, 3, 3),
        "b2": normal(rng, 4),
        "w3": normal(rng, 4, 4, 1, 1),
        "w4": normal(rng, 5, 4),
        "b4": normal(rng, 5),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    return graph(RESIDUAL, weights)


def transformer(rng: np.random.Generator) -> Graph:
    """One attention block with its feed-forward part; x is [N, S, 16]."""
    square = {name: normal(rng, 16, 16) for name in ("wq", "wk", "wv", "wo")}
    ones = {name: np.ones(16, np.float32) for name in ("g1", "g2")}
    vectors = {name: normal(rng, 16) for name in ("bq", "b1", "b2")}
    weights = {
        **square,
        **ones,
        **vectors,
        "quarter": np.array(0.25, np.float32),
        "w1": normal(rng, 16, 64),
        "bh": normal(rng, 64),
        "w2": normal(rng, 64, 16),
    }
    return graph(TRANSFORMER, weights)


def images(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """Rows for `residual`."""
    return {"x": rng.standard_normal((count, 3, 12, 12)).astype(np.float32)}


def sequences(rng: np.random.Generator, count: int, length: int = 7) -> dict[str, Array]:
    """Rows for `transformer`."""
    return {"x": rng.standard_normal((count, length, 16)).astype(np.float32)}

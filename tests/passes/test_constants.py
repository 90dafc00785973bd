"""Channel arithmetic moves into weights, quantization patterns become integer products."""

import re

import numpy as np
import pytest

from graph.sources import parse
from passes.equal import apply, ops, ready
from sardonyx.core.dtype import Array
from sardonyx.core.tensor import Tensor
from sardonyx.graph.evaluate import run
from sardonyx.graph.ir import Graph
from sardonyx.graph.rewrite import Log, Pass
from sardonyx.passes.affine import AFFINE
from sardonyx.passes.dead import DEAD
from sardonyx.passes.infer import infer
from sardonyx.passes.quant import QUANT


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


def filled(body: str, **arrays: Array) -> Graph:
    """A graph whose constants are these arrays."""
    graph = parse(body)
    read = [v for n in graph for v in n.inputs if v is not None]
    loose = {v.name: v for v in read if v.producer is None}
    for name, array in arrays.items():
        value = loose[name]
        value.const = Tensor.of(array)
        graph.initializers[name] = value
    return ready(graph)


def reasons(log: Log) -> list[str]:
    return [r.reason for r in log.records if r.reason]


def swept(change: Pass) -> Pass:
    def both(graph: Graph, log: Log) -> None:
        change.run(graph, log)
        DEAD.run(graph, log)

    return Pass(change.name, both)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


NORM = {
    "s": floats(0.5, 2, -1),
    "b": floats(1, -1, 0.25),
    "m": floats(0.1, 0.2, 0.3),
    "v": floats(1, 0.5, 2),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("group", [1, 3])
def test_batch_norm_into_conv(rng: np.random.Generator, bias: bool, group: int) -> None:
    w = normal(rng, 3, 6 // group, 3, 3)
    text = f"""
      input x: float32[N, 6, 5, 5]
      c = Conv<group={group}>(x, w{", cb" if bias else ""})
      y = BatchNormalization(c, s, b, m, v)
      output y
    """
    extra = {"cb": floats(1, 2, 3)} if bias else {}
    made, log = apply(filled(text, w=w, **extra, **NORM), swept(AFFINE), close=close)
    assert ops(made) == ["Conv"]
    assert log.counts() == {"into weights (rounding)": 1, "dead": 0} or log.changes
    assert [v.name for v in made.outputs] == ["y"]


@pytest.mark.parametrize("group", [1, 3])
def test_batch_norm_into_transposed_conv(rng: np.random.Generator, group: int) -> None:
    w = normal(rng, 6, 3 // group, 3)
    text = f"""
      input x: float32[N, 6, 5]
      c = ConvTranspose<group={group}>(x, w)
      y = BatchNormalization(c, s, b, m, v)
      output y
    """
    made, _ = apply(filled(text, w=w, **NORM), swept(AFFINE), close=close)
    assert ops(made) == ["ConvTranspose"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_batch_norm_into_gemm(rng: np.random.Generator, transposed: int) -> None:
    w = rng.standard_normal((3, 4) if transposed else (4, 3)).astype(np.float32)
    text = f"""
      input x: float32[N, 4]
      c = Gemm<alpha=0.5, beta=2.0, transB={transposed}>(x, w, k)
      y = BatchNormalization(c, s, b, m, v)
      output y
    """
    k = normal(rng, 1, 3)
    made, _ = apply(filled(text, w=w, k=k, **NORM), swept(AFFINE), close=close)
    assert ops(made) == ["Gemm"]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("Mul(c, k)", ["Conv"]),
        ("Mul(k, c)", ["Conv"]),
        ("Div(c, k)", ["Conv"]),
        ("Add(k, c)", ["Conv"]),
        ("Sub(c, k)", ["Conv"]),
        ("Sub(k, c)", ["Conv", "Sub"]),
    ],
)
def test_arithmetic_by_channel_into_conv(
    rng: np.random.Generator, step: str, left: list[str]
) -> None:
    w = normal(rng, 3, 2, 3)
    k = np.array([[2], [-3], [0.5]], np.float32)
    text = f"input x: float32[N, 2, 7]\n c = Conv(x, w, cb)\n y = {step}\n output y"
    graph = filled(text, w=w, k=k, cb=floats(1, 2, 3))
    made, _ = apply(graph, swept(AFFINE), close=close)
    assert ops(made) == left


def test_scales_after_matmul(rng: np.random.Generator) -> None:
    w = normal(rng, 4, 3)
    text = "input x: float32[N, S, 4]\n c = MatMul(x, w)\n y = Mul(c, k)\n output y"
    k = floats(1, 2, 3)
    made, _ = apply(filled(text, w=w, k=k), swept(AFFINE), close=close)
    assert ops(made) == ["MatMul"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("c = Conv(x, w)\n y = Mul(c, x)\n d = Neg(c)\n output y\n output d", "elsewhere"),
        ("c = Conv(x, w)\n y = Mul(c, c)\n output y", "not constant"),
        ("c = Conv(x, w)\n y = Mul(c, x)\n output y", "not constant"),
        ("c = Conv(x, w)\n y = Mul(c, k)\n output y", "within a channel"),
        ("c = Conv(x, w)\n y = Mul(c, big)\n output y", "broadcasts"),
        ("c = Conv(x, w)\n y = Div(c, z)\n output y", "finite"),
        ("c = Conv(x, w)\n d = Conv(c, w)\n y = Mul(d, h)\n output y", "shared"),
        ("u = Neg(w)\n c = Conv(x, u)\n y = Mul(c, h)\n output y", "weights are not constant"),
    ],
)
def test_what_stays(text: str, reason: str) -> None:
    graph = parse(f"""
      input x: float32[2, 2, 3]
      const w: float32[2, 2, 1] = {{1, 2, 3, 4}}
      const k: float32[3] = {{1, 2, 3}}
      const z: float32[] = {{0}}
      const h: float32[2, 1] = {{1, 2}}
      const big: float32[2, 1, 1, 1] = {{1, 2}}
      {text}
    """)
    made, log = apply(ready(graph), AFFINE)
    assert ops(made) == ops(graph)
    assert any(reason in r for r in reasons(log)), reasons(log)


def quantized(rng: np.random.Generator, *shape: int) -> Array:
    return rng.integers(-127, 128, shape).astype(np.int8)


SCALES: dict[str, Array] = {
    "sx": np.array(0.02, np.float32), "zx": np.array(3, np.uint8),
    "sy": np.array(0.05, np.float32), "zy": np.array(0, np.uint8),
    "sw": floats(0.01, 0.02, 0.005), "zw": np.zeros(3, np.int8),
    "sb": floats(0.0002, 0.0004, 0.0001),
    "b": np.array([100, -5, 7], np.int32),
}  # fmt: skip

HEAD = "input x: float32[N, {}]\n q = QuantizeLinear(x, sx, zx)\n a = DequantizeLinear(q, sx, zx)\n"
TAIL = "\n r = Relu(c)\n p = QuantizeLinear(r, sy, zy)\n y = DequantizeLinear(p, sy, zy)\n output y"


def agree(graph: Graph, x: Array, most: float) -> tuple[Graph, Log]:
    """Within one step of the output's scale, and mostly equal."""

    def steps(found: Array, wanted: Array) -> None:
        off = np.abs(found - wanted)
        assert off.max() <= most
        assert np.mean(off > 1e-6) < 0.02

    return apply(graph, swept(QUANT), {"x": x}, steps)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("group", [1, 3])
def test_quantized_conv(rng: np.random.Generator, bias: bool, group: int) -> None:
    text = HEAD.format("6, 5, 5") + "w = DequantizeLinear<axis=0>(wq, sw, zw)\n"
    if bias:
        text += "bf = DequantizeLinear<axis=0>(b, sb)\n"
    text += f"c = Conv<group={group}, pads=[1, 1, 1, 1]>(a, w{', bf' if bias else ''}){TAIL}"
    graph = filled_all(text, wq=quantized(rng, 3, 6 // group, 3, 3))
    x = normal(rng, 2, 6, 5, 5)
    made, log = agree(graph, x, 0.051)
    assert "ConvInteger" in ops(made)
    assert "Conv" not in ops(made)
    assert "Relu" not in ops(made)
    assert ops(made).count("DequantizeLinear") == 1
    assert log.counts()["integer convolution"] == 1


@pytest.mark.parametrize("transposed", [0, 1])
def test_quantized_gemm(rng: np.random.Generator, transposed: int) -> None:
    text = HEAD.format("4") + f"w = DequantizeLinear<axis={1 - transposed}>(wq, sw, zw)\n"
    text += f"bf = DequantizeLinear<axis=0>(b, sb)\n c = Gemm<transB={transposed}>(a, w, bf){TAIL}"
    shape = (3, 4) if transposed else (4, 3)
    graph = filled_all(text, wq=quantized(rng, *shape))
    made, _ = agree(graph, normal(rng, 5, 4), 0.051)
    assert "MatMulInteger" in ops(made)
    assert "Gemm" not in ops(made)


def test_quantized_matmul(rng: np.random.Generator) -> None:
    text = (
        HEAD.format("4, 4")
        + "w = DequantizeLinear<axis=1>(wq, sw, zw)\n"
        + f"c = MatMul(a, w){TAIL}"
    )
    graph = filled_all(text, wq=quantized(rng, 4, 3))
    made, _ = agree(graph, normal(rng, 2, 4, 4), 0.051)
    assert "MatMulInteger" in ops(made)


def test_integer_sums_are_nearer_the_truth(rng: np.random.Generator) -> None:
    text = (
        HEAD.format("256")
        + "w = DequantizeLinear<axis=1>(wq, sw, zw)\n y = MatMul(a, w)\n output y"
    )
    weights = quantized(rng, 256, 3)
    graph = filled_all(text, wq=weights)
    x = normal(rng, 64, 256)
    codes = np.clip(np.rint(x / np.float32(0.02)) + 3, 0, 255) - 3
    scale = SCALES["sx"].astype(np.float64) * SCALES["sw"]
    exact = codes @ weights.astype(np.float64) * scale
    before = run(graph, {"x": x})["y"]
    QUANT(graph)
    infer(graph)
    after = run(graph, {"x": x})["y"]
    assert np.abs(after - exact).max() <= np.abs(before - exact).max()


def filled_all(text: str, **arrays: Array) -> Graph:
    """With those of the common scales that the text mentions."""
    words = set(re.findall(r"\w+", text))
    used = {name: array for name, array in SCALES.items() if name in words}
    return filled(text, **used, **arrays)


@pytest.mark.parametrize(
    "move",
    [
        "Transpose<perm=[0, 2, 1]>(a)",
        "MaxPool<kernel_shape=[2]>(a)",
        "Reshape(a, shape)",
        "Identity(a)",
    ],
)
def test_movements_of_quantized_values_move_integers(rng: np.random.Generator, move: str) -> None:
    text = HEAD.format("4, 6") + f"c = {move}\n p = QuantizeLinear(c, sx, zx)\n"
    text += " y = DequantizeLinear(p, sx, zx)\n output y"
    if "shape)" in move:
        graph = filled_all(text, shape=np.array([0, -1]))
    else:
        graph = filled_all(text)
    made, log = agree(graph, normal(rng, 2, 4, 6), 0)
    assert ops(made).count("QuantizeLinear") == 1
    assert ops(made).count("DequantizeLinear") == 1
    assert log.counts()["moves integers"] == 1


def test_quantizing_again_by_the_same_scale_goes() -> None:
    text = (
        HEAD.format("4")
        + "p = QuantizeLinear(a, sx, zx)\n y = DequantizeLinear(p, sx, zx)\n output y"
    )
    graph = filled_all(text)
    x = np.linspace(-9, 9, 40, dtype=np.float32).reshape(10, 4)
    made, _ = apply(graph, swept(QUANT), {"x": x})
    assert ops(made) == ["QuantizeLinear", "DequantizeLinear"]


def test_patterns_that_cannot_be_integer_stay(rng: np.random.Generator) -> None:
    text = (
        HEAD.format("4")
        + "w = DequantizeLinear<axis=0>(wq, s4, z4)\n c = MatMul(a, w)\n y = Relu(c)\n output y"
    )
    rows = {"s4": floats(1, 2, 3, 4), "z4": np.zeros(4, np.int8)}
    graph = filled_all(text, wq=quantized(rng, 4, 3), **rows)
    made, log = agree(graph, normal(rng, 2, 4), 0)
    assert "MatMul" in ops(made)
    assert "its scales are along another axis" in reasons(log)

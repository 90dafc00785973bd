"""Sizes that are computed by way of other element types are what the reference computes."""

import itertools

import numpy as np
import pytest

import sardonyx as sx
from session.models import graph

FLOATS = {"float16": 10, "float32": 1, "float64": 11}
WHOLES = {"int8": 3, "uint8": 2, "int16": 5, "int32": 6, "int64": 7}
# What a size becomes, as `h` of the floats `f`.
CHAINS = {
    "floor of a product": "const k: {t}[] = {{1.7}}\n g = Mul(f, k)\n h = Floor(g)",
    "product": "const k: {t}[] = {{1.3}}\n h = Mul(f, k)",
    "ceiling of a quotient": "const k: {t}[] = {{3.0}}\n g = Div(f, k)\n h = Ceil(g)",
    "root": "h = Sqrt(f)",
    "power": "const k: {t}[] = {{0.5}}\n h = Pow(f, k)",
    "square": "const k: {t}[] = {{2.0}}\n h = Pow(f, k)",
    "half, rounded": "const k: {t}[] = {{0.5}}\n g = Mul(f, k)\n h = Round(g)",
    "reciprocal": "const k: {t}[] = {{20.0}}\n g = Reciprocal(f)\n h = Mul(g, k)",
    "sum and difference": "const k: {t}[] = {{0.1}}\n g = Add(f, k)\n h = Sub(g, k)",
    "choice": "const k: {t}[] = {{5.5}}\n c = Greater(f, k)\n h = Where(c, f, k)",
    "mean": "const k: {t}[2] = {{1.0, 2.0}}\n g = ReduceMean(f)\n h = Mul(g, k)",
    "narrow product": "const k: float16[] = {{1.1}}\n n = Cast<to=10>(f)\n m = Mul(n, k)\n"
    " h = CastLike(m, f)",
    "large product": "const k: {t}[] = {{60.0}}\n h = Mul(f, k)",
}
SMALL = "a = Abs(i)\n const top: int64[] = {40}\n j = Min(a, top)\n"
USES = {
    "Resize": SMALL
    + "const t: int64[2] = {1, 2}\n z = Concat<axis=0>(t, j)\n y = Resize(x, _, _, z)",
    "ConstantOfShape": SMALL + "y = ConstantOfShape(j)",
    "Expand": SMALL + "const one: float32[] = {1.0}\n y = Expand(one, j)",
    "Pad": SMALL + "const no: int64[2] = {0, 0}\n z = Concat<axis=0>(no, j, no, j)\n y = Pad(x, z)",
    "Slice": "const z: int64[2] = {0, 0}\n const ax: int64[2] = {2, 3}\n y = Slice(x, z, i, ax)",
    "output": "y = Cast<to=11>(i)",
}
ALL = list(itertools.product(CHAINS, FLOATS, WHOLES, USES))


def _model(chain: str, real: str, whole: str, use: str) -> str:
    made = CHAINS[chain].format(t=real)
    return f"""graph sizes {{
      opset "" 21
      input x: float32[n, 2, h, w]
      s = Shape<start=2>(x)
      f = Cast<to={FLOATS[real]}>(s)
      {made}
      ii = Cast<to={WHOLES[whole]}>(h)
      i = Cast<to=7>(ii)
      {USES[use]}
      output y
    }}"""


@pytest.mark.parametrize("part", range(4))
def test_sizes_by_way_of_other_types(part: int, rng: np.random.Generator) -> None:
    for row in rng.permutation(len(ALL))[:20]:
        which = ALL[row]
        model = graph(_model(*which))
        session = sx.InferenceSession(model)
        reference = sx.InferenceSession(model, providers=["ReferenceExecutionProvider"])
        assert session.gaps() == [], which
        for shape in ((1, 2, 5, 7), (2, 2, 1, 3), (1, 2, 9, 4)):
            x = rng.standard_normal(shape).astype(np.float32)
            found, wanted = (s.run(None, {"x": x})[0] for s in (session, reference))
            assert found.shape == wanted.shape, (which, shape)
            np.testing.assert_allclose(found, wanted, 1e-4, 1e-5, err_msg=str((which, shape)))


def test_a_program_with_such_sizes_is_kept() -> None:
    model = graph(_model("floor of a product", "float32", "int64", "Resize"))
    for _ in range(2):
        found = sx.InferenceSession(model).run(None, {"x": np.ones((1, 2, 5, 7), np.float32)})
        assert found[0].shape == (1, 2, 8, 11)


def test_a_size_that_does_not_fit_a_narrow_type_wraps() -> None:
    model = graph("""graph narrow {
      opset "" 21
      input x: float32[n]
      s = Shape(x)
      b = Cast<to=3>(s)
      i = Cast<to=7>(b)
      y = ConstantOfShape(i)
      output y
    }""")
    session = sx.InferenceSession(model)
    assert session.run(None, {"x": np.zeros(300, np.float32)})[0].shape == (44,)
    with pytest.raises(sx.ShapeMismatch, match="E0232"):
        session.run(None, {"x": np.zeros(200, np.float32)})


def test_sizes_that_leave_int32_are_refused() -> None:
    model = graph("""graph large {
      opset "" 21
      input x: float32[n]
      const k: int32[] = {1000000000}
      s = Shape(x)
      b = Cast<to=6>(s)
      y = Mul(b, k)
      output y
    }""")
    session = sx.InferenceSession(model)
    assert session.run(None, {"x": np.zeros(2, np.float32)})[0].tolist() == [2_000_000_000]
    with pytest.raises(sx.ShapeMismatch, match="E0207"):
        session.run(None, {"x": np.zeros(3, np.float32)})

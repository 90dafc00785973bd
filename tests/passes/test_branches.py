"""What a body takes for granted about sizes holds where it runs, and nowhere else."""

import numpy as np
import pytest

import sardonyx as sx
from session.models import graph

# Statements that make `p` of x[a, b] and z[d, e], and a shape of z with which they can run on a
# x[2, 3]; for no z[4, 5] they can.
NEEDY = {
    "Add": ("p = Add(x, z)", (2, 3)),
    "Add of a row": ("p = Add(x, z)", (1, 3)),
    "MatMul": ("p = MatMul(x, z)", (3, 2)),
    "Concat": ("p = Concat<axis=0>(x, z)", (7, 3)),
    "Gemm": ("p = Gemm<transB=1>(x, z)", (2, 3)),
    "Where": ("g = Greater(x, z)\n p = Where(g, x, z)", (2, 3)),
    "Reshape": ("const t: int64[2] = {2, -1}\n q = Reshape(z, t)\n p = Add(x, q)", (3, 2)),
    "Squeeze": ("const t: int64[1] = {0}\n q = Squeeze(z, t)\n p = Add(x, q)", (1, 3)),
    "Einsum": ('p = Einsum<equation="ab,bc->ac">(x, z)', (3, 2)),
    "Expand": ("h = Shape(z)\n p = Expand(x, h)", (2, 3)),
    "Split": ("p, _ = Split<axis=0, num_outputs=2>(z)", (2, 3)),
}
NAMES = ("CPUExecutionProvider", "ReferenceExecutionProvider")


def _outputs(text: str, feeds: dict[str, object]) -> list[np.ndarray]:
    model = graph(text)
    given = {k: np.asarray(v) for k, v in feeds.items()}
    return [sx.InferenceSession(model, providers=[p]).run(None, given)[0] for p in NAMES]


def _with(holder: str) -> str:
    return f"""graph g {{
      opset "" 21
      input x: float32[a, b]
      input z: float32[d, e]
      {holder}
      y = Neg(r)
      output y
    }}"""


HOLDERS = {
    "the other branch": """input go: bool[]
      r = If<then_branch=graph t {{ {needy}
          output p }}, else_branch=graph e {{ n = Abs(x)
          output n }}>(go)""",
    "a branch of a branch": """input go: bool[]
      r = If<then_branch=graph t {{
          i = If<then_branch=graph u {{ {needy}
              output p }}, else_branch=graph v {{ m = Neg(x)
              output m }}>(go)
          output i }}, else_branch=graph e {{ n = Abs(x)
          output n }}>(go)""",
    "a Loop": """input go: int64[]
      r = Loop<body=graph t {{ input i: int64[]
          input c: bool[]
          input s: float32[?]
          k = Identity(c)
          {needy}
          output k
          output p }}>(go, _, x)""",
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("needy", NEEDY)
def test_a_body_that_does_not_run_asks_nothing_of_feeds(holder: str, needy: str) -> None:
    statements, shape = NEEDY[needy]
    text = _with(HOLDERS[holder].format(needy=statements))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    no, yes = (False, True) if "go: bool" in text else (0, 1)
    plain = -x
    for found in _outputs(text, {"x": x, "z": np.ones((4, 5), np.float32), "go": no}):
        np.testing.assert_array_equal(found, plain)
    one, other = _outputs(text, {"x": x, "z": np.ones(shape, np.float32), "go": yes})
    np.testing.assert_allclose(one, other, 1e-6)


def test_a_body_that_runs_is_refused_where_it_cannot() -> None:
    text = _with(HOLDERS["the other branch"].format(needy="p = Add(x, z)"))
    feeds = {"x": np.ones((2, 3), np.float32), "z": np.ones((4, 5), np.float32), "go": True}
    with pytest.raises(sx.SardonyxError):
        _outputs(text, feeds)


def test_the_branch_that_is_always_taken_is_the_graphs_own() -> None:
    holder = HOLDERS["the other branch"].replace("input go: bool[]", "const go: bool[] = {{1}}")
    text = _with(holder.format(needy="p = Add(x, z)"))
    with pytest.raises(sx.SardonyxError):
        _outputs(text, {"x": np.ones((2, 3), np.float32), "z": np.ones((4, 5), np.float32)})
